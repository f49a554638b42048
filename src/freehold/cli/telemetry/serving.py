"""``telemetry serve`` and ``telemetry worker``: the processes themselves, in the foreground."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from freehold.cli.home import Home, open_home
from freehold.cli.options import HomeOption, JsonOption
from freehold.domain.errors import NotFoundError, UnavailableError

PartOption = Annotated[
    list[int] | None,
    typer.Option("--part", help="Partition to work on; may be repeated. Default: all.", min=0),
]


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    for verb in (serve, worker):
        app.command()(verb)


def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="Port to listen on; 0: a free one."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="URL by which others reach it.")
    ] = None,
    broker: Annotated[
        bool, typer.Option("--broker", help="Start nats-server here, with MQTT for devices.")
    ] = False,
    mqtt_port: Annotated[
        int | None,
        typer.Option(
            "--mqtt-port", min=0, max=65_535, help="Port of MQTT with --broker; 0: a free one."
        ),
    ] = None,
    nats: Annotated[
        str | None, typer.Option("--nats", help="URL of a NATS server to work on as well.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", help="URL that is told of alerts.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="The service's folder; default: this home's.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the telemetry service here; alerts are printed at once. Ctrl-C ends it in order."""
    target = open_home(home)
    _check_installed()
    place = _folder(target, folder)
    given = {
        "--host": host, "--port": port, "--endpoint": endpoint, "--mqtt-port": mqtt_port,
        "--nats": nats, "--webhook": webhook, "--broker": "yes" if broker else None,
    }  # fmt: skip
    options = [text for name, value in given.items() if value is not None
               for text in (name, str(value))]  # fmt: skip
    _run("freehold.node.telemetry.__main__", place, target, [*options, *_printed(as_json)])


def worker(
    nats: Annotated[str, typer.Option("--nats", help="URL of the NATS server.")],
    *,
    part: PartOption = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="The worker's folder; default: this home's.")
    ] = None,
    partitions: Annotated[
        int | None, typer.Option("--partitions", help="Partitions of the broker.", min=1)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work on what devices publish to a broker, without an API; alerts are printed at once."""
    target = open_home(home)
    target.network()
    _check_installed()
    place = (folder or target.root / "worker").expanduser().absolute()
    options = ["--nats", nats, *_printed(as_json)]
    options += [text for each in part or () for text in ("--part", str(each))]
    if partitions is not None:
        options += ["--partitions", str(partitions)]
    _run("freehold.node.telemetry.worker", place, target, options)


def _printed(as_json: bool) -> tuple[str, str]:
    return "--terminal", "json" if as_json else "yes"


def _folder(home: Home, folder: Path | None) -> Path:
    place = (folder or home.telemetry).expanduser().absolute()
    if not (place / "key.json").is_file():
        raise NotFoundError(
            f"there is no telemetry service in {place}",
            remedy="`freehold up` makes one; elsewhere make a node with role operator there.",
        )
    return place


def _run(module: str, folder: Path, home: Home, options: Sequence[str]) -> None:
    main = importlib.import_module(module).main
    arguments = ["--home", str(folder), "--network", str(home.descriptor), *options]
    sys.stdout.flush()
    raise typer.Exit(cast(int, main(arguments)))


def _check_installed() -> None:
    from freehold.cli.local import lacking

    if missing := lacking():
        raise UnavailableError(
            f"the telemetry service needs {missing}, which is not installed",
            remedy="Install it with `pip install 'freehold[ops]'`.",
        )

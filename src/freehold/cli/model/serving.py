"""``model serve``: one function becomes a node of a competition, and answers until it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import find_home, open_home
from freehold.cli.model import wishes as settings_of
from freehold.cli.model.folder import KEY, check_port, folder_of, note_process, ready, running
from freehold.cli.model.wishes import Wishes
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.plain import plain
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.cli.subnet.named import MaxPriceOption, find
from freehold.cli.telling import telling
from freehold.domain import money
from freehold.domain.errors import ConflictError, UsageError
from freehold.domain.files import PUBLIC, write_whole
from freehold.ledger.contracts.registry import MODEL

if TYPE_CHECKING:
    from freehold.cli.model.enlisting import Budget
    from freehold.cli.subnet.named import Found
    from freehold.domain.keys import Key
    from freehold.ledger.ledger import Ledger
    from freehold.markets.models.tensor import Schema
    from freehold.node.workloads.models.plan import Hello
    from freehold.node.workloads.models.settings import Settings

SCHEMA, EXAMPLE = "schema.json", "example.json"


def register(app: typer.Typer) -> None:
    """Put the command on the noun."""
    app.command()(serve)


def serve(
    model: Annotated[str, typer.Argument(help="my_model.py:answer for a function, or net.onnx.")],
    *,
    subnet: Annotated[
        str, typer.Option("--subnet", help="Competition to join; none: serve alone, for nothing.")
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="A name on this machine; default: the subnet's.")
    ] = "",
    price: Annotated[
        str | None, typer.Option("--price", help="Tokens for one answer; at first 0.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; at first 127.0.0.1.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="URL that others reach it at, if not host and port."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes that run the model.", min=1)
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Rows that are asked at once, at most.", min=1)
    ] = None,
    schema: Annotated[
        Path | None, typer.Option("--schema", help="File with the subnet's schema, if not found.")
    ] = None,
    max_price: MaxPriceOption = None,
    stake: Annotated[str, typer.Option("--stake", help="Tokens to stake behind the node.")] = "0",
    gas: Annotated[str, typer.Option("--gas", help="Coins to give the node for gas.")] = "1",
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a model, in a competition once its node has a place there; Ctrl-C ends it.

    The first start tries the model, makes a node, shows what joining costs and asks; later ones
    serve at once.
    """
    from freehold.cli.model.enlisting import Budget

    screen = Screen(as_json)
    file = settings_of.check_model(model)
    wishes = Wishes(price, port, host, endpoint, workers, batch, schema)
    called = name or subnet or file.stem
    if not subnet:
        target = find_home(home)
        target.claim()
        folder = _idle(folder_of(target, called))
        serving = _alone(folder, model, wishes)
    else:
        budget = Budget(
            stake=money.parse(stake), coins=money.parse(gas),
            place=None if max_price is None else money.parse(max_price),
        )  # fmt: skip
        folder = _idle(folder_of(open_home(home), called))
        join = Join(screen, home, password_file, folder, model, wishes, budget, yes=yes)
        with cancellable():
            serving = join.prepare(subnet)
    _run(screen, folder, serving)


def _idle(folder: Path) -> Path:
    """The folder; ConflictError while another process serves what is in it."""
    if (found := running(folder)) is not None:
        raise ConflictError(
            f"{folder.name} is served already, by process {found.pid}",
            remedy=f"End it with `freehold model stop {folder.name}`, or give another --name.",
        )
    return folder


def _alone(folder: Path, model: str, wishes: Wishes) -> Settings:
    """The settings of a model that is served for nothing, without a ledger."""
    if (folder / KEY).exists():
        raise UsageError(
            f"{folder.name} is a node's model here", remedy="Give its --subnet, or another --name."
        )
    told = settings_of.written(folder) | wishes.settings()
    told |= {"model": settings_of.whole(model), "name": folder.name, "alone": "yes"}
    told = settings_of.with_port(told)
    found = settings_of.checked(folder, told)
    settings_of.write(folder, told)
    return found


class Join:
    """What a start in a competition takes; every step is left out that was taken before."""

    def __init__(
        self,
        screen: Screen,
        root: Path | None,
        password_file: Path | None,
        folder: Path,
        model: str,
        wishes: Wishes,
        budget: Budget,
        *,
        yes: bool,
    ) -> None:
        self._screen, self._root, self._password_file = screen, root, password_file
        self._folder, self._model, self._wishes = folder, model, wishes
        self._budget, self._yes = budget, yes

    def prepare(self, subnet: str) -> Settings:
        """The settings to serve by, once the node is in the subnet."""
        with open_ledger(self._root) as ledger:
            found = find(ledger, subnet)
            settings = self._settings(ledger, found)
            key = self._key()
            uid = ledger.subnet.place_of(found.id, key.address)
            listed = ledger.registry.node(key.address)
            entered = uid is not None and bool(listed.roles & MODEL) and not listed.retired
        if not entered:
            check_port(int(settings["port"]))
            self._try(found, settings)
            uid = self._enter(found, key)
        settings["uid"] = str(uid)
        serving = settings_of.checked(self._folder, settings)
        settings_of.write(self._folder, settings)
        return serving

    def _settings(self, ledger: Ledger, found: Found) -> dict[str, str]:
        """What ``model.toml`` will say, but for the uid; UsageError before anything is spent."""
        from freehold.cli.model.schemas import find_schema

        before = settings_of.written(self._folder)
        if before.get("subnet", found.name) != found.name:
            raise UsageError(
                f"{self._folder.name} serves {before['subnet']} here",
                remedy=f"Serve {found.name} under another --name.",
            )
        told = before | self._wishes.settings()
        told |= {
            "model": settings_of.whole(self._model), "name": self._folder.name,
            "subnet": found.name, "network": str(open_home(self._root).descriptor),
        }  # fmt: skip
        told.pop("schema", None)
        file = settings_of.check_model(self._model)
        schema = find_schema(ledger, found, model=file, given=self._wishes.schema)
        if schema is not None:
            told["schema"] = str(self._keep(schema))
        told = settings_of.with_port(told)
        settings_of.checked(self._folder, told)
        return told

    def _keep(self, schema: Schema) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._folder / SCHEMA
        write_whole(file, schema.format().encode(), mode=PUBLIC)
        return file

    def _key(self) -> Key:
        from freehold.cli.local import folder_password, node_key

        return node_key(self._folder / KEY, folder_password(self._folder))

    def _try(self, found: Found, settings: dict[str, str]) -> None:
        """Load the model once before anything is paid; it must keep to the schema."""
        with self._screen.step("the model is loaded"):
            hello = asyncio.run(_tried(settings_of.checked(self._folder, settings)))
        if hello.note:
            self._screen.tell(f"[yellow]{plain(hello.note)}: try it before you pay[/]")
        if hello.schema.hash() != found.task.schema:
            raise UsageError(
                f"the model has another schema than {found.name}",
                remedy="Put the subnet's subnet.toml beside it, or name it with --schema; its "
                "founder publishes it.",
            )

    def _enter(self, found: Found, key: Key) -> int:
        from freehold.cli.model.enlisting import bill, enter

        with open_account(self._root, self._password_file) as ledger:
            costs = bill(ledger, found, key.address, self._budget)
            self._screen.tell(f"[dim]·[/] joining {found.name} takes {costs.text()}")
            self._screen.confirm(f"Join {found.name}?", yes=self._yes)
            return enter(ledger, found, key, costs, self._budget, screen=self._screen)


async def _tried(settings: Settings) -> Hello:
    """What a model says that was loaded, asked once, and ended again; BrokenModelError."""
    from freehold.node.workloads.models.daemon import plan_of
    from freehold.node.workloads.models.metrics import Metrics
    from freehold.node.workloads.models.model import Care, Model

    care = Care(start_seconds=float(settings.start_timeout))
    tried = Model(settings.called, plan_of(settings), care, Metrics())
    try:
        await tried.start()
        return tried.hello
    finally:
        await tried.stop()


def _run(screen: Screen, folder: Path, settings: Settings) -> None:
    """Serve on this thread until SIGINT or SIGTERM."""
    from freehold.node.workloads.models.daemon import serve as serve_model

    note_process(folder, os.getpid())
    if sys.stderr.isatty() and settings.log_level == "info":
        settings = replace(settings, log_level="warning")  # whoever looks is told in words
    looking = partial(ready, folder, os.getpid())
    with telling(looking, partial(_tell, screen, folder, settings)):
        serve_model(settings)
    screen.say(f"[green]✓[/] {folder.name} ended; the same command serves it again")


def _tell(screen: Screen, folder: Path, settings: Settings, state: dict[str, str]) -> None:
    url = f"{state['url']}/v2/models/{settings.called}"
    screen.emit({**state, "name": folder.name, "subnet": settings.subnet, "uid": settings.uid})
    place = f", uid {settings.uid} of {settings.subnet}" if settings.subnet else ""
    screen.say(f"[green]✓[/] {folder.name} answers{place}; Ctrl-C ends it")
    screen.plain(f"  {url}")
    if not settings.price and (example := _example(folder, url)):
        screen.plain(f"  {example}")
    if settings.subnet:
        screen.plain(f"  freehold ask {settings.subnet} INPUT")
        screen.plain(f"  freehold model why {folder.name}")


def _example(folder: Path, url: str) -> str:
    """A request for curl, its body in the model's folder; empty where the schema is not kept."""
    from freehold.markets.models.tensor import Schema

    try:
        schema = Schema.parse((folder / SCHEMA).read_bytes())
    except (OSError, ValueError, UsageError):
        return f"curl {url}"
    write_whole(folder / EXAMPLE, json.dumps(example_of(schema)).encode(), mode=PUBLIC)
    return f"curl -d @{folder / EXAMPLE} {url}/infer"


def example_of(schema: Schema) -> dict[str, object]:
    """A request of one row of zeros, or of empty texts."""
    inputs = []
    for spec in schema.inputs:
        shape = [1 if size < 0 else size for size in spec.shape]
        count = 1
        for size in shape:
            count *= size
        zero: object = {"BYTES": "", "BOOL": False}.get(spec.datatype, 0)
        inputs.append(
            {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": [zero] * count}
        )
    return {"inputs": inputs}

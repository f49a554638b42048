"""A network on this machine: up, down, status, doctor, tour."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import Home, find_home, open_home
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_client, open_ledger
from freehold.domain.errors import CancelledError, UsageError

if TYPE_CHECKING:
    from freehold.cli.local import LocalNetwork
    from freehold.ledger.plan import Parameters

FIRST_OBJECT = "freehold/README.md"
_STOPPED = "stopped; `freehold up` goes on from here"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (up, down, status, doctor, tour):
        app.command()(verb)


def up(
    *,
    home: HomeOption = None,
    nodes: Annotated[
        int, typer.Option("--nodes", help="How many nodes to found.", min=6, max=64)
    ] = 8,
    period: Annotated[
        int, typer.Option("--period", help="Seconds between proofs.", min=8, max=86_400)
    ] = 60,
    detach: Annotated[bool, typer.Option("--detach", help="Return, and leave it running.")] = False,
    telemetry: Annotated[
        bool, typer.Option("--telemetry/--no-telemetry", help="Run the telemetry service as well.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run a whole network here: ledger, nodes of different owners, telemetry, watcher, account."""
    screen, target = Screen(as_json), find_home(home)
    target.claim()
    with target.lock(), cancellable():
        _refuse_running(target)
        network = _local(target, screen, telemetry=telemetry)
        try:
            network.start(nodes=nodes, parameters=_parameters(period))
            _store_readme(home, screen)
            _announce(target, screen)
            if not detach:
                _stay(home, target, screen)
        except BaseException as error:
            screen.say("\nstopping…")
            network.stop()
            if isinstance(error, KeyboardInterrupt | CancelledError):
                screen.say(f"[green]✓[/] {_STOPPED}")
                return
            raise


def _local(target: Home, screen: Screen, *, telemetry: bool = True) -> LocalNetwork:
    from rich.markup import escape

    from freehold.cli.local import LocalNetwork

    def say(text: str) -> None:
        screen.say(f"[dim]·[/] {escape(text)}")

    return LocalNetwork(target, say, telemetry=telemetry)


def _parameters(period: int) -> Parameters:
    from freehold.ledger.plan import devnet

    return devnet(period)


def _refuse_running(target: Home) -> None:
    from freehold.cli.processes import running
    from freehold.domain.errors import ConflictError

    if target.descriptor.exists() and not target.devnet.exists():
        raise ConflictError(
            f"{target.root} belongs to a network that does not run on this machine",
            remedy="Start your node with `freehold node start`, or choose another --home.",
        )
    if running(target):
        raise ConflictError(
            f"the network in {target.root} runs already",
            remedy="Look at it with `freehold status`, or end it with `freehold down`.",
        )


def _store_readme(root: Path | None, screen: Screen) -> None:
    readme = importlib.metadata.metadata("freehold").json.get("description")
    if not isinstance(readme, str) or not readme:
        return
    with open_client(root) as client:
        if client.chain.deals(client.wallet.account):
            return
        screen.say("[dim]·[/] storing the project's README as the first object")
        client.put(readme.encode(), FIRST_OBJECT, preset=(4, 6))


def _announce(target: Home, screen: Screen) -> None:
    from freehold.cli.local import TELEMETRY_NAME
    from freehold.cli.processes import find

    network, telemetry = target.network(), find(target, TELEMETRY_NAME)
    screen.emit(
        {
            "home": str(target.root), "rpc": network.rpc_urls[0], "chain_id": network.chain_id,
            "network_id": "0x" + network.network_id.hex(), "nodes": len(target.nodes()),
            "telemetry": telemetry is not None,
        }
    )  # fmt: skip
    screen.say(f"[green]✓[/] the network runs; state in {target.root}")
    screen.say("  try: [bold]freehold put FILE[/], [bold]freehold ls[/], [bold]freehold tour[/]")


def _stay(root: Path | None, target: Home, screen: Screen) -> None:
    """Show what happens until the network is stopped from elsewhere, or by Ctrl-C."""
    from freehold.cli import live
    from freehold.cli.local import is_down

    if screen.as_json:
        while not is_down(target):
            time.sleep(live.REFRESH)
        return
    with open_ledger(root) as ledger:
        live.watch(ledger, target, screen.console(), stop=lambda: is_down(target))
    screen.say(f"[green]✓[/] {_STOPPED}")


def down(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop the network that this home runs; all state stays.

    Devices run on, and keep their readings until it is back: end each `device run` with Ctrl-C.
    Models and validators run on too; it says how to end those.
    """
    screen, target = Screen(as_json), open_home(home)
    with cancellable():
        stopped = _local(target, screen).stop()
    screen.emit({"stopped": stopped})
    screen.say(f"[green]✓[/] stopped {', '.join(stopped)}" if stopped else "nothing was running")
    if any((target.root / "devices").glob("*/device.json")):
        screen.tell("[dim]Devices run on: end each `freehold device run` with Ctrl-C.[/]")
    _tell_of_models(screen, target)


def _tell_of_models(screen: Screen, target: Home) -> None:
    """Name what serves models or validates here, which ends only where it was started."""
    from freehold.cli.model.folder import running_in

    models, validators = running_in(target, "models"), running_in(target, "validators")
    if models:
        each = "; ".join(f"`freehold model stop {name}`" for name in models)
        screen.tell(f"[dim]Models run on, and wait for it: end them with {each}.[/]")
    if validators:
        each = ", ".join(f"{name} (process {found.pid})" for name, found in validators.items())
        screen.tell(f"[dim]Validators run on: end each with Ctrl-C, or `kill PROCESS`: {each}.[/]")


def status(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the network: nodes, proofs, payments."""
    from freehold.cli import live

    screen, target = Screen(as_json), open_home(home)
    with cancellable(), open_ledger(home) as ledger:
        view = live.look(ledger, target)
        screen.emit(view.seen.to_json() | {"processes": sorted(view.alive)})
        if not as_json:
            screen.console().print(live.draw(view))


def doctor(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and this home, and say how to mend what is wrong."""
    from freehold.cli.doctor import examine

    screen = Screen(as_json)
    findings = examine(find_home(home))
    screen.emit([finding.to_json() for finding in findings])
    screen.table(
        "doctor",
        ("", "what", "found", "remedy"),
        [(finding.mark, finding.what, finding.found, finding.advice) for finding in findings],
    )
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


def tour(
    *,
    home: HomeOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell the story on a running network: store, kill two nodes, read, fault, slash, repair."""
    from freehold.cli.tour import Tour

    screen, target = Screen(as_json), open_home(home)
    screen.confirm("This kills two nodes of this home. Go on?", yes=yes)
    if len(target.nodes()) < 8:
        raise UsageError(
            "the tour needs a network of this machine with eight nodes",
            remedy="Start one with `freehold up`, in another terminal.",
        )
    with cancellable():
        story = Tour(target, screen).run()
    screen.emit(story)

"""Nodes of this machine's owner: init, join, start, stop, status, leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli import capacity as capacity_noun
from freehold.cli import processes
from freehold.cli.amounts import brief
from freehold.cli.home import find_home, open_home
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger
from freehold.domain import money
from freehold.domain.errors import ConflictError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from freehold.cli.snapshot import NodeView

app = typer.Typer(name="node", help="Nodes that you own.", no_args_is_help=True)
app.add_typer(capacity_noun.app)
CoinOption = Annotated[
    str, typer.Option("--coin", help="Tokens that a coin of the chain is worth, to judge gas by.")
]
LossOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Go on where proving costs too much of the pay.")
]
NodeName = Annotated[str, typer.Argument(help="A name for the node on this machine.")]


@app.command()
def init(
    name: NodeName = "node",
    *,
    capacity: Annotated[str, typer.Option("--capacity", help="Space offered: 500GiB.")] = "64GiB",
    price: Annotated[str, typer.Option("--price", help="Tokens per TiB-month.")] = "2.5",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 7420,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="URL that others reach it at, if not host and port.")
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a node: its key, and its settings in node.toml."""
    from freehold.cli.local import folder_password, node_key, write_settings

    screen, target = Screen(as_json), find_home(home)
    target.claim()
    folder = target.node(name)
    if (folder / "node.toml").exists():
        raise ConflictError(
            f"there is a node in {folder} already", remedy="Use it, or choose another name."
        )
    settings = {"capacity": capacity, "price": price, "port": str(port), "host": host}
    write_settings(folder, settings | ({"endpoint": endpoint} if endpoint else {}))
    key = node_key(folder / "key.json", folder_password(folder))
    screen.emit({"node": key.address, "folder": str(folder)})
    screen.say(f"[green]✓[/] node {key.address}; settings in {folder / 'node.toml'}")


@app.command()
def join(
    name: NodeName = "node",
    *,
    network: Annotated[
        Path | None, typer.Option("--network", help="network.json of the network to join.")
    ] = None,
    stake: Annotated[str, typer.Option("--stake", help="Tokens to stake behind it.")] = "100",
    gas: Annotated[str, typer.Option("--gas", help="Coins to give the node for gas.")] = "1",
    coin: CoinOption = "1",
    yes: LossOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register the node under this wallet, stake behind it, and join the storage market."""
    from freehold.cli.adopting import adopt
    from freehold.cli.enlist import Enlistment, due, enlist
    from freehold.cli.floor import measure
    from freehold.cli.local import folder_password, node_key
    from freehold.cli.wallets import WalletFolder
    from freehold.ledger.contracts.registry import STORAGE

    screen, target = Screen(as_json), open_home(home)
    folder = _folder(target.node(name))
    WalletFolder(target.wallet).address()
    with cancellable():
        if network is not None:
            adopt(target, network)
    with cancellable(), open_account(home, password_file) as ledger:
        floor = measure(ledger, folder, coin=money.parse(coin))
        floor.require(yes=yes)
        screen.tell(f"[dim]·[/] {floor.text()}")
        key = node_key(folder / "key.json", folder_password(folder))
        lacking = money.parse(gas) - ledger.balance(key.address)
        if lacking > 0:
            ledger.transfer(key.address, lacking)
        price = due(ledger, key.address)
        if price:
            screen.tell(
                f"[dim]·[/] registering burns at most {brief(price)} tokens, besides the stake"
            )
        enlist(ledger, key, Enlistment(roles=STORAGE, stake=money.parse(stake)))
    screen.emit({"node": key.address, "registering": price, **floor.to_json()})
    screen.say(f"[green]✓[/] {key.address} is in; start it with `freehold node start {name}`")


def _folder(folder: Path) -> Path:
    if not (folder / "node.toml").exists():
        raise NotFoundError(
            f"there is no node in {folder}", remedy="Make one with `freehold node init`."
        )
    return folder


@app.command()
def start(
    name: NodeName = "node",
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay attached, as a service manager wants.")
    ] = False,
    coin: CoinOption = "1",
    yes: LossOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a node."""
    from freehold.cli.local import LocalNetwork

    screen, target = Screen(as_json), open_home(home)
    folder = _folder(target.node(name))
    target.network()
    with cancellable():
        _check_floor(home, screen, folder, coin=money.parse(coin), yes=yes)
    if foreground:
        from freehold.node.__main__ import main

        raise typer.Exit(main(["--home", str(folder), "--network", str(target.descriptor)]))
    with cancellable():
        local = LocalNetwork(target, screen.say)
        child = local.start_node(name)
        local.await_ready(child)
    screen.emit({"node": name, "pid": child.pid})
    screen.say(f"[green]✓[/] {name} runs (process {child.pid})")


def _check_floor(root: Path | None, screen: Screen, folder: Path, *, coin: int, yes: bool) -> None:
    """Refuse a node that cannot earn its proofs, unless it holds something already: a node that is
    kept from starting misses proofs, which costs its owner more than dear gas does."""
    from freehold.cli.floor import measure
    from freehold.cli.wallets import keystore_address

    try:
        with open_ledger(root) as ledger:
            floor = measure(ledger, folder, coin=coin)
            held = ledger.faults.node_state(keystore_address(folder / "key.json")).columns
    except UnavailableError as error:
        screen.tell(f"[yellow]what proving costs is not known now: {error.message}[/]")
        return
    floor.require(yes=yes or held > 0)
    if floor.below:
        screen.tell(f"[yellow]this node may run at a loss: {floor.text()}[/]")


@app.command()
def stop(name: NodeName = "node", *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop a node; what it holds stays, and it misses proofs until it starts again."""
    screen, target = Screen(as_json), open_home(home)
    _folder(target.node(name))
    child = processes.find(target, name)
    if child is None:
        raise NotFoundError(f"{name} does not run", remedy="Start it with `freehold node start`.")
    with cancellable():
        processes.stop(child)
        processes.note_stop(target, name, "stopped by `freehold node stop`")
    screen.emit({"node": name, "stopped": True})
    screen.say(f"[green]✓[/] {name} stopped")


@app.command()
def status(
    name: NodeName = "node", *, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Show a node: its process, and what the ledger says of it."""
    from freehold.cli import snapshot
    from freehold.cli.wallets import keystore_address

    screen, target = Screen(as_json), open_home(home)
    node = keystore_address(_folder(target.node(name)) / "key.json")
    runs = processes.find(target, name) is not None
    with cancellable(), open_ledger(home) as ledger:
        views = [view for view in snapshot.take(ledger).nodes if view.node == node]
        gas = ledger.balance(node)
    if not views:
        raise NotFoundError(
            f"{name} ({node}) is not in the network",
            remedy="Bring it in with `freehold node join`.",
        )
    view = views[0]
    screen.emit({"name": name, "runs": runs, "gas": gas, **snapshot.node_json(view)})
    screen.facts(
        f"{name}  {node}",
        {
            "process": "runs" if runs else "stopped",
            "market": "left" if _has_left(view, runs=runs) else view.state,
            "endpoint": view.endpoint,
            "columns": f"{view.lost} lost" if view.lost else view.columns,
            "bytes": f"{view.bytes:,}",
            "rounds proved": view.proven, "rounds missed": view.missed,
            "stake": f"{brief(view.stake)} tokens",
            "payout account": f"{brief(view.balance)} tokens",
            "gas": f"{brief(gas)} coins",
        },
    )  # fmt: skip


def _has_left(view: NodeView, *, runs: bool) -> bool:
    """A node that gave notice ends by itself once nobody counts on it."""
    return view.state == "leaving" and not view.columns and not runs


@app.command()
def leave(name: NodeName = "node", *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Leave without penalty: give notice, be drained, exit. The node must run meanwhile."""
    from freehold.node.daemon import request_leave

    screen, target = Screen(as_json), open_home(home)
    request_leave(_folder(target.node(name)))
    runs = processes.find(target, name) is not None
    screen.emit({"node": name, "leaving": True, "runs": runs})
    screen.say(f"[green]✓[/] {name} gives notice; watch it with `freehold node status {name}`")
    if not runs:
        screen.say(f"[yellow]it is stopped: let it run with `freehold node start {name}`[/]")

"""Networks: create one on any EVM chain, use one that others founded, show one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import moment, span
from freehold.cli.home import find_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger, read_password
from freehold.domain.errors import ConflictError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.money import UNIT, show

if TYPE_CHECKING:
    from freehold.domain.network import Network
    from freehold.ledger.ledger import Ledger

app = typer.Typer(name="network", help="Networks.", no_args_is_help=True)


@app.command()
def create(
    rpc: Annotated[list[str], typer.Option("--rpc", help="RPC URL of the chain; may be repeated.")],
    *,
    name: Annotated[str, typer.Option("--name", help="The network's name.")] = "freehold",
    period: Annotated[
        int, typer.Option("--period", help="Seconds between proofs.", min=8)
    ] = 86_400,
    genesis: Annotated[
        int, typer.Option("--genesis", help="Whole tokens minted to this wallet.", min=1)
    ] = 100_000_000,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deploy a network's contracts with the wallet's key and write its network.json."""
    from freehold.cli.wallets import WalletFolder

    screen, target = Screen(as_json), find_home(home)
    target.claim()
    if target.descriptor.exists():
        raise ConflictError(
            f"{target.root} has a network already",
            remedy="Choose another --home; a home belongs to one network.",
        )
    folder = WalletFolder(target.wallet)
    folder.address()
    screen.confirm(f"Deploy nine contracts on {rpc[0]}?", yes=yes)
    with cancellable():
        key = folder.key(read_password(target, password_file))
        from freehold.cli.founding import found

        network = found(
            target, key, urls=rpc, name=name, period=period, genesis=genesis * UNIT, screen=screen
        )
    write_whole(target.descriptor, network.render().encode(), mode=PUBLIC)
    screen.emit({"descriptor": str(target.descriptor), "contracts": dict(network.contracts)})
    screen.say(f"[green]✓[/] {network.name}: give {target.descriptor} to whoever shall join")


@app.command()
def use(
    descriptor: Annotated[Path, typer.Argument(help="network.json, from whoever founded it.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a network that others founded this home's own, after asking its chain."""
    from freehold.cli.adopting import adopt
    from freehold.cli.wallets import WalletFolder

    screen, target = Screen(as_json), find_home(home)
    with cancellable():
        network = adopt(target, descriptor)
    screen.emit(
        {
            "name": network.name, "chain_id": network.chain_id,
            "network_id": "0x" + network.network_id.hex(), "descriptor": str(target.descriptor),
        }
    )  # fmt: skip
    screen.say(f"[green]✓[/] {network.name} on chain {network.chain_id} is this home's network")
    if not WalletFolder(target.wallet).exists():
        screen.say("Now make an account: [bold]freehold wallet create[/]")


@app.command("show")
def show_network(
    descriptor: Annotated[
        Path | None, typer.Argument(help="network.json; none: the home's own.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a network: contracts, parameters, who holds which power, and proving odds."""
    screen = Screen(as_json)
    with cancellable(), _reader(home, descriptor) as ledger:
        network = ledger.network
        powers = [
            {
                "contract": _name(network, p.contract),
                "role": p.role,
                "holder": _name(network, p.holder),
                "delay": p.delay,
            }
            for p in ledger.governor.powers()
        ]
        supply = ledger.token.total_supply()
    screen.emit(
        {
            "name": network.name, "chain_id": network.chain_id,
            "network_id": "0x" + network.network_id.hex(), "contracts": dict(network.contracts),
            "parameters": dict(network.parameters), "powers": powers, "supply": supply,
        }
    )  # fmt: skip
    screen.facts(f"{network.name}, supply {show(supply)}", dict(network.contracts))
    screen.facts("parameters", {name: _shown(name, v) for name, v in network.parameters.items()})
    screen.table(
        "every power that anyone has",
        ("contract", "role", "holder", "delay"),
        [(p["contract"], p["role"], p["holder"], span(int(str(p["delay"])))) for p in powers],
    )
    screen.facts("odds of noticing a loss", _odds(network.parameters["challenges"]))


@contextmanager
def _reader(home: Path | None, descriptor: Path | None) -> Iterator[Ledger]:
    """A ledger to read a network by its descriptor, without any home."""
    from freehold.domain.network import Network
    from freehold.ledger.ledger import Ledger

    if descriptor is None:
        with open_ledger(home) as ledger:
            yield ledger
        return
    network = Network.parse(read_text(descriptor))
    with (
        tempfile.TemporaryDirectory(prefix="freehold-") as state,
        Ledger.open(network, state=Path(state), key=None) as ledger,
    ):
        yield ledger


_SPANS = frozenset(
    {
        "arbiter_timeout", "cleanup_window", "governor_delay", "grace", "lockup_period", "notice",
        "period", "spot_window", "unbonding", "voucher_delay", "window",
    }
)  # fmt: skip
_AMOUNTS = frozenset({"cap", "stake_per_tib"})


def _shown(name: str, value: int) -> str:
    """A parameter with its unit."""
    if name in _SPANS:
        return span(value)
    if name in _AMOUNTS:
        return f"{show(value)} tokens"
    if name.endswith("_bps"):
        return f"{value / 100:g} %"
    return moment(value) if name == "genesis" else f"{value:,}"


def _name(network: Network, place: str) -> str:
    return next((name for name, at in network.contracts.items() if at == place), place)


def _odds(challenges: int) -> dict[str, object]:
    from freehold.markets.storage.proof import odds

    return {
        f"{lost:.0%} lost": ", ".join(
            f"{_percent(odds(challenges, lost, periods))} within {text}"
            for periods, text in ((1, "1 period"), (7, "7 periods"), (30, "30 periods"))
        )
        for lost in (0.01, 0.1, 0.5)
    }


def _percent(chance: float) -> str:
    return "over 99.9%" if 0.999 < chance < 1 else f"{chance:.1%}"

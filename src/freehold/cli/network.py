"""Networks: create one on any EVM chain, use one that others founded, show one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from freehold.cli.amounts import brief, moment, span
from freehold.cli.capacity import rule_words, rules
from freehold.cli.emission import show_holders, take
from freehold.cli.home import find_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger, read_password
from freehold.domain.errors import ConflictError
from freehold.domain.files import PUBLIC, write_whole
from freehold.domain.ids import ZERO_ADDRESS, address
from freehold.domain.money import UNIT, parse, show

if TYPE_CHECKING:
    from freehold.cli.founding import Wanted
    from freehold.cli.home import Home
    from freehold.domain.network import Network
    from freehold.ledger.ledger import Ledger

T = TypeVar("T")
_WALLET = "the founding wallet"

app = typer.Typer(name="network", help="Networks.", no_args_is_help=True)


@app.command()
def create(
    rpc: Annotated[list[str], typer.Option("--rpc", help="RPC URL of the chain; may be repeated.")],
    *,
    name: Annotated[str, typer.Option("--name", help="The network's name.")] = "freehold",
    period: Annotated[
        int, typer.Option("--period", help="Seconds between proofs.", min=8)
    ] = 86_400,
    model: Annotated[
        str, typer.Option("--preset", help="Token model: filecoin, ionet, bittensor, or own.")
    ] = "filecoin",
    genesis: Annotated[
        int | None,
        typer.Option(
            "--genesis", help="Whole tokens that begin the network; none: the model's.", min=1
        ),
    ] = None,
    cap: Annotated[
        str | None, typer.Option("--cap", help="Most tokens ever minted; none: the model's.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--first-month", help="Own: tokens of the first month.")
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option("--factor", help="Own: what a month is of the one before, such as 0.99."),
    ] = None,
    months: Annotated[
        int | None, typer.Option("--months", help="Own: months until nothing is minted.", min=1)
    ] = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", help="Seconds of an epoch; none: the period's.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="Percent of an epoch for storage, devices and models: 70/10/20."
        ),
    ] = None,
    fee: Annotated[
        str | None, typer.Option("--fee", help="Percent of payments taken as a fee; none: 0.5.")
    ] = None,
    burn: Annotated[
        str | None, typer.Option("--burn", help="Percent of fees that is burned; none: 50.")
    ] = None,
    treasury: Annotated[
        str | None,
        typer.Option("--treasury", help="Account that gets unburned fees; none: this wallet."),
    ] = None,
    allocations: Annotated[
        Path | None,
        typer.Option(
            "--allocations",
            help="TOML or JSON: who gets what of the genesis, and when; the rest is this wallet's.",
        ),
    ] = None,
    allocator: Annotated[
        list[str] | None,
        typer.Option(
            "--allocator", help="ACCOUNT=AMOUNT: who may grant so many tokens; may be repeated."
        ),
    ] = None,
    device_stake: Annotated[
        str | None,
        typer.Option(
            "--stake-per-device", help="Tokens locked for a device of compute; none: the model's."
        ),
    ] = None,
    weighed: Annotated[
        bool | None,
        typer.Option(
            "--stake-weighed/--stake-unweighed", help="Whether that is times its multiplier."
        ),
    ] = None,
    quote: Annotated[
        bool, typer.Option("--quote", help="Say what it costs, and send nothing.")
    ] = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deploy a network's contracts with the wallet's key and write its network.json."""
    from freehold.cli.allocations import budgets, read
    from freehold.cli.founding import Wanted, bps_of, split_of

    screen = Screen(as_json)
    wanted = Wanted(
        name=name,
        period=period,
        model=model,
        genesis=None if genesis is None else genesis * UNIT,
        cap=_given(cap, parse),
        first=_given(first, parse),
        factor=_given(factor, parse),
        months=months,
        epoch=epoch,
        split=_given(split, split_of),
        fee_bps=_given(fee, bps_of),
        burn_bps=_given(burn, bps_of),
        treasury=_given(treasury, address),
        allocations=() if allocations is None else read(allocations, model),
        allocators=budgets(allocator or ()),
        device_stake=_given(device_stake, parse),
        weighed=weighed,
    )
    wanted.plan(ZERO_ADDRESS)
    if quote:
        _quote(screen, wanted, rpc)
        return
    _create(screen, wanted, rpc, home=find_home(home), password_file=password_file, yes=yes)


def _given(text: str | None, read: Callable[[str], T]) -> T | None:
    return None if text is None else read(text)


def _quote(screen: Screen, wanted: Wanted, urls: list[str]) -> None:
    from freehold.cli.rehearsal import quote

    with cancellable(), screen.waiting("rehearsing") as say:
        found = quote(wanted, urls, say=say)
    steps = [
        {"name": step.name, "gas": step.gas, "cost": step.gas * found.price} for step in found.steps
    ]
    screen.emit(
        {
            "chain_id": found.chain_id, "preset": wanted.model, "gas_price": found.price,
            "gas": found.gas, "cost": found.cost, "needed": found.needed, "steps": steps,
            **_holders(wanted, _WALLET),
        }
    )  # fmt: skip
    _tell_holders(screen, wanted, _WALLET)
    screen.table(
        f"founding on chain {found.chain_id} at {show(found.price, places=18)} coins for a unit of "
        "gas",
        ("transaction", "gas", "coins"),
        [
            (step.name, f"{step.gas:,}", brief(step.gas * found.price, up=True))
            for step in found.steps
        ],
    )
    total = f"{brief(found.cost, up=True)} coins for {found.gas:,} gas in {len(steps)} transactions"
    screen.say(f"[bold]{total}[/]")
    hold = show(found.needed, up=True)
    screen.tell(
        f"Hold {hold} coins to begin with: each transaction offers more than it takes, in case "
        "the price rises on the way, and gets the rest back."
    )
    if found.chain.kind == "sequencer":
        screen.tell("A rollup asks for its data on top of gas; this is not in the figures.")
    screen.say("Nothing was sent.")


def _holders(wanted: Wanted, founder: str) -> dict[str, object]:
    """Who is to hold what, for programs; amounts in base units."""
    genesis = [
        {"account": account, "amount": amount, "tranche": tranche, "comes": words}
        for account, amount, tranche, words in wanted.shares(founder)
    ]
    cap = wanted.plan(ZERO_ADDRESS).minting_cap
    return {"cap": cap, "genesis": genesis, "allocators": dict(wanted.allocators)}


def _tell_holders(screen: Screen, wanted: Wanted, founder: str) -> None:
    plan = wanted.plan(ZERO_ADDRESS)
    screen.table(
        f"genesis of {show(plan.genesis)} tokens; cap {show(plan.minting_cap)}",
        ("account", "tokens", "tranche", "it comes"),
        [
            (account, show(amount), tranche, words)
            for account, amount, tranche, words in wanted.shares(founder)
        ],
    )
    if plan.allocators:
        budgets = [(account, show(amount)) for account, amount in plan.allocators.items()]
        screen.table("who may grant besides", ("account", "tokens at most"), budgets)


def _create(
    screen: Screen,
    wanted: Wanted,
    urls: list[str],
    *,
    home: Home,
    password_file: Path | None,
    yes: bool,
) -> None:
    from freehold.cli.wallets import WalletFolder

    home.claim()
    if home.descriptor.exists():
        raise ConflictError(
            f"{home.root} has a network already",
            remedy="Choose another --home; a home belongs to one network.",
        )
    folder = WalletFolder(home.wallet)
    _tell_holders(screen, wanted, folder.address())
    screen.confirm(f"Deploy the contracts of {wanted.name} on {urls[0]}?", yes=yes)
    with cancellable():
        key = folder.key(read_password(home, password_file))
        from freehold.cli.founding import found

        network = found(home, key, wanted, urls=urls, screen=screen)
    write_whole(home.descriptor, network.render().encode(), mode=PUBLIC)
    screen.emit({"descriptor": str(home.descriptor), "contracts": dict(network.contracts)})
    screen.say(f"[green]✓[/] {network.name}: give {home.descriptor} to whoever shall join")


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
        emits = "issuance" in network.contracts
        emission = take(ledger, indexed=False) if emits else None
        entry = _entry(ledger)
        asked = rules(ledger)
    screen.emit(
        {
            "name": network.name, "chain_id": network.chain_id,
            "network_id": "0x" + network.network_id.hex(), "contracts": dict(network.contracts),
            "parameters": dict(network.parameters), "powers": powers, "supply": supply,
            "emission": None if emission is None else emission.digest(),
            "registration": entry,
            "capacity": {role: asdict(rule) for role, rule in asked.items()},
        }
    )  # fmt: skip
    screen.facts(f"{network.name}, supply {show(supply)}", dict(network.contracts))
    if emission is not None:
        screen.facts(f"token model {emission.model}", emission.facts())
        show_holders(screen, emission)
    screen.facts("registering a node", _entry_facts(entry))
    if asked:
        told = {role: rule_words(rule) for role, rule in asked.items()}
        screen.facts("stake for declared capacity", told)
    screen.facts("parameters", {name: _shown(name, v) for name, v in network.parameters.items()})
    screen.table(
        "every power that anyone has",
        ("contract", "role", "holder", "delay"),
        [(p["contract"], p["role"], p["holder"], span(int(str(p["delay"])))) for p in powers],
    )
    screen.facts("odds of noticing a loss", _odds(network.parameters["challenges"]))


def _entry(ledger: Ledger) -> dict[str, int]:
    """What registering a node costs now, and how that moves."""
    registry = ledger.registry
    return {
        "price": registry.price(), "lowest": registry.lowest(), "highest": registry.highest(),
        "half_life": registry.half_life(), "factor_bps": registry.factor_bps(),
    }  # fmt: skip


def _entry_facts(entry: Mapping[str, int]) -> dict[str, object]:
    if not entry["lowest"]:
        return {"burns": "nothing"}
    return {
        "burns now": f"{brief(entry['price'])} tokens",
        "between": f"{brief(entry['lowest'])} and {brief(entry['highest'])} tokens",
        "each makes the next": f"{entry['factor_bps'] / 100:g} % of it",
        "halves in": span(entry["half_life"]),
    }


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
        "arbiter_timeout", "cleanup_window", "epoch", "governor_delay", "grace", "lockup_period",
        "notice", "period", "spot_window", "unbonding", "voucher_delay", "window",
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

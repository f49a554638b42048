"""Readings of devices: buy them by the epoch (buy), see what was bought (list)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, minute
from freehold.cli.handles import Handles
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger, sender
from freehold.cli.telemetry import reported
from freehold.domain import money
from freehold.domain.errors import ConflictError, FreeholdError, InsufficientFundsError, UsageError
from freehold.economics.data_pay import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from freehold.domain.ids import Address
    from freehold.ledger.ledger import Ledger

EPOCHS_MAX = 52
_BPS = 10_000

app = typer.Typer(
    name="data", help="Readings of devices, bought by the epoch.", no_args_is_help=True
)


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase: ``amount`` base units for each of ``count`` epochs from ``epoch`` on, of which
    ``burned`` burned; seconds of the first one's beginning and the last one's end."""

    id: int
    buyer: Address
    query: str
    epoch: int
    count: int
    amount: int
    burned: int
    begins: int
    ends: int


@app.command()
def buy(
    query: Annotated[
        str,
        typer.Argument(help="What to buy, such as 'metric=roof.*' or 'device=NAME;metric=*.rain'."),
    ],
    *,
    amount: Annotated[str, typer.Option("--amount", help="Whole tokens for each epoch.")],
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=EPOCHS_MAX, help="How many epochs.")
    ] = 1,
    first: Annotated[
        int | None, typer.Option("--from", min=0, help="First epoch; default: the next one.")
    ] = None,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay devices for the readings that match a query; a part burns, the rest is theirs."""
    screen, wanted, each = Screen(as_json), _wanted(home, query), money.parse(amount)
    if each <= 0:
        raise UsageError("nothing would be paid", remedy="Give --amount above 0, such as 5.")
    with cancellable(), open_account(home, password_file) as ledger:
        require(ledger)
        begin = ledger.streams.epoch() + 1 if first is None else first
        symbol, burns = ledger.token.symbol(), -(-each * ledger.streams.fee_bps() // _BPS)
        _check_funds(ledger, each * epochs)
        matches = _matches(screen, reported.known(home, ledger), wanted)
        screen.confirm(
            f"Pay {money.show(each * epochs, places=18)} {symbol} for {wanted.text()} in epochs "
            f"{begin} to {begin + epochs - 1}, of which {brief(burns * epochs, up=True)} burn?",
            yes=yes,
        )
        ledger.token.approve(ledger.streams.address, each * epochs)
        receipt = ledger.streams.buy(wanted.text(), begin, epochs, each)
        found = receipt.one("Bought")
    screen.emit(
        {
            "transaction": receipt.hash, "purchase": found.number("id"), "query": wanted.text(),
            "epoch": begin, "count": epochs, "amount": each, "burned": found.number("burned"),
            "matches": matches,
        }
    )  # fmt: skip
    screen.say(f"[green]✓[/] purchase {found.number('id')}: epochs {begin} to {begin + epochs - 1}")


@app.command("list")
def list_(
    *,
    everybody: Annotated[bool, typer.Option("--all", help="What others bought, too.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what this wallet bought, and until when it is paid for."""
    from freehold.cli.home import open_home
    from freehold.cli.wallets import WalletFolder

    screen, handles = Screen(as_json), Handles.of(home)
    with cancellable(), open_ledger(home) as ledger:
        require(ledger)
        ledger.index.sync()
        buyer = None if everybody else WalletFolder(open_home(home).wallet).address()
        found, now = list(purchases(ledger, buyer)), ledger.now()
    screen.emit({"purchases": [asdict(each) for each in found]})
    screen.table(
        "readings that were bought",
        ("id", "buyer", "query", "each", "from", "until", ""),
        [_row(each, handles, now) for each in found],
    )
    if not found:
        screen.say("Nothing yet: [bold]freehold data buy 'metric=roof.*' --amount 5[/]")
    handles.tell(screen)


def purchases(ledger: Ledger, buyer: Address | None) -> Iterator[Bought]:
    """The purchases of an account, or of all, in order, as the index has them."""
    from freehold.ledger.paging import every

    genesis, length = ledger.roots.genesis(), ledger.roots.epoch_length()
    where = {} if buyer is None else {"buyer": buyer}
    for event in every(ledger.index, "streams", "Bought", where):
        first, count = event.number("epoch"), event.number("count")
        yield Bought(
            id=event.number("id"),
            buyer=event.address("buyer"),
            query=event.text("query"),
            epoch=first,
            count=count,
            amount=event.number("amount"),
            burned=event.number("burned"),
            begins=genesis + first * length,
            ends=genesis + (first + count) * length,
        )


def require(ledger: Ledger) -> None:
    """ConflictError in a network where readings cannot be bought."""
    if not {"streams", "roots"} <= ledger.network.contracts.keys():
        raise ConflictError(
            f"in the network {ledger.network.name} no readings can be bought",
            remedy="It was founded without the contract; found a new one, or use another network.",
        )


def _wanted(home: Path | None, text: str) -> Query:
    """The query, in which a device of this machine may be called by its name."""
    from freehold.cli.device.folder import device_of

    parts = text.split(";")
    for place, part in enumerate(parts):
        key, _, value = part.partition("=")
        if key == "device" and value:
            parts[place] = f"device={device_of(home, value)}"
    return Query.parse(";".join(parts))


def _check_funds(ledger: Ledger, amount: int) -> None:
    held = ledger.token.balance_of(sender(ledger))
    if held < amount:
        raise InsufficientFundsError(
            f"the wallet holds {money.show(held, places=18)}, "
            f"{money.show(amount, places=18)} are asked",
            remedy="Buy less, or take back what no deal locks: `freehold wallet withdraw AMOUNT`.",
        )


def _row(each: Bought, handles: Handles, now: int) -> tuple[object, ...]:
    state = "over" if each.ends <= now else "runs" if each.begins <= now else "to come"
    day, hour = minute(each.begins).split()
    until = minute(each.ends).split()
    return (
        each.id, handles(each.buyer), _query(each.query, handles), brief(each.amount),
        f"{day}\n{hour}", "\n".join(until), state,
    )  # fmt: skip


def _query(text: str, handles: Handles) -> str:
    """A query, a part a line, in which the device is short; as it is where it is none."""
    try:
        found = Query.parse(text)
    except FreeholdError:
        from rich.markup import escape

        return escape(text)
    device = f"device={handles(found.device)}" if found.device else ""
    parts = (f"metric={found.metric}" if found.metric else "", device)
    return "\n".join(filter(None, (*parts, f"cell={found.cell}" if found.cell else "")))


def _matches(
    screen: Screen, found: Mapping[Address, frozenset[str]] | None, wanted: Query
) -> int | None:
    """How many devices report what is wanted, None where nobody can say; who asks is told of
    none."""
    if found is None:
        screen.tell("[dim]Who reports this is not known here: no epoch has been settled yet.[/]")
        return None
    count = len(reported.fitting(wanted, found))
    if count:
        screen.tell(f"{count} {'device reports' if count == 1 else 'devices report'} this now.")
    else:
        from rich.markup import escape

        names = escape(reported.listed(frozenset[str]().union(*found.values())))
        screen.tell(
            f"[yellow]! No device reports {wanted.text()} now: what is paid for waits until one "
            f"does, and never comes back to you. Devices report {names}.[/]"
        )
    return count

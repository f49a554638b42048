"""The network's emission as it stands, what of the genesis is claimed, and what is granted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, moment, span
from freehold.cli.emission import Emission, Vesting, show_holders, take, vesting, vestings
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.rewards import require_economy
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account, open_ledger, sender
from freehold.domain import money
from freehold.domain.errors import (
    AccessError,
    CapacityError,
    ConflictError,
    NotFoundError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address, address

if TYPE_CHECKING:
    from freehold.ledger.ledger import Ledger
    from freehold.ledger.values import Receipt

app = typer.Typer(name="issuance", help="The network's emission.", no_args_is_help=True)
_WIDTH = 40
_REASON_MAX = 32
_UNUSED = "nobody"


@app.callback()
def _root() -> None:
    """The network's emission."""


@app.command("show")
def show_issuance(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the schedule, what was minted of it, how epochs are split, who may draw or grant, and
    what has vested of the genesis."""
    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        require_economy(ledger)
        ledger.index.sync()
        found = take(ledger, indexed=True)
    screen.emit(asdict(found))
    show(screen, found)


@app.command()
def claim(
    allocation: Annotated[
        int | None,
        typer.Argument(help="Number in `issuance show`; none: all of this wallet's.", min=0),
    ] = None,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mint what has vested of a genesis allocation to its beneficiary; anyone may, and pays the
    gas."""
    screen = Screen(as_json)
    with cancellable(), open_account(home, password_file) as ledger:
        require_economy(ledger)
        found = _own(ledger) if allocation is None else [_chosen(ledger, allocation)]
        done = [(each, ledger.issuance.claim(each.number)) for each in found if each.due]
    claimed = [_claimed(each, receipt) for each, receipt in done]
    screen.emit({"claimed": sum(amount for _, amount, _ in claimed), "transactions": [
        {"allocation": each.number, "beneficiary": each.beneficiary, "amount": amount,
         "transaction": transaction} for each, amount, transaction in claimed
    ]})  # fmt: skip
    for each, amount, _ in claimed:
        screen.say(f"[green]✓[/] {brief(amount)} tokens of allocation {each.number} are "
                   f"{each.beneficiary}'s")  # fmt: skip
    if not claimed:
        screen.say(f"nothing is due; {_coming(found)}")


@app.command()
def grant(
    to: Annotated[str, typer.Argument(help="Who gets it, an address.")],
    amount: Annotated[str, typer.Argument(help="Tokens, such as 2.5.")],
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="What for, at most 32 bytes, in public for ever.")
    ],
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mint a public grant out of this wallet's allocator budget."""
    screen, target, sum_ = Screen(as_json), address(to), money.parse(amount)
    words = _reason(reason)
    with cancellable(), open_account(home, password_file) as ledger:
        require_economy(ledger)
        _check_grant(ledger, target, sum_)
        symbol = ledger.token.symbol()
        told = f"{money.show(sum_, places=18)} {symbol}"
        screen.confirm(f"Grant {told} to {target} for {reason!r}?", yes=yes)
        receipt = ledger.issuance.grant(target, sum_, words)
        left = _left(ledger)
    screen.emit({"transaction": receipt.hash, "to": target, "amount": sum_, "left": left})
    screen.say(f"[green]✓[/] granted {told} to {target}; {brief(left)} left of the budget")


def bar(part: int, whole: int) -> str:
    """How much of a whole, as blocks and a percentage with two places, both rounded down."""
    full = part * _WIDTH // whole if whole else 0
    hundredths = part * 10_000 // whole if whole else 0
    share = f"{hundredths // 100}.{hundredths % 100:02d} %"
    return f"{'█' * full}{'░' * (_WIDTH - full)} {share}"


def show(screen: Screen, found: Emission) -> None:
    """All of it as tables."""
    screen.facts(
        f"emission: {found.model}",
        {
            "epoch": f"{found.epoch:,}, of {span(found.epoch_seconds)}, until "
            f"{moment(found.ends_at)}; {found.closed:,} closed",
            "schedule": found.schedule,
            "budget": f"{brief(found.by_time)} by time; {_last(found)}",
            "minted": f"{brief(found.minted)} of {brief(found.reserved)} that it may",
            "": bar(found.minted, found.reserved),
            "drawn": f"{brief(found.drawn)} of {brief(found.scheduled)} that closed epochs had",
            "token": f"{brief(found.token_minted)} minted of {brief(found.cap)}, "
            f"{brief(found.burned)} burned, {brief(found.supply)} there",
        },
    )  # fmt: skip
    rows = [(d.market, _percent(d.bps), _named(d.distributor), brief(d.left)) for d in found.draws]
    screen.table("who may draw", ("market", "share", "by", "left of the last epoch"), rows)
    show_holders(screen, found)


def _last(found: Emission) -> str:
    return f"the last closed one had {brief(found.budget)}" if found.closed else "none closed yet"


def _own(ledger: Ledger) -> list[Vesting]:
    """The allocations of the wallet; NotFoundError without any."""
    me = sender(ledger)
    found = [each for each in vestings(ledger, ledger.now()) if each.beneficiary == me]
    if not found:
        raise NotFoundError(
            f"no genesis allocation is {me}'s",
            remedy="`freehold issuance show` lists all of them; name one by its number to claim "
            "it for its beneficiary.",
        )
    return found


def _chosen(ledger: Ledger, number: int) -> Vesting:
    """An allocation of which something is due; NotFoundError, ConflictError where not."""
    count = ledger.issuance.allocation_count()
    if number >= count:
        lack = f"they are 0 to {count - 1}" if count else "this network has none"
        raise NotFoundError(
            f"there is no genesis allocation {number}; {lack}",
            remedy="`freehold issuance show` lists them.",
        )
    found = vesting(ledger, number, ledger.now())
    if not found.due:
        raise ConflictError(
            f"nothing is due of allocation {number}", remedy=f"{_coming([found]).capitalize()}."
        )
    return found


def _coming(found: list[Vesting]) -> str:
    """When more will be due of some allocations."""
    coming = [each.next_at for each in found if each.next_at is not None]
    return f"the next part comes on {moment(min(coming))}" if coming else "all of it was claimed"


def _claimed(each: Vesting, receipt: Receipt) -> tuple[Vesting, int, str]:
    return each, receipt.one("Vested").number("amount"), receipt.hash


def _reason(text: str) -> bytes:
    found = text.strip().encode()
    if not 0 < len(found) <= _REASON_MAX:
        raise UsageError(
            f"--reason has {len(found)} bytes, but must have 1 to {_REASON_MAX}",
            remedy="Say in a few words what the grant is for.",
        )
    return found.ljust(_REASON_MAX, b"\0")


def _check_grant(ledger: Ledger, to: Address, amount: int) -> None:
    """Tell what the contract would refuse, and tokens that nobody could ever use."""
    place = next((name for name, at in ledger.network.contracts.items() if at == to), None)
    if to == ZERO_ADDRESS or place is not None:
        whose = "nobody's" if place is None else f"the network's {place} contract"
        raise UsageError(f"{to} is {whose}", remedy="Name the account that gets the grant.")
    if not amount:
        raise UsageError("nothing would be granted", remedy="Give an amount above 0.")
    me, allowed = sender(ledger), ledger.issuance.allocator(sender(ledger))
    if not allowed.cap:
        raise AccessError(
            f"{me} is no allocator of this network",
            remedy="`freehold issuance show` lists them; the governor names more, within what "
            "was reserved at founding.",
        )
    if ledger.now() < allowed.since:
        raise ConflictError(
            f"{me} may not grant before {moment(allowed.since)}", remedy="Wait until then."
        )
    if amount > (left := allowed.cap - allowed.spent):
        raise CapacityError(
            f"{me} has {money.show(left, places=18)} tokens left to grant, "
            f"{money.show(amount, places=18)} were asked for",
            remedy="Grant less, or have the governor raise the budget.",
        )


def _left(ledger: Ledger) -> int:
    allowed = ledger.issuance.allocator(sender(ledger))
    return allowed.cap - allowed.spent


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02d} %"


def _named(account: Address) -> str:
    return _UNUSED if account == ZERO_ADDRESS else account

"""The network's emission as it stands: its schedule, what was minted and burned, who may draw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from freehold.cli.amounts import brief, moment, span
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.rewards import require_economy
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger
from freehold.domain.ids import ZERO_ADDRESS, Address

if TYPE_CHECKING:
    from freehold.ledger.ledger import Ledger

app = typer.Typer(name="issuance", help="The network's emission.", no_args_is_help=True)
_WIDTH = 40
_UNUSED = "nobody"


@app.callback()
def _root() -> None:
    """The network's emission."""


@app.command("show")
def show_issuance(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the schedule, what was minted of it, how epochs are split, and who may draw."""
    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        require_economy(ledger)
        ledger.index.sync()
        found = take(ledger)
    screen.emit(asdict(found))
    show(screen, found)


@dataclass(frozen=True, slots=True)
class Draw:
    """A market's part of an epoch in basis points, who draws it, and what is left of the last
    closed epoch."""

    market: str
    bps: int
    distributor: Address
    left: int


@dataclass(frozen=True, slots=True)
class Vesting:
    """A genesis allocation; amounts in base units, ``start`` in block time, ``cliff`` seconds."""

    beneficiary: Address
    amount: int
    vested: int
    claimed: int
    start: int
    cliff: int

    @property
    def unvested(self) -> int:
        """What is still to come."""
        return self.amount - self.vested


@dataclass(frozen=True, slots=True)
class Allocator:
    """Who may grant from the reserved budget from ``since`` on, and what it has granted."""

    account: Address
    cap: int
    granted: int
    since: int


@dataclass(frozen=True, slots=True)
class Emission:
    """Everything of it; amounts in base units, times in seconds.

    ``by_time`` is what time alone allows for the present epoch: an exponential schedule adds a
    storage part when the epoch is closed. ``budget`` is that of the last closed epoch.
    """

    model: str
    now: int
    epoch: int
    epoch_seconds: int
    ends_at: int
    closed: int
    by_time: int
    budget: int
    scheduled: int
    drawn: int
    minted: int
    reserved: int
    limit: int
    supply: int
    token_minted: int
    burned: int
    cap: int
    draws: tuple[Draw, ...]
    allocators: tuple[Allocator, ...]
    allocations: tuple[Vesting, ...]


def take(ledger: Ledger) -> Emission:
    """Look at it once."""
    issuance, token = ledger.issuance, ledger.token
    now, genesis, length = ledger.now(), issuance.genesis(), issuance.epoch_seconds()
    epoch, closed, plan = max(0, now - genesis) // length, issuance.closed(), issuance.plan()
    by_time = issuance.scheduled((epoch + 1) * length) - issuance.scheduled(epoch * length)
    return Emission(
        model=model_of(ledger),
        now=now,
        epoch=epoch,
        epoch_seconds=length,
        ends_at=genesis + (epoch + 1) * length,
        closed=closed,
        by_time=by_time,
        budget=issuance.budget(closed - 1)[0] if closed else 0,
        scheduled=issuance.scheduled_total(),
        drawn=issuance.drawn_total(),
        minted=issuance.minted(),
        reserved=issuance.reserved(),
        limit=plan.limit,
        supply=token.total_supply(),
        token_minted=token.minted(),
        burned=token.burned(),
        cap=token.cap(),
        draws=tuple(_draws(ledger, closed)),
        allocators=tuple(_allocators(ledger)),
        allocations=tuple(_vestings(ledger, now)),
    )


def model_of(ledger: Ledger) -> str:
    """The name of the token model that the schedule is, or the kind of a founder's own."""
    from freehold.economics.schedules.plan import KINDS, PRESETS

    plan = ledger.issuance.plan()
    told = asdict(plan)
    for name, preset in PRESETS.items():
        if all(told[field] == value for field, value in asdict(preset).items()):
            return name
    kind = next((name for name, number in KINDS.items() if number == plan.kind), str(plan.kind))
    return f"own, {kind}"


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
            "budget": f"{brief(found.by_time)} by time; the last closed one had "
            f"{brief(found.budget)}",
            "minted": f"{brief(found.minted)} of {brief(found.reserved)} that it may",
            "": bar(found.minted, found.reserved),
            "drawn": f"{brief(found.drawn)} of {brief(found.scheduled)} that closed epochs had",
            "token": f"{brief(found.token_minted)} minted of {brief(found.cap)}, "
            f"{brief(found.burned)} burned, {brief(found.supply)} there",
        },
    )  # fmt: skip
    rows = [(d.market, _percent(d.bps), _named(d.distributor), brief(d.left)) for d in found.draws]
    screen.table("who may draw", ("market", "share", "by", "left of the last epoch"), rows)
    granting = [(a.account, brief(a.granted), brief(a.cap), moment(a.since))
                for a in found.allocators]  # fmt: skip
    if granting:
        screen.table("who may grant", ("account", "granted", "at most", "since"), granting)
    vesting = [
        (v.beneficiary, brief(v.amount), brief(v.unvested), brief(v.vested - v.claimed))
        for v in found.allocations
    ]
    if vesting:
        columns = ("beneficiary", "allocation", "unvested", "due and not claimed")
        screen.table("genesis allocations", columns, vesting)


def _draws(ledger: Ledger, closed: int) -> list[Draw]:
    found = []
    for share in ledger.issuance.split(ledger.issuance.split_count()):
        name = share.market.rstrip(b"\0").decode("utf-8", "backslashreplace")
        left = ledger.issuance.market_drawable(share.market, closed - 1) if closed else 0
        found.append(Draw(name, share.bps, ledger.issuance.distributor(share.market), left))
    return found


def _allocators(ledger: Ledger) -> list[Allocator]:
    from freehold.node.dues import every

    granted: dict[Address, int] = {}
    for event in every(ledger.index, "issuance", "Granted", {}):
        who = event.address("allocator")
        granted[who] = granted.get(who, 0) + event.number("amount")
    latest = {e.address("account"): e for e in every(ledger.index, "issuance", "AllocatorSet", {})}
    return [
        Allocator(who, event.number("cap"), granted.get(who, 0), event.number("since"))
        for who, event in latest.items()
        if event.number("cap")
    ]


def _vestings(ledger: Ledger, now: int) -> list[Vesting]:
    issuance = ledger.issuance
    found = []
    for number in range(issuance.allocation_count()):
        each = issuance.allocation(number)
        vested, claimed = issuance.vested(number, now), issuance.claimed(number)
        found.append(
            Vesting(each.beneficiary, each.amount, vested, claimed, each.start, each.cliff)
        )
    return found


def _percent(bps: int) -> str:
    return f"{bps // 100}.{bps % 100:02d} %"


def _named(account: Address) -> str:
    return _UNUSED if account == ZERO_ADDRESS else account

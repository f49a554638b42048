"""What a network mints and for whom, as its own contracts tell it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from freehold.cli.amounts import brief, minute, span
from freehold.cli.handles import Handles
from freehold.domain.ids import Address
from freehold.domain.money import show

if TYPE_CHECKING:
    from freehold.cli.screen import Screen
    from freehold.ledger.contracts.issuance import Plan
    from freehold.ledger.ledger import Ledger


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
    """A genesis allocation; amounts in base units, ``start`` in block time, ``cliff`` in seconds,
    ``parts`` in months after it. ``next_at`` is when more of it vests, None when all has."""

    number: int
    beneficiary: Address
    amount: int
    vested: int
    claimed: int
    start: int
    cliff: int
    parts: int
    next_at: int | None

    @property
    def due(self) -> int:
        """What can be claimed now."""
        return self.vested - self.claimed


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
    storage part when the epoch is closed. ``budget`` is that of the last closed epoch, ``limit``
    what the schedule can ever mint, ``reserve`` what allocators may.
    """

    model: str
    schedule: str
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
    reserve: int
    supply: int
    token_minted: int
    burned: int
    cap: int
    draws: tuple[Draw, ...]
    allocators: tuple[Allocator, ...]
    allocations: tuple[Vesting, ...]

    @property
    def split(self) -> dict[str, int]:
        """Ten-thousandths of an epoch's budget by market."""
        return {draw.market: draw.bps for draw in self.draws}

    def digest(self) -> dict[str, object]:
        """What of it belongs to the description of a network, for programs."""
        return {
            "model": self.model, "cap": self.cap, "limit": self.limit, "schedule": self.schedule,
            "epoch": self.epoch_seconds, "closed": self.closed, "scheduled": self.scheduled,
            "minted": self.minted, "split": self.split,
            "allocators": [asdict(each) for each in self.allocators],
            "allocations": [asdict(each) for each in self.allocations],
        }  # fmt: skip

    def facts(self) -> dict[str, object]:
        """The same for people."""
        shares = ", ".join(f"{name} {bps / 100:g} %" for name, bps in self.split.items())
        told: dict[str, object] = {
            "cap on all that is ever minted": f"{show(self.cap)} tokens",
            "schedule": f"{self.schedule}; at most {show(self.limit)} tokens",
            "epoch": f"{span(self.epoch_seconds)}, {self.closed:,} closed",
            "split of an epoch": shares or "none",
            "scheduled so far": f"{show(self.scheduled)} tokens",
            "minted by it": f"{show(self.minted)} tokens",
        }
        if self.reserve:
            told["reserved for allocators"] = f"{show(self.reserve)} tokens"
        return told


def take(ledger: Ledger, *, indexed: bool) -> Emission:
    """Look at it once.

    Allocators are those on the governor's list of powers and, where the ledger's index is at hand
    and up to date (``indexed``), those that were named later.
    """
    issuance, token = ledger.issuance, ledger.token
    now, genesis, length = ledger.now(), issuance.genesis(), issuance.epoch_seconds()
    epoch, closed, plan = max(0, now - genesis) // length, issuance.closed(), issuance.plan()
    by_time = issuance.scheduled((epoch + 1) * length) - issuance.scheduled(epoch * length)
    return Emission(
        model=_model(plan),
        schedule=_words(plan),
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
        reserve=plan.budget,
        supply=token.total_supply(),
        token_minted=token.minted(),
        burned=token.burned(),
        cap=token.cap(),
        draws=tuple(_draws(ledger, closed)),
        allocators=tuple(_allocators(ledger, indexed=indexed)),
        allocations=tuple(vestings(ledger, now)),
    )


def vestings(ledger: Ledger, now: int) -> list[Vesting]:
    """All genesis allocations that wait or waited."""
    count = ledger.issuance.allocation_count()
    return [vesting(ledger, number, now) for number in range(count)]


def vesting(ledger: Ledger, number: int, now: int) -> Vesting:
    """One of them, that must be there."""
    issuance = ledger.issuance
    each = issuance.allocation(number)
    return Vesting(
        number=number,
        beneficiary=each.beneficiary,
        amount=each.amount,
        vested=issuance.vested(number, now),
        claimed=issuance.claimed(number),
        start=each.start,
        cliff=each.cliff,
        parts=each.parts,
        next_at=_next(each.start + each.cliff, each.parts, now),
    )


def show_holders(screen: Screen, found: Emission) -> None:
    """Who may grant, and what was allocated at genesis, as tables where there are any."""
    from freehold.cli.allocations import waiting

    called = Handles()
    granting = [
        (
            called(a.account), brief(a.granted), brief(a.cap - a.granted), brief(a.cap),
            minute(a.since),
        )
        for a in found.allocators
    ]  # fmt: skip
    if granting:
        titles = ("account", "granted", "left", "at most", "since")
        screen.table("who may grant", titles, granting)
    allotted = [
        (
            v.number, called(v.beneficiary), brief(v.amount), brief(v.vested), brief(v.due),
            waiting(v.cliff, v.parts), "-" if v.next_at is None else minute(v.next_at),
        )
        for v in found.allocations
    ]  # fmt: skip
    if allotted:
        columns = ("", "beneficiary", "allocation", "vested", "due", "it comes", "next part")
        screen.table("genesis allocations", columns, allotted)
    called.tell(screen)


def _next(cliff: int, parts: int, now: int) -> int | None:
    """When more vests of what waits until the moment ``cliff`` and then has ``parts`` months."""
    from freehold.economics.schedules.vesting import MONTH_SECONDS

    if not parts:
        return cliff if now < cliff else None
    passed = max(0, now - cliff) // MONTH_SECONDS
    return cliff + (passed + 1) * MONTH_SECONDS if passed < parts else None


def _draws(ledger: Ledger, closed: int) -> list[Draw]:
    found = []
    for share in ledger.issuance.split(ledger.issuance.split_count()):
        name = share.market.rstrip(b"\0").decode("utf-8", "backslashreplace")
        left = ledger.issuance.market_drawable(share.market, closed - 1) if closed else 0
        found.append(Draw(name, share.bps, ledger.issuance.distributor(share.market), left))
    return found


def _allocators(ledger: Ledger, *, indexed: bool) -> list[Allocator]:
    from freehold.ledger.contracts.issuance import ALLOCATOR
    from freehold.ledger.paging import every

    place = ledger.issuance.address
    powers = [p for p in ledger.governor.powers() if (p.contract, p.role) == (place, ALLOCATOR)]
    named = dict.fromkeys(power.holder for power in powers)
    if indexed:
        events = every(ledger.index, "issuance", "AllocatorSet", {})
        named |= dict.fromkeys(event.address("account") for event in events)
    told = [(account, ledger.issuance.allocator(account)) for account in named]
    return [Allocator(who, each.cap, each.spent, each.since) for who, each in told if each.cap]


def _model(plan: Plan) -> str:
    """The preset whose schedule this is to the unit, or the kind of a founder's own."""
    from freehold.economics.schedules.plan import KINDS, PRESETS

    for name, preset in PRESETS.items():
        if all(getattr(plan, figure) == value for figure, value in asdict(preset).items()):
            return name
    kind = next((name for name, number in KINDS.items() if number == plan.kind), str(plan.kind))
    return f"own, {kind}"


def _words(plan: Plan) -> str:
    from freehold.economics.schedules.plan import EXPONENTIAL, GEOMETRIC
    from freehold.economics.schedules.vesting import MONTH_SECONDS

    if plan.kind == EXPONENTIAL:
        return (
            f"{show(plan.amount)} by time, halving every six years, and {show(plan.storage)} as "
            "storage grows"
        )
    if plan.kind == GEOMETRIC:
        step = "months" if plan.step == MONTH_SECONDS else f"steps of {span(plan.step)}"
        return (
            f"{show(plan.amount)} in the first of {plan.steps:,} {step}, each "
            f"{show(plan.factor, places=9)} of the one before"
        )
    return f"{show(plan.amount)} every {span(plan.step)}, halved as half of what is left is issued"

"""Emission run again: every epoch's budget from the schedule, its split, draws, grants, vesting.

A budget is the difference of two figures of the schedule (docs/decisions/0007-emission.md), and
whatever is minted must be part of a closed epoch's share, of an allocator's budget or of an
allocation that vests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from freehold.audit import inputs
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.economics.schedules import Allocation, Plan, Progress
from freehold.economics.schedules.split import WHOLE_BPS

CHECK = "issuance"
REWARD, VESTING = 4, 10
MOST_EPOCHS = 2**32

Power = Callable[[int], int]
"""Fee-backed bytes of an epoch, as another model recomputes them."""


@dataclass(slots=True)
class Delays:
    """When a role that the governor names now begins: at once during the setup."""

    delay: int
    unbonding: int
    setup_done: bool = False

    def apply(self, event: Event) -> None:
        """Re-run an event of the governor."""
        if event.name == "SetupFinished":
            self.setup_done = True
        elif event.name == "DelaySet":
            self.delay = event.number("delay")

    def begin(self, moment: int) -> int:
        """The moment from which a role that is named at ``moment`` counts."""
        return moment + self.delay + self.unbonding if self.setup_done else moment


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed epoch: its budget, its split, and the schedule's two parts at its end."""

    budget: int
    split: int
    total: int
    by_time: int
    by_storage: int
    backed: int


@dataclass(frozen=True, slots=True)
class Distributor:
    """Who draws a market's share from a moment on, and who did before."""

    account: Address = ZERO_ADDRESS
    since: int = 0
    before: Address = ZERO_ADDRESS

    def at(self, moment: int) -> Address:
        """Who draws at a moment."""
        return self.before if moment < self.since else self.account


@dataclass(slots=True)
class Allocator:
    """An account's budget for public grants."""

    cap: int = 0
    spent: int = 0
    since: int = 0


class Issuance:
    """The issuance contract's state, recomputed; ``alone`` tells whether nobody else may mint, and
    ``free`` how much the token's cap still leaves."""

    def __init__(
        self, made: Fields, *, free: Callable[[], int], delays: Delays,
        alone: Callable[[], bool], counts: Counter[str],
    ) -> None:  # fmt: skip
        terms = dict(inputs.struct(made, "plan_"))
        self.window, self._reserve = inputs.number(terms, "window"), inputs.number(terms, "budget")
        figures = [name for name in terms if name not in ("window", "budget")]
        self.plan = Plan(**{name: inputs.number(terms, name) for name in figures})
        self.genesis = inputs.number(made, "genesis_")
        self.epoch_seconds = inputs.number(made, "epoch_seconds_")
        self._first_shares = _shares(inputs.structs(made, "shares"))
        self._allocations = inputs.structs(made, "allocations")
        self.progress = Progress.start(self.plan, epoch_seconds=self.epoch_seconds)
        self.delays, self._free, self._alone, self._counts = delays, free, alone, counts
        self.powers: dict[Address, Power] = {}
        self.power = ZERO_ADDRESS
        self.epochs: list[Closed] = []
        self.splits: list[dict[bytes, int]] = []
        self.market_of: dict[Address, bytes] = {}
        self.drawn: Counter[tuple[int, bytes]] = Counter()
        self.drawn_total = self.granted_total = self.vested_total = 0
        self.claimed: Counter[int] = Counter()
        self.hidden = 0
        self._distributors: dict[bytes, Distributor] = {}
        self._allocators: dict[Address, Allocator] = {}
        self._due: Counter[tuple[str, int, int]] = Counter()
        self._routes: dict[str, Callable[[Event], None]] = {
            "EpochClosed": self._closed, "Drawn": self._drawn, "Granted": self._granted,
            "Vested": self._vested, "SplitSet": self._split, "PowerSet": self._power_set,
            "DistributorSet": self._distributor_set, "AllocatorSet": self._allocator_set,
        }  # fmt: skip

    @property
    def minted(self) -> int:
        """Everything that was minted by these rules, base units."""
        return self.drawn_total + self.granted_total + self.vested_total

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def see_mint(self, event: Event) -> None:
        """Note a mint of the token; Differs where nobody but this contract may, and it did not."""
        key = (event.text("recipient"), event.number("amount"), event.number("purpose"))
        if self._due[key] > 0:
            self._due[key] -= 1
        elif self._alone():
            raise event.spot(CHECK).differs("a mint", expected="one that is due", found=key)

    def finish(self, spot: Spot) -> None:
        """Differs where something was drawn, granted or vested and not minted."""
        spot.same("what is due and not minted", expected={}, found=dict(+self._due))
        self._due.clear()

    def ended(self, moment: int) -> int:
        """Epochs that have ended at a moment."""
        return min(max(0, moment - self.genesis) // self.epoch_seconds, MOST_EPOCHS)

    def distributor(self, market: bytes, moment: int) -> Address:
        """Who draws a market's share at a moment."""
        return self._distributors.get(market, Distributor()).at(moment)

    def share(self, market: bytes, epoch: int) -> int:
        """A market's ten-thousandths of a closed epoch."""
        return self.splits[self.epochs[epoch].split - 1].get(market, 0)

    def drawable(self, market: bytes, epoch: int, moment: int) -> int:
        """What a market may still draw of a closed epoch."""
        if self.ended(moment) > epoch + 1 + self.window:
            return 0
        whole = self.epochs[epoch].budget * self.share(market, epoch) // WHOLE_BPS
        return whole - self.drawn[epoch, market]

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "drawn":
            epoch, market = arguments
            return [self.drawn[int(epoch), bytes.fromhex(str(market).removeprefix("0x"))]]
        if arguments and isinstance(arguments[0], int):
            return self._numbered(view, arguments[0])
        if arguments and view == "allocators":
            found = self._allocators.get(Address(str(arguments[0])), Allocator())
            return [asdict(found)]
        totals = {
            "closed": len(self.epochs), "scheduled_total": self.progress.total,
            "drawn_total": self.drawn_total, "granted_total": self.granted_total,
            "vested_total": self.vested_total, "minted": self.minted, "power": self.power,
            "split_count": len(self.splits), "allotted": self._allotted(),
        }  # fmt: skip
        return [totals[view]] if view in totals else None

    def _numbered(self, view: str, number: int) -> list[object] | None:
        if view == "budget":
            return [self.epochs[number].budget, self.epochs[number].split]
        return [self.claimed[number]] if view == "claimed" else None

    # Epochs

    def _closed(self, event: Event) -> None:
        epoch = len(self.epochs)
        event.same(CHECK, "epoch", epoch)
        over = epoch < self.ended(event.time)
        event.spot(CHECK).same("an epoch that has ended", expected=True, found=over)
        backed = self._backed(event, epoch)
        event.same(CHECK, "backed", backed)
        self.progress = self.progress.after(backed)
        event.same(CHECK, "scheduled", self.progress.total)
        event.same(CHECK, "budget", self.progress.budget)
        event.same(CHECK, "split", len(self.splits))
        baseline = self.progress.baseline
        self.epochs.append(
            Closed(
                self.progress.budget, len(self.splits), self.progress.total,
                self.plan.scheduled((epoch + 1) * self.epoch_seconds),
                0 if baseline is None else baseline.supply(self.plan.storage), backed,
            )
        )  # fmt: skip

    def _backed(self, event: Event, epoch: int) -> int:
        if not self.plan.storage or self.power == ZERO_ADDRESS:
            return 0
        known = self.powers.get(self.power)
        if known is None:
            self.hidden += 1
            return event.number("backed")
        return known(epoch)

    def _drawn(self, event: Event) -> None:
        market, epoch, amount = event.data("market"), event.number("epoch"), event.number("amount")
        spot = event.spot(CHECK)
        spot.same("a closed epoch", expected=True, found=epoch < len(self.epochs))
        named = self.distributor(market, event.time) != ZERO_ADDRESS
        spot.same("a market with a distributor", expected=True, found=named)
        left = self.drawable(market, epoch, event.time) - amount
        spot.same("a draw within the share", expected=True, found=left >= 0)
        self.drawn[epoch, market] += amount
        self.drawn_total += amount
        self._due[event.address("to"), amount, REWARD] += 1

    def _split(self, event: Event) -> None:
        event.same(CHECK, "split", len(self.splits) + 1)
        event.same(CHECK, "from_epoch", len(self.epochs))
        listed, spot = inputs.structs(event.args, "shares"), event.spot(CHECK)
        shares = _shares(listed)
        if not self.splits:
            spot.same("the first split", expected=self._first_shares, found=shares)
            self._check_reserve(spot)
        else:
            ended = self.ended(event.time)
            spot.same("ended epochs that are closed", expected=ended, found=len(self.epochs))
        whole = len(shares) == len(listed) and sum(shares.values()) <= WHOLE_BPS
        spot.same("shares within the whole", expected=True, found=whole and all(shares.values()))
        self.splits.append(shares)

    def _power_set(self, event: Event) -> None:
        event.spot(CHECK).same("the power source before", expected=ZERO_ADDRESS, found=self.power)
        self.power = event.address("source")

    def _distributor_set(self, event: Event) -> None:
        market, account = event.data("market"), event.address("account")
        event.same(CHECK, "since", self.delays.begin(event.time))
        before = self.distributor(market, event.time)
        if account != ZERO_ADDRESS:
            known = self.market_of.setdefault(account, market)
            event.spot(CHECK).same("the account's market", expected=known, found=market)
        self._distributors[market] = Distributor(account, event.number("since"), before)

    # Grants and vesting

    def _allotted(self) -> int:
        return sum(each.cap for each in self._allocators.values())

    def _allocator_set(self, event: Event) -> None:
        found = self._allocators.setdefault(event.address("account"), Allocator())
        cap, spot = event.number("cap"), event.spot(CHECK)
        if cap > found.cap:
            found.since = self.delays.begin(event.time)
        event.same(CHECK, "since", found.since)
        spot.same("a cap of what is spent", expected=True, found=cap >= found.spent)
        found.cap = cap
        within = self._allotted() <= self._reserve
        spot.same("budgets within the reserve", expected=True, found=within)

    def _granted(self, event: Event) -> None:
        found = self._allocators.get(event.address("allocator"), Allocator())
        amount, spot = event.number("amount"), event.spot(CHECK)
        begun = found.cap > 0 and event.time >= found.since
        spot.same("an allocator", expected=True, found=begun)
        found.spent += amount
        within = amount > 0 and found.spent <= found.cap
        spot.same("a grant within the budget", expected=True, found=within)
        self.granted_total += amount
        self._due[event.address("to"), amount, REWARD] += 1

    def _vested(self, event: Event) -> None:
        number = event.number("allocation")
        spot = event.spot(CHECK)
        known = number < len(self._allocations)
        spot.same("an allocation", expected=True, found=known)
        fields = self._allocations[number]
        terms = (inputs.number(fields, name) for name in ("amount", "start", "cliff", "parts"))
        due = Allocation(*terms).vested(event.time) - self.claimed[number]
        event.same(CHECK, "beneficiary", inputs.account(fields, "beneficiary"))
        event.same(CHECK, "amount", due)
        self.claimed[number] += due
        self.vested_total += due
        self._due[event.address("beneficiary"), due, VESTING] += 1

    def _check_reserve(self, spot: Spot) -> None:
        """Differs unless all that may ever be minted here fits, at its creation, under the cap."""
        allocated = sum(inputs.number(each, "amount") for each in self._allocations)
        within = self.plan.limit + self._reserve + allocated <= self._free()
        spot.same(
            "schedule, budgets, allocations in what the cap leaves", expected=True, found=within
        )


def _shares(listed: list[Fields]) -> dict[bytes, int]:
    return {inputs.data(each, "market"): inputs.number(each, "bps") for each in listed}

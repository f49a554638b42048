"""The beacon run again: fixed blocks, seeds from the chain's own block hashes, rounds."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from dataclasses import dataclass

from freehold.audit.events import Event
from freehold.audit.headers import Header
from freehold.domain.ids import Address, keccak, raw_address

CHECK = "beacon"
AHEAD = 2
REACH = 256


@dataclass(frozen=True, slots=True)
class Round:
    """A period that got a seed; ``stored_at`` is when, seconds."""

    seed: bytes
    period: int
    stored_at: int


class Beacon:
    """Periods and rounds as the rules have them, from the chain's headers and `Fixed`, `Stored`."""

    def __init__(
        self, *, genesis: int, period: int, grace: int, contract: Address, counts: Counter[str]
    ) -> None:
        self.genesis = genesis
        self.period = period
        self._grace = grace
        self._contract = raw_address(contract)
        self._counts = counts
        self.rounds: list[Round] = []
        self.periods: list[int] = []
        self._fixed: tuple[int, int] | None = None
        self._hashes: OrderedDict[int, bytes] = OrderedDict()

    def see(self, header: Header) -> None:
        """Remember the hash of a block, for as long as the chain itself does."""
        self._hashes[header.number] = header.hash
        while len(self._hashes) > REACH + 2:
            self._hashes.popitem(last=False)

    def period_of(self, moment: int) -> int:
        """The period that a moment lies in."""
        return (moment - self.genesis) // self.period

    def start(self, period: int) -> int:
        """The first second of a period."""
        return self.genesis + period * self.period

    def ended(self, moment: int) -> int:
        """How many rounds belong to periods that are over at a moment."""
        return bisect_left(self.periods, self.period_of(moment))

    def apply(self, event: Event) -> None:
        """Re-run an event of the beacon."""
        if event.name == "Fixed":
            self._apply_fixed(event)
        elif event.name == "Stored":
            self._apply_stored(event)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "round_count":
            return [len(self.rounds)]
        if view == "round" and isinstance(arguments[0], int):
            found = self.rounds[arguments[0]]
            return [{"seed": found.seed, "period": found.period, "stored_at": found.stored_at}]
        return None

    def _apply_fixed(self, event: Event) -> None:
        period = self._open_period(event)
        if self._fixed is not None and self._fixed[0] == period:
            spot = event.spot(CHECK)
            late = event.block > self._fixed[1] + REACH
            spot.same("a period fixed again while its hash is in reach", expected=True, found=late)
        event.same(CHECK, "block_number", event.block + AHEAD)
        self._fixed = (period, event.block + AHEAD)

    def _apply_stored(self, event: Event) -> None:
        period = self._open_period(event)
        fixed = self._fixed
        if fixed is None or fixed[0] != period:
            raise event.spot(CHECK).differs("the block of a round", expected="fixed", found="none")
        target = fixed[1]
        hashed = self._hashes.get(target)
        reached = target < event.block <= target + REACH and hashed is not None
        event.spot(CHECK).same("the fixed block within reach", expected=True, found=reached)
        event.same(CHECK, "round", len(self.rounds))
        seed = keccak((hashed or b"") + period.to_bytes(32, "big") + self._contract)
        event.same(CHECK, "seed", seed)
        event.same(CHECK, "stored_at", event.time)
        self.rounds.append(Round(seed, period, event.time))
        self.periods.append(period)
        self._counts["rounds"] += 1

    def _open_period(self, event: Event) -> int:
        """The event's period, which must be the current one, in its grace, without a round."""
        period = self.period_of(event.time)
        event.same(CHECK, "period", period)
        spot = event.spot(CHECK)
        in_grace = event.time <= self.start(period) + self._grace
        spot.same("the moment within the grace interval", expected=True, found=in_grace)
        taken = bool(self.periods) and self.periods[-1] == period
        spot.same("a round of this period before", expected=False, found=taken)
        return period

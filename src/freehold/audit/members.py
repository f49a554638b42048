"""The watchers of `status` run again: their places, scores, records of stake, and committees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from freehold.audit.beacon import Beacon
from freehold.control.consensus import FIRST_SCORE, Seat, draw
from freehold.domain.ids import ZERO_ADDRESS, Address

MEMBERS_MAX = 64
STAKE_MAX = 2**88 - 1
LOW_SHARE = 16


@dataclass(frozen=True, slots=True)
class Terms:
    """The parameters of `status`, as its view names them."""

    least_stake: int
    seats: int
    floor: int
    tolerance_bps: int


@dataclass(slots=True)
class Row:
    """A place of the list: who sits there since which round, its score, when it left (0: stays)."""

    watcher: Address
    since: int
    score: int
    left_at: int = 0

    def stays(self, moment: int) -> bool:
        """Whether it had not left before a moment."""
        return self.left_at == 0 or self.left_at >= moment


@dataclass(frozen=True, slots=True)
class Record:
    """Stake as it was recorded: the two newest records, time and weight each; time 0 for none."""

    time: int = 0
    weight: int = 0
    time_before: int = 0
    weight_before: int = 0

    def added(self, moment: int, weight: int, *, cut: int, hold: bool) -> Record:
        """With one more: a newest one since the cut is replaced, or with ``hold`` it stays."""
        if self == Record() or self.time < cut:
            return Record(moment, weight, self.time, self.weight)
        return self if hold else replace(self, time=moment, weight=weight)

    def in_force(self, cut: int | None, end: int, *, life: int) -> int:
        """The weight recorded last before a cut (None: ever), 0 where it has lapsed by ``end``."""
        newest = cut is None or self.time < cut
        time, weight = (
            (self.time, self.weight) if newest else (self.time_before, self.weight_before)
        )
        return weight if time + life >= end else 0


class Members:
    """Who watches, round by round; ``genesis`` and ``length`` of rounds in seconds, records lapse
    after ``life``. ``stake_of`` tells a watcher's own stake now, None where it is no watcher."""

    def __init__(
        self,
        *,
        genesis: int,
        length: int,
        life: int,
        beacon: Beacon,
        stake_of: Callable[[Address], int | None],
    ) -> None:
        self.genesis, self.length = genesis, length
        self._life, self._beacon, self._stake_of = life, beacon, stake_of
        self.rows: list[Row] = []
        self._places: dict[Address, int] = {}
        self._past: dict[Address, int] = {}
        self._records: dict[Address, Record] = {}
        self._lines: dict[Address, Record] = {}

    def round_at(self, moment: int) -> int:
        """The round that a moment lies in."""
        return (moment - self.genesis) // self.length

    def start(self, number: int) -> int:
        """The first second of a round."""
        return self.genesis + number * self.length

    def first_half(self, moment: int) -> bool:
        """Whether a moment lies in the first half of its round."""
        return (moment - self.genesis) % self.length < self.length // 2

    def row(self, watcher: Address) -> Row | None:
        """Where a watcher sits; None where nobody of this name does."""
        place = self._places.get(watcher)
        return None if place is None else self.rows[place]

    def score(self, watcher: Address) -> int:
        """A watcher's score, half where it was never a member."""
        row = self.row(watcher)
        return self._past.get(watcher, FIRST_SCORE) if row is None else row.score

    def stake(self, watcher: Address, terms: Terms) -> int:
        """What counts of a watcher's own stake now; 0 where it may not sit."""
        own = self._stake_of(watcher)
        if own is None or own < terms.least_stake:
            return 0
        return min(max(own, 1), STAKE_MAX)

    def place_for(self, watcher: Address, current: int) -> int | None:
        """Where a watcher that joins in a round sits; None where it may not, or all is full."""
        held, cut = self._places.get(watcher), self._cut(current)[0]
        if held is not None:
            row = self.rows[held]
            return held if row.left_at and self._is_free(row, current, cut) else None
        for place, row in enumerate(self.rows):
            if self._is_free(row, current, cut):
                return place
        return len(self.rows) if len(self.rows) < MEMBERS_MAX else None

    def join(self, watcher: Address, place: int, current: int) -> None:
        """Seat a watcher from the next round on."""
        score = self.score(watcher)
        if place < len(self.rows) and self.rows[place].watcher != watcher:
            before = self.rows[place]
            self._past[before.watcher] = before.score
            del self._places[before.watcher]
        self.rows[place : place + 1] = [Row(watcher, current + 1, score)]
        self._places[watcher] = place
        self._lines.pop(watcher, None)

    def weakest(self, moment: int) -> tuple[Row, int]:
        """Who has least of a full list, and how much."""
        weights = [
            self._records.get(row.watcher, Record()).in_force(None, moment, life=self._life)
            for row in self.rows
        ]
        least = min(weights)
        return self.rows[weights.index(least)], least

    def record(self, watcher: Address, moment: int, terms: Terms) -> int:
        """Record a member's stake anew; the weight that it has by it."""
        current = self.round_at(moment)
        weight = line = self.stake(watcher, terms)
        if self.score(watcher) < terms.floor:
            weight, line = 0, line // LOW_SHARE
        self._records[watcher] = self._records.get(watcher, Record()).added(
            moment, weight, cut=self.start(current), hold=False
        )
        self._lines[watcher] = self._lines.get(watcher, Record()).added(
            moment, line, cut=self._cut(current)[0], hold=True
        )
        return weight

    def committee(self, number: int, subject: Address, seats: int) -> list[Seat]:
        """Who watches a subject in a round: all members with their stake, or seats drawn."""
        start = self.start(number)
        sits = [row for row in self.rows if row.since <= number and row.stays(start)]
        if len(sits) > seats:
            return self._drawn(number, subject, seats)
        end = start + self.length
        return [
            Seat(
                row.watcher,
                self._records.get(row.watcher, Record()).in_force(start, end, life=self._life),
            )
            for row in sits
        ]

    def _drawn(self, number: int, subject: Address, seats: int) -> list[Seat]:
        cut, seed = self._cut(number)
        line = list(self._line(cut, self.start(number + 1)))
        return draw(line, seed=seed, round_number=number, subject=subject, seats=seats)

    def _line(self, cut: int, end: int) -> Iterator[Seat]:
        for row in self.rows:
            held = self._lines.get(row.watcher, Record())
            weight = held.in_force(cut, end, life=self._life) if row.stays(cut) else 0
            yield Seat(row.watcher, weight)

    def _cut(self, number: int) -> tuple[int, bytes]:
        """Start and seed of the last beacon period that was over when a round began; zeros where
        there was none."""
        count = self._beacon.ended(self.start(number))
        if count <= 0:
            return 0, bytes(32)
        found = self._beacon.rounds[count - 1]
        return self._beacon.start(found.period), found.seed

    def _is_free(self, row: Row, current: int, cut: int) -> bool:
        if row.watcher == ZERO_ADDRESS:
            return True
        gone = not row.stays(self.start(current))
        return gone and (cut == 0 or not row.stays(cut))

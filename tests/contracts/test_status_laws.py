"""What holds for agreed values whatever liars with less than half of the weight do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import Chain, Reverted, Signer
from contracts.watchers import ASPECT, HOTS, OWNERS, SUBJECT, Watch, deploy_watch
from freehold.control.consensus import FIRST_SCORE, Seat, Settlement, Tolerance, scored, settle
from freehold.domain.errors import ConflictError
from freehold.domain.ids import Address, address

COUNT = 6
PLACES = st.integers(0, COUNT - 1)
STAKES = st.one_of(st.just(10_000), st.integers(1_000, 40_000))
LIES = st.one_of(st.integers(-(2**120), 2**120), st.integers(-3_000, 3_000), st.sampled_from([0]))
STRATEGIES = st.lists(
    st.tuples(st.sampled_from(["honest", "honest", "lie", "sleep", "stale"]), LIES),
    min_size=COUNT,
    max_size=COUNT,
)
TOLERANCE = Tolerance(500)


@dataclass(frozen=True, slots=True)
class Told:
    """What the watchers of a round did."""

    honest: dict[Signer, int]
    others: dict[Signer, int]

    @property
    def all(self) -> dict[Signer, int]:
        return self.honest | self.others

    def by_address(self) -> dict[Address, int]:
        return {address(hot.address): value for hot, value in self.all.items()}


class StatusLaws(RuleBasedStateMachine):
    """Six watchers whose stake and conduct change from round to round."""

    def __init__(self) -> None:
        super().__init__()
        self.watch: Watch = deploy_watch(Chain())
        self.watch.members(*[10_000] * COUNT)
        self.scores = dict.fromkeys(HOTS[:COUNT], FIRST_SCORE)
        self.before: int | None = None
        self.away: set[int] = set()

    @rule(place=PLACES, amount=STAKES)
    def stake(self, place: int, amount: int) -> None:
        self.watch.stake(place, amount)

    @rule(place=PLACES, amount=STAKES)
    def unbond(self, place: int, amount: int) -> None:
        """In the middle of a round, too: what was recorded before it counts."""
        owner, hot = OWNERS[place].address, HOTS[place].address
        if amount + 1_000 <= self.watch.world.staking.call("own", hot):
            self.watch.world.staking.send("unbond", hot, amount, sender=owner)

    @rule(place=PLACES)
    def come_or_go(self, place: int) -> None:
        hot = HOTS[place]
        self.watch.second_half()
        if place in self.away:
            self.watch.join(hot)
            self.away.discard(place)
        elif len(self.away) < 3:
            self.watch.status.send("leave", sender=hot.address)
            self.away.add(place)
        self.watch.next_round()

    @rule(truth=st.integers(-10_000, 10_000), noise=st.integers(0, 20), conduct=STRATEGIES)
    def turn(self, truth: int, noise: int, conduct: list[tuple[str, int]]) -> None:
        """A round of any conduct at all: the mirror agrees, and liars below half move nothing."""
        done, told, seats = self._tell(truth, noise, conduct)
        settled = self._settled(told, seats)
        if settled is None:
            with pytest.raises(Reverted, match=r"status: too (few told|little agreed)"):
                self.watch.settle(done)
            return
        event = self.watch.settle(done).one("Settled")
        assert event.value == settled.value
        assert (event.told_bps, event.spread) == (settled.told_bps, settled.spread)
        self._check_bounds(told, seats, settled)
        self._score(told, seats, settled)
        self.before = settled.value

    @rule(truth=st.integers(-10_000, 10_000), conduct=STRATEGIES)
    def restore(self, truth: int, conduct: list[tuple[str, int]]) -> None:
        """Honest watchers with more than half of the weight set any value right in one round."""
        done, told, seats = self._tell(truth, 0, conduct)
        honest = sum(s.weight for s in seats if s.watcher in addresses(told.honest))
        whole = sum(seat.weight for seat in seats)
        assume(2 * honest > whole)
        settled = self._settled(told, seats)
        if settled is None:
            with pytest.raises(Reverted, match="status: too little agreed"):
                self.watch.settle(done)
            assert self.before is None
            return
        value = self.watch.settle(done).value
        assert value == settled.value
        if self.before is not None:
            assert value == truth
        self._score(told, seats, settled)
        self.before = value

    def _settled(self, told: Told, seats: list[Seat]) -> Settlement | None:
        """What the mirror says, None where it refuses."""
        try:
            return settle(seats, told.by_address(), before=self.before, tolerance=TOLERANCE)
        except ConflictError:
            return None

    def _tell(
        self, truth: int, noise: int, conduct: list[tuple[str, int]]
    ) -> tuple[int, Told, list[Seat]]:
        told = Told({}, {})
        for place, (what, lie) in enumerate(conduct):
            hot = HOTS[place]
            if place in self.away or what == "sleep":
                continue
            if what == "honest":
                told.honest[hot] = truth + place * noise
            else:
                stale = what == "stale" and self.before is not None
                told.others[hot] = (self.before or 0) if stale else lie
        done = self.watch.tell(told.all)
        found = self.watch.committee(done)
        return done, told, [Seat(address(who), weight) for who, weight in found.items()]

    def _check_bounds(self, told: Told, seats: list[Seat], settled: Settlement) -> None:
        liars = addresses(told.others)
        lying = sum(seat.weight for seat in seats if seat.watcher in liars)
        whole = sum(seat.weight for seat in seats)
        heard = [v for hot, v in told.honest.items() if self._weight(seats, hot)]
        if 2 * lying >= whole:
            return
        if settled.before is not None:
            fair = [*heard, settled.before]
            assert min(fair) <= settled.value <= max(fair)
        else:
            assert min(heard) - settled.within <= settled.value <= max(heard) + settled.within

    @staticmethod
    def _weight(seats: list[Seat], hot: Signer) -> int:
        return sum(seat.weight for seat in seats if seat.watcher == address(hot.address))

    def _score(self, told: Told, seats: list[Seat], settled: Settlement) -> None:
        seated = {seat.watcher for seat in seats}
        for hot, score in self.scores.items():
            if address(hot.address) in seated:
                self.scores[hot] = scored(score, told.all.get(hot), settled)

    @invariant()
    def scores_are_what_the_mirror_says(self) -> None:
        for hot, score in self.scores.items():
            assert self.watch.score(hot) == score
            assert 0 <= score <= 10_000

    @invariant()
    def what_stands_is_what_was_settled(self) -> None:
        value, at = self.watch.status.call("value_of", SUBJECT, ASPECT)
        assert (value if at else None) == self.before

    @invariant()
    def nobody_settles_twice(self) -> None:
        found = self.watch.found()
        if found.at and found.round + 1 == self.watch.round:
            with pytest.raises(Reverted, match="status: settled already"):
                self.watch.settle(found.round)


def addresses(told: dict[Signer, int]) -> set[Address]:
    return {address(hot.address) for hot in told}


TestStatusLaws = StatusLaws.TestCase
TestStatusLaws.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)

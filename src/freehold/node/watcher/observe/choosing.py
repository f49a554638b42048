"""Which of what a watcher saw it tells: gas is spent on what moved, is old, or a rule waits for.

Pure, and from the chain alone but for what was seen, so that watchers who see alike choose alike;
who is silent counts for what stood before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from freehold.control.consensus import TOLD_MAX, VALUE_MAX, Observation, Tolerance
from freehold.domain.ids import Address
from freehold.ledger.contracts.status import Agreed
from freehold.node.watcher.observe.field import Wish
from freehold.node.watcher.observe.rounds import Rounds, draw

REFRESH = 24
"""Rounds after which a value that did not move is told again."""
Pair = tuple[Address, bytes]


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of a subject's aspect, and how far a value may be from it."""

    agreed: Agreed
    tolerance: Tolerance

    def moved(self, value: int) -> bool:
        """Whether a value differs from what stands, or nothing stands yet."""
        apart = abs(value - self.agreed.value)
        return not self.agreed.at or apart > self.tolerance.within(self.agreed.value)


@dataclass(frozen=True, slots=True)
class Terms:
    """The rounds, the present one, and after how many a value is told again."""

    rounds: Rounds
    number: int
    refresh: int = REFRESH

    def is_due(self, value: int, stands: Standing, wishes: Iterable[Wish]) -> bool:
        """Whether a value is worth telling in this round."""
        agreed = stands.agreed
        if stands.moved(value) or self.number - agreed.round >= self.refresh:
            return True
        return any(self._waits(each, value, agreed) for each in wishes)

    def _waits(self, wish: Wish, value: int, agreed: Agreed) -> bool:
        """Whether a rule would see another answer, or one that is too old for it before the value
        can be settled in the round after next."""
        if wish.fulfilled(value) != wish.fulfilled(agreed.value):
            return True
        late = self.rounds.start(self.number + 2) + self.rounds.length // 2
        return agreed.at + wish.terms.max_age < late


def choose(
    seen: Sequence[Observation],
    standing: Mapping[Pair, Standing],
    wishes: Mapping[Pair, Sequence[Wish]],
    terms: Terms,
) -> tuple[Observation, ...]:
    """What is told: all that is due, what rules wait for first, then what is oldest."""
    due = [
        each
        for each in seen
        if abs(each.value) <= VALUE_MAX
        and terms.is_due(each.value, standing[pair(each)], wishes.get(pair(each), ()))
    ]
    due.sort(
        key=lambda each: (
            pair(each) not in wishes,
            standing[pair(each)].agreed.at,
            draw(terms.number, each.subject, each.aspect),
        )
    )
    return tuple(due[:TOLD_MAX])


def pair(of: Observation) -> Pair:
    """Subject and aspect."""
    return of.subject, of.aspect

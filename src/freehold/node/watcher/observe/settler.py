"""Settles what watchers told in the round before; one pays for all, another one in each round."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from freehold.control import consensus
from freehold.control.consensus import Tolerance
from freehold.domain.errors import ConflictError, InsufficientFundsError, RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts import status
from freehold.ledger.contracts.base import convert_list
from freehold.ledger.contracts.status import Agreed, Seat
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Event, View
from freehold.node.logs import fields
from freehold.node.watcher.observe.choosing import Pair, Standing
from freehold.node.watcher.observe.field import ask
from freehold.node.watcher.observe.rounds import Rounds, draw

BATCH = 16
"""Values in one transaction: with 24 seats each they stay well below the gas that one may use."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The round to settle, this watcher's wait within the half, and what can be settled."""

    round: int
    wait: int
    pairs: tuple[Pair, ...]


class Settler:
    """Every watcher may settle; each waits for those whose turn is before its own."""

    def __init__(self, ledger: Ledger, watcher: Address, rounds: Rounds) -> None:
        self._ledger, self._watcher, self._rounds = ledger, watcher, rounds
        self._plan: _Plan | None = None

    def step(self, now: int) -> None:
        """Settle what is left when this watcher's turn has come, in the first half of a round."""
        before = self._rounds.at(now) - 1
        if before < 0 or not self._rounds.is_first_half(now):
            return
        if self._plan is None or self._plan.round != before:
            self._plan = self._made(before)
        if self._plan.pairs and self._rounds.age(now) >= self._plan.wait:
            self._settle(self._plan)
            self._plan = _Plan(before, self._plan.wait, ())

    def _made(self, number: int) -> _Plan:
        self._ledger.index.sync()
        told = list(every(self._ledger.index, "status", "Revealed", {"round": number}))
        turns = sorted((each.address("watcher") for each in told), key=lambda w: draw(number, w))
        place = turns.index(self._watcher) if self._watcher in turns else len(turns)
        wait = self._rounds.turn(place, len(turns) + 1)
        return _Plan(number, wait, tuple(self._agreeing(number, told)))

    def _agreeing(self, number: int, told: Sequence[Event]) -> list[Pair]:
        """What can be settled: the contract refuses a batch whole for one value that cannot."""
        values = _values(told)
        stands = standing(self._ledger, values)
        seats = self._seats(number, {subject for subject, _ in values})
        return [
            each
            for each in sorted(values)
            if not _is_settled(stands[each].agreed, number)
            and _agrees(seats[each[0]], values[each], stands[each])
        ]

    def _seats(self, number: int, subjects: set[Address]) -> dict[Address, list[Seat]]:
        names = sorted(subjects)
        asked = [View("status", "committee", (number, subject)) for subject in names]
        lists = (convert_list(Seat, answer) for answer in self._ledger.call_many(asked))
        return dict(zip(names, lists, strict=True))

    def _settle(self, plan: _Plan) -> None:
        stands = standing(self._ledger, plan.pairs)
        left = [each for each in plan.pairs if not _is_settled(stands[each].agreed, plan.round)]
        for at in range(0, len(left), BATCH):
            self._send(plan.round, left[at : at + BATCH])

    def _send(self, number: int, pairs: Sequence[Pair]) -> None:
        subjects, aspects = zip(*pairs, strict=True)
        try:
            receipt = self._ledger.status.settle_many(number, subjects, aspects)
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            # The half ended on the way, or seats were changed by the governor.
            _log.warning("settle", extra=fields(round=number, refused=error.message))
            return
        settled = len(receipt.named("Settled"))
        _log.info("settled", extra=fields(round=number, values=settled, transaction=receipt.hash))


def standing(ledger: Ledger, pairs: Iterable[Pair]) -> dict[Pair, Standing]:
    """What stands of each, and the tolerances in force."""
    names = list(dict.fromkeys(pairs))
    agreed = ask(ledger, Agreed, [View("status", "status_of", each) for each in names])
    aspects = list(dict.fromkeys(aspect for _, aspect in names))
    asked = [View("status", "tolerance_of", (each,)) for each in aspects]
    told = [Tolerance(each.bps, each.least) for each in ask(ledger, status.Tolerance, asked)]
    tolerances = dict(zip(aspects, told, strict=True))
    return {
        each: Standing(found, tolerances[each[1]])
        for each, found in zip(names, agreed, strict=True)
    }


def _values(told: Iterable[Event]) -> dict[Pair, dict[Address, int]]:
    """What each watcher told of each subject's aspect."""
    found: dict[Pair, dict[Address, int]] = {}
    for event in told:
        subjects = convert_list(Address, event.args["subjects"])
        aspects = convert_list(bytes, event.args["aspects"])
        values = convert_list(int, event.args["values"])
        for subject, aspect, value in zip(subjects, aspects, values, strict=True):
            found.setdefault((subject, aspect), {})[event.address("watcher")] = value
    return found


def _agrees(seats: Sequence[Seat], told: Mapping[Address, int], stands: Standing) -> bool:
    before = stands.agreed.value if stands.agreed.at else None
    heard = [consensus.Seat(seat.watcher, seat.weight) for seat in seats]
    try:
        consensus.settle(heard, told, before=before, tolerance=stands.tolerance)
    except ConflictError:
        return False
    return True


def _is_settled(agreed: Agreed, number: int) -> bool:
    return agreed.at != 0 and agreed.round == number

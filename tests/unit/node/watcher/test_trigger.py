"""Rules that are due are triggered after a wait of each watcher's own, and a few in a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from freehold.domain.errors import RefusedError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.ledger.contracts.automation import Rule
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Value, View
from freehold.node.watcher.observe.field import Wish
from freehold.node.watcher.observe.rounds import Rounds, draw
from freehold.node.watcher.observe.trigger import MOST, Trigger

ROUNDS = Rounds(0, 400)
WATCHER = checksum(b"\x07" * 20)
TERMS = Rule(ZERO_ADDRESS, 1, ZERO_ADDRESS, bytes(32), True, 0, "x", 1, 1, 1, 1, 0, 0, False)


@dataclass
class Chain:
    """Rules that are due until somebody triggers them."""

    due: set[int]
    triggered: list[int] = field(default_factory=list)
    refuses: bool = False

    @property
    def automation(self) -> SimpleNamespace:
        return SimpleNamespace(trigger=self._trigger)

    def call_many(self, views: Sequence[View]) -> list[Value]:
        return [view.args[0] in self.due for view in views]

    def _trigger(self, rule: int) -> SimpleNamespace:
        self.triggered.append(rule)
        if self.refuses:
            raise RefusedError("automation: command open", remedy="-")
        self.due.discard(rule)
        return SimpleNamespace(hash="0x")


def trigger(chain: Chain, watcher: Address = WATCHER) -> Trigger:
    return Trigger(cast("Ledger", chain), watcher, ROUNDS)


def test_a_watcher_waits_its_own_while_from_when_it_first_sees_it_due() -> None:
    chain, wishes = Chain({1}), [Wish(1, TERMS)]
    one, wait = trigger(chain), draw(WATCHER, 1, 2) % 101
    assert wait > 10
    one.step(wishes, 810)
    one.step(wishes, 810 + wait - 1)
    assert chain.triggered == []
    one.step(wishes, 810 + wait)
    assert chain.triggered == [1]
    one.step(wishes, 810 + wait + 1)
    assert chain.triggered == [1]


def test_what_is_due_no_more_begins_anew() -> None:
    chain, wishes = Chain({1}), [Wish(1, TERMS)]
    one, wait = trigger(chain), draw(WATCHER, 1, 2) % 101
    one.step(wishes, 810)
    chain.due.clear()
    one.step(wishes, 820)
    chain.due.add(1)
    one.step(wishes, 810 + wait)
    assert chain.triggered == []


@pytest.mark.parametrize("refuses", [False, True])
def test_only_so_many_are_triggered_in_a_round(refuses: bool) -> None:
    numbers = range(1, MOST + 4)
    chain = Chain(set(numbers), refuses=refuses)
    one, wishes = trigger(chain), [Wish(number, TERMS) for number in numbers]
    for now in (800, 1_000, 1_100, 1_199):
        one.step(wishes, now)
    assert len(chain.triggered) == MOST
    one.step(wishes, 1_400)
    assert len(chain.triggered) > MOST

"""Triggers rules that are due; one watcher usually pays, and the others find it done."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from freehold.domain.errors import InsufficientFundsError, RefusedError
from freehold.domain.ids import Address
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from freehold.node.logs import fields
from freehold.node.watcher.observe.field import Wish, ask
from freehold.node.watcher.observe.rounds import Rounds, draw

MOST = 8
"""Rules that a watcher triggers in a round: who made them does not pay for it."""
_log = logging.getLogger(__name__)


class Trigger:
    """Each watcher waits a while of its own, drawn over a quarter of a round, from when it first
    sees that a rule is due."""

    def __init__(self, ledger: Ledger, watcher: Address, rounds: Rounds) -> None:
        self._ledger, self._watcher, self._rounds = ledger, watcher, rounds
        self._since: dict[int, int] = {}
        self._round, self._done = -1, 0

    def step(self, wishes: Sequence[Wish], now: int) -> None:
        """Trigger those of ``wishes`` that have been due for long enough."""
        if self._round != self._rounds.at(now):
            self._round, self._done = self._rounds.at(now), 0
        asked = [View("automation", "due", (wish.rule,)) for wish in wishes]
        due = [
            w for w, is_due in zip(wishes, ask(self._ledger, bool, asked), strict=True) if is_due
        ]
        self._since = {wish.rule: self._since.get(wish.rule, now) for wish in due}
        for wish in due:
            if self._done < MOST and now >= self._since[wish.rule] + self._wait(wish.rule):
                self._done += 1
                self._trigger(wish.rule)

    def _wait(self, rule: int) -> int:
        return draw(self._watcher, rule, self._round) % (self._rounds.length // 4 + 1)

    def _trigger(self, rule: int) -> None:
        try:
            receipt = self._ledger.automation.trigger(rule)
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            # Somebody else was faster, or the status moved on the way.
            _log.debug("trigger", extra=fields(rule=rule, refused=error.message))
            return
        _log.info("triggered", extra=fields(rule=rule, transaction=receipt.hash))

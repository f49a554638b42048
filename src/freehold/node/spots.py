"""Looks for spot challenges against this node's columns and has them answered."""

from __future__ import annotations

import logging
from typing import Protocol

from freehold.domain.errors import RefusedError
from freehold.ledger.values import Event
from freehold.node.deals import MARGIN, Deals
from freehold.node.logs import fields
from freehold.node.ports import Chain

PAGE = 500
_log = logging.getLogger(__name__)


class SpotAnswerer(Protocol):
    """Answers one challenge about a held piece."""

    def answer_spot(self, challenge: Event, cid: str) -> None:
        """Send the proof."""


class Spots:
    """Answers every spot challenge once; it relies on the follower to keep the index up."""

    def __init__(self, chain: Chain, deals: Deals, answerer: SpotAnswerer) -> None:
        self._chain = chain
        self._deals = deals
        self._answerer = answerer
        self._since = 0
        self._reached = -1
        self._done: set[int] = set()

    def step(self, reached: int) -> None:
        """Answer what is open up to block ``reached``, where the index stands.

        Blocks near it are looked at again, for reorganisations.
        """
        if reached == self._reached:
            return
        last: Event | None = None
        seen: set[int] = set()
        while True:
            page = self._chain.index.events(
                "faults", "SpotChallenged", since=self._since, after=last, limit=PAGE
            )
            for event in page:
                self._look(event)
                seen.add(event.number("id"))
            if len(page) < PAGE:
                break
            last = page[-1]
        self._reached, self._since = reached, max(reached - MARGIN, 0)
        self._done &= seen

    def _look(self, event: Event) -> None:
        number = event.number("id")
        column = self._deals.at(event.number("deal"), event.number("slot"))
        if column is None or number in self._done:
            return
        if not self._is_over(number):
            self._answer(event, column.cid)
        self._done.add(number)

    def _is_over(self, number: int) -> bool:
        """Whether a challenge was answered or expired: until then an answer is good, however late
        after a time in which the whole network stood still."""
        return any(
            self._chain.index.events("faults", name, where={"id": number}, limit=1)
            for name in ("SpotAnswered", "SpotExpired")
        )

    def _answer(self, event: Event, cid: str) -> None:
        try:
            self._answerer.answer_spot(event, cid)
        except RefusedError as error:
            # Answered by someone else, expired on the way, or about a node that held it before.
            _log.info(
                "a spot challenge needs no answer",
                extra=fields(challenge=event.number("id"), reason=error.message),
            )

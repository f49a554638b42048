"""Tokens that somebody burned in a transaction, and what they were burned for: each counts once."""

from __future__ import annotations

from collections import Counter

from freehold.audit.events import Event
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS

BURN = 6


class Burns:
    """Burns of the network's token that nothing was paid by yet, in the present transaction."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, int]] = Counter()

    def see(self, event: Event) -> None:
        """Note a movement of the token, if it is a burn."""
        burned = event.address("recipient") == ZERO_ADDRESS
        if burned and event.number("purpose") == BURN:
            self._open[event.text("sender"), event.number("amount")] += 1

    def pay(self, who: str, amount: int, *, what: str, spot: Spot) -> None:
        """Count a burn of ``amount`` base units by ``who``; Differs where there is none left."""
        spot.same(what, expected=True, found=self._open[who, amount] > 0)
        self._open[who, amount] -= 1

    def clear(self) -> None:
        """Forget those of a transaction that ended."""
        self._open.clear()

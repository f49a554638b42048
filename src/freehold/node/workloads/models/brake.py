"""Keeps what strangers can cause from filling the log."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Brake:
    """Lets ``most`` lines through in each ``seconds``; ``dropped`` counts those held back since
    the last that went."""

    def __init__(
        self, *, most: int, seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._since, self._gone = clock(), 0
        self.dropped = 0

    def go(self) -> bool:
        """Whether one more line may go now."""
        now = self._clock()
        if now - self._since >= self._seconds:
            self._since, self._gone = now, 0
        if self._gone >= self._most:
            self.dropped += 1
            return False
        self._gone += 1
        return True

    def since(self) -> int:
        """How many were held back, counted anew from here."""
        dropped, self.dropped = self.dropped, 0
        return dropped

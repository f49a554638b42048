"""The clock that rooms are given, so that a simulation can hand in its own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, as the ledger's block time counts them."""

    def now(self) -> int:
        """Whole seconds."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> int:
        """Whole seconds of this machine's clock."""
        return int(time.time())

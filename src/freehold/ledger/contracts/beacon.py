"""One unpredictable seed per period."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Round:
    """A period that got its seed."""

    seed: bytes
    period: int
    stored_at: int


class Beacon(Contract):
    """Periods are numbered by time, rounds by the periods that got a seed."""

    name = "beacon"

    def fix(self, period: int) -> Receipt:
        """Choose the block whose hash becomes the seed; within the grace of the period."""
        return self._send("fix", period)

    def store(self, period: int) -> Receipt:
        """Store the seed of the fixed block: a round begins."""
        return self._send("store", period)

    def period_of(self, time: int) -> int:
        """The period of a moment."""
        return self._view(int, "period_of", time)

    def period_start(self, period: int) -> int:
        """When a period starts."""
        return self._view(int, "period_start", period)

    def period_length(self) -> int:
        """Seconds of a period."""
        return self._view(int, "period_length")

    def genesis(self) -> int:
        """When period 0 starts."""
        return self._view(int, "genesis")

    def grace(self) -> int:
        """Seconds after a period's start in which it can be fixed and stored."""
        return self._view(int, "grace")

    def round_count(self) -> int:
        """How many rounds there are."""
        return self._view(int, "round_count")

    def round(self, index: int) -> Round:
        """A round."""
        return self._view(Round, "round", index)

    def round_of(self, period: int) -> int | None:
        """The round of a period, None while (or if forever) it has none."""
        value = self._door.call(self.name, "round_of", (period,))
        found, index = value if isinstance(value, list) else (0, 0)
        return index if found and isinstance(index, int) else None

    def rounds_ended(self, time: int) -> int:
        """How many rounds belong to periods that ended by a moment."""
        return self._view(int, "rounds_ended", time)

    def fixed_block(self, period: int) -> int:
        """The block chosen for a period, 0 while there is none."""
        return self._view(int, "fixed_block", period)

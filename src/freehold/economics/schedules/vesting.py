"""Genesis allocations: nothing before a cliff, then equal monthly parts."""

from __future__ import annotations

from dataclasses import dataclass

MONTH_SECONDS = 2_629_800
"""A twelfth of a year of 365.25 days."""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a genesis supply as a document states it: ten-thousandths, months."""

    name: str
    share_bps: int
    cliff_months: int
    months: int

    def allocation(self, *, total: int, start: int) -> Allocation:
        """The allocation of this part of ``total`` base units, from ``start`` (Unix seconds)."""
        return Allocation(
            amount=total * self.share_bps // 10_000,
            start=start,
            cliff=self.cliff_months * MONTH_SECONDS,
            parts=self.months,
        )


@dataclass(frozen=True, slots=True)
class Allocation:
    """``amount`` in base units: ``parts`` equal months that begin ``cliff`` seconds after start.

    Without parts, everything at the cliff.
    """

    amount: int
    start: int
    cliff: int
    parts: int

    def vested(self, now: int) -> int:
        """Base units that are due at ``now``; the dust of the division comes with the last part."""
        since = now - self.start - self.cliff
        if since < 0:
            return 0
        if self.parts == 0:
            return self.amount
        return self.amount * min(since // MONTH_SECONDS, self.parts) // self.parts

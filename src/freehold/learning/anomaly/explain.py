"""Why an alert was raised, in terms a person can check."""

from __future__ import annotations

from dataclasses import dataclass

SPREADS = 4.0
"""Spreads on either side of the level that are expected."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``metric`` of a ``series`` has strayed since row ``since``: it read ``value`` where
    ``low`` to ``high`` was expected."""

    series: int
    metric: str
    since: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.metric} is {self.value:g}, expected {self.low:g} to {self.high:g},"
            f" since row {self.since}"
        )


def strayed(
    series: int, metric: str, *, since: int, value: float, expected: float, spread: float
) -> Finding:
    """The finding that ``value`` is none of what lies SPREADS around ``expected``."""
    margin = SPREADS * spread
    return Finding(series, metric, since, value, expected - margin, expected + margin)

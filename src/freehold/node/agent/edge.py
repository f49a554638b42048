"""A first look at readings on the device itself: how far each is from what its metric usually is.

Level and spread of a metric are exponential means over some ``1 / RATE`` readings; a reading
moves them by at most CLIP spreads, so that one spike does not hide the next. The distance in
spreads, a robust z, becomes a score ``z / (z + HALF)`` from 0 to 1. Nothing is known before WARM
readings. Plain Python: the detectors of the network see more, this only decides what need not
wait for the next batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.telemetry.reading import METRICS_MAX, Reading

RATE = 0.05
WARM = 20
CLIP = 4.0
FLOOR = 0.01
"""The least spread, as a share of the level: a metric that stood still may move a little."""
HALF = 6.0
_NORMAL = 1.2533
"""Standard deviations in a mean absolute deviation, of normal values."""


@dataclass(slots=True)
class _Metric:
    level: float
    spread: float = 0.0
    seen: int = 1


class Edge:
    """The state of each metric of one device; bounded by the metrics of a batch."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}

    def score(self, readings: Sequence[Reading]) -> float:
        """Take readings of one moment; the largest score among them, 0 where none is known."""
        return max((self._score(reading) for reading in readings), default=0.0)

    def _score(self, reading: Reading) -> float:
        known = self._metrics.get(reading.metric)
        if known is None:
            if len(self._metrics) < 4 * METRICS_MAX:
                self._metrics[reading.metric] = _Metric(reading.value)
            return 0.0
        away = reading.value - known.level
        spread = max(known.spread, FLOOR * abs(known.level), 1e-9)
        distance = abs(away) / spread
        _learn(known, away, spread)
        return distance / (distance + HALF) if known.seen > WARM else 0.0


def _learn(known: _Metric, away: float, spread: float) -> None:
    known.seen += 1
    rate = max(RATE, 1 / known.seen)
    if known.seen > WARM:
        away = max(-CLIP * spread, min(CLIP * spread, away))
    known.level += rate * away
    known.spread += rate * (_NORMAL * abs(away) - known.spread)

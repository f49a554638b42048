"""Clocks of devices: what arrival less device time says of them.

Delay only ever adds, so the least offset of late is the clock's error and the shortest way. It
may rise by ``LEAK`` of the time that passes, as clocks run apart, and falls at once. What a device
sends late from its buffer raises it hardly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freehold.telemetry.cleaning import Flags, Floats, Whole

TOLERANCE = 5_000.0
"""Milliseconds that a clock may be wrong."""
LEAK = 2e-3
_PASSED_MAX = 3_600_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """Of devices, shape (n,) each: latest arrival (0: none) and least offset, milliseconds."""

    arrival: Whole
    offset: Floats

    @classmethod
    def empty(cls, devices: int) -> Clocks:
        """Of devices that have not been heard of."""
        return cls(np.zeros(devices, np.int64), np.zeros(devices))


def drift(clocks: Clocks, devices: Whole, sealed: Whole, arrivals: Whole) -> tuple[Clocks, Flags]:
    """Whether batches, shape (n,) each, were sealed by a wrong clock; no device comes twice."""
    offset = (arrivals - sealed).astype(np.float64)
    heard = clocks.arrival[devices] > 0
    passed = np.clip(arrivals - clocks.arrival[devices], 0, _PASSED_MAX)
    least = np.where(heard, np.minimum(clocks.offset[devices] + LEAK * passed, offset), offset)
    arrival, kept = clocks.arrival.copy(), clocks.offset.copy()
    arrival[devices] = np.maximum(arrivals, arrival[devices])
    kept[devices] = least
    return Clocks(arrival, kept), np.abs(least) > TOLERANCE

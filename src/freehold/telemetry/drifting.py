"""Clocks of devices: what arrival less device time says of them.

Delay only ever adds, so the least offset of late is the clock's error and the shortest way. It
may rise by ``LEAK`` of the time that passes, as clocks run apart, and falls at once. What a device
sends late from its buffer raises it hardly, and of a device that is new it is no evidence: a clock
is behind when batches come as late as the one before, not when they catch up. That it is ahead one
batch shows, since nothing comes before it was sealed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freehold.telemetry.cleaning import Flags, Floats, Whole

TOLERANCE = 5_000.0
"""Milliseconds that a clock may be wrong."""
LEAK = 2e-3
_PASSED_MAX = 3_600_000.0
_LIVE = 0.8
"""Of the time between two seals, what passes at least between the arrivals of a device that does
not catch up."""


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """Of devices, shape (n,) each, milliseconds: latest arrival (0: none), least offset, when the
    batch that came last was sealed; and whether the clock is found wrong."""

    arrival: Whole
    offset: Floats
    sealed: Whole
    wrong: Flags

    @classmethod
    def empty(cls, devices: int) -> Clocks:
        """Of devices that have not been heard of."""
        whole = np.zeros((2, devices), np.int64)
        return cls(whole[0], np.zeros(devices), whole[1], np.zeros(devices, np.bool_))


def drift(clocks: Clocks, devices: Whole, sealed: Whole, arrivals: Whole) -> tuple[Clocks, Flags]:
    """Whether batches, shape (n,) each, were sealed by a wrong clock; no device comes twice."""
    offset = (arrivals - sealed).astype(np.float64)
    heard = clocks.arrival[devices] > 0
    passed = np.clip(arrivals - clocks.arrival[devices], 0, _PASSED_MAX)
    least = np.where(heard, np.minimum(clocks.offset[devices] + LEAK * passed, offset), offset)
    between = sealed - clocks.sealed[devices]
    live = heard & (between > 0) & (passed >= _LIVE * np.minimum(between, _PASSED_MAX))
    wrong = (least < -TOLERANCE) | ((least > TOLERANCE) & (live | clocks.wrong[devices]))
    after = Clocks(
        clocks.arrival.copy(), clocks.offset.copy(), clocks.sealed.copy(), clocks.wrong.copy()
    )
    after.arrival[devices] = np.maximum(arrivals, after.arrival[devices])
    after.offset[devices], after.sealed[devices], after.wrong[devices] = least, sealed, wrong
    return after, wrong

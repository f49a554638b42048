"""Emission by steps that shrink by one factor: io.net's months, or a founder's own.

The figure that is kept is the cumulative one, ``first * (1 - f^n) / (1 - f)``, rounded half up to
whole grains; a step is the difference of two, so no rounding ever adds up.
"""

from __future__ import annotations

from freehold.economics.schedules.fixed import ONE, PLACES, power

SCALE = 10**18
"""Scale of a factor."""


def issued(*, first: int, factor: int, steps: int, grain: int) -> int:
    """What the first ``steps`` steps emit; ``first`` and ``grain`` in base units.

    ``factor`` is in 10^-18, at most 1.
    """
    exact = _exact(first, (factor << PLACES) // SCALE, steps)
    return (exact + grain // 2) // grain * grain


def step(*, first: int, factor: int, number: int, grain: int) -> int:
    """What step ``number`` emits, counted from 0."""
    before = issued(first=first, factor=factor, steps=number, grain=grain)
    after = issued(first=first, factor=factor, steps=number + 1, grain=grain)
    return max(after - before, 0)


def _exact(first: int, ratio: int, steps: int) -> int:
    if ratio == ONE:
        return first * steps
    return first * (ONE - power(ratio, steps)) // (ONE - ratio)

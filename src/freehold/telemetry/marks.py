"""Marks of readings: bits that say what is odd about one; its value stays as it came."""

from __future__ import annotations

from enum import IntFlag


class Mark(IntFlag):
    """What cleaning found in a reading; several may stand together."""

    RANGE = 1
    """Outside of what the metric can physically be."""
    RATE = 2
    """Further from the last sound value than the metric can physically move."""
    GAP = 4
    """The first after readings that should have come and did not."""
    STUCK = 8
    """One of a run of equal values that noise would not let be equal."""
    SPIKE = 16
    """Far from the series' own level, by the series' own spread."""
    DRIFT = 32
    """Sealed by a clock that is wrong."""
    DUPLICATE = 64
    """Of a time for which a reading came before."""
    LATE = 128
    """Older than a reading that came before."""


NAMES = {mark: (mark.name or "").lower() for mark in Mark}
UNSOUND = Mark.RANGE | Mark.RATE | Mark.SPIKE | Mark.STUCK | Mark.DUPLICATE | Mark.LATE
"""Marks of values that say nothing new, or nothing true, about what is measured."""


def names(marks: int) -> tuple[str, ...]:
    """The marks in words, in the order of their bits."""
    return tuple(name for mark, name in NAMES.items() if marks & mark)

"""The quality of devices, 0 to 1, from the marks of their readings, with what it is made of.

Each part is one less the share of a device's readings that have a mark, by what the mark costs;
the score is the product of the parts. Readings are forgotten exponentially, by half in
``HALF_LIFE``. One part is trust: a device starts at one half and earns the rest by ``PRIOR``
readings and more, so that a new name is worth less than a good record, and silence wears it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.telemetry.cleaning import Floats, Marks, Whole
from freehold.telemetry.marks import NAMES, Mark

HALF_LIFE = 6 * 3_600_000
"""Milliseconds after which a reading counts half."""
PRIOR = 20.0
COSTS: Mapping[Mark, float] = {
    Mark.RANGE: 1.0,
    Mark.RATE: 1.0,
    Mark.STUCK: 1.0,
    Mark.SPIKE: 0.5,
    Mark.DRIFT: 0.5,
    Mark.DUPLICATE: 0.25,
    Mark.LATE: 0.5,
}
"""What the share of readings with a mark takes; a gap costs by the readings that are missing."""
TRUST, COMPLETE = "trust", "complete"
PARTS = (TRUST, COMPLETE, *(NAMES[mark] for mark in COSTS))
_BITS = np.array(list(COSTS), np.uint8)
_PRICES: Floats = np.array(list(COSTS.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Of devices, shape (n,) or (n, marks): when last heard, and weights of readings, missing
    ones, and those with each mark of ``COSTS``."""

    heard: Whole
    readings: Floats
    missing: Floats
    marked: Floats

    @classmethod
    def empty(cls, devices: int) -> Record:
        """Of devices that have not been heard of."""
        zeros = np.zeros(devices)
        return cls(
            np.zeros(devices, np.int64), zeros, zeros.copy(), np.zeros((devices, len(COSTS)))
        )


def note(record: Record, devices: Whole, marks: Marks, missing: Whole, *, now: int) -> Record:
    """The record with readings of ``devices``, shape (n,) each, that arrived at ``now``
    (milliseconds, not before an earlier ``now`` of the same device)."""
    size = len(record.heard)
    count = np.bincount(devices, minlength=size)
    fade = _fade(record, now, where=count > 0)
    marked = record.marked * fade[:, None]
    for column, bit in enumerate(_BITS):
        marked[:, column] += np.bincount(devices[marks & bit != 0], minlength=size)
    lost = np.bincount(devices, weights=missing, minlength=size) * _worn(record, now)
    return Record(
        np.where(count > 0, now, record.heard),
        record.readings * fade + count,
        record.missing * fade + lost,
        marked,
    )


def parts(record: Record, *, now: int) -> Floats:
    """The parts of each device's score at ``now``, shape (n, PARTS), each 0 to 1."""
    fade = _fade(record, now, where=np.ones(len(record.heard), np.bool_))
    readings, missing = record.readings * fade, record.missing * fade
    whole = readings + PRIOR
    sound = 1.0 - _PRICES * record.marked * fade[:, None] / whole[:, None]
    return np.column_stack(
        ((readings + PRIOR / 2) / whole, whole / (whole + missing), np.clip(sound, 0.0, 1.0))
    )


def score(record: Record, *, now: int) -> Floats:
    """The quality of each device at ``now``, shape (n,), 0 to 1."""
    product: Floats = parts(record, now=now).prod(axis=1)
    return product


def explain(record: Record, device: int, *, now: int) -> dict[str, float]:
    """The parts of one device's score by name; their product is the score."""
    return dict(zip(PARTS, parts(record, now=now)[device].tolist(), strict=True))


def _worn(record: Record, now: int) -> Floats:
    """The mean weight of what should have come between a device's last reading and ``now``."""
    lives = np.where(record.heard > 0, np.maximum(now - record.heard, 1), 1) / HALF_LIFE * np.log(2)
    worn: Floats = -np.expm1(-lives) / lives
    return worn


def _fade(record: Record, now: int, *, where: NDArray[np.bool_]) -> Floats:
    passed = np.maximum(now - record.heard, 0)
    return np.where(where, np.exp2(-passed / HALF_LIFE), 1.0)

"""The payload of a batch as arrays, read strictly: what is not exactly the layout is refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from freehold.telemetry.metrics import check_unit
from freehold.telemetry.reading import (
    TIME_MAX,
    VALUE_MAX,
    Batch,
    Reading,
    backwards,
    check_counts,
    malformed,
    not_a_reading,
)
from freehold.telemetry.units import UNITS, unit_of

Values = NDArray[np.float64]
_COUNTS = struct.Struct("<BH")
_START = struct.Struct("<Q")
_TABLES_KEPT = 4_096
_TABLE_MAX = 4_096
_SCALES: Values = np.array([unit.scale for unit in UNITS])
_OFFSETS: Values = np.array([unit.offset for unit in UNITS])


@dataclass(frozen=True, slots=True)
class Table:
    """The metrics of a payload: ``names`` in order, ``units`` (metrics,) their units' codes."""

    names: tuple[str, ...]
    units: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Readings in columns of shape (n,): index into ``table.names``, milliseconds, value."""

    table: Table
    which: NDArray[np.uint8]
    times: NDArray[np.int64]
    values: Values

    def si(self) -> Values:
        """The values in SI units, shape (n,)."""
        codes = self.table.units[self.which]
        si: Values = self.values * _SCALES[codes] + _OFFSETS[codes]
        return si

    def readings(self) -> list[Reading]:
        """The same, one by one."""
        symbols = [UNITS[code].symbol for code in self.table.units]
        return [
            Reading(self.table.names[which], symbols[which], time, value)
            for which, time, value in zip(
                self.which.tolist(), self.times.tolist(), self.values.tolist(), strict=True
            )
        ]


def unpack(batch: Batch) -> Columns:
    """The readings of a batch; the refusals of ``reading.pack``."""
    payload = batch.payload
    if len(payload) < _COUNTS.size:
        raise malformed("its payload ends early")
    metrics, count = _COUNTS.unpack_from(payload)
    check_counts(count, metrics)
    at = len(payload) - count * 13 - _START.size
    if not _COUNTS.size < at <= _TABLE_MAX:
        raise malformed("its payload is not as long as its readings need")
    table = _table(payload[_COUNTS.size : at], metrics)
    (start,) = _START.unpack_from(payload, at)
    at += _START.size
    which = np.frombuffer(payload, np.uint8, count, at)
    steps = np.frombuffer(payload, "<u4", count, at + count)
    values = np.frombuffer(payload, "<f8", count, at + 5 * count)
    _check_which(which, metrics)
    _check_times(start, steps, batch.time)
    if not (np.abs(values) <= VALUE_MAX).all():
        raise not_a_reading()
    return Columns(table, which, steps.astype(np.int64) + start, values)


@lru_cache(_TABLES_KEPT)
def _table(raw: bytes, count: int) -> Table:
    """Read the table of metrics; devices send the same one again and again."""
    names: list[str] = []
    codes: list[int] = []
    at = 0
    for _ in range(count):
        end = at + 1 + raw[at] if at < len(raw) else len(raw)
        if end >= len(raw):
            raise malformed("its table of metrics ends early")
        names.append(raw[at + 1 : end].decode("latin-1"))
        codes.append(raw[end])
        at = end + 1
    if at != len(raw):
        raise malformed("its payload is not as long as its readings need")
    if any(name >= later for name, later in pairwise(names)):
        raise malformed("its metrics are not sorted, or one comes twice")
    for name, code in zip(names, codes, strict=True):
        check_unit(name, unit_of(code))
    return Table(tuple(names), np.array(codes, np.intp))


def _check_which(which: NDArray[np.uint8], metrics: int) -> None:
    counts = np.bincount(which, minlength=metrics)
    if len(counts) > metrics:
        raise malformed("a reading names no metric of its table")
    if not counts.all():
        raise malformed("a metric of its table has no reading")


def _check_times(start: int, steps: NDArray[np.uint32], sealed: int) -> None:
    if steps[0] or start > TIME_MAX:
        raise malformed("its times are out of range")
    if (steps[1:] < steps[:-1]).any():
        raise backwards("the times of the readings run backwards")
    if start + int(steps[-1]) > sealed:
        raise backwards("a reading is later than its batch")

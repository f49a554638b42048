"""The latest readings of each series, and what spoofing says of them.

Of every series the last ``DEPTH`` sound readings are kept as they came. Windows are made of them
when asked: for each metric, the devices that report it, on ticks of their usual period, each
device's own clock running back from its latest reading, so that a phase between two ticks or a
period that is not quite a second does no harm. What a device is compared with its own past by is
on ticks of its own instead, and begins anew where its period changed: what is laid on the ticks of
another period shows a pattern that is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from freehold.telemetry.cleaning import Flags, Floats, Whole
from freehold.telemetry.spoofing import TICKS_MIN, Own, Window
from freehold.telemetry.states import ranks

DEPTH = 256
"""Readings of a series that are kept, and ticks of a window."""
_AHEAD = 16
"""Ticks that a device may be before the middle one."""
_SLOWER = 2.0
"""Ticks between the readings of a device that is too slow for the window."""
_PACE = 16
"""Readings of which the median interval is the period."""
_UNLIKE = 0.12
"""Share of a tick that a device's period may be off."""
_SAME = 1.25
"""Times that a period may be longer or shorter and be the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Recent:
    """``times`` and ``values`` (series, DEPTH), of which number i stands at i mod DEPTH; ``count``
    (series,) so far."""

    times: Whole
    values: Floats
    count: Whole

    @classmethod
    def empty(cls, series: int) -> Recent:
        """Of series that have not been heard of."""
        shape = (series, DEPTH)
        return cls(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(series, np.int64))


def note(recent: Recent, series: Whole, times: Whole, values: Floats) -> None:
    """Take readings, shape (n,) each, in the order of arrival; ``series`` may repeat."""
    at = (recent.count[series] + ranks(series)) % DEPTH
    recent.times[series, at] = times
    recent.values[series, at] = values
    np.add.at(recent.count, series, 1)


def window(
    recent: Recent, series: Whole, cells: Sequence[str], *, tick: int
) -> tuple[Window, Whole] | None:
    """A window of those of ``series`` (one metric, a device each) that have enough readings, and
    their positions; ``cells`` names each one's neighbourhood, empty where unknown. ``tick`` is the
    shortest that a tick may be, milliseconds. None where there are too few readings."""
    enough = np.flatnonzero(recent.count[series] >= TICKS_MIN)
    if not len(enough):
        return None
    times, values = _ordered(recent, series[enough])
    period = _period(times)
    step = max(tick, round(float(np.median(period)) / 100) * 100)
    kept = (period <= _SLOWER * step) & _together(times[:, -1], step)
    if not kept.any():
        return None
    chosen, times, values = enough[kept], times[kept], values[kept]
    end = int(times[:, -1].max())
    times = _since_change(times)
    ticks = end + step * np.arange(1 - DEPTH, 1, dtype=np.int64)
    regular = np.abs(period[kept] / step - 1) <= _UNLIKE
    ticked = _ticked(times, values, end, step)
    return Window(ticks, ticked, _numbers(cells, chosen), regular), chosen


def own(recent: Recent, series: Whole) -> tuple[Own, Whole] | None:
    """Those of ``series`` that have enough readings since their period changed, each on ticks of
    its own period, and their positions; None where there are none."""
    enough = np.flatnonzero(recent.count[series] >= TICKS_MIN)
    if not len(enough):
        return None
    times, values = _ordered(recent, series[enough])
    times = _since_change(times)
    kept = np.count_nonzero(times, axis=1) >= TICKS_MIN
    if not kept.any():
        return None
    times, values = times[kept], values[kept]
    steps = np.maximum(np.median(np.diff(times[:, -TICKS_MIN:], axis=1), axis=1), 1.0)
    between = np.maximum(np.rint(np.diff(times, axis=1) / steps[:, None]), 1).astype(np.int64)
    ago = np.pad(np.cumsum(between[:, ::-1], axis=1)[:, ::-1], ((0, 0), (0, 1)))
    return Own(times[:, -1], steps, _placed(times, values, ago)), enough[kept]


def _since_change(times: Whole) -> Whole:
    """Times, 0 where the period was another one than it is now."""
    blocks = DEPTH // _PACE
    ends = np.pad(np.diff(times, axis=1), ((0, 0), (1, 0)), mode="edge")
    usual = np.median(ends.reshape(len(times), blocks, _PACE), axis=2)
    now = usual[:, -1:]
    other = (usual > _SAME * now) | (_SAME * usual < now)
    last = np.where(other.any(axis=1), blocks - np.argmax(other[:, ::-1], axis=1), -1)
    first = np.where(last >= 0, (last + 1) * _PACE, 0)  # the block after it has some of both
    return np.where(np.arange(DEPTH) >= first[:, None], times, 0)


def _ordered(recent: Recent, series: Whole) -> tuple[Whole, Floats]:
    """Readings by age, the latest last; times 0 where there were fewer."""
    at = (recent.count[series, None] + np.arange(DEPTH)) % DEPTH
    return recent.times[series[:, None], at], recent.values[series[:, None], at]


def _period(times: Whole) -> Floats:
    period: Floats = np.median(np.diff(times[:, -TICKS_MIN:], axis=1), axis=1)
    return period


def _together(latest: Whole, step: int) -> Flags:
    """Whether a device's latest reading is within a window of the others'."""
    middle = int(np.median(latest))
    near: Flags = (latest <= middle + _AHEAD * step) & (latest > middle - DEPTH * step)
    return near


def _ticked(times: Whole, values: Floats, end: int, step: int) -> Floats:
    """Values on ticks, NaN where none came."""
    behind = np.rint((end - times[:, -1]) / step).astype(np.int64)
    ago = np.rint((times[:, -1:] - times) / step).astype(np.int64) + behind[:, None]
    return _placed(times, values, ago)


def _placed(times: Whole, values: Floats, ago: Whole) -> Floats:
    """Values ``ago`` ticks before the end, NaN where none came."""
    rows, columns = np.nonzero((times > 0) & (ago < DEPTH))
    out = np.full((len(times), DEPTH), np.nan)
    out[rows, DEPTH - 1 - ago[rows, columns]] = values[rows, columns]
    return out


def _numbers(cells: Sequence[str], chosen: Whole) -> Whole:
    """A number for each cell; one of its own for a device whose cell is unknown."""
    known: dict[str, int] = {}
    return np.array(
        [
            known.setdefault(cells[row] or f"\0{row}", len(known))
            for row in chosen.tolist()
        ],
        np.int64,
    )  # fmt: skip


def by_metric(metrics: Whole) -> Iterator[tuple[int, Whole]]:
    """Of series with ``metrics`` (n,), each metric and its series."""
    order = np.argsort(metrics, kind="stable")
    cuts = np.flatnonzero(np.diff(metrics[order])) + 1
    for series in np.split(order, cuts):
        if len(series):
            yield int(metrics[series[0]]), series

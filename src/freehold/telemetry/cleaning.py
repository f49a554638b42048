"""Cleaning: every reading keeps its value and gets marks; gaps get estimates with their spread.

Pure and vectorised over series (one metric of one device): ``step`` takes the state of series and
one reading of each, ``clean`` takes readings in any number and the order of their arrival, and
gives what ``step`` would, one by one. Values are SI, times milliseconds of the device's clock.

What is ordinary is learnt per series, causally, by exponential means that no single reading can
move far: a residual counts up to ``FAR`` spreads (Winsor), so a spike leaves no trace and a new
level is accepted after about ten readings. Repeats do not count into the spread, or a sensor of
coarse steps would call its next step a spike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from freehold.telemetry.marks import Mark
from freehold.telemetry.metrics import limits

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Marks = NDArray[np.uint8]

FAR = 6.0
"""Spreads from the level at which a value is a spike."""
KNOWN, REGULAR, MANY = 16, 8, 100
"""Readings after which level and spread, the interval, the share of repeats are believed."""
_LEVEL, _SLOW = 0.2, 0.05
_SKIPPED, _JITTERS = 1.5, 4.0
"""A gap is longer than so many intervals and so many of their mean deviations together, so that
who reports irregularly is not taken to be silent."""
_RUN_MIN, _UNLIKELY = 12, np.log(1e-9)
"""A run of equal values is stuck from this length on, when its chance is below that."""
_HALF = 0.5
_NORMAL = 1.2533141373155001
"""Standard deviation over mean absolute deviation of a normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Physical limits of series, shape (n,) each, SI; ``rate`` per second."""

    low: Floats
    high: Floats
    rate: Floats
    restless: Flags

    @classmethod
    def of(cls, names: Sequence[str]) -> Rules:
        """The limits of metrics by name, in order."""
        found = [limits(name) for name in names]
        return cls(
            np.array([each.low for each in found], np.float64),
            np.array([each.high for each in found], np.float64),
            np.array([each.rate for each in found], np.float64),
            np.array([each.restless for each in found], np.bool_),
        )

    def at(self, series: Whole) -> Rules:
        """The rules of some series, which may repeat."""
        return Rules(*(getattr(self, each.name)[series] for each in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is known of series, shape (n,) each.

    ``time`` and ``value`` are the latest reading's, ``sound_time`` and ``sound`` the latest that
    could physically be; ``level`` and ``spread`` (mean absolute deviation) what is ordinary;
    ``step`` the mean square of a change; ``period`` the usual interval and ``jitter`` its mean
    deviation; ``count`` readings so far, ``run`` equal values in a row, ``repeats`` the usual
    share of them; ``moved`` is the time of the first of the run, ``stuck`` whether it is too long.
    """

    time: Whole
    value: Floats
    sound_time: Whole
    sound: Floats
    level: Floats
    spread: Floats
    step: Floats
    period: Floats
    jitter: Floats
    count: Whole
    run: Whole
    repeats: Floats
    moved: Whole
    stuck: Flags

    @classmethod
    def empty(cls, series: int) -> State:
        """Of series that have not been heard of."""
        whole, real = np.zeros(series, np.int64), np.zeros(series)
        return cls(
            time=whole, value=real, sound_time=whole, sound=real, level=real, spread=real,
            step=real, period=real, jitter=real, count=whole, run=whole,
            repeats=np.full(series, _HALF), moved=whole, stuck=np.zeros(series, np.bool_),
        ).copy()  # fmt: skip

    def at(self, series: Whole) -> State:
        """The state of some series."""
        return State(*(getattr(self, each.name)[series] for each in fields(self)))

    def copy(self) -> State:
        """The same in arrays of its own."""
        return State(*(getattr(self, each.name).copy() for each in fields(self)))

    def _put(self, series: Whole, part: State) -> None:
        for each in fields(self):
            getattr(self, each.name)[series] = getattr(part, each.name)


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """What cleaning says of readings, shape (n,) each.

    ``missing`` readings should have come just before; ``since`` and ``before`` are time and value
    of the series' reading before, ``step`` its mean square of a change, ``stuck`` whether it was
    marked so; ``moved`` is the time of the first of the equal values in a row.
    """

    marks: Marks
    missing: Whole
    since: Whole
    before: Floats
    step: Floats
    stuck: Flags
    moved: Whole

    @classmethod
    def empty(cls, readings: int) -> Cleaned:
        """Of readings that are yet to be cleaned."""
        whole = dict.fromkeys(("missing", "since", "moved"), np.int64)
        kinds = {"marks": np.uint8, "stuck": np.bool_, **whole}
        return cls(*(np.zeros(readings, kinds.get(f.name, np.float64)) for f in fields(cls)))


def clean(
    state: State, rules: Rules, series: Whole, times: Whole, values: Floats
) -> tuple[State, Cleaned]:
    """Clean readings, shape (n,) each, in the order of arrival; ``series`` may repeat.

    ``rules`` are those of all series of ``state``. The given state is left as it is.
    """
    after, out = state.copy(), Cleaned.empty(len(series))
    for chosen in _rounds(series):
        at = series[chosen]
        part, found = step(after.at(at), rules.at(at), times[chosen], values[chosen])
        after._put(at, part)
        for each in fields(out):
            getattr(out, each.name)[chosen] = getattr(found, each.name)
    return after, out


def _rounds(series: Whole) -> list[Whole]:
    """Positions, cut so that no series comes twice in a round and the order of each is kept."""
    if not len(series):
        return []
    order = np.argsort(series, kind="stable")
    ordered = series[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(series)) - np.repeat(starts, np.diff(np.r_[starts, len(series)]))
    cuts = np.cumsum(np.bincount(rank))[:-1]
    return np.split(order[np.argsort(rank, kind="stable")], cuts)


def step(state: State, rules: Rules, times: Whole, values: Floats) -> tuple[State, Cleaned]:
    """Clean one reading of each series of ``state``; all shapes (n,)."""
    first = state.count == 0
    passed = np.where(first, 0, times - state.time).astype(np.float64)
    live = first | (passed > 0)
    beyond = (values < rules.low) | (values > rules.high)
    fast = _too_fast(state, rules, times, values) & ~beyond
    run, repeats, stuck = _stuck(state, rules, live, values)
    missing = _missing(state, passed)
    residual = np.where(first, 0.0, values - state.level)
    far = _far(state)
    spike = live & (np.abs(residual) > far)
    marks = _bits(
        (Mark.RANGE, beyond), (Mark.RATE, fast & live), (Mark.GAP, missing > 0),
        (Mark.STUCK, stuck), (Mark.SPIKE, spike & ~beyond),
        (Mark.DUPLICATE, ~live & (passed == 0)), (Mark.LATE, ~live & (passed < 0)),
    )  # fmt: skip
    sound, moved = live & ~beyond, live & ~first & (run == 0)
    held = sound & ~fast
    level, spread = _learn(state, values, np.clip(residual, -far, far), sound, moved & sound)
    period, jitter = _period(state, passed, live & ~first)
    begun = np.where(live & (run == 0), times, state.moved)
    after = State(
        time=np.where(live, times, state.time),
        value=np.where(live, values, state.value),
        sound_time=np.where(held, times, state.sound_time),
        sound=np.where(held, values, state.sound),
        level=level,
        spread=spread,
        step=_step(state, values, moved & sound & (missing == 0)),
        period=period,
        jitter=jitter,
        count=state.count + live,
        run=run,
        repeats=repeats,
        moved=begun,
        stuck=np.where(live, stuck, state.stuck),
    )
    return after, Cleaned(marks, missing, state.time, state.value, state.step, state.stuck, begun)


def _bits(*found: tuple[Mark, Flags]) -> Marks:
    marks = np.zeros(found[0][1].shape, np.uint8)
    for mark, where in found:
        marks |= where.astype(np.uint8) * np.uint8(mark)
    return marks


def _too_fast(state: State, rules: Rules, times: Whole, values: Floats) -> Flags:
    """Whether values are further from the last sound ones than the metric can move."""
    seconds = np.maximum(times - state.sound_time, 0) / 1000.0
    limit = rules.rate * np.maximum(seconds, 1.0)
    fast: Flags = (state.sound_time > 0) & (np.abs(values - state.sound) > limit)
    return fast


def _stuck(state: State, rules: Rules, live: Flags, values: Floats) -> tuple[Whole, Floats, Flags]:
    """Equal values in a row, their usual share, and whether the run is too long for chance."""
    same = live & (state.count > 0) & (values == state.value)
    run = np.where(same, state.run + 1, np.where(live, 0, state.run))
    learns = live & (state.count > 0) & (run <= _RUN_MIN)
    repeats = state.repeats + np.where(learns, _SLOW * (same - state.repeats), 0.0)
    lively = rules.restless | ((state.count >= MANY) & (state.repeats < _HALF))
    chance = run * np.log(np.maximum(state.repeats, _HALF))
    return run, repeats, lively & same & (run >= _RUN_MIN) & (chance < _UNLIKELY)


def _missing(state: State, passed: Floats) -> Whole:
    """Readings that should have come since the last one."""
    most = _SKIPPED * state.period + _JITTERS * state.jitter
    silent = (state.count >= REGULAR) & (passed > most)
    periods = passed / np.where(silent, state.period, 1.0)
    return np.where(silent, np.rint(periods) - 1, 0).astype(np.int64)


def _far(state: State) -> Floats:
    """The distance from the level that makes a spike; infinite until the series is known."""
    known = (state.count >= KNOWN) & (state.spread > 0)
    return np.where(known, FAR * _NORMAL * state.spread, np.inf)


def _learn(
    state: State, values: Floats, residual: Floats, sound: Flags, moved: Flags
) -> tuple[Floats, Floats]:
    share = 1.0 / (state.count + 1.0)
    level = state.level + np.maximum(_LEVEL, share) * residual
    spread = state.spread + np.maximum(_SLOW, share) * (np.abs(residual) - state.spread)
    level = np.where(state.count == 0, values, level)
    return np.where(sound, level, state.level), np.where(moved, spread, state.spread)


def _step(state: State, values: Floats, moved: Flags) -> Floats:
    square = np.square(np.where(moved, values - state.value, 0.0))
    known = (state.count >= KNOWN) & (state.step > 0)
    square = np.minimum(square, np.where(known, FAR * FAR * state.step, np.inf))
    share = np.maximum(_SLOW, 1.0 / np.maximum(state.count, 1))
    return np.where(moved, state.step + share * (square - state.step), state.step)


def _period(state: State, passed: Floats, heard: Flags) -> tuple[Floats, Floats]:
    usual = np.where(state.count > 1, np.minimum(passed, 3 * state.period), passed)
    share = np.where(heard, np.maximum(_SLOW, 1.0 / np.maximum(state.count, 1)), 0.0)
    off = np.where(state.count > 1, np.abs(usual - state.period), 0.0)
    period = state.period + share * (usual - state.period)
    return period, state.jitter + share * (off - state.jitter)

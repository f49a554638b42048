"""One alert for one incident: what follows a score soon, and is no higher, is the same news."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEVER = -(2**62)


@dataclass(slots=True)
class Open:
    """Of each series: row of the incident's latest news ``last``, its first row ``since``, its
    highest score ``level``, and that ``before`` this row (0 where an incident begins)."""

    row: int
    last: Ints
    since: Ints
    level: Floats
    before: Floats


def start(series: int) -> Open:
    """No incident in any series."""
    zero = np.zeros(series)
    never = np.full(series, NEVER, dtype=np.int64)
    return Open(0, never, never.copy(), zero, zero.copy())


def step(state: Open, scores: Floats, quiet: int | Ints) -> tuple[Open, Floats]:
    """Scores (series,) that are news, the others 0.

    News is a score after ``quiet`` rows without news, which opens an incident, or one higher than
    all of the incident so far.
    """
    opened = (scores > 0) & (state.row - state.last > quiet)
    state.before = np.where(opened, 0.0, state.level)
    news = opened | (scores > state.before)
    state.since[opened] = state.row
    state.last[news] = state.row
    state.level = np.where(news, scores, state.before)
    state.row += 1
    return state, np.where(news, scores, 0.0)


def alerts(state: Open, threshold: float) -> Bools:
    """Series whose incident has just reached the threshold: each incident once.

    ``step`` must have taken this row.
    """
    reached = np.greater_equal(state.level, threshold) & np.less(state.before, threshold)
    now: Bools = reached & (state.last == state.row - 1)
    return now

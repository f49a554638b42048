"""What a series has never done before: values and short shapes far from all that it remembers.

Rows are gathered into blocks. A block has a mean, and an extreme: its highest or lowest row,
whichever lies farther from the recent level, so that one spike survives the gathering. Three
distances to the nearest in memory are watched: of an extreme to the fourth nearest (a value that
is rare, though not unheard of), of three extremes in a row, and of four means in a row (nearest
neighbours on delay-embedded windows: Yankov, Keogh and Rebbapragada, 2008). Each is ranked among
its own past; the score says how long, in warm-up periods, one waits for such a rank by chance.

Costs a comparison with all blocks in memory for each block: for thousands of series, not for
100,000; those take ``fleet``. It does not see what changes so slowly that each block is near
the one before, nor a reading stuck within its usual range, nor what was already odd in the first
period: what is remembered is normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import ranks
from freehold.learning.anomaly.explain import Finding
from freehold.learning.anomaly.incidents import Open
from freehold.learning.anomaly.ranks import Past

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCKS = 90
"""Blocks in a warm-up period."""
MEMORY = 4096
"""Blocks that a series remembers."""
QUIET = 0.24
"""Of a warm-up period: how long an incident lasts after its latest news."""
LEAST_BLOCKS = 20
"""Blocks before a value's neighbours are asked for."""
GRAIN = 0.005
"""Of the range so far: a distance below it is none."""
CONTEXT = 3
"""Blocks before one that say what to expect of it."""
ALIKE = 8
"""Stretches in memory that are asked."""
LARGEST = 1e150
"""Readings are held within it, so that no distance overflows."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A distance: ``length`` blocks in a row, to the ``nth`` nearest, weighing ``weight``."""

    length: int
    nth: int
    extreme: bool
    weight: float

    @property
    def needed(self) -> int:
        """Blocks in memory from which the distance is defined."""
        return LEAST_BLOCKS if self.length == 1 else 2 * self.length + self.nth


WATCHES = (
    Watch(length=1, nth=4, extreme=True, weight=1.0),
    Watch(length=3, nth=1, extreme=True, weight=1.4),
    Watch(length=4, nth=1, extreme=False, weight=0.5),
)


@dataclass(slots=True)
class State:
    """Of every series: the block being gathered (series, step), blocks in memory (series,
    memory) as means and extremes, unset ones NaN, and the past of each watch's distances."""

    warm: int
    row: int
    rows: Floats
    carried: Floats
    level: Floats
    means: Floats
    extremes: Floats
    blocks: int
    pasts: tuple[Past, ...]

    @property
    def quiet(self) -> int:
        """Rows after an incident's latest news until a score is a new incident."""
        return max(1, int(QUIET * self.warm))


def start(series: int, warm: int, *, blocks: int = BLOCKS, memory: int = MEMORY) -> State:
    """Nothing seen; ``warm`` rows are learnt from before any score. UsageError on none."""
    if series < 1 or warm < 1 or blocks < 1 or memory <= 2 * LEAST_BLOCKS:
        raise UsageError(
            f"{series} series, {warm} rows of warm-up and {memory} blocks are too few",
            remedy=f"Ask for a series, a row and more than {2 * LEAST_BLOCKS} blocks at least.",
        )
    nothing = np.full((series, memory), np.nan)
    return State(
        warm=warm,
        row=0,
        rows=np.full((series, max(1, warm // blocks)), np.nan),
        carried=np.full(series, np.nan),
        level=np.full(series, np.nan),
        means=nothing,
        extremes=nothing.copy(),
        blocks=0,
        pasts=tuple(ranks.start(series, memory) for _ in WATCHES),
    )


def step(state: State, values: Floats) -> tuple[State, Floats]:
    """Scores (series,) in [0, 1) of one row (series,); 0.5 is once a warm-up period by chance.

    A missing reading (NaN, infinite) scores 0 and counts as the one before it.
    """
    here = np.isfinite(values)
    held = np.clip(np.where(here, values, state.carried), -LARGEST, LARGEST)
    state.carried = held
    width = state.rows.shape[1]
    state.rows[:, state.row % width] = held
    state.row += 1
    if state.row % width:
        return state, np.zeros(len(held))
    _gather(state)
    waited = _waited(state)
    if state.row <= state.warm:
        return state, np.zeros(len(held))
    return state, np.where(here, waited / (1 + waited), 0.0)


def explain(
    state: State, which: Sequence[int], incidents: Open, names: Sequence[str]
) -> tuple[Finding, ...]:
    """Why those series were scored in the row just taken: what the latest block read at its
    extreme, and what followed the ``ALIKE`` stretches in memory most like the one before it.
    Ask when the incident begins: later the stretch before it is itself odd."""
    return tuple(_finding(state, series, incidents, names[series]) for series in which)


def _finding(state: State, series: int, incidents: Open, name: str) -> Finding:
    held = min(state.blocks, state.extremes.shape[1])
    blocks = _recent(state.extremes[[series]], state.blocks, held)[0]
    apart = np.zeros(max(held - CONTEXT - 1, 0))
    for lag in range(CONTEXT):
        apart += np.abs(blocks[lag : lag + apart.size] - blocks[held - 1 - CONTEXT + lag])
    followed = blocks[CONTEXT : CONTEXT + apart.size][np.argsort(apart)[:ALIKE]]
    return Finding(
        series=series,
        metric=name,
        since=int(incidents.since[series]),
        value=float(blocks[-1]),
        low=float(np.fmin.reduce(followed, initial=np.inf)),
        high=float(np.fmax.reduce(followed, initial=-np.inf)),
    )


def _gather(state: State) -> None:
    """Put the block that is full into memory."""
    at = state.blocks % state.means.shape[1]
    mean = state.rows.mean(axis=1)
    high, low = state.rows.max(axis=1), state.rows.min(axis=1)
    state.level = np.where(np.isnan(state.level), mean, (state.level + mean) / 2)
    state.means[:, at] = mean
    state.extremes[:, at] = np.where(high - state.level >= state.level - low, high, low)
    state.blocks += 1


def _waited(state: State) -> Floats:
    """Warm-up periods between two blocks as odd as this one, by the oddest of all watches."""
    period = state.warm / state.rows.shape[1]
    found = np.zeros(len(state.rows))
    for watch, past in zip(WATCHES, state.pasts, strict=True):
        _, rare = ranks.surprise(past, _distance(state, watch))
        found = np.maximum(found, rare * watch.weight / period)
    return found


def _distance(state: State, watch: Watch) -> Floats:
    """From the latest blocks to the nth nearest in memory, 0 while there are too few."""
    memory = state.extremes if watch.extreme else state.means
    held = min(state.blocks, memory.shape[1])
    if held < watch.needed + 1:
        return np.zeros(len(memory))
    blocks = _recent(memory, state.blocks, held)
    now, ends = blocks[:, -watch.length :], held - watch.length
    apart = np.zeros((len(memory), ends - watch.length + 1))
    for lag in range(watch.length):
        apart += np.abs(blocks[:, lag : lag + apart.shape[1]] - now[:, lag : lag + 1])
    nearest = np.partition(apart, watch.nth - 1, axis=1)[:, watch.nth - 1]
    grain = GRAIN * (np.fmax.reduce(blocks, axis=1) - np.fmin.reduce(blocks, axis=1))
    return np.where(np.isfinite(nearest) & (nearest > grain), nearest, 0.0)


def _recent(memory: Floats, blocks: int, held: int) -> Floats:
    """Blocks in memory by time, the latest last."""
    if blocks <= memory.shape[1]:
        return memory[:, :held]
    return np.roll(memory, -(blocks % memory.shape[1]), axis=1)

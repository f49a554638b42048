"""What many small surprises come to: from scores to one level of evidence that an alert asks for.

Rows are gathered into blocks, since what is odd in one row is often odd in the next for the same
reason. The highest score of a block is ranked among those of the series' own past blocks
(``ranks``); beyond its record, where ranks say nothing, the tail is taken to fall as a power of
``TAIL``. The logarithms of the p-values are summed as Page's test does (1954): ``ALLOWED`` is
taken off each, and the sum is never below zero. Of independent blocks it passes ``h`` about once
in exp(0.94 h), so one wild reading is enough, and so is an hour that is a little too far. A block
is judged while it fills: no alert waits for its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import ranks
from freehold.learning.anomaly.ranks import Past

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ALLOWED = 3.0
"""Nats of surprise in a block that add nothing."""
TAIL = 4.0
"""Beyond the record a p-value falls as the score to this power: heavier than noise mostly is."""
BEYOND_MOST = 100.0
"""Times the record that are told apart."""
MOST = 30.0
"""Nats that evidence grows to, so that an incident ends soon after its cause."""
ALERT = 14.0
"""Nats that are worth an alert: one false a device in some months, on labelled fleets."""
MEMORY = 256
"""Blocks that a series remembers."""
YOUNG = 16
"""Blocks in memory before anything is surprising."""
_LARGEST = 1e30
"""Scores are held within it, to be kept in 32 bits."""


@dataclass(slots=True)
class Evidence:
    """Of each series (series,): ``total`` nats of the blocks before, ``peak``, the highest score
    of this one (NaN without any), and the past of peaks. ``row`` of the block of ``width``."""

    width: int
    row: int
    total: Floats
    peak: Floats
    past: Past


def start(series: int, *, width: int = 1, memory: int = MEMORY) -> Evidence:
    """None of any series, in blocks of ``width`` rows. UsageError on an empty block."""
    if width < 1:
        raise UsageError(f"a block of {width} rows is empty", remedy="Ask for one row at least.")
    past = ranks.start(series, memory, single=True)
    return Evidence(width, 0, np.zeros(series), np.full(series, np.nan), past)


def step(state: Evidence, scores: Floats, present: Bools) -> tuple[Evidence, Floats]:
    """Nats (series,) with scores (series,), all at least 0, of those ``present``.

    What is returned is 0 for the absent and for a series that is new.
    """
    state.peak = np.fmax(state.peak, np.where(present, scores, np.nan))
    known = np.isfinite(state.peak)
    peak = np.clip(np.where(known, state.peak, 0.0), 0.0, _LARGEST)
    old = known & (state.past.count >= YOUNG)
    nats = np.where(old, np.clip(state.total + _rare(state.past, peak) - ALLOWED, 0, MOST), 0.0)
    state.row += 1
    if state.row == state.width:
        state.total = np.where(known, nats, state.total)
        state.past = ranks.join(state.past, peak, known)
        state.row, state.peak = 0, np.full(len(peak), np.nan)
    return state, np.where(present, nats, 0.0)


def _rare(past: Past, scores: Floats) -> Floats:
    """Nats of surprise at scores (series,) given their past."""
    kept = scores.astype(np.float32)
    above = np.greater_equal(past.scores, kept[:, None]).sum(axis=1)
    record = np.fmax.reduce(past.scores, axis=1, initial=0.0)
    ratio = np.divide(kept, record, out=np.ones_like(kept), where=record > 0)
    held = np.minimum(past.count, past.scores.shape[1])
    beyond = np.clip(ratio, 1.0, BEYOND_MOST).astype(np.float64)
    nats: Floats = TAIL * np.log(beyond) - np.log((above + 1.0) / (held + 1.0))
    return nats


def at(state: Evidence, series: Ints) -> Evidence:
    """The state of some series, none twice, in arrays of its own."""
    past = Past(state.past.scores[series], state.past.count[series])
    return Evidence(state.width, state.row, state.total[series], state.peak[series], past)


def put(state: Evidence, series: Ints, part: Evidence) -> None:
    """Write back what ``at`` gave, after steps. Where blocks have more than one row, all series
    of a state must take their rows together."""
    state.total[series], state.peak[series] = part.total, part.peak
    state.past.scores[series], state.past.count[series] = part.past.scores, part.past.count
    state.row = part.row


def grown(state: Evidence, series: int) -> Evidence:
    """The same for the first of ``series`` series, none of those after them."""
    held = len(state.total)
    fresh = start(series, width=state.width, memory=state.past.scores.shape[1])
    fresh.total[:held], fresh.peak[:held], fresh.row = state.total, state.peak, state.row
    fresh.past.scores[:held], fresh.past.count[:held] = state.past.scores, state.past.count
    return fresh


def arrays(state: Evidence) -> dict[str, npt.NDArray[np.generic]]:
    """What a checkpoint must keep of a state, beside its width and row, by name."""
    past = state.past
    return {"total": state.total, "peak": state.peak, "past": past.scores, "seen": past.count}


def restore(
    kept: Mapping[str, npt.NDArray[np.generic]], *, width: int = 1, row: int = 0
) -> Evidence:
    """The state of which ``arrays`` gave ``kept``; UsageError where these do not fit together."""
    past = kept["past"]
    if past.ndim != 2 or not 0 <= row < width:
        raise _misshapen()
    state = start(len(past), width=width, memory=past.shape[1])
    state.row = row
    for name, into in arrays(state).items():
        if kept[name].shape != into.shape:
            raise _misshapen()
        into[...] = kept[name]
    return state


def _misshapen() -> UsageError:
    return UsageError("kept evidence has the wrong shape", remedy="Begin with a new state.")


def score(nats: Floats) -> Floats:
    """The same from 0 to 1."""
    return nats / MOST

"""A whole fleet's readings at once: what strays from its own recent level, device by device.

Each metric of each device has a level and a spread, both exponentially weighted and both deaf to
how far an outlier lies (a reading counts as at most ``HEARD`` spreads away). A device's score is
the rank of its most deviant metric among the device's own past (``ranks``), so one threshold
serves quiet devices and wild ones. A few array operations for all devices: made for 100,000.

It sees a step, a spike and a change of spread; a wrong shape within the usual range it does not
(``novelty`` does), and to a drift slower than its memory it adapts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import ranks
from freehold.learning.anomaly.explain import Finding, strayed
from freehold.learning.anomaly.incidents import Open
from freehold.learning.anomaly.ranks import Past

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

RATE = 0.02
"""Weight of a new reading in level and spread."""
HEARD = 3.0
"""Spreads beyond which a reading is not heard any louder."""
MEMORY = 128
"""Scores that a device remembers."""
_ABSOLUTE_TO_NORMAL = 1.2533
"""Standard deviation over mean absolute deviation of a normal variable: the root of pi / 2."""
_LEAST_SPREAD = 1e-6
"""Of the level: below it a spread is rounding, and the series was constant."""
_CONSTANT_SPREAD = 0.01
"""Of the level: one spread of a constant series, of which nobody knows how far it moves when it
does."""
_LARGEST = 1e30
_KEPT = ("level", "spread", "count")
_YOUNG = 8
"""Readings before a spread is known well enough to bound what is heard."""


@dataclass(slots=True)
class State:
    """``level``, ``spread`` and ``count`` are (devices, metrics), and so is what the latest row
    was held against: ``expected`` and ``width``, one spread then, and ``deviation``, in spreads."""

    rate: float
    warm: int
    level: Floats
    spread: Floats
    count: Ints
    expected: Floats
    width: Floats
    deviation: Floats
    past: Past


def start(
    devices: int, metrics: int, *, rate: float = RATE, warm: int = 32, memory: int = MEMORY
) -> State:
    """Nothing seen; a device scores after ``warm`` rows. UsageError on an empty fleet."""
    if metrics < 1 or not 0 < rate < 1:
        raise UsageError(
            f"{metrics} metrics at a rate of {rate} cannot be followed",
            remedy="Ask for a metric at least and a rate between 0 and 1.",
        )
    past = ranks.start(devices, memory, single=True)
    shape = (devices, metrics)
    zero = np.zeros(shape)
    count = np.zeros(shape, dtype=np.int64)
    return State(rate, warm, zero, zero.copy(), count, zero, zero, zero, past)


def grow(state: State, devices: int, metrics: int) -> State:
    """The same with room for ``devices`` of ``metrics``, no fewer than it has; new ones unseen."""
    held = state.level.shape
    if devices < held[0] or metrics < held[1]:
        raise UsageError(
            f"a fleet of {held} cannot shrink to {(devices, metrics)}",
            remedy="Give as many devices and metrics as it has, or more.",
        )
    after = start(
        devices, metrics, rate=state.rate, warm=state.warm, memory=state.past.scores.shape[1]
    )
    for name in _KEPT:
        getattr(after, name)[: held[0], : held[1]] = getattr(state, name)
    after.past.scores[: held[0]], after.past.count[: held[0]] = state.past.scores, state.past.count
    return after


def at(state: State, which: Ints) -> State:
    """The state of some devices, to be stepped by itself; no device comes twice."""
    level, spread, count = (getattr(state, name)[which] for name in _KEPT)
    past = Past(state.past.scores[which], state.past.count[which])
    zero = np.zeros(level.shape)
    return State(state.rate, state.warm, level, spread, count, zero, zero, zero, past)


def put(state: State, which: Ints, part: State) -> None:
    """Write back what ``at`` gave of ``which`` and was stepped."""
    for name in _KEPT:
        getattr(state, name)[which] = getattr(part, name)
    state.past.scores[which], state.past.count[which] = part.past.scores, part.past.count


def renew(state: State, which: Ints) -> None:
    """Take what devices will read as that of new ones; none comes twice."""
    for name in _KEPT:
        getattr(state, name)[which] = 0
    state.past.scores[which], state.past.count[which] = np.nan, 0


def arrays(state: State) -> dict[str, npt.NDArray[np.generic]]:
    """What a checkpoint must keep of a state, by name."""
    kept = {name: getattr(state, name) for name in _KEPT}
    return {**kept, "scores": state.past.scores, "seen": state.past.count}


def restore(
    kept: Mapping[str, npt.NDArray[np.generic]], *, rate: float = RATE, warm: int = 32
) -> State:
    """The state of which ``arrays`` gave ``kept``; UsageError where these do not fit together."""
    level, scores = kept["level"], kept["scores"]
    if level.ndim != 2 or scores.ndim != 2:
        raise UsageError("a kept state has the wrong shape", remedy="Begin with a new state.")
    state = start(*level.shape, rate=rate, warm=warm, memory=scores.shape[1])
    into = arrays(state)
    if any(kept[name].shape != array.shape for name, array in into.items()):
        raise UsageError("a kept state has the wrong shape", remedy="Begin with a new state.")
    for name, array in into.items():
        array[...] = kept[name]
    return state


def step(state: State, values: Floats) -> tuple[State, Floats]:
    """Scores (devices,) in [0, 1] of one row (devices, metrics): 1 less the p-value.

    A missing reading (NaN, infinite) is skipped; a device without any scores 0.
    """
    here = np.isfinite(values)
    held = np.clip(np.where(here, values, state.level), -_LARGEST, _LARGEST)
    state.expected, state.width = state.level, _spread(state)
    off = (held - state.expected) / state.width
    state.deviation = np.where(here & (state.count > 0), off, 0.0)
    state.past, chance = ranks.step(
        state.past, deviations(state), np.any(here, axis=1, keepdims=True)[:, 0]
    )
    _learn(state, held, here)
    return state, np.where(state.past.count > state.warm, 1.0 - chance, 0.0)


def settled(state: State) -> Floats:
    """``deviations`` by metrics with more than ``warm`` readings: the spread of one that has just
    begun is not known, and all would be far off. What the last row says of others is taken back."""
    if state.count.min() <= state.warm:
        state.deviation = np.where(state.count > state.warm, state.deviation, 0.0)
    return deviations(state)


def deviations(state: State) -> Floats:
    """Of each device (devices,), spreads that its most deviant metric lay off in the last row."""
    most: Floats = np.abs(state.deviation).max(axis=1)
    return most


def explain(
    state: State, values: Floats, which: Sequence[int], incidents: Open, names: Sequence[str]
) -> tuple[Finding, ...]:
    """Why those devices were scored in the row just taken: the metric farthest off, what was
    expected of it, and since when it strays."""
    return tuple(_finding(state, values, device, incidents, names) for device in which)


def _finding(
    state: State, values: Floats, device: int, incidents: Open, names: Sequence[str]
) -> Finding:
    metric = int(np.argmax(np.abs(state.deviation[device])))
    at = device, metric
    return strayed(
        device, names[metric], since=int(incidents.since[device]), value=float(values[at]),
        expected=float(state.expected[at]), spread=float(state.width[at]),
    )  # fmt: skip


def _spread(state: State) -> Floats:
    size = _size(state)
    return np.where(state.spread > _LEAST_SPREAD * size, state.spread, _CONSTANT_SPREAD * size)


def _size(state: State) -> Floats:
    size: Floats = 1e-3 + np.abs(state.level)
    return size


def _learn(state: State, held: Floats, here: npt.NDArray[np.bool_]) -> None:
    """Move level and spread towards the reading; the first readings count equally."""
    state.count += here
    weight = np.where(here, np.maximum(state.rate, 1.0 / np.maximum(state.count, 1)), 0.0)
    off = held - state.level
    old, spread = state.count > _YOUNG, _spread(state)
    bound = np.where(old, HEARD * spread, np.inf)
    heard = np.clip(off, -bound, bound)
    # A constant that begins to move keeps the spread that it was given, or its next reading would
    # be far off by the little that this one lets it learn.
    moves = old & (np.abs(heard) > _LEAST_SPREAD * _size(state))
    state.spread = np.where(moves, spread, state.spread)
    state.level = state.level + weight * heard
    state.spread += weight * (
        _ABSOLUTE_TO_NORMAL * np.abs(heard) * (state.count > 1) - state.spread
    )

"""A device beside its peers: what departs from its cohort, and not the weather that all feel.

Devices of one cohort measure the same thing at sites of their own, so each has its usual offset
from the cohort's median. What is left after median and offset is measured in spreads: the
device's own usual one, or the cohort's of this row (median absolute deviation) where that is
larger, so a front that reaches some before others is no news. The row and the recent mean of rows
are both watched, since a device may leave its peers slowly; ``evidence`` calibrates.

Cohorts are sorted side by side in tables of like sizes: array operations only, for 100,000
devices. Fewer than ``LEAST`` devices that report in a row are no cohort, and half of a cohort or
more that departs together is its median.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import evidence
from freehold.learning.anomaly.evidence import Evidence
from freehold.learning.anomaly.explain import Finding, strayed
from freehold.learning.anomaly.incidents import Open

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LEAST = 5
"""Devices of a cohort that report in a row, from which their median is one."""
RATE = 0.005
"""Weight of a new reading in a device's offset and spread."""
RECENT = 0.1
"""Weight of a new reading in the recent mean."""
SMOOTH = float(np.sqrt(RECENT / (2 - RECENT)))
"""Of noise, what its recent mean is."""
HEARD = 3.0
"""Spreads beyond which a reading is not heard any louder."""
LOUD = 10.0
"""Spreads beyond which it does not move the recent mean any further."""
WIDTH = 10
"""Rows of recent means that are judged together: one mean is nearly the next."""
ALONE = -1
"""In place of a cohort's id: a device without peers."""
_MAD_TO_NORMAL = 1.4826
_ABSOLUTE_TO_NORMAL = 1.2533
"""Standard deviation of a normal variable over its median and its mean absolute deviation."""
_LEAST_SPREAD = 1e-4
"""Of the reading: below it a spread is rounding."""
_LEAST_OWN = 0.05
"""Of how a device's reading strays from its own level: peers that are closer than that are one
thing read twice, such as the load of one machine, and what is between them is how it was read."""
_LARGEST = 1e30
_KEPT = ("offset", "spread", "recent", "count", "usual", "stray")
_LATER = ("usual", "stray")
"""What older states do not have."""
_YOUNG = 8
"""Readings before a spread is known well enough to bound what is heard."""


@dataclass(slots=True)
class State:
    """``offset``, ``spread``, ``recent`` and ``count`` are (devices, metrics), so are a device's
    ``usual`` reading and how far it strays from that, ``stray``, and so is what the latest row was
    held against: ``expected``, ``width``, one spread then, and ``deviation``, in spreads. ``now``
    is the evidence of rows, ``lately`` that of recent means. ``tables`` hold cohorts (cohorts,
    size) of devices, ``len(offset)`` where there is none."""

    rate: float
    tables: tuple[Ints, ...]
    offset: Floats
    spread: Floats
    recent: Floats
    count: Ints
    usual: Floats
    stray: Floats
    expected: Floats
    width: Floats
    deviation: Floats
    now: Evidence
    lately: Evidence


def start(
    cohorts: Ints, metrics: int, *, rate: float = RATE, memory: int = evidence.MEMORY
) -> State:
    """Nothing seen of devices in ``cohorts`` (devices,): ids, ``ALONE`` for none. UsageError on
    no device, no metric or a rate that learns nothing."""
    if metrics < 1 or not len(cohorts) or cohorts.ndim != 1 or not 0 < rate < 1:
        raise UsageError(
            f"{len(cohorts)} devices with {metrics} metrics at a rate of {rate} are no cohorts",
            remedy="Ask for a device, a metric and a rate between 0 and 1.",
        )
    zero = np.zeros((len(cohorts), metrics))
    return State(
        rate=rate,
        tables=tables(cohorts),
        offset=zero.copy(),
        spread=zero.copy(),
        recent=zero.copy(),
        count=np.zeros(zero.shape, dtype=np.int64),
        usual=zero.copy(),
        stray=zero.copy(),
        expected=zero,
        width=zero,
        deviation=zero,
        now=evidence.start(len(cohorts), memory=memory),
        lately=evidence.start(len(cohorts), width=WIDTH, memory=memory),
    )


def tables(cohorts: Ints) -> tuple[Ints, ...]:
    """Devices by cohort, in one table for each power of two of sizes, so that at most half of a
    table is empty: (cohorts, size), empty places ``len(cohorts)``."""
    order = np.argsort(cohorts, kind="stable")
    order = order[cohorts[order] != ALONE]
    starts = np.flatnonzero(np.diff(cohorts[order], prepend=ALONE) != 0)
    sizes = np.diff(starts, append=order.size)
    padded = np.append(order, len(cohorts))
    powers = np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)
    found = []
    for power in np.unique(powers[sizes >= LEAST]):
        mine = (powers == power) & (sizes >= LEAST)
        place = np.arange(sizes[mine].max())
        at = np.where(place < sizes[mine, None], starts[mine, None] + place, order.size)
        found.append(padded[at])
    return tuple(found)


def regroup(state: State, cohorts: Ints) -> State:
    """The same devices, and new ones after them, in ``cohorts`` (devices,) from now on."""
    held = len(state.offset)
    if len(cohorts) < held:
        raise UsageError(
            f"{held} devices are followed, and {len(cohorts)} have a cohort",
            remedy="Give every device a cohort; those that left are ALONE.",
        )
    memory = state.now.past.scores.shape[1]
    fresh = start(cohorts, state.offset.shape[1], rate=state.rate, memory=memory)
    for name in _KEPT:
        getattr(fresh, name)[:held] = getattr(state, name)
    return replace(
        fresh,
        now=evidence.grown(state.now, len(cohorts)),
        lately=evidence.grown(state.lately, len(cohorts)),
    )


def arrays(state: State) -> dict[str, npt.NDArray[np.generic]]:
    """What a checkpoint must keep of a state, by name; who is in which cohort is not among it."""
    kept = {name: getattr(state, name) for name in _KEPT}
    kept |= {f"now.{name}": each for name, each in evidence.arrays(state.now).items()}
    kept |= {f"lately.{name}": each for name, each in evidence.arrays(state.lately).items()}
    return {**kept, "row": np.array([state.lately.row])}


def restore(
    kept: Mapping[str, npt.NDArray[np.generic]], cohorts: Ints, *, rate: float = RATE
) -> State:
    """The state of which ``arrays`` gave ``kept``; UsageError where these do not fit together."""
    parts = {
        part: {name.partition(".")[2]: kept[name] for name in kept if name.startswith(f"{part}.")}
        for part in ("now", "lately")
    }
    kept = {name: np.zeros(kept["offset"].shape) for name in _LATER} | dict(kept)
    now = evidence.restore(parts["now"])
    lately = evidence.restore(parts["lately"], width=WIDTH, row=int(kept["row"].item()))
    shape = kept["offset"].shape
    held = {len(cohorts), len(now.total), len(lately.total), shape[0]}
    if len(held) != 1 or len(shape) != 2 or any(kept[name].shape != shape for name in _KEPT):
        raise UsageError("a kept state has the wrong shape", remedy="Begin with a new state.")
    state = start(cohorts, shape[1], rate=rate)
    for name in _KEPT:
        getattr(state, name)[...] = kept[name]
    return replace(state, now=now, lately=lately)


def step(state: State, values: Floats) -> tuple[State, Floats]:
    """Scores (devices,) in [0, 1] of one row (devices, metrics): evidence, as a share of its most.

    Within one spread nothing is rarer than anything else, or the least difference would be news
    to devices that never differ. A missing reading (NaN, infinite) is skipped; a device without
    any, or without peers in this row, scores 0.
    """
    here = np.isfinite(values)
    held = np.clip(np.where(here, values, 0.0), -_LARGEST, _LARGEST)
    middle, around = _middles(state, np.where(here, held - state.offset, np.nan))
    here &= np.isfinite(middle)
    middle = np.where(here, middle, 0.0)
    off = np.where(here, held - state.offset - middle, 0.0)
    state.expected = middle + state.offset
    state.width = np.maximum(
        np.maximum(state.spread, np.where(here, around, 0.0)), _least(state, held)
    )
    known = here & (state.count > 0)
    state.deviation = np.where(known, off / state.width, 0.0)
    loud = np.clip(state.deviation, -LOUD, LOUD)
    state.recent += np.where(known, RECENT * (loud - state.recent), 0.0)
    _learn(state, off, here, _least(state, held))
    _stray(state, held, here)
    present = np.asarray(known.any(axis=1))
    farthest, longest = np.abs(state.deviation).max(axis=1), np.abs(state.recent).max(axis=1)
    state.now, nats = evidence.step(state.now, np.maximum(farthest, 1.0), present)
    state.lately, more = evidence.step(state.lately, np.maximum(longest, SMOOTH), present)
    return state, evidence.score(np.maximum(nats, more))


def explain(
    state: State, values: Floats, which: Sequence[int], incidents: Open, names: Sequence[str]
) -> tuple[Finding, ...]:
    """Why those devices were scored in the row just taken: the metric farthest from the peers,
    what they let expect of it, and since when it strays."""
    return tuple(_finding(state, values, device, incidents, names) for device in which)


def _finding(
    state: State, values: Floats, device: int, incidents: Open, names: Sequence[str]
) -> Finding:
    far = np.maximum(np.abs(state.deviation), np.abs(state.recent) / SMOOTH)
    metric = int(np.argmax(far[device]))
    at = device, metric
    return strayed(
        device, names[metric], since=int(incidents.since[device]), value=float(values[at]),
        expected=float(state.expected[at]), spread=float(state.width[at]),
    )  # fmt: skip


def _least(state: State, held: Floats) -> Floats:
    """A spread below which it says nothing."""
    return np.maximum(_LEAST_SPREAD * (1e-3 + np.abs(held)), _LEAST_OWN * state.stray)


def _stray(state: State, held: Floats, here: Bools) -> None:
    """Learn how far a device's readings are from their own level, after the count is up."""
    weight = np.where(here, np.maximum(state.rate, 1.0 / np.maximum(state.count, 1)), 0.0)
    off = held - state.usual
    state.usual = state.usual + weight * off
    state.stray += weight * (np.abs(off) * (state.count > 1) - state.stray)


def _middles(state: State, own: Floats) -> tuple[Floats, Floats]:
    """Median and spread of each device's cohort (devices, metrics), NaN without one."""
    devices, metrics = own.shape
    columns = np.full((metrics, devices + 1), np.nan)
    columns[:, :devices] = own.T
    middle, around = np.full_like(columns, np.nan), np.full_like(columns, np.nan)
    for table in state.tables:
        readings = columns[:, table]
        centre = _median(readings)
        middle[:, table] = centre
        around[:, table] = _MAD_TO_NORMAL * _median(np.abs(readings - centre))
    return middle[:, :devices].T, around[:, :devices].T


def _median(readings: Floats) -> Floats:
    """Of the last axis, kept; NaN below ``LEAST`` readings."""
    ordered = np.sort(readings, axis=-1)
    here = np.isfinite(readings).sum(axis=-1, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(here - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(here // 2, ordered.shape[-1] - 1), axis=-1)
    return np.where(here >= LEAST, low + (high - low) / 2, np.nan)


def _learn(state: State, off: Floats, here: Bools, least: Floats) -> None:
    """Move offset and spread towards the reading; the first readings count equally."""
    state.count += here
    weight = np.where(here, np.maximum(state.rate, 1.0 / np.maximum(state.count, 1)), 0.0)
    bound = np.where(state.count > _YOUNG, HEARD * np.maximum(state.spread, least), np.inf)
    heard = np.clip(off, -bound, bound)
    state.offset = state.offset + weight * heard
    state.spread += weight * (
        _ABSOLUTE_TO_NORMAL * np.abs(heard) * (state.count > 1) - state.spread
    )

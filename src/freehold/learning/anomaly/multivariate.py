"""The metrics of one device together: a relation that breaks while each of them looks usual.

Each device has a mean and a covariance of its metrics, exponentially weighted, deaf to how far an
outlier lies, and shrunk towards no relation so that it can be inverted. A row's distance
(Mahalanobis, 1936) is taken by Cholesky for all devices at once, and ``evidence`` calibrates it.
Needs metrics squared numbers a device, so ``METRICS`` at most. It sees no relation across time,
and takes one that holds only now and then for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

METRICS = 16
"""Metrics of a device at the most."""
RATE = 0.005
"""Weight of a new reading in mean and covariance."""
SHRUNK = 0.002
"""Share of each relation that is not believed."""
HEARD = 4.0
"""Spreads beyond which a reading is not heard any louder."""
WARM = 128
"""Readings before a metric is held against others: what they have in common is not known before."""
_LEAST_SPREAD = 1e-6
"""Of the level: below it a spread is rounding."""
_LARGEST = 1e30
_FARTHEST = 1e9
"""Spreads that a reading is off at the most, so that no distance overflows."""
_YOUNG = 8
"""Readings before a spread is known well enough to bound what is heard."""


@dataclass(slots=True)
class State:
    """``mean`` and ``count`` are (metrics, devices), ``covariance`` (metrics, metrics, devices),
    of which the triangle below is kept.

    What the latest row was held against: ``width`` (metrics, devices), one spread then; ``off``
    from the mean, in spreads, 0 where missing; ``relation``, the shrunk correlations then, none
    with what was missing.
    """

    rate: float
    mean: Floats
    covariance: Floats
    count: Ints
    width: Floats
    off: Floats
    relation: Floats
    evidence: Evidence


def start(
    devices: int, metrics: int, *, rate: float = RATE, memory: int = evidence.MEMORY
) -> State:
    """Nothing seen. UsageError on no metric, more than ``METRICS``, or no device."""
    if not 1 <= metrics <= METRICS or not 0 < rate < 1:
        raise UsageError(
            f"{metrics} metrics at a rate of {rate} cannot be related",
            remedy=f"Ask for 1 to {METRICS} metrics and a rate between 0 and 1.",
        )
    followed = evidence.start(devices, memory=memory)
    zero, square = np.zeros((metrics, devices)), np.zeros((metrics, metrics, devices))
    none = np.zeros(zero.shape, dtype=np.int64)
    return State(rate, zero.copy(), square, none, zero, zero, square.copy(), followed)


def step(state: State, values: Floats) -> tuple[State, Floats]:
    """Scores (devices,) in [0, 1] of one row (devices, metrics): evidence, as a share of its most.

    A missing reading (NaN, infinite) is skipped: the others are related among themselves. A
    device without any scores 0.
    """
    row = np.ascontiguousarray(values.T, dtype=np.float64)
    here = np.isfinite(row)
    held = np.clip(np.where(here, row, state.mean), -_LARGEST, _LARGEST)
    known = here & (state.count > WARM)
    variance = np.einsum("iid->id", state.covariance)
    state.width = np.maximum(np.sqrt(variance), _LEAST_SPREAD * (1e-3 + np.abs(state.mean)))
    off = np.clip((held - state.mean) / state.width, -_FARTHEST, _FARTHEST)
    state.off = np.where(known, off, 0.0)
    _relate(state, known)
    distance = np.zeros(row.shape[1])
    for left in _left(state):  # in this order for one device or many, to the last bit
        distance += left * left
    distance /= np.maximum(known.sum(axis=0), 1)
    _learn(state, held, here)
    state.evidence, nats = evidence.step(state.evidence, distance, np.asarray(known.any(axis=0)))
    return state, evidence.score(nats)


def explain(
    state: State, values: Floats, which: Sequence[int], incidents: Open, names: Sequence[str]
) -> tuple[Finding, ...]:
    """Why those devices were scored in the row just taken: the metric farthest from what the
    others let expect of it, and since when it strays."""
    return tuple(_finding(state, values, device, incidents, names) for device in which)


def _finding(
    state: State, values: Floats, device: int, incidents: Open, names: Sequence[str]
) -> Finding:
    metric, far, spread = farthest(state, device)
    value = float(values[device, metric])
    since = int(incidents.since[device])
    return strayed(
        device, names[metric], since=since, value=value, expected=value - far * spread,
        spread=spread,
    )  # fmt: skip


def farthest(state: State, device: int) -> tuple[int, float, float]:
    """The metric that is farthest from what the others let expect in the row just taken: which,
    how many spreads above, and one spread in its own unit."""
    lower = state.relation[:, :, device]
    precision = np.linalg.pinv(lower + np.tril(lower, -1).T, hermitian=True)
    spread = 1 / np.sqrt(np.maximum(np.diag(precision), 1.0))
    apart = (precision @ state.off[:, device]) * spread
    metric = int(np.argmax(np.abs(apart)))
    return metric, float(apart[metric]), float(state.width[metric, device] * spread[metric])


def grow(state: State, devices: int, metrics: int) -> State:
    """The same with room for ``devices`` of ``metrics``, no fewer than it has; new ones unseen."""
    wide, held = state.mean.shape
    if devices < held or metrics < wide:
        raise UsageError(
            f"{held} devices of {wide} metrics cannot shrink to {devices} of {metrics}",
            remedy="Give as many devices and metrics as there are, or more.",
        )
    memory = state.evidence.past.scores.shape[1]
    after = start(devices, metrics, rate=state.rate, memory=memory)
    after.mean[:wide, :held], after.count[:wide, :held] = state.mean, state.count
    after.covariance[:wide, :wide, :held] = state.covariance
    after.evidence = evidence.grown(state.evidence, devices)
    return after


def at(state: State, which: Ints, metrics: int) -> State:
    """The first ``metrics`` of some devices, to be stepped by themselves; no device comes twice."""
    mean, count = state.mean[:metrics, which], state.count[:metrics, which]
    covariance, zero = state.covariance[:metrics, :metrics, which], np.zeros(mean.shape)
    relation, followed = np.zeros(covariance.shape), evidence.at(state.evidence, which)
    return State(state.rate, mean, covariance, count, zero, zero, relation, followed)


def put(state: State, which: Ints, part: State) -> None:
    """Write back what ``at`` gave of ``which`` and was stepped."""
    metrics = len(part.mean)
    state.mean[:metrics, which], state.count[:metrics, which] = part.mean, part.count
    state.covariance[:metrics, :metrics, which] = part.covariance
    evidence.put(state.evidence, which, part.evidence)


def arrays(state: State) -> dict[str, npt.NDArray[np.generic]]:
    """What a checkpoint must keep of a state, by name; of the covariance its triangle."""
    triangle = state.covariance[np.tril_indices(len(state.mean))]
    kept = {"mean": state.mean, "count": state.count, "covariance": triangle}
    return kept | evidence.arrays(state.evidence)


def restore(kept: Mapping[str, npt.NDArray[np.generic]], *, rate: float = RATE) -> State:
    """The state of which ``arrays`` gave ``kept``; UsageError where these do not fit together."""
    mean, followed = kept["mean"], evidence.restore(kept)
    if mean.ndim != 2 or mean.shape[1] != len(followed.total):
        raise _misshapen()
    state = start(mean.shape[1], len(mean), rate=rate)
    triangle = np.tril_indices(len(mean))
    shapes = {"count": mean.shape, "covariance": (len(triangle[0]), mean.shape[1])}
    if any(kept[name].shape != shape for name, shape in shapes.items()):
        raise _misshapen()
    state.mean[...], state.count[...] = mean, kept["count"]
    state.covariance[triangle], state.evidence = kept["covariance"], followed
    return state


def _misshapen() -> UsageError:
    return UsageError("a kept state has the wrong shape", remedy="Begin with a new state.")


def _relate(state: State, known: Bools) -> None:
    """Set the shrunk correlations of what is ``known`` (metrics, devices)."""
    for one, width in enumerate(state.width):
        share = np.clip(state.covariance[one, :one] / (width * state.width[:one]), -1.0, 1.0)
        both = known[one] & known[:one]
        state.relation[one, :one] = np.where(both, (1 - SHRUNK) * share, 0.0)
        state.relation[one, one] = 1.0


def _left(state: State) -> Floats:
    """What the metrics before it leave of each, in spreads (metrics, devices): Cholesky's factor
    and the row divided by it, column by column."""
    rest, left = state.relation.copy(), state.off.copy()
    for one in range(len(left)):
        # Gaps make shares of different rows, whose matrix need not have a root; of one that has,
        # no term is above 1.
        root = np.sqrt(np.maximum(rest[one, one], SHRUNK / 2))
        left[one] /= root
        after = one + 1
        factor = np.clip(rest[after:, one] / root, -1.0, 1.0)
        left[after:] -= factor * left[one]
        for row, mine in enumerate(factor):
            rest[after + row, after : after + row + 1] -= mine * factor[: row + 1]
    return left


def _learn(state: State, held: Floats, here: Bools) -> None:
    """Move mean and covariance towards the row; the first readings count equally."""
    state.count += here
    weight = np.where(here, np.maximum(state.rate, 1.0 / np.maximum(state.count, 1)), 0.0)
    bound = np.where(state.count > _YOUNG, HEARD * state.width, np.inf)
    heard = np.clip(held - state.mean, -bound, bound)
    for one, mine in enumerate(heard):
        upto = one + 1
        both = here[one] & here[:upto]
        share = np.where(both, np.maximum(weight[one], weight[:upto]), 0.0)
        before = state.covariance[one, :upto]
        state.covariance[one, :upto] = (1 - share) * (before + share * mine * heard[:upto])
    state.mean = state.mean + weight * heard

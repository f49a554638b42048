"""The metrics of one device together: a relation that breaks while each of them looks usual.

Each device has a mean and a covariance of its metrics, exponentially weighted, deaf to how far an
outlier lies, and shrunk towards no relation so that it can be inverted. A row's distance
(Mahalanobis, 1936) is taken by Cholesky for all devices at once, and ``evidence`` calibrates it.
Needs metrics squared numbers a device, so ``METRICS`` at most. It sees no relation across time,
and takes one that holds only now and then for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import evidence
from freehold.learning.anomaly.evidence import Evidence
from freehold.learning.anomaly.explain import Finding
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
SPREADS = 4.0
"""Spreads on either side of what the other metrics let expect."""
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
    return State(rate, zero, square, none, zero, zero, square.copy(), followed)


def step(state: State, values: Floats) -> tuple[State, Floats]:
    """Scores (devices,) in [0, 1] of one row (devices, metrics): evidence, as a share of its most.

    A missing reading (NaN, infinite) is skipped: the others are related among themselves. A
    device without any scores 0.
    """
    row = np.ascontiguousarray(values.T, dtype=np.float64)
    here = np.isfinite(row)
    held = np.clip(np.where(here, row, state.mean), -_LARGEST, _LARGEST)
    known = here & (state.count > 1)
    variance = np.einsum("iid->id", state.covariance)
    state.width = np.maximum(np.sqrt(variance), _LEAST_SPREAD * (1e-3 + np.abs(state.mean)))
    off = np.clip((held - state.mean) / state.width, -_FARTHEST, _FARTHEST)
    state.off = np.where(known, off, 0.0)
    _relate(state, known)
    left = _left(state)
    distance = np.einsum("md,md->d", left, left) / np.maximum(known.sum(axis=0), 1)
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
    lower = state.relation[:, :, device]
    precision = np.linalg.pinv(lower + np.tril(lower, -1).T, hermitian=True)
    spread = 1 / np.sqrt(np.maximum(np.diag(precision), 1.0))
    apart = (precision @ state.off[:, device]) * spread**2
    metric = int(np.argmax(np.abs(apart) / spread))
    value, width = float(values[device, metric]), float(state.width[metric, device])
    expected, margin = value - width * apart[metric], SPREADS * width * spread[metric]
    return Finding(
        series=device,
        metric=names[metric],
        since=int(incidents.since[device]),
        value=value,
        low=float(expected - margin),
        high=float(expected + margin),
    )


def _relate(state: State, known: Bools) -> None:
    """Set the shrunk correlations of what is ``known`` (metrics, devices)."""
    for one, _ in enumerate(state.mean):
        state.relation[one, one] = 1.0
        for two in range(one):
            widths = state.width[one] * state.width[two]
            share = np.clip(state.covariance[one, two] / widths, -1.0, 1.0)
            both = known[one] & known[two]
            state.relation[one, two] = np.where(both, (1 - SHRUNK) * share, 0.0)


def _left(state: State) -> Floats:
    """What the metrics before it leave of each, in spreads (metrics, devices): Cholesky's factor
    and the row divided by it, side by side."""
    metrics = len(state.mean)
    factor, left = np.empty_like(state.relation), np.empty_like(state.off)
    for one in range(metrics):
        for two in range(one + 1):
            inner = np.einsum("kd,kd->d", factor[one, :two], factor[two, :two])
            rest = state.relation[one, two] - inner
            # Gaps make shares of different rows, whose matrix need not have a root; of one that
            # has, no term is above 1.
            root = np.sqrt(np.maximum(rest, SHRUNK / 2)) if one == two else factor[two, two]
            factor[one, two] = root if one == two else np.clip(rest / root, -1.0, 1.0)
        inner = np.einsum("kd,kd->d", factor[one, :one], left[:one])
        left[one] = (state.off[one] - inner) / factor[one, one]
    return left


def _learn(state: State, held: Floats, here: Bools) -> None:
    """Move mean and covariance towards the row; the first readings count equally."""
    state.count += here
    weight = np.where(here, np.maximum(state.rate, 1.0 / np.maximum(state.count, 1)), 0.0)
    bound = np.where(state.count > _YOUNG, HEARD * state.width, np.inf)
    heard = np.clip(held - state.mean, -bound, bound)
    for one, mine in enumerate(heard):
        for two in range(one + 1):
            share = np.where(here[one] & here[two], np.maximum(weight[one], weight[two]), 0.0)
            before = state.covariance[one, two]
            state.covariance[one, two] = (1 - share) * (before + share * mine * heard[two])
    state.mean = state.mean + weight * heard

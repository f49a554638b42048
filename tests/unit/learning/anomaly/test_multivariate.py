"""Metrics of one device together: a broken relation is seen that no metric shows alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import evidence, fleet, incidents, multivariate

Floats = npt.NDArray[np.float64]
ROWS, BROKEN = 900, 700
ASKS = evidence.ALERT / evidence.MOST
NAMES = ("load", "power", "latency")


def related(devices: int = 20, seed: int = 1) -> Floats:
    """Rows (rows, devices, 3): power follows load, latency does not."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(ROWS, devices, 3))
    load = 0.5 + 0.1 * rows[..., 0]
    power = 60 + 120 * load + rows[..., 1]
    return np.stack([load, power, 20 + 5 * rows[..., 2]], axis=2)


def broken() -> Floats:
    """In device 3 power is that of other rows from BROKEN on."""
    rows = related()
    rows[BROKEN:, 3, 1] = rows[BROKEN - 200 : ROWS - 200, 3, 1].copy()
    return rows


def scores(rows: Floats) -> Floats:
    state, found = multivariate.start(rows.shape[1], rows.shape[2]), []
    for row in rows:
        state, score = multivariate.step(state, row)
        found.append(score)
    return np.array(found)


def test_a_broken_relation_is_found_and_nothing_else() -> None:
    found = scores(broken()) >= ASKS
    assert found[BROKEN : BROKEN + 10, 3].any()
    assert not found[:BROKEN].any()
    assert not np.delete(found, 3, axis=1).any()


def test_no_single_metric_shows_it() -> None:
    rows = broken()
    state, most = fleet.start(rows.shape[1], 3), np.zeros(ROWS)
    for at, row in enumerate(rows):
        state, _ = fleet.step(state, row)
        most[at] = fleet.deviations(state)[3]
    assert most[BROKEN:].max() < 1.2 * most[100:BROKEN].max()


def test_a_gap_breaks_nothing() -> None:
    rows = related()
    rows[500:520, 3], rows[np.random.default_rng(3).random(rows.shape) < 0.05] = np.nan, np.nan
    found = scores(rows)
    assert not found[500:520, 3].any()
    assert (found < ASKS).all()


def test_many_related_metrics_with_many_gaps_have_finite_scores() -> None:
    rng = np.random.default_rng(9)
    one = rng.normal(size=(300, 4, 1)) * np.exp(rng.normal(0, 5, (300, 1, 1)))
    rows = one + 1e-9 * rng.normal(size=(300, 4, multivariate.METRICS))
    rows[rng.random(rows.shape) < 0.6] = np.nan
    found = scores(rows)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("metrics", [1, 2, 5])
def test_the_distance_is_mahalanobis(metrics: int) -> None:
    rng = np.random.default_rng(metrics)
    mixed = rng.normal(size=(600, 1, metrics)) @ rng.normal(size=(metrics, metrics))
    state = multivariate.start(1, metrics)
    for row in mixed[:500]:
        state, _ = multivariate.step(state, row)
    triangle = state.covariance[:, :, 0]
    whole = triangle + np.tril(triangle, -1).T
    shrunk = (1 - multivariate.SHRUNK) * whole + multivariate.SHRUNK * np.diag(np.diag(whole))
    off = mixed[500, 0] - state.mean[:, 0]
    state, _ = multivariate.step(state, mixed[500])
    left = multivariate._left(state)[:, 0]
    assert left @ left == pytest.approx(off @ np.linalg.solve(shrunk, off), rel=1e-9)


def test_mean_and_covariance_of_the_first_rows_are_numpys() -> None:
    rows = related(1)[:7]
    state = multivariate.start(1, 3)
    for row in rows:
        state, _ = multivariate.step(state, row)
    assert state.mean[:, 0] == pytest.approx(rows[:, 0].mean(axis=0))
    assert np.tril(state.covariance[:, :, 0]) == pytest.approx(
        np.tril(np.cov(rows[:, 0].T, bias=True))
    )


def test_one_wild_row_moves_little() -> None:
    rows = related(1)
    rows[600] = 1e12
    state = multivariate.start(1, 3)
    for row in rows[:620]:
        state, _ = multivariate.step(state, row)
    assert state.mean[1, 0] == pytest.approx(120, abs=5)
    assert state.covariance[1, 1, 0] < 300


def test_an_explanation_names_the_metric_that_left_the_others() -> None:
    rows = related()
    usual = rows[BROKEN, 3, 1]
    rows[BROKEN, 3, 1] += 30.0
    state, open_ = multivariate.start(20, 3), incidents.start(20)
    for row in rows[: BROKEN + 1]:
        state, score = multivariate.step(state, row)
        open_, _ = incidents.step(open_, np.where(score >= ASKS, score, 0.0), 60)
    (found,) = multivariate.explain(state, rows[BROKEN], [3], open_, NAMES)
    assert (found.series, found.metric, found.since) == (3, "power", BROKEN)
    assert found.low < usual < found.high < found.value


def test_what_cannot_be_related_is_refused() -> None:
    for metrics in (0, multivariate.METRICS + 1):
        with pytest.raises(UsageError, match="cannot be related"):
            multivariate.start(3, metrics)

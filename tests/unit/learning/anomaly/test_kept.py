"""States of parts of a fleet, and states that are kept: the same scores as of the whole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import cohort, evidence, multivariate

Floats = npt.NDArray[np.float64]
ROWS, DEVICES, METRICS = 240, 7, 12


def rows(seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(ROWS, DEVICES, METRICS)) @ rng.normal(size=(METRICS, METRICS))
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


def test_devices_in_parts_of_any_size_score_to_the_last_bit_as_all_at_once() -> None:
    whole, parted = multivariate.start(DEVICES, METRICS), multivariate.start(3, 2)
    parted = multivariate.grow(parted, DEVICES, 14)
    most = 0.0
    for number, row in enumerate(rows()):
        whole, expected = multivariate.step(whole, row)
        order = np.random.default_rng(number).permutation(DEVICES)
        for which in np.split(order, [1, 3]):
            part, scores = multivariate.step(multivariate.at(parted, which, METRICS), row[which])
            multivariate.put(parted, which, part)
            assert np.array_equal(scores, expected[which])
        most = max(most, float(expected.max()))
    assert most > 0


def test_a_kept_relation_goes_on_where_it_was() -> None:
    state = multivariate.start(DEVICES, METRICS)
    for row in rows():
        state, _ = multivariate.step(state, row)
    kept = {name: array.copy() for name, array in multivariate.arrays(state).items()}
    again = multivariate.restore(kept)
    for row in rows(2):
        state, expected = multivariate.step(state, row)
        again, scores = multivariate.step(again, row)
        assert np.array_equal(scores, expected)


def test_a_kept_cohort_goes_on_where_it_was_within_a_block() -> None:
    ids = np.zeros(DEVICES, np.int64)
    state = cohort.start(ids, METRICS)
    for row in rows()[: 20 * cohort.WIDTH + 3]:
        state, _ = cohort.step(state, row)
    kept = {name: array.copy() for name, array in cohort.arrays(state).items()}
    again = cohort.restore(kept, ids)
    for row in rows(2):
        state, expected = cohort.step(state, row)
        again, scores = cohort.step(again, row)
        assert np.array_equal(scores, expected)


@pytest.mark.parametrize("name", ["mean", "count", "covariance", "total", "past", "seen"])
def test_a_damaged_relation_is_refused(name: str) -> None:
    kept = multivariate.arrays(multivariate.start(DEVICES, METRICS))
    with pytest.raises(UsageError, match="wrong shape"):
        multivariate.restore({**kept, name: kept[name][:-1]})


@pytest.mark.parametrize("name", ["offset", "spread", "now.total", "lately.past"])
def test_a_damaged_cohort_is_refused(name: str) -> None:
    ids = np.zeros(DEVICES, np.int64)
    kept = cohort.arrays(cohort.start(ids, METRICS))
    with pytest.raises(UsageError, match="wrong shape"):
        cohort.restore({**kept, name: kept[name][:-1]}, ids)


def test_a_damaged_row_of_a_block_is_refused() -> None:
    kept = evidence.arrays(evidence.start(DEVICES))
    with pytest.raises(UsageError, match="wrong shape"):
        evidence.restore(kept, width=4, row=4)


def test_a_fleet_does_not_shrink() -> None:
    state = multivariate.start(DEVICES, METRICS)
    with pytest.raises(UsageError, match="cannot shrink"):
        multivariate.grow(state, DEVICES, METRICS - 1)

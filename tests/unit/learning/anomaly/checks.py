"""What holds for every detector that takes rows (devices, metrics): run over each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from freehold.learning.anomaly import cohort, fleet, multivariate, novelty

Floats = npt.NDArray[np.float64]
Step = Callable[[Floats], Floats]
"""Gives the scores (devices,) of the next row (devices, metrics)."""

COHORT = 8


def _fleet(devices: int, metrics: int) -> Step:
    state = fleet.start(devices, metrics)
    return lambda row: fleet.step(state, row)[1]


def _cohort(devices: int, metrics: int) -> Step:
    state = cohort.start(np.arange(devices) // COHORT, metrics)
    return lambda row: cohort.step(state, row)[1]


def _multivariate(devices: int, metrics: int) -> Step:
    state = multivariate.start(devices, metrics)
    return lambda row: multivariate.step(state, row)[1]


def _novelty(devices: int, metrics: int) -> Step:
    state = novelty.start(devices * metrics, 60, memory=64)
    return lambda row: novelty.step(state, row.ravel())[1].reshape(row.shape).max(axis=1)


DETECTORS: Mapping[str, Callable[[int, int], Step]] = {
    "fleet": _fleet,
    "cohort": _cohort,
    "multivariate": _multivariate,
    "novelty": _novelty,
}


def scores(name: str, rows: Floats) -> Floats:
    """Scores (rows, devices) of rows (rows, devices, metrics), given one at a time."""
    step = DETECTORS[name](rows.shape[1], rows.shape[2])
    return np.array([step(row) for row in rows])


def check_the_future_changes_no_score(name: str, rows: Floats, cut: int, future: Floats) -> None:
    other = np.concatenate([rows[:cut], np.resize(future, rows[cut:].shape)])
    assert np.array_equal(scores(name, rows)[:cut], scores(name, other)[:cut])


def check_the_same_rows_score_the_same(name: str, rows: Floats) -> None:
    assert np.array_equal(scores(name, rows), scores(name, rows.copy()))


def check_a_row_is_left_as_it_was(name: str, rows: Floats) -> None:
    before = rows.copy()
    scores(name, rows)
    assert np.array_equal(rows, before, equal_nan=True)


def check_scores_are_within_0_and_1(name: str, rows: Floats) -> None:
    found = scores(name, rows)
    assert found.shape == rows.shape[:2]
    assert ((found >= 0) & (found <= 1)).all()


def check_silence_scores_nothing(name: str, rows: Floats) -> None:
    """A device without any reading in a row scores 0 in it."""
    silent = rows.copy()
    silent[len(rows) // 2 :, 1] = np.nan
    assert not scores(name, silent)[len(rows) // 2 :, 1].any()


def check_constants_are_never_odd(name: str, rows: Floats) -> None:
    for value in (0.0, -3.5, 1e300):
        assert not scores(name, np.full_like(rows, value)).any()


CHECKS = (
    check_the_same_rows_score_the_same,
    check_a_row_is_left_as_it_was,
    check_scores_are_within_0_and_1,
    check_silence_scores_nothing,
    check_constants_are_never_odd,
)

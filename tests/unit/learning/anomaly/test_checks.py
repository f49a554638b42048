"""Every detector is causal, deterministic and finite, whatever comes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.learning.anomaly import checks
from unit.learning.anomaly.checks import Floats

ROWS, DEVICES, METRICS = 160, 8, 3
readings = st.one_of(
    st.floats(-100, 100), st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-308, 0.0])
)


def noise(seed: int = 3) -> Floats:
    """Related metrics (ROWS, DEVICES, METRICS), with gaps."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(ROWS, DEVICES, METRICS))
    rows[..., 1] = 3 * rows[..., 0] + 0.1 * rows[..., 1] + 40
    rows[rng.random(rows.shape) < 0.03] = np.nan
    return rows


@pytest.mark.parametrize("name", checks.DETECTORS)
@pytest.mark.parametrize("check", checks.CHECKS)
def test_what_holds_for_all(name: str, check: Callable[[str, Floats], None]) -> None:
    check(name, noise())


@pytest.mark.parametrize("name", checks.DETECTORS)
@settings(max_examples=8, deadline=None)
@given(cut=st.integers(1, ROWS - 1), future=st.lists(readings, min_size=1, max_size=20))
def test_the_future_changes_no_score(name: str, cut: int, future: list[float]) -> None:
    checks.check_the_future_changes_no_score(name, noise(), cut, np.array(future))


@pytest.mark.parametrize("name", checks.DETECTORS)
@settings(max_examples=15, deadline=None)
@given(values=st.lists(readings, min_size=1, max_size=60), at=st.integers(0, 100))
def test_any_readings_have_finite_scores(name: str, values: list[float], at: int) -> None:
    rows = noise()
    wild = np.resize(values, rows[at : at + 60].shape)
    rows[at : at + 60] = wild
    checks.check_scores_are_within_0_and_1(name, rows)


@pytest.mark.parametrize("name", ["fleet", "multivariate"])
def test_many_devices_are_scored_as_each_alone(name: str) -> None:
    rows = noise()
    rows[100:120, 2], rows[130, 4, 1] = np.nan, 900.0
    together = checks.scores(name, rows)
    for device in range(DEVICES):
        assert np.array_equal(together[:, [device]], checks.scores(name, rows[:, [device]]))

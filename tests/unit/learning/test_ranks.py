"""Ranks: uniform under the null, deaf to scale, and the same for one series as for many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import ranks

Floats = npt.NDArray[np.float64]
ROWS = 3_000
MEMORY = 256


def p_values(rows: Floats, memory: int = MEMORY, *, single: bool = False) -> Floats:
    """p-values (rows, series) of scores (rows, series), one row at a time."""
    past, found = ranks.start(rows.shape[1], memory, single=single), []
    for row in rows:
        past, p = ranks.step(past, row)
        found.append(p)
    return np.array(found)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", ["normal", "cauchy", "lognormal"])
def test_p_values_of_noise_are_uniform_whatever_its_shape(kind: str, single: bool) -> None:
    rng = np.random.default_rng(7)
    normal = rng.normal(size=(2, ROWS, 1))
    noise = {"normal": normal[0], "cauchy": normal[0] / normal[1], "lognormal": np.exp(normal[0])}
    found = p_values(noise[kind], single=single)[MEMORY:, 0]
    # Kolmogorov-Smirnov at 1 in 1,000, and the grain of a rank among MEMORY + 1.
    assert distance(found) < 1.95 / np.sqrt(found.size) + 1 / (MEMORY + 1)


def distance(p: Floats) -> float:
    """Kolmogorov-Smirnov distance from uniform."""
    ordered = np.sort(p)
    grid = np.arange(1, p.size + 1) / p.size
    return float(np.maximum(np.abs(grid - ordered), np.abs(grid - 1 / p.size - ordered)).max())


def test_the_distance_would_tell_what_is_not_uniform() -> None:
    uniform = np.random.default_rng(7).random(ROWS)
    assert distance(uniform) < 1.95 / np.sqrt(ROWS) < distance(uniform**1.2)


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_ranks_ignore_unit_and_origin(scale: float, shift: float) -> None:
    rows = np.arange(40.0)[:, None] % 7
    assert np.array_equal(p_values(rows, 16), p_values(rows * scale + shift, 16))


def test_many_series_are_scored_as_each_alone() -> None:
    rows = np.random.default_rng(3).normal(size=(400, 5))
    rows[50:90, 2] = np.nan
    together = p_values(rows, 64)
    for series in range(5):
        assert np.array_equal(together[:, [series]], p_values(rows[:, [series]], 64))


def test_what_repeats_is_never_rare() -> None:
    assert (p_values(np.ones((50, 1)), 16) == 1).all()


def test_missing_scores_are_skipped() -> None:
    rows = np.array([1.0, np.nan, np.inf, 2.0, -np.inf, 3.0])[:, None]
    assert p_values(rows, 16)[:, 0].tolist() == [1, 1, 1, 1 / 2, 1, 1 / 3]


def test_a_record_is_the_rarer_the_farther_it_exceeds() -> None:
    near, far, beyond = (_record(score) for score in (2.0, 10.0, 1e6))
    assert 11 == _record(1.0 + 1e-12) == pytest.approx(near / 2) == pytest.approx(far / 10)
    assert beyond == 11 * ranks.BEYOND_MOST


def _record(score: float) -> float:
    """Surprise of a score after ten from 0.1 to 1."""
    past = ranks.start(1, 16)
    for earlier in np.arange(1.0, 11.0) / 10:
        past, _ = ranks.surprise(past, np.array([earlier]))
    return round(float(ranks.surprise(past, np.array([score]))[1][0]), 6)


def test_an_empty_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="remember nothing"):
        ranks.start(1, 0)


@pytest.mark.parametrize("single", [False, True])
def test_joining_is_a_step_without_ranks(single: bool) -> None:
    rng = np.random.default_rng(2)
    stepped, joined = (ranks.start(6, 5, single=single) for _ in range(2))
    for _ in range(20):
        scores, present = rng.exponential(1e38, 6) * 10, rng.random(6) < 0.7
        stepped, _ = ranks.step(stepped, scores, present)
        joined = ranks.join(joined, scores, present)
    assert np.array_equal(joined.scores, stepped.scores, equal_nan=True)
    assert np.array_equal(joined.count, stepped.count)

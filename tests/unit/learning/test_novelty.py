"""Novelty: causal, finite on any input, the same for one series as for many, and it sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import incidents, novelty

Floats = npt.NDArray[np.float64]
WARM = 180
readings = st.one_of(
    st.floats(-100, 100), st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0])
)


def scores(rows: Floats, warm: int = WARM, memory: int = 512) -> Floats:
    """Scores (rows, series) of readings (rows, series), one row at a time."""
    state, found = novelty.start(rows.shape[1], warm, memory=memory), []
    for row in rows:
        state, score = novelty.step(state, row)
        found.append(score)
    return np.array(found).reshape(rows.shape)


def daily(rows: int, seed: int = 1, noise: float = 0.05) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(np.sin(np.arange(rows) * 2 * np.pi / 60) + noise * rng.normal(size=rows))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 700), st.lists(readings, min_size=1, max_size=20))
def test_the_future_changes_no_score(cut: int, future: list[float]) -> None:
    series = daily(700)[:, None]
    other = series.copy()
    other[cut:, 0] = np.resize(future, 700 - cut)
    assert np.array_equal(scores(series)[:cut], scores(other)[:cut])


@settings(max_examples=30, deadline=None)
@given(st.lists(readings, max_size=150), st.sampled_from([1, 4, 40]))
def test_any_readings_have_finite_scores(values: list[float], warm: int) -> None:
    found = scores(np.array(values).reshape(-1, 1), warm, 64)
    assert ((found >= 0) & (found < 1)).all()


@pytest.mark.parametrize("value", [0.0, 3.5, -1e300, np.nan, np.inf])
def test_a_constant_or_missing_series_is_never_odd(value: float) -> None:
    assert not scores(np.full((500, 1), value)).any()


def test_many_series_are_scored_as_each_alone() -> None:
    rows = np.stack([daily(900, seed) for seed in range(4)], axis=1)
    rows[400:450, 1], rows[700, 2], rows[:100, 3] = np.nan, 9.0, np.nan
    together = scores(rows, memory=128)
    for series in range(4):
        assert np.array_equal(together[:, [series]], scores(rows[:, [series]], memory=128))


def test_nothing_is_scored_before_the_warm_up_is_over() -> None:
    series = daily(400)[:, None]
    series[100] = 50.0
    found = scores(series)
    assert not found[:WARM].any()
    assert found[WARM:].any()


@pytest.mark.parametrize("name", ["spike", "level", "restless"])
def test_it_sees(name: str) -> None:
    low = 700
    series = daily(900)
    broken = series.copy()
    if name == "spike":
        broken[702] = 3.0
    elif name == "level":
        broken[700:] += 2.5
    else:
        broken[700:] += np.where(np.arange(200) % 4 < 2, 1.5, -1.5)
    found, usual = scores(broken[:, None])[:, 0], scores(series[:, None])[:, 0]
    assert np.array_equal(found[:low], usual[:low])
    assert found[low : low + 60].max() > max(usual[low:].max(), 0.5)


def test_an_explanation_names_the_series_and_what_was_expected_of_it() -> None:
    rows = np.stack([daily(900), daily(900, 2)], axis=1)
    rows[701:, 1] += 4.0
    state, open_ = novelty.start(2, WARM, memory=512), incidents.start(2)
    for row in rows[:702]:
        state, score = novelty.step(state, row)
        open_, _ = incidents.step(open_, np.where(score > 0.5, score, 0.0), state.quiet)
    (found,) = novelty.explain(state, [1], open_, ["pressure", "flow"])
    assert (found.series, found.metric, found.since) == (1, "flow", 701)
    usual = np.sin(701 * 2 * np.pi / 60)
    assert found.value == pytest.approx(usual + 4, abs=0.4)
    assert usual - 0.4 < found.low < found.high < usual + 0.4


def test_a_gap_is_not_news() -> None:
    series = daily(900)
    series[700:705] = np.nan
    found = scores(series[:, None])[:, 0]
    assert not found[700:705].any()


def test_memory_is_bounded_and_forgets() -> None:
    state = novelty.start(1, WARM, memory=64)
    for value in daily(2_000):
        state, _ = novelty.step(state, np.array([value]))
    assert state.means.shape == state.extremes.shape == (1, 64)
    assert np.isfinite(novelty._recent(state.means, state.blocks, 64)).all()
    assert novelty._recent(state.means, state.blocks, 64)[0, -1] == pytest.approx(
        daily(2_000)[-2:].mean()
    )


@pytest.mark.parametrize(("series", "warm", "memory"), [(0, 10, 64), (1, 0, 64), (1, 10, 40)])
def test_too_little_is_refused(series: int, warm: int, memory: int) -> None:
    with pytest.raises(UsageError, match="too few"):
        novelty.start(series, warm, memory=memory)

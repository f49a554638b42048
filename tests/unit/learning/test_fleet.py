"""The fleet's detector: causal, calibrated, explained, the same for one device as for all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.learning.anomaly import fleet, incidents

Floats = npt.NDArray[np.float64]
NAMES = ("temperature", "load", "latency")
readings = st.one_of(
    st.floats(-100, 100), st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0])
)


def noise(rows: int, devices: int = 3, seed: int = 5) -> Floats:
    """Rows (rows, devices, metrics) of noise, each metric with its own level and spread."""
    level, spread = np.array([20.0, 0.4, 150.0]), np.array([0.5, 0.1, 40.0])
    drawn = np.random.default_rng(seed).normal(size=(rows, devices, len(NAMES)))
    return np.asarray(level + spread * drawn)


def scores(rows: Floats) -> Floats:
    """Scores (rows, devices)."""
    state, found = fleet.start(rows.shape[1], rows.shape[2]), []
    for row in rows:
        state, score = fleet.step(state, row)
        found.append(score)
    return np.array(found)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200), st.lists(readings, min_size=1, max_size=20))
def test_the_future_changes_no_score(cut: int, future: list[float]) -> None:
    rows = noise(200)
    other = rows.copy()
    other[cut:] = np.resize(future, other[cut:].shape)
    assert np.array_equal(scores(rows)[:cut], scores(other)[:cut])


@settings(max_examples=30, deadline=None)
@given(st.lists(readings, max_size=120))
def test_any_readings_have_finite_scores(values: list[float]) -> None:
    found = scores(np.array(values).reshape(-1, 1, 1))
    assert ((found >= 0) & (found < 1)).all()


@pytest.mark.parametrize("value", [0.0, 3.5, -1e300, np.nan, np.inf])
def test_a_constant_or_missing_device_is_never_odd(value: float) -> None:
    assert not scores(np.full((200, 2, 2), value)).any()


@pytest.mark.parametrize(("value", "far"), [(2_480.0, 0.5), (2_200.0, 10.9)])
def test_a_constant_is_expected_within_percents_of_its_level(value: float, far: float) -> None:
    state = fleet.start(1, 1)
    for _ in range(200):
        fleet.step(state, np.full((1, 1), 2_468.0))
    fleet.step(state, np.full((1, 1), value))
    assert fleet.deviations(state)[0] == pytest.approx(far, rel=0.05)
    assert state.width[0, 0] == pytest.approx(24.68, rel=1e-3)


def test_a_renewed_device_is_as_a_new_one_and_others_are_left_alone() -> None:
    rows = noise(120)
    whole, fresh = fleet.start(3, len(NAMES)), fleet.start(3, len(NAMES))
    other = fleet.start(3, len(NAMES))
    for row in rows[:60]:
        fleet.step(whole, row)
        fleet.step(other, row)
    fleet.renew(whole, np.array([1]))
    for row in rows[60:]:
        mine, new, left = (fleet.step(each, row)[1] for each in (whole, fresh, other))
        assert mine[1] == new[1]
        assert mine[[0, 2]].tolist() == left[[0, 2]].tolist()


def test_many_devices_are_scored_as_each_alone() -> None:
    rows = noise(300)
    rows[100:130, 0], rows[150, 1, 2], rows[:40, 2, 1] = np.nan, 900.0, np.nan
    together = scores(rows)
    for device in range(rows.shape[1]):
        assert np.array_equal(together[:, [device]], scores(rows[:, [device]]))


def test_false_alerts_come_as_often_as_the_threshold_says() -> None:
    found = scores(noise(1_500, devices=40))[300:]
    for ranks in (13, 3, 1):
        chance = ranks / (fleet.MEMORY + 1)
        assert (found >= 1 - chance - 1e-9).mean() == pytest.approx(chance, rel=0.15)


@pytest.mark.parametrize("metric", range(len(NAMES)))
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_explanation_names_the_metric_that_changed_and_since_when(
    metric: int, sign: int
) -> None:
    rows = noise(400)
    usual = rows[:300, 1, metric].mean(), rows[:300, 1, metric].std()
    rows[300:, 1, metric] += sign * 12 * usual[1]
    state, open_ = fleet.start(3, 3), incidents.start(3)
    for row in rows[:303]:
        state, score = fleet.step(state, row)
        open_, _ = incidents.step(open_, np.where(score > 0.99, score, 0.0), quiet=20)
    (found,) = fleet.explain(state, rows[302], [1], open_, NAMES)
    assert (found.series, found.metric, found.since) == (1, NAMES[metric], 300)
    assert found.value == rows[302, 1, metric]
    assert found.low < usual[0] < found.high
    assert not found.low <= found.value <= found.high
    assert NAMES[metric] in str(found)


def test_one_wild_reading_does_not_move_what_is_expected() -> None:
    rows = noise(300, devices=1)
    rows[200, 0, 0] = 1e9
    state = fleet.start(1, 3)
    for row in rows[:210]:
        state, _ = fleet.step(state, row)
    assert state.level[0, 0] == pytest.approx(20.0, abs=0.5)
    assert state.spread[0, 0] < 1.5


def test_constant_then_a_step_is_seen() -> None:
    rows = np.full((200, 1, 1), 5.0)
    rows[150:] = 5.1
    assert scores(rows)[150, 0] > 0.99


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be followed"):
        fleet.start(3, 0)
    with pytest.raises(UsageError, match="remember nothing"):
        fleet.start(0, 3)


def test_some_devices_stepped_by_themselves_are_as_in_the_whole_fleet() -> None:
    rng = np.random.default_rng(8)
    whole, parted = fleet.start(4, 2, warm=8), fleet.start(2, 1, warm=8)
    parted = fleet.grow(parted, 4, 2)
    for _ in range(40):
        row = rng.normal(size=(4, 2))
        _, expected = fleet.step(whole, row)
        for which in (np.array([2, 0]), np.array([3, 1])):
            part, scores = fleet.step(fleet.at(parted, which), row[which])
            fleet.put(parted, which, part)
            assert np.array_equal(scores, expected[which])
        parted = fleet.restore(fleet.arrays(parted), warm=8)
    for name, array in fleet.arrays(whole).items():
        assert np.array_equal(fleet.arrays(parted)[name], array, equal_nan=True)


def test_growing_keeps_what_is_known_and_never_shrinks() -> None:
    state = fleet.start(2, 1)
    state, _ = fleet.step(state, np.array([[1.0], [2.0]]))
    grown = fleet.grow(state, 3, 2)
    assert grown.level.tolist() == [[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]]
    assert grown.past.count.tolist() == [0, 0, 0] or grown.past.count[:2].tolist() == [1, 1]
    with pytest.raises(UsageError, match="cannot shrink"):
        fleet.grow(grown, 2, 2)


def test_a_kept_state_of_another_shape_is_refused() -> None:
    kept = fleet.arrays(fleet.start(2, 2))
    with pytest.raises(UsageError, match="wrong shape"):
        fleet.restore(kept | {"spread": np.zeros((2, 3))})
    with pytest.raises(UsageError, match="wrong shape"):
        fleet.restore(kept | {"level": np.zeros(3)})

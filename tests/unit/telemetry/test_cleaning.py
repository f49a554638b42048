from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.telemetry.cleaning import Cleaned, Floats, Rules, State, clean
from freehold.telemetry.marks import Mark, names
from unit.telemetry.devices import NOW

TEMPERATURE, COUNT, ANY = "roof.temperature", "door.count", "x"
MINUTE = 60_000
READING = st.tuples(
    st.integers(0, 2),
    st.integers(NOW, NOW + 40) | st.integers(0, 2**48),
    st.sampled_from([290.0, 290.5, 300.0]) | st.floats(-1e109, 1e109),
)


def one(name: str, values: list[float] | Floats, times: list[int] | None = None) -> Cleaned:
    """What cleaning says of one series, a reading a minute unless told."""
    at = times or [NOW + MINUTE * index for index in range(len(values))]
    _, found = clean(
        State.empty(1), Rules.of([name]), np.zeros(len(values), np.int64),
        np.array(at, np.int64), np.array(values, np.float64),
    )  # fmt: skip
    return found


def marked(found: Cleaned, mark: Mark) -> list[int]:
    return np.flatnonzero(found.marks & np.uint8(mark)).tolist()


def noise(count: int, *, seed: int = 1, size: float = 0.1) -> Floats:
    return 290.0 + np.random.default_rng(seed).normal(0, size, count)


@settings(max_examples=25)
@given(st.lists(READING, max_size=25), st.data())
def test_vectorised_is_one_by_one(sent: list[tuple[int, int, float]], data: st.DataObject) -> None:
    rules = Rules.of([TEMPERATURE, COUNT, ANY])
    series = np.array([each[0] for each in sent], np.int64)
    times = np.array([each[1] for each in sent], np.int64)
    values = np.array([each[2] for each in sent], np.float64)
    cut = data.draw(st.integers(0, len(sent)))
    state, parts = State.empty(3), []
    for part in (slice(0, cut), slice(cut, None)):
        state, found = clean(state, rules, series[part], times[part], values[part])
        parts.append(found.marks)
    whole, at_once = clean(State.empty(3), rules, series, times, values)
    alone = State.empty(3)
    for index in range(len(sent)):
        here = slice(index, index + 1)
        alone, found = clean(alone, rules, series[here], times[here], values[here])
        assert found.marks[0] == at_once.marks[index]
        assert found.missing[0] == at_once.missing[index]
    assert np.concatenate(parts).tolist() == at_once.marks.tolist()
    for each in fields(State):
        np.testing.assert_array_equal(getattr(whole, each.name), getattr(alone, each.name))
        np.testing.assert_array_equal(getattr(whole, each.name), getattr(state, each.name))


@settings(max_examples=50)
@given(st.lists(READING, min_size=1, max_size=30))
def test_no_value_is_lost_or_changed_and_no_state_becomes_nan(
    sent: list[tuple[int, int, float]],
) -> None:
    series = np.array([each[0] for each in sent], np.int64)
    times = np.array([each[1] for each in sent], np.int64)
    values = np.array([each[2] for each in sent], np.float64)
    before, given_ = values.copy(), State.empty(3)
    state, found = clean(given_, Rules.of([TEMPERATURE, COUNT, ANY]), series, times, values)
    assert len(found.marks) == len(values)
    np.testing.assert_array_equal(values, before)
    assert not given_.count.any()
    assert all(np.isfinite(getattr(state, each.name)).all() for each in fields(State))
    assert int(state.count.sum()) == np.count_nonzero(
        found.marks & np.uint8(Mark.DUPLICATE | Mark.LATE) == 0
    )


def test_an_ordinary_series_is_not_marked() -> None:
    """Six spreads are beyond chance; what remains is a spread that was learnt too small."""
    devices, ticks = 500, 400
    day = 5 * np.sin(np.arange(ticks) / 60)
    values = np.repeat(day, devices) + noise(devices * ticks)
    times = np.repeat(NOW + MINUTE * np.arange(ticks, dtype=np.int64), devices)
    series = np.tile(np.arange(devices), ticks)
    _, found = clean(State.empty(devices), Rules.of([TEMPERATURE] * devices), series, times, values)
    assert np.count_nonzero(found.marks) / len(values) < 2e-4


def test_values_out_of_physical_range_are_marked_and_teach_nothing() -> None:
    values = noise(70)
    values[30:60] = 500.0
    found = one(TEMPERATURE, values)
    assert marked(found, Mark.RANGE) == list(range(30, 60))
    assert marked(found, Mark.SPIKE) == []
    assert one("tank.share", [0.5, 1.01, -0.01]).marks.tolist() == [0, 1, 1]


def test_a_move_faster_than_the_metric_can_is_marked_and_its_return_is_not() -> None:
    times = [NOW + 1_000 * index for index in range(40)]
    values = noise(40)
    values[30] = 310.0
    assert marked(one(TEMPERATURE, values, times), Mark.RATE) == [30]


def test_a_spike_is_marked_and_leaves_no_trace() -> None:
    values = noise(60)
    values[40] += 3.0
    found = one(ANY, values)
    assert marked(found, Mark.SPIKE) == [40]


def test_a_new_level_is_accepted_after_a_few_readings() -> None:
    values = np.concatenate((noise(60), noise(60, seed=2) + 5.0))
    spikes = marked(one(ANY, values), Mark.SPIKE)
    assert spikes[0] == 60
    assert 3 <= len(spikes) <= 15
    assert max(spikes) < 80


def test_a_stuck_sensor_is_marked_and_a_coarse_one_is_not() -> None:
    values = np.concatenate((noise(60), np.full(60, 290.0), noise(20, seed=3)))
    stuck = marked(one(TEMPERATURE, values), Mark.STUCK)
    assert stuck == list(range(stuck[0], 120))
    assert 72 <= stuck[0] <= 105
    walk = np.cumsum(np.random.default_rng(4).normal(0, 0.05, 3_000))
    coarse = 290.0 + np.round(walk * 2) / 2
    assert len(marked(one(TEMPERATURE, coarse), Mark.STUCK)) < 0.01 * len(coarse)


def test_what_may_stand_still_is_never_stuck() -> None:
    assert marked(one(COUNT, [7.0] * 300), Mark.STUCK) == []


def test_a_gap_is_marked_and_what_is_missing_counted() -> None:
    times = [NOW + MINUTE * index for index in range(20)]
    times += [times[-1] + 6 * MINUTE, times[-1] + 7 * MINUTE]
    found = one(ANY, noise(22), times)
    assert marked(found, Mark.GAP) == [20]
    assert found.missing.tolist() == [0] * 20 + [5, 0]


def test_one_missing_reading_is_seen_and_irregular_reporters_are_not_taken_to_be_silent() -> None:
    times = [NOW + MINUTE * index for index in range(40) if index != 30]
    assert one(ANY, noise(39), times).missing.tolist() == [0] * 30 + [1] + [0] * 8
    waits = np.random.default_rng(3).exponential(MINUTE, 5_000).astype(np.int64) + 1
    irregular = (NOW + np.cumsum(waits)).tolist()
    assert len(marked(one(ANY, noise(5_000), irregular), Mark.GAP)) < 0.03 * 5_000


def test_duplicates_and_late_readings_are_marked_and_change_nothing() -> None:
    times = [NOW, NOW + 9, NOW + 9, NOW + 5, NOW + 18]
    found = one(ANY, [1.0, 2.0, 2.0, 9.0, 3.0], times)
    assert [names(int(marks)) for marks in found.marks] == [
        (), (), ("duplicate",), ("late",), (),
    ]  # fmt: skip
    assert found.since.tolist()[-1] == NOW + 9


@pytest.mark.parametrize("mark", list(Mark))
def test_marks_fit_a_byte_and_have_names(mark: Mark) -> None:
    assert 0 < mark < 256
    assert names(mark) == ((mark.name or "").lower(),)


def test_no_readings_are_cleaned_to_none() -> None:
    assert one(ANY, []).marks.tolist() == []

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.telemetry.marks import Mark
from freehold.telemetry.quality import COSTS, HALF_LIFE, PARTS, Record, explain, note, score
from unit.telemetry.devices import NOW

HOUR = 3_600_000


def noted(marks: list[int], missing: int = 0, *, record: Record | None = None) -> Record:
    return note(
        record or Record.empty(1), np.zeros(len(marks), np.int64), np.array(marks, np.uint8),
        np.array([missing] + [0] * (len(marks) - 1), np.int64), now=NOW,
    )  # fmt: skip


def of(record: Record, now: int = NOW) -> float:
    return float(score(record, now=now)[0])


def test_a_newcomer_has_half_and_earns_the_rest() -> None:
    assert of(Record.empty(1)) == 0.5
    assert of(noted([0] * 20)) == 0.75
    assert of(noted([0] * 2_000)) > 0.99


@pytest.mark.parametrize("mark", list(COSTS))
def test_each_mark_costs_and_is_named(mark: Mark) -> None:
    clean, marked = noted([0] * 400), noted([int(mark)] * 200 + [0] * 200)
    assert of(marked) < of(clean) - 0.1
    parts = explain(marked, 0, now=NOW)
    assert set(parts) == set(PARTS)
    assert min(parts, key=lambda name: parts[name]) == (mark.name or "").lower()
    assert math.prod(parts.values()) == pytest.approx(of(marked))


def test_what_is_missing_costs() -> None:
    record = noted([0] * 400, missing=400)
    assert explain(record, 0, now=NOW)["complete"] == pytest.approx(420 / 820, rel=1e-3)


def test_a_device_that_is_stuck_comes_near_nothing() -> None:
    assert of(noted([int(Mark.STUCK)] * 5_000)) < 0.01


def test_bad_readings_are_forgotten_by_half_in_a_half_life() -> None:
    record = noted([int(Mark.RANGE)] * 1_000)
    later = note(
        record, np.zeros(1_000, np.int64), np.zeros(1_000, np.uint8), np.zeros(1_000, np.int64),
        now=NOW + HALF_LIFE,
    )  # fmt: skip
    assert explain(later, 0, now=NOW + HALF_LIFE)["range"] == pytest.approx(1 - 500 / 1_520)


def test_silence_wears_trust_off() -> None:
    record = noted([0] * 2_000)
    assert of(record, NOW + 20 * HALF_LIFE) == pytest.approx(0.5, abs=0.01)


def test_an_outage_of_long_ago_weighs_less_than_one_now() -> None:
    record = noted([0] * 2_000)
    at = np.zeros(1, np.int64)
    back = note(record, at, np.zeros(1, np.uint8), np.array([1_440]), now=NOW + 24 * HOUR)
    assert back.missing[0] < 0.5 * 1_440


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 255), st.integers(0, 50)), max_size=50))
def test_scores_stay_within_bounds_and_devices_apart(sent: list[tuple[int, int, int]]) -> None:
    devices = np.array([each[0] for each in sent], np.int64)
    marks = np.array([each[1] for each in sent], np.uint8)
    missing = np.array([each[2] for each in sent], np.int64)
    together = note(Record.empty(5), devices, marks, missing, now=NOW)
    scores = score(together, now=NOW + HOUR)
    assert ((scores >= 0) & (scores <= 1)).all()
    for device in range(5):
        own = devices == device
        alone = note(
            Record.empty(1), np.zeros(own.sum(), np.int64), marks[own], missing[own], now=NOW
        )
        assert of(alone, NOW + HOUR) == pytest.approx(float(scores[device]))

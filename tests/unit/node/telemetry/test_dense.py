"""The detector of dense sources: quiet on noise, at once on a jump, the same row by row."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.domain.errors import IntegrityError, UsageError
from freehold.node.telemetry.dense import QUIET, DenseDetector
from freehold.node.telemetry.detector import FleetDetector
from freehold.telemetry.pipeline import Alert

DEVICES, METRICS = 40, 3
ALL = np.arange(DEVICES)


def noise(rows: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    random = np.random.default_rng(seed)
    level = random.normal(50, 10, (DEVICES, METRICS))
    return level + random.standard_normal((rows, DEVICES, METRICS))


def run(
    detector: DenseDetector, readings: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    start: int = 0,
) -> list[Alert]:  # fmt: skip
    found: list[Alert] = []
    for number, values in enumerate(readings, start):
        _, alerts = detector.step(ALL, np.full(DEVICES, 1_000 * number), values)
        found += alerts
    return found


def test_noise_is_quiet() -> None:
    assert run(DenseDetector(DEVICES, METRICS), noise(600)) == []


def test_a_jump_is_one_incident_that_says_what_was_expected() -> None:
    readings = noise(150)
    readings[100:103, 7, 2] += 150
    (found,) = run(DenseDetector(DEVICES, METRICS), readings)
    assert (found.row, found.column, found.since) == (7, 2, 100_000)
    assert found.value == readings[100, 7, 2]
    assert found.low < readings[99, 7, 2] < found.high < found.value
    assert found.far > 100
    assert 0 < found.score <= 1


def test_what_comes_after_a_quiet_time_is_another_incident() -> None:
    readings = noise(3 * QUIET + 200)
    readings[100, 7, 2] += 150
    readings[100 + 2 * QUIET, 7, 2] += 6_000
    assert len(run(DenseDetector(DEVICES, METRICS), readings)) == 2


def test_some_devices_alone_are_what_they_are_among_all() -> None:
    readings = noise(80)
    readings[70, 5, 0] += 150
    whole, parts = DenseDetector(DEVICES, METRICS), DenseDetector(DEVICES, METRICS)
    for number, values in enumerate(readings):
        times = np.full(DEVICES, 1_000 * number)
        scores, alerts = whole.step(ALL, times, values)
        found, told = np.zeros(DEVICES), list[Alert]()
        for some in (ALL[::2], ALL[1::2]):
            found[some], more = parts.step(some, times[some], values[some])
            told += more
        assert (found == scores).all()
        assert [(a.since, a.value, a.score) for a in told] == [
            (a.since, a.value, a.score) for a in alerts
        ]


def test_missing_readings_are_no_evidence() -> None:
    readings = noise(300)
    readings[::3, :, 1] = np.nan
    readings[5::7, 4] = np.nan
    detector = DenseDetector(DEVICES, METRICS)
    assert run(detector, readings) == []
    scores, _ = detector.step(ALL, np.zeros(DEVICES, np.int64), np.full((DEVICES, METRICS), np.nan))
    assert not scores.any()


def test_a_metric_that_begins_late_is_judged_when_its_spread_is_known() -> None:
    readings = noise(300)
    readings[:100, :, 1] = np.nan
    readings[104, 3, 1] += 150
    assert run(DenseDetector(DEVICES, METRICS), readings) == []
    readings[180, 3, 1] += 150_000
    assert len(run(DenseDetector(DEVICES, METRICS), readings)) == 1


def test_what_is_judged_is_the_same_as_in_a_partition() -> None:
    readings = noise(200)
    readings[:60, :, 1] = np.nan
    readings[::7, 2] = np.nan
    dense, sparse = DenseDetector(DEVICES, METRICS), FleetDetector()
    for number, values in enumerate(readings):
        times = np.full(DEVICES, 1_000 * number)
        scores, _ = dense.step(ALL, times, values)
        assert np.array_equal(sparse.step(ALL, times, values)[0], scores)
        assert np.array_equal(dense._nats.past.count, sparse._nats.past.count[:DEVICES])


def test_a_checkpoint_goes_on_where_it_was() -> None:
    readings = noise(120)
    readings[110, 7, 2] += 150
    whole, first, second = (DenseDetector(DEVICES, METRICS) for _ in range(3))
    expected = run(whole, readings)
    run(first, readings[:80])
    second.decode(first.encode())
    assert run(second, readings[80:], 80) == expected
    assert len(expected) == 1


def test_bytes_that_are_no_checkpoint_of_this_fleet_are_refused() -> None:
    detector = DenseDetector(DEVICES, METRICS)
    for data in (b"", b"nonsense", DenseDetector(DEVICES, 2).encode(),
                 DenseDetector(3, METRICS).encode()):  # fmt: skip
        with pytest.raises(IntegrityError):
            detector.decode(data)
    with pytest.raises(UsageError, match="other metrics"):
        detector.step(ALL, ALL, np.zeros((DEVICES, 2)))

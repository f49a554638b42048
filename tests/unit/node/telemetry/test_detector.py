from __future__ import annotations

import numpy as np
import pytest

from freehold.domain.errors import IntegrityError
from freehold.learning.anomaly import multivariate
from freehold.node.telemetry.detector import ASKS, QUIET, FleetDetector
from freehold.telemetry import states
from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.pipeline import Alert

ROWS, DEVICES = 200, 5


def fleet(seed: int = 1) -> tuple[Whole, Whole, Floats]:
    """Rows of devices that take turns, two metrics, one of them missing now and then."""
    rng = np.random.default_rng(seed)
    devices = np.tile(np.arange(DEVICES), ROWS)
    values = rng.normal([290.0, 50.0], [0.1, 2.0], (DEVICES * ROWS, 2))
    values[rng.random(values.shape) < 0.05] = np.nan
    return devices, np.repeat(np.arange(ROWS) * 1_000, DEVICES), values


def run(detector: FleetDetector, rows: tuple[Whole, Whole, Floats], cut: int) -> list[Alert]:
    devices, times, values = rows
    found: list[Alert] = []
    for at in range(0, len(devices), cut):
        part = slice(at, at + cut)
        found += detector.step(devices[part], times[part], values[part])[1]
    return found


def test_a_step_is_one_alert_with_its_metric_time_and_range() -> None:
    devices, times, values = fleet()
    values[(devices == 3) & (times >= 150_000), 1] += 300.0
    (alert,) = run(FleetDetector(), (devices, times, values), 100)
    assert (alert.row % DEVICES, alert.column, alert.since) == (3, 1, 150_000)
    assert 40 < alert.low < 50 < alert.high < 60 < 340 < alert.value
    assert ASKS <= alert.score <= 1
    assert alert.far > 20


def related(seed: int = 1, rows: int = 400) -> tuple[Whole, Whole, Floats]:
    """Rows of devices in turn, the second metric twice the first."""
    rng = np.random.default_rng(seed)
    devices = np.tile(np.arange(DEVICES), rows)
    first = rng.normal(50.0, 5.0, len(devices))
    values = np.stack([first, 2 * first + rng.normal(0.0, 0.1, len(devices))], axis=1)
    return devices, np.repeat(np.arange(rows) * 1_000, DEVICES), values


def test_a_relation_that_breaks_is_one_alert_of_the_metric_that_left_the_other() -> None:
    devices, times, values = related()
    broken = (devices == 2) & (times >= 300_000)
    values[broken, 1] = values[np.roll(broken, -40 * DEVICES), 1]
    found = run(FleetDetector(), (devices, times, values), 100)
    assert len(found) == 1
    assert 300_000 <= found[0].since < 310_000
    assert found[0].far > multivariate.SPREADS
    assert not found[0].low < found[0].value < found[0].high


def test_readings_of_one_metric_a_row_are_not_related() -> None:
    devices, times, values = related()
    values[::2, 0], values[1::2, 1] = np.nan, np.nan
    detector = FleetDetector()
    assert run(detector, (devices, times, values), 100) == []
    assert not detector._related.count.any()


@pytest.mark.parametrize("seed", range(5))
def test_a_quiet_fleet_raises_nothing(seed: int) -> None:
    assert run(FleetDetector(), fleet(seed), 250) == []


def test_cuts_and_restarts_change_nothing() -> None:
    rows = fleet()
    rows[2][777] = 1e6
    whole, parted = FleetDetector(), FleetDetector()
    expected = whole.step(*rows)[0]
    scores = []
    for at in range(0, len(rows[0]), 33):
        part = slice(at, at + 33)
        scores.append(parted.step(rows[0][part], rows[1][part], rows[2][part])[0])
        again = FleetDetector()
        again.decode(parted.encode())
        parted = again
    assert np.array_equal(np.concatenate(scores), expected)
    assert parted.encode() == whole.encode()


def test_an_incident_after_a_quiet_time_is_a_new_one() -> None:
    devices, times, values = fleet()
    values[60 * DEVICES, 0] = 400.0
    values[62 * DEVICES, 0] = 400.0
    values[(62 + QUIET + 20) * DEVICES, 0] = 1e5
    found = run(FleetDetector(), (devices, times, values), 50)
    assert [each.since for each in found] == [60_000, (82 + QUIET) * 1_000]


def test_devices_and_metrics_may_come_later() -> None:
    detector = FleetDetector()
    for at in range(100):
        detector.step(np.array([0]), np.array([at]), np.array([[float(at % 7)]]))
    _, alerts = detector.step(
        np.array([0, 500]), np.array([100, 100]), np.array([[1e6, 5.0, 2.0], [1.0, 1.0, 1.0]])
    )
    assert [(each.row, each.column) for each in alerts] == [(0, 0)]


def test_damaged_states_are_refused() -> None:
    detector = FleetDetector()
    for bad in (b"", b"x" * 99, states.encode(None, {"fleet.level": np.zeros(3)})):
        with pytest.raises(IntegrityError):
            detector.decode(bad)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from freehold.domain.errors import IntegrityError
from freehold.learning.anomaly.explain import SPREADS
from freehold.node.telemetry.detector import ASKS, QUIET, FleetDetector
from freehold.telemetry import pipeline, states
from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.columns import unpack
from freehold.telemetry.pipeline import Alert, Arrival
from freehold.telemetry.reading import Batch, Reading, pack
from unit.telemetry.devices import NETWORK, NOW
from unit.telemetry.stations import Device

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
    assert found[0].far > SPREADS
    assert not found[0].low < found[0].value < found[0].high


def test_readings_of_one_metric_a_row_are_not_related() -> None:
    devices, times, values = related()
    values[::2, 0], values[1::2, 1] = np.nan, np.nan
    detector = FleetDetector()
    assert run(detector, (devices, times, values), 100) == []
    assert not detector._related.count.any()


def counters() -> tuple[Whole, Whole, Floats]:
    """Rows of devices in turn with one metric that moves a little and one that rests; from 100 s
    on both are near 0."""
    devices, times = np.tile(np.arange(DEVICES), ROWS), np.repeat(np.arange(ROWS) * 1_000, DEVICES)
    values = np.where(times[:, None] < 100_000, [2_468.0, 31.0], 0.0)
    values[:, 0] += np.random.default_rng(3).normal(0.0, 1.0, len(values))
    return devices, times, values


@pytest.mark.parametrize(("begun", "alerts"), [(range(DEVICES), 0), ((0, 3, 9_999), DEVICES - 2)])
def test_what_a_start_sets_back_is_no_anomaly(begun: Iterable[int], alerts: int) -> None:
    devices, times, values = counters()
    detector, before = FleetDetector(), times < 100_000
    assert run(detector, (devices[before], times[before], values[before]), 50) == []
    detector.renew(np.array(list(begun)))
    found = run(detector, (devices[~before], times[~before], values[~before]), 50)
    assert len(found) == alerts
    assert not {found_.row % DEVICES for found_ in found} & set(begun)


@pytest.mark.parametrize(("begun", "alerts"), [(range(DEVICES), 0), ((), DEVICES)])
def test_a_relation_that_a_start_ends_is_not_missed(begun: Sequence[int], alerts: int) -> None:
    devices, times, values = related(rows=500)
    detector, before = FleetDetector(), times < 300_000
    values[~before, 1] = 200.0 - values[~before, 1]
    run(detector, (devices[before], times[before], values[before]), 100)
    detector.renew(np.array(begun, np.int64))
    found = run(detector, (devices[~before], times[~before], values[~before]), 100)
    assert len({each.row % DEVICES for each in found}) == alerts


def test_a_constant_that_moves_by_less_than_a_percent_is_not_odd() -> None:
    detector = FleetDetector()
    for at in range(400):
        value = 2_468.1 if at < 300 else 2_480.0
        rounded = value * (1 + 1e-15 * (at % 5))
        _, alerts = detector.step(np.zeros(1, int), np.array([at]), np.array([[rounded]]))
        assert alerts == []


def test_a_renewed_device_is_watched_again_once_it_is_known() -> None:
    devices, times, values = fleet()
    values[(devices == 3) & (times >= 150_000), 1] += 300.0
    detector, before = FleetDetector(), times < 100_000
    run(detector, (devices[before], times[before], values[before]), 50)
    detector.renew(np.arange(DEVICES))
    (alert,) = run(detector, (devices[~before], times[~before], values[~before]), 50)
    assert (alert.row % DEVICES, alert.column, alert.since) == (3, 1, 150_000)


def arrivals(boots: Sequence[int]) -> list[Arrival]:
    """Batches a second of two devices, of ``boots``; what they count begins anew at each."""
    made, since = [], 0
    for at, boot in enumerate(boots):
        since = at if at and boot > boots[at - 1] else since
        for device in (Device(1), Device(2)):
            now = NOW + 1_000 * at
            value = 300.0 if since else 350.0
            batch = Batch(
                NETWORK, device.member.did, boot, at + 1, now,
                pack([Reading("host.temperature", "K", now, value + 1e-3 * (at % 2))]),
            )  # fmt: skip
            made.append(Arrival(device.member.id, now, now, unpack(batch), boot))
    return made


def test_starts_raise_nothing_however_the_log_is_cut() -> None:
    told = arrivals([1] * 90 + [2] * 40 + [3] * 2 + [4] * 40)
    whole, expected = pipeline.step(pipeline.start(FleetDetector()), told)
    assert [each for each in expected.findings if each.kind == "anomaly"] == []
    for cut in (1, 61):
        state, scores = pipeline.start(FleetDetector()), []
        for at in range(0, len(told), cut):
            state, output = pipeline.step(state, told[at : at + cut])
            scores.append(output.rows.score)
            if at % 3 == 0:
                state = pipeline.decode(FleetDetector(), pipeline.encode(state))
        assert np.array_equal(np.concatenate(scores), expected.rows.score)
        assert pipeline.encode(state) == pipeline.encode(whole)


def test_without_a_start_the_same_is_told() -> None:
    told = [replace(each, boot=1) for each in arrivals([1] * 90 + [2] * 40)]
    _, output = pipeline.step(pipeline.start(FleetDetector()), told)
    assert [each.kind for each in output.findings if each.kind == "anomaly"] == ["anomaly"] * 2


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

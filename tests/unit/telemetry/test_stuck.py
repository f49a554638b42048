"""Sensors that are stuck: told while they are, once an incident, and over when they move."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.partition import Rules
from freehold.telemetry.pipeline import STILL
from freehold.telemetry.reading import Reading
from unit.telemetry.devices import NOW
from unit.telemetry.stations import Device, Listed, Station, drop

START, TURNS = NOW // STILL * STILL, 20
LIVELY = [290.0 + float(each) for each in np.random.default_rng(1).normal(0, 1, 120)]


def found(
    folder: Path, values: Sequence[float], *, metric: str = "roof.temperature", unit: str = "K",
    cut: int = TURNS, period: int = 1_000, crashes: bool = False,
) -> list[Finding]:  # fmt: skip
    """What is told of readings, one each ``period``, that come in batches of ``cut``."""
    device = Device(1)
    folder.mkdir(exist_ok=True)
    station = Station(folder, Listed(device))
    partition = station.open(rules=Rules(batches=1))
    for at in range(0, len(values), cut):
        readings = [
            Reading(metric, unit, START + period * (at + place), value)
            for place, value in enumerate(values[at : at + cut])
        ]
        now = readings[-1].time
        partition.take([device.sealed(readings, now)], now=now)
        partition.work()
        if crashes:
            drop(partition)
            partition = station.open(rules=Rules(batches=1), now=now)
    partition.close()
    return [each for each in station.found if each.kind == "stuck"]


def test_a_stuck_sensor_is_told_of_at_once_and_as_one_incident(tmp_path: Path) -> None:
    values = [*LIVELY, *[291.5] * 100]
    told = found(tmp_path, values)
    assert len({each.key for each in told}) == 1
    first = told[0]
    assert (first.severity, first.metric, first.since) == (
        Severity.WARNING, "roof.temperature", START + 120_000,
    )  # fmt: skip
    assert first.at - first.since < 40_000
    assert "roof.temperature has been 291.5 for" in first.reason
    assert first.value == 291.5
    assert len(told) == 1


def test_it_is_told_again_while_it_lasts_and_no_more_when_it_moves(tmp_path: Path) -> None:
    values = [*LIVELY, *[291.5] * 1_000, *LIVELY[:60], *[289.0] * 100]
    told = found(tmp_path, values)
    assert len({each.key for each in told}) == 2
    moved = START + 1_000 * 1_120
    old, new = ([each for each in told if (each.at >= moved) is late] for late in (False, True))
    assert [each.at for each in old[1:]] == [START + STILL * turn for turn in (1, 2, 3)]
    assert [each.since for each in new] == [START + 1_000 * 1_180]


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_cuts_and_crashes_change_nothing(tmp_path: Path, cut: int) -> None:
    values = [*LIVELY, *[291.5] * 400, *LIVELY[:20]]
    expected = found(tmp_path / "whole", values)
    assert len(expected) == 2
    assert found(tmp_path / "cut", values, cut=cut) == expected
    if cut > 1:
        crashed = found(tmp_path / "crashed", values, cut=cut, crashes=True)
        assert list(dict.fromkeys(crashed)) == expected


def test_what_rests_at_a_limit_or_may_stand_still_is_not_told(tmp_path: Path) -> None:
    light = [abs(value - 290.0) * 100 for value in LIVELY]
    for number, rest in enumerate((0.0, 5.0)):
        told = found(
            tmp_path / str(number), [*light, *[rest] * 100], metric="roof.irradiance", unit="W/m2"
        )
        assert bool(told) is (rest > 0)
    assert found(tmp_path / "count", [7.0] * 300, metric="door.count", unit="1") == []


def test_the_alert_stays_open_while_it_lasts_and_is_resolved_after(tmp_path: Path) -> None:
    told = found(tmp_path, [*LIVELY, *[291.5] * 3_000])
    clock = [0]
    desk = Desk(tmp_path / "alerts.sqlite", clock=lambda: clock[0])
    for each in told:
        clock[0] = each.at
        desk.sweep()
        desk.tell([each])
        (alert,) = desk.list()
        assert (alert.state, alert.times) == ("open", 1)
    clock[0] += 16 * 60_000
    desk.sweep()
    assert [each.state for each in desk.list()] == ["resolved"]
    desk.close()

"""Honest devices whose readings come again or are alike are not accused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench import ordinary
from freehold.telemetry import recent
from freehold.telemetry.cleaning import Floats
from freehold.telemetry.lies import SURE, look
from freehold.telemetry.recent import Recent
from freehold.telemetry.spoofing import Finding, Kind
from unit.telemetry import fleet

DEVICES, SEEDS = 10, 12
DAY = 86_400_000


def marked(readings: Recent, metric: str = "roof.power") -> list[Finding]:
    """Copies and replays for which a device would be marked."""
    size = len(readings.count)
    found = look(readings, np.arange(size), ["cell"] * size, metric, tick=1_000)
    return [
        each for each, _ in found if each.kind in (Kind.COPIED, Kind.REPLAYED) and each.score > SURE
    ]


@pytest.mark.parametrize("kind", ordinary.KINDS)
def test_ordinary_devices_are_not_accused(
    kind: str, record_property: Callable[[str, object], None]
) -> None:
    days, wrong = 0.0, list[str]()
    for seed in range(SEEDS):
        for place, pace in enumerate(ordinary.PACES):
            rng = np.random.default_rng([fleet.seed(), seed, place])
            readings, lasted = ordinary.draw(rng, kind, pace, devices=DEVICES)
            wrong += [f"{seed} {pace}: {each.reason}" for each in marked(readings)]
            days += lasted
    record_property("device_days", round(days, 1))
    assert not wrong


def series(intervals: Floats, values: Floats) -> Recent:
    """The readings of one device."""
    readings = Recent.empty(1)
    times = fleet.START + np.cumsum(intervals).astype(np.int64)
    recent.note(readings, np.zeros(len(times), np.int64), times, values)
    return readings


def uptime(rng: np.random.Generator, intervals: Floats) -> Floats:
    return np.round(90_000 + np.cumsum(intervals) / 1_000 + rng.normal(0, 0.002, len(intervals)), 2)


@pytest.mark.parametrize("after", range(64, 250, 3))
def test_an_uptime_whose_interval_was_changed_replays_nothing(after: int) -> None:
    rng = np.random.default_rng(after)
    intervals = np.r_[np.full(256 - after, 2_000.0), np.full(after, 5_000.0)]
    readings = series(intervals + rng.normal(0, 5, 256), uptime(rng, intervals))
    assert marked(readings, "host.uptime") == []


def test_a_series_begins_anew_where_its_period_changed() -> None:
    rng = np.random.default_rng(1)
    intervals = np.r_[np.full(156, 2_000.0), np.full(100, 5_000.0)]
    found = recent.own(series(intervals, rng.normal(290, 0.1, 256)), np.array([0]))
    assert found is not None
    own, _ = found
    heard = np.flatnonzero(np.isfinite(own.values[0]))
    assert own.steps.tolist() == [5_000.0]
    assert 80 <= len(heard) <= 100
    assert heard[-1] - heard[0] == len(heard) - 1
    young = np.r_[np.full(200, 2_000.0), np.full(56, 5_000.0)]
    assert recent.own(series(young, rng.normal(290, 0.1, 256)), np.array([0])) is None


@pytest.mark.parametrize("period", [1_000.0, 1_700.0, 5_003.0, 61_000.0])
def test_a_replay_is_found_at_any_period_and_with_gaps(period: float) -> None:
    rng = np.random.default_rng(2)
    values = np.round(rng.normal(290, 0.1, 256), 2)
    values[150:] = values[: 256 - 150]
    here = rng.random(256) > 0.01
    times = np.cumsum(period + rng.normal(0, period / 50, 256))
    readings = series(np.diff(times[here], prepend=0.0), values[here])
    (found,) = marked(readings, "roof.temperature")
    assert found.kind is Kind.REPLAYED
    began = fleet.START + times[150]
    assert abs(found.since - began) < 40 * period


@pytest.mark.parametrize("late", range(8))
def test_a_tape_that_goes_on_where_it_stopped_is_found(late: int) -> None:
    """Who is late for a reading takes the next line of the tape, and is later from then on."""
    rng = np.random.default_rng(late)
    tape = np.r_[rng.normal(295, 0.03, 70), np.resize(rng.normal(295, 0.03, 50), 130)]
    intervals = 1_000.0 + rng.normal(0, 20, 200)
    intervals[rng.choice(np.arange(90, 199), late, replace=False)] += 700.0
    (found,) = marked(series(intervals, tape), "roof.temperature")
    assert (found.kind, found.devices) == (Kind.REPLAYED, (0,))


def test_a_machine_in_cycles_that_replays_its_noise_too_is_found() -> None:
    rng = np.random.default_rng(3)
    at = np.arange(256)
    values = np.round(1_000.0 * (at % 40 < 20) + rng.normal(50, 1, 256), 2)
    values[160:] = values[:96]
    assert marked(series(np.full(256, 5_000.0), values))

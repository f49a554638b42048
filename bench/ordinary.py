"""Honest series that look alike or come again: counters, ramps, schedules, machines in cycles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.recent import Recent, note

START = 1_790_000_000_000
Kind = Callable[[np.random.Generator, Floats], Floats]
"""Values at seconds (n,), of readings of one device."""


def _ticks(seconds: Floats) -> Floats:
    return np.arange(len(seconds), dtype=np.float64)


def _uptime(rng: np.random.Generator, seconds: Floats) -> Floats:
    return 1_000 * rng.random() + seconds + rng.normal(0, 0.003, len(seconds))


def _whole_uptime(rng: np.random.Generator, seconds: Floats) -> Floats:
    whole: Floats = np.floor(_uptime(rng, 1.0007 * seconds))
    return whole


def _bytes(rng: np.random.Generator, seconds: Floats) -> Floats:
    return np.cumsum(rng.poisson(3, len(seconds)) * 4_096.0)


def _ramp(rng: np.random.Generator, seconds: Floats) -> Floats:
    return np.round(rng.uniform(0.1, 0.3) * seconds, 1)


def _coarse(rng: np.random.Generator, seconds: Floats) -> Floats:
    slow = 2 * np.sin(_ticks(seconds) / 40)
    return np.round(290 + slow + rng.normal(0, 0.15, len(seconds)))


def _day(rng: np.random.Generator, seconds: Floats) -> Floats:
    turn = int(rng.integers(40, 150))
    phase = 2 * np.pi * (_ticks(seconds) + rng.integers(turn)) / turn
    return np.round(293 + 4 * np.sin(phase) + rng.normal(0, 0.1, len(seconds)), 2)


def _schedule(rng: np.random.Generator, seconds: Floats) -> Floats:
    turn = int(rng.integers(60, 140))
    hours = np.repeat(rng.choice([0.0, 0.0, 60.0, 100.0, 250.0, 1200.0], 12), 12)[:turn]
    noise = rng.choice([0.0, 0.01])
    return np.round(np.resize(hours, len(seconds)) * (1 + rng.normal(0, noise, len(seconds))), 1)


def _on(rng: np.random.Generator, seconds: Floats, most: int = 40) -> tuple[Floats, Floats]:
    """Whether a machine runs, and for how many ticks it has."""
    turn = int(rng.integers(4, most))
    at = (_ticks(seconds) + rng.integers(turn)) % turn
    on = at < rng.integers(1, turn)
    return on.astype(np.float64), at


def _duty(rng: np.random.Generator, seconds: Floats) -> Floats:
    on, _ = _on(rng, seconds)
    return 100 * on


def _noisy_duty(rng: np.random.Generator, seconds: Floats) -> Floats:
    on, _ = _on(rng, seconds)
    return np.round(on * (100 + rng.normal(0, 1, len(on))) + rng.normal(0, 0.05, len(on)), 2)


def _switched_on(rng: np.random.Generator, seconds: Floats) -> Floats:
    on, _ = _on(rng, seconds, 20)
    on *= _ticks(seconds) > rng.integers(60, len(on) - 64)
    return np.round(on * (100 + rng.normal(0, 1, len(on))), 2)


def _compressor(rng: np.random.Generator, seconds: Floats) -> Floats:
    """A fridge's power, with the inrush of its motor."""
    on, at = _on(rng, seconds)
    running: Floats = on * (98 + 40 * np.exp(-at / 2))
    power: Floats = np.round(2 + running + rng.normal(0, 0.5, len(on)), 1)
    return power


def _fridge(rng: np.random.Generator, seconds: Floats) -> Floats:
    """The temperature in one."""
    inside, cooling, pace, out = 4.0, False, rng.uniform(0.1, 0.4), np.zeros(len(seconds))
    for place, noise in enumerate(rng.normal(0, 0.02, len(seconds))):
        cooling = inside > 5 or (cooling and inside >= 3)
        inside += pace * (0.5 - 1.2 * cooling) + noise
        out[place] = inside
    return np.round(277 + out + rng.normal(0, 0.05, len(out)), 2)


def _saw(rng: np.random.Generator, seconds: Floats) -> Floats:
    noise = rng.choice([0.0, 0.1])
    level = (_ticks(seconds) + rng.integers(50)) % rng.integers(9, 60)
    return np.round(level + rng.normal(0, noise, len(level)), 2)


KINDS: Mapping[str, Kind] = {
    "uptime": _uptime,
    "whole uptime": _whole_uptime,
    "bytes": _bytes,
    "ramp": _ramp,
    "coarse": _coarse,
    "day": _day,
    "schedule": _schedule,
    "duty": _duty,
    "noisy duty": _noisy_duty,
    "switched on": _switched_on,
    "compressor": _compressor,
    "fridge": _fridge,
    "saw": _saw,
}
PACES = ("steady", "jitter", "slower", "faster", "odd")


def intervals(rng: np.random.Generator, pace: str, count: int) -> Floats:
    """Milliseconds between readings (count,)."""
    before = np.arange(count) < rng.integers(20, count - 20)
    return {
        "steady": np.full(count, 5_000.0),
        "jitter": 5_000 + rng.normal(0, 60, count),
        "slower": np.where(before, 2_000.0, 5_000.0),
        "faster": np.where(before, 60_000.0, 7_000.0),
        "odd": np.full(count, rng.choice([1_500.0, 3_000.0, 2_500.0, 7_000.0, 1_100.0])),
    }[pace]


def draw(rng: np.random.Generator, kind: str, pace: str, *, devices: int) -> tuple[Recent, float]:
    """Readings of devices of one kind, a hundredth lost, and how many days they last together."""
    kept, days, count = Recent.empty(devices), 0.0, int(rng.integers(130, 320))
    for device in range(devices):
        times: Whole = np.cumsum(intervals(rng, pace, count)).astype(np.int64)
        values = KINDS[kind](rng, times / 1_000)
        here = rng.random(count) > 0.01
        note(kept, np.full(int(here.sum()), device), START + times[here], values[here])
        days += float(times[-1] - times[0]) / 86_400_000
    return kept, days

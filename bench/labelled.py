"""Fleets of devices with labelled faults, drawn from a seed: what detectors are judged on.

A device reports four metrics once a minute: a temperature that follows its cohort's weather, a
load with a day and jobs of its own, power that follows the load, and a latency with a long tail.
Some honest devices are odd (coarse, quiet, noisy, silent for a while), and one reading in a
hundred is missing. In every second cohort some devices have a fault each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench import fleets

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAY = 1_440
"""Rows of a day."""
COHORT = 16
FAULTY = 4
"""Devices of every second cohort that have a fault."""
LEARNT = DAY
"""Rows before the first fault."""
METRICS = ("temperature", "load", "power", "latency")
TEMPERATURE, LOAD, POWER, LATENCY = range(len(METRICS))
ODD = 0.25
"""Share of honest devices that are odd in some way."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What ``device`` does in rows ``begins`` to ``ends``, the last excluded."""

    device: int
    kind: str
    begins: int
    ends: int


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """``values`` (rows, devices, metrics), NaN where missing; ``cohorts`` (devices,)."""

    values: Floats
    cohorts: Ints
    faults: tuple[Fault, ...]


Shape = Callable[[np.random.Generator, Floats, int, int], None]
"""Changes the series (rows, metrics) of a device, in place, from a row to another."""


def _usual(series: Floats, metric: int, begins: int) -> float:
    """The standard deviation of a metric's own noise before a fault."""
    return float(np.std(np.diff(series[:begins, metric]))) / 2**0.5


def _some(rng: np.random.Generator) -> int:
    return int(rng.choice([TEMPERATURE, LOAD, POWER]))


def _spike(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    metric = _some(rng)
    size = rng.choice([-1, 1]) * rng.uniform(10, 20) * _usual(series, metric, begins)
    series[begins:ends, metric] += size


def _step(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    metric = _some(rng)
    size = rng.choice([-1, 1]) * rng.uniform(8, 16) * _usual(series, metric, begins)
    series[begins:ends, metric] += size


def _drift(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    metric = _some(rng)
    size = rng.choice([-1, 1]) * rng.uniform(20, 40) * _usual(series, metric, begins)
    series[begins:ends, metric] += size * np.linspace(0, 1, ends - begins)


def _variance(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    metric = _some(rng)
    size = rng.uniform(4, 8) * _usual(series, metric, begins)
    series[begins:ends, metric] += rng.normal(0, size, ends - begins)


def _stuck(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    metric = _some(rng)
    series[begins:ends, metric] = series[begins, metric]


def _relation(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    """Power of other hours: each reading usual, but not beside this load."""
    lag = int(rng.integers(DAY // 4, DAY // 2))
    series[begins:ends, POWER] = series[begins - lag : ends - lag, POWER].copy()


def _departure(rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    """A climate of its own, within what the day's temperatures are."""
    size = rng.choice([-1, 1]) * rng.uniform(2, 4)
    series[begins:ends, TEMPERATURE] += size * np.sin(np.linspace(0, np.pi, ends - begins))


def _season(_rng: np.random.Generator, series: Floats, begins: int, ends: int) -> None:
    """The day of the other side of the world."""
    for metric in (TEMPERATURE, LOAD):
        lag = DAY // 2
        series[begins:ends, metric] = series[begins - lag : ends - lag, metric].copy()


SHAPES: Mapping[str, Shape] = {
    "spike": _spike,
    "step": _step,
    "drift": _drift,
    "variance": _variance,
    "stuck": _stuck,
    "relation": _relation,
    "departure": _departure,
    "season": _season,
}
LENGTHS = {"spike": 1, "drift": 480, "departure": 480, "season": 480}
"""Rows of a fault; 360 where it is not named."""
LENGTH = 360


def shapes() -> tuple[str, ...]:
    """The faults that the environment names, or all."""
    return fleets.shapes(SHAPES)


def draw(rng: np.random.Generator, names: tuple[str, ...], *, cohorts: int, days: int) -> Labelled:
    """A fleet of ``cohorts`` cohorts for ``days`` days, 2 at least; faults in turn."""
    rows, devices = days * DAY, cohorts * COHORT
    values = _honest(rng, rows, cohorts)
    faults = list[Fault]()
    for cohort in range(1, cohorts, 2):
        for device in cohort * COHORT + rng.choice(COHORT, FAULTY, replace=False):
            name = names[len(faults) % len(names)]
            length = LENGTHS.get(name, LENGTH)
            begins = int(rng.integers(LEARNT, rows - length))
            series = values[:, device]
            SHAPES[name](rng, series, begins, begins + length)
            faults.append(Fault(int(device), name, begins, begins + length))
    _oddities(rng, values, {fault.device for fault in faults})
    values[rng.random(values.shape) < 0.01] = np.nan
    return Labelled(values, np.repeat(np.arange(cohorts), COHORT)[:devices], tuple(faults))


def _walk(rng: np.random.Generator, rows: int, series: int, size: float, back: float) -> Floats:
    """Random walks (rows, series) that are drawn back by the share ``back`` a row."""
    steps = rng.normal(0.0, size, (rows, series))
    for row in range(1, rows):
        steps[row] += (1 - back) * steps[row - 1]
    return steps


def _honest(rng: np.random.Generator, rows: int, cohorts: int) -> Floats:
    """Readings (rows, devices, metrics) without faults."""
    devices, day = cohorts * COHORT, 2 * np.pi * np.arange(rows)[:, None] / DAY
    weather = 4 * np.sin(day) + _walk(rng, rows, 1, 0.05, 0.002)
    climate = weather + rng.normal(0, 2, cohorts) + _walk(rng, rows, cohorts, 0.03, 0.005)
    felt = np.repeat(climate, COHORT, axis=1)
    inertia = rng.uniform(0.1, 0.5, devices)
    for row in range(1, rows):
        felt[row] = felt[row - 1] + inertia * (felt[row] - felt[row - 1])
    temperature = 288 + rng.normal(0, 1, devices) + felt * rng.uniform(0.95, 1.05, devices)
    phase = np.repeat(rng.uniform(0, 2 * np.pi, cohorts), COHORT)
    busy = np.cumsum(rng.random((rows, devices)) < 0.01, axis=0) % 2
    load = rng.uniform(0.3, 0.6, devices) + 0.15 * np.sin(day + phase) + 0.1 * busy
    load = np.abs(load + _walk(rng, rows, devices, 0.02, 0.2))
    power = rng.uniform(40, 80, devices) + load * rng.uniform(80, 160, devices)
    latency = 0.02 * (1 + load) * np.exp(rng.normal(0, 0.4, (rows, devices)))
    noise = rng.normal(0, 1, (2, rows, devices))
    temperature += rng.uniform(0.05, 0.15, devices) * noise[0]
    power += rng.uniform(0.8, 1.6, devices) * noise[1]
    return np.stack([temperature, load, power, latency], axis=2)


def _oddities(rng: np.random.Generator, values: Floats, faulty: set[int]) -> None:
    for device in range(values.shape[1]):
        if device in faulty or rng.random() >= ODD:
            continue
        series, kind = values[:, device], int(rng.integers(4))
        if kind == 0:
            series[:, TEMPERATURE] = np.round(series[:, TEMPERATURE] * 2) / 2
        elif kind == 1:
            series[:, POWER] = np.round(series[:, POWER], -1)
        elif kind == 2:
            series[:, TEMPERATURE] += rng.normal(0, 0.5, len(series))
        else:
            at = int(rng.integers(len(series)))
            series[at : at + int(rng.integers(20, DAY))] = np.nan

"""Fleets of sensors with labelled lies, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bench import fleets
from freehold.telemetry.cleaning import Floats
from freehold.telemetry.spoofing import Window

CELL, TICKS, INTERVAL = 16, 512, 10_000
START = 1_790_000_000_000
BEGINS = 256
"""The tick at which lies begin."""


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """A window, and what each device that lies does."""

    window: Window
    lies: Mapping[int, str]


Shape = Callable[[np.random.Generator, Floats], list[int]]
"""Changes the series of one cell, (CELL, TICKS), in place, and gives the rows that lie."""


def _noise(rng: np.random.Generator, size: float, ticks: int = TICKS) -> Floats:
    return rng.normal(0.0, size, ticks)


def _wander(rng: np.random.Generator, size: float) -> Floats:
    """A random walk that is drawn back, in K."""
    steps, out = rng.normal(0.0, size, TICKS), np.zeros(TICKS)
    for tick in range(1, TICKS):
        out[tick] = 0.995 * out[tick - 1] + steps[tick]
    return out


def _copied(rng: np.random.Generator, cell: Floats) -> list[int]:
    cell[0] = cell[1] + rng.choice([0.0, 0.5])
    return [0]


def _disguised(rng: np.random.Generator, cell: Floats) -> list[int]:
    mean = np.nanmean(cell[1])
    cell[0] = mean + rng.uniform(0.8, 1.2) * (cell[1] - mean) + _noise(rng, 0.03)
    return [0]


def _lagged(rng: np.random.Generator, cell: Floats) -> list[int]:
    lag = int(rng.integers(1, 10))
    cell[0, lag:] = cell[1, :-lag].copy()
    return [0]


def _replayed(rng: np.random.Generator, cell: Floats) -> list[int]:
    cell[0, BEGINS:] = cell[0, :BEGINS].copy() + _noise(rng, 0.02, TICKS - BEGINS)
    return [0]


def _looped(rng: np.random.Generator, cell: Floats) -> list[int]:
    length = int(rng.integers(16, 100))
    cell[0, BEGINS:] = np.resize(cell[0, BEGINS - length : BEGINS], TICKS - BEGINS)
    return [0]


def _jumping(rng: np.random.Generator, cell: Floats) -> list[int]:
    for tick in rng.choice(np.arange(BEGINS, TICKS - 1), 3, replace=False):
        cell[0, tick:] += rng.choice([-1, 1]) * rng.uniform(20, 40)
    return [0]


def _outlying(rng: np.random.Generator, cell: Floats) -> list[int]:
    cell[0, BEGINS:] += rng.choice([-1, 1]) * (8 + np.linspace(0, 4, TICKS - BEGINS))
    return [0]


def _collusive(rng: np.random.Generator, cell: Floats) -> list[int]:
    size = int(rng.integers(3, 6))
    story = np.nanmean(cell[:, BEGINS:]) + rng.choice([-1, 1]) * (
        5 + np.abs(_wander(rng, 0.1)[BEGINS:])
    )
    for row in range(size):
        cell[row, BEGINS:] = story + _noise(rng, 0.1, TICKS - BEGINS)
    return list(range(size))


SHAPES: Mapping[str, Shape] = {
    "copied": _copied,
    "disguised": _disguised,
    "lagged": _lagged,
    "replayed": _replayed,
    "looped": _looped,
    "jumping": _jumping,
    "outlying": _outlying,
    "collusive": _collusive,
}


def shapes() -> tuple[str, ...]:
    """The lies that the environment names, or all."""
    return fleets.shapes(SHAPES)


def draw(rng: np.random.Generator, names: tuple[str, ...], *, cells: int) -> Fleet:
    """A fleet of ``cells`` cells of temperatures in K; every second one has liars, in turn."""
    weather = 288.0 + _wander(rng, 0.05)
    values, lies = np.empty((cells * CELL, TICKS)), dict[int, str]()
    for cell in range(cells):
        series = _honest(rng, weather)
        if cell % 2:
            name = names[cell // 2 % len(names)]
            lies |= {cell * CELL + row: name for row in SHAPES[name](rng, series)}
        values[cell * CELL : (cell + 1) * CELL] = np.round(series, 2)
    values[rng.random(values.shape) < 0.01] = np.nan
    times = START + INTERVAL * np.arange(TICKS, dtype=np.int64)
    return Fleet(Window(times, values, np.repeat(np.arange(cells), CELL)), lies)


def _honest(rng: np.random.Generator, weather: Floats) -> Floats:
    """A cell: weather, a climate of its own, and for each device a site, a delay and noise."""
    series = np.empty((CELL, TICKS))
    climate = weather + rng.normal(0, 2) + _wander(rng, 0.03)
    for row in range(CELL):
        inertia = rng.uniform(0.3, 1.0)
        felt = climate.copy()
        for tick in range(1, TICKS):
            felt[tick] = felt[tick - 1] + inertia * (climate[tick] - felt[tick - 1])
        series[row] = felt + rng.normal(0, 0.3) + _noise(rng, rng.uniform(0.05, 0.15))
        if rng.random() < ODD:
            ODDITIES[int(rng.integers(len(ODDITIES)))](rng, series, row, felt)
    return series


def _coarse(_rng: np.random.Generator, cell: Floats, row: int, _felt: Floats) -> None:
    """A sensor of a few steps a kelvin."""
    cell[row] = np.round(cell[row] * 8) / 8


def _quiet(rng: np.random.Generator, cell: Floats, row: int, felt: Floats) -> None:
    """A sensor with hardly any noise of its own."""
    cell[row] = felt + _noise(rng, 0.01)


def _averaging(_rng: np.random.Generator, cell: Floats, row: int, _felt: Floats) -> None:
    """A sensor that gives the mean of its last readings."""
    cell[row] = np.convolve(np.pad(cell[row], (5, 0), mode="edge"), np.full(6, 1 / 6), "valid")


def _dying(rng: np.random.Generator, cell: Floats, row: int, _felt: Floats) -> None:
    """A sensor that gets stuck."""
    at = int(rng.integers(50, TICKS))
    cell[row, at:] = cell[row, at]


def _silent(rng: np.random.Generator, cell: Floats, row: int, _felt: Floats) -> None:
    """A device that is off for a while, or for good."""
    at = int(rng.integers(0, TICKS))
    cell[row, at : at + int(rng.integers(20, TICKS))] = np.nan


def _spiking(rng: np.random.Generator, cell: Floats, row: int, _felt: Floats) -> None:
    """A sensor with a bad contact, within what a temperature can do."""
    cell[row, rng.choice(TICKS, 8, replace=False)] += rng.uniform(2, 4, 8)


ODDITIES = (_coarse, _quiet, _averaging, _dying, _silent, _spiking)
ODD = 0.25
"""Share of honest devices that are odd in some way: a detector must not accuse them."""

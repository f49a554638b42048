"""The Numenta Anomaly Benchmark: its files read, and its score.

A folder holds ``series.parquet`` (file, timestamp, value), ``combined_windows.json`` (file to
windows of two timestamps) and ``profiles.json`` (profile to its cost matrix); any subset of the
benchmark's files will do. The score is that of NAB 1.1 (Lavin and Ahmad, 2015, section II, and
the benchmark's whitepaper): what happens in the first 15 % of a file, 750 rows at most, does not
count; in a window only the earliest detection counts, the earlier the better; a false positive
costs the more the longer after the last window it comes; 0 is a detector that says nothing, 100
one that speaks at the first row of every window and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import NotFoundError, UnavailableError, UsageError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.datetime64]

PROBATION = 0.15
PROBATION_MOST = 750
FAR = 3.0
"""Widths past a window from which a false positive costs all of its weight."""
OUTSIDE, UNCOUNTED = -1, -2
"""In place of a window's number: a row in none, a row in probation."""
SILENT = 1.1
"""A threshold above every score."""
_Held = TypeVar("_Held")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a detection, a false positive and a missed window weigh."""

    name: str
    tp: float
    fp: float
    fn: float


@dataclass(frozen=True, slots=True)
class Series:
    """One file: its rows by time, and the first and last row of each labelled window."""

    name: str
    times: Times
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the start that do not count."""
        return probation(len(self.values))


def probation(rows: int) -> int:
    return min(int(PROBATION * rows), PROBATION_MOST)


def read(folder: Path) -> tuple[Series, ...]:
    """Every file of a folder; NotFoundError, UsageError or UnavailableError say what is wrong."""
    windows: dict[str, list[list[str]]] = _json(folder / "combined_windows.json")
    rows = _rows(folder / "series.parquet")
    return tuple(
        Series(name, times, values, _windows(name, times, windows.get(name, [])))
        for name, (times, values) in sorted(rows.items())
    )


def profiles(folder: Path) -> tuple[Profile, ...]:
    """The profiles of a folder, in its order."""
    found: dict[str, dict[str, dict[str, float]]] = _json(folder / "profiles.json")
    costs = [(name, held["CostMatrix"]) for name, held in found.items()]
    return tuple(
        Profile(name, cost["tpWeight"], cost["fpWeight"], cost["fnWeight"]) for name, cost in costs
    )


def _json(path: Path) -> dict[str, _Held]:
    try:
        held: dict[str, _Held] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} is missing", remedy="Name a folder of NAB data.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON", remedy="Fetch the file again.") from error
    return held


def _rows(path: Path) -> dict[str, tuple[Times, Floats]]:
    if not path.exists():
        raise NotFoundError(f"{path} is missing", remedy="Name a folder of NAB data.")
    try:
        import duckdb
    except ImportError as error:
        raise UnavailableError(
            "reading Parquet needs duckdb", remedy="Install it: uv pip install duckdb."
        ) from error
    with duckdb.connect() as store:
        table = store.read_parquet(str(path)).fetchnumpy()
    names, order = np.unique(np.asarray(table["file"], dtype=str), return_inverse=True)
    found = {}
    for at, name in enumerate(names):
        mine = order == at
        times = np.asarray(table["timestamp"])[mine].astype("datetime64[us]")
        found[str(name)] = (times, np.ma.filled(table["value"][mine].astype(float), np.nan))
    return found


def _windows(
    name: str, times: Times, limits: Sequence[Sequence[str]]
) -> tuple[tuple[int, int], ...]:
    return tuple((_row(name, times, first), _row(name, times, last)) for first, last in limits)


def _row(name: str, times: Times, moment: str) -> int:
    """The first row of that time; UsageError where no row has it."""
    at = np.flatnonzero(times == np.datetime64(moment, "us"))
    if not at.size:
        raise UsageError(
            f"{name} has no row of {moment}, where a window ends",
            remedy="Labels and series are of two releases; fetch both again.",
        )
    return int(at[0])


def sigmoid(position: Floats | float) -> Floats:
    """Worth at a position: -1 a window's first row, 0 just past it, 1 a width past it."""
    at = np.asarray(position, dtype=np.float64)
    return np.where(at >= FAR, -1.0, 2 / (1 + np.exp(5 * np.minimum(at, FAR))) - 1)


FIRST = float(sigmoid(-1.0))
"""Worth of the earliest detection, by which all are divided."""


@dataclass(frozen=True, slots=True)
class Worth:
    """Of each row of a file, unweighted: worth of an alert there, and the number of its window."""

    worth: Floats
    window: Ints


def worth(rows: int, windows: Sequence[tuple[int, int]]) -> Worth:
    """What an alert at each row is worth; windows in order and apart."""
    position = np.full(rows, FAR)
    window = np.full(rows, OUTSIDE, dtype=np.int64)
    at = np.arange(rows)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        position[first : last + 1] = -(last - at[first : last + 1] + 1) / width
        position[last + 1 :] = (at[last + 1 :] - last) / max(width - 1, 1)
        window[first : last + 1] = number
    window[: probation(rows)] = UNCOUNTED
    return Worth(sigmoid(position), window)


@dataclass(frozen=True, slots=True)
class Curve:
    """The score of a set of files under every threshold, falling; the first says nothing."""

    thresholds: Floats
    scores: Floats
    windows: int
    """Labelled windows that count."""

    def best(self) -> float:
        """The highest threshold of the best score."""
        return float(self.thresholds[int(np.argmax(self.scores))])

    def at(self, threshold: float) -> float:
        """The score when everything that reaches this threshold is an alert."""
        reached = np.searchsorted(-self.thresholds, -threshold, side="right")
        return float(self.scores[max(int(reached) - 1, 0)])


def curve(files: Sequence[Series], scores: Sequence[Floats], profile: Profile) -> Curve:
    """Sweep one threshold over the scores, in [0, 1], of all files at once."""
    gains, levels, windows = [], [], 0
    for series, score in zip(files, scores, strict=True):
        made = worth(len(series.values), series.windows)
        outside = made.window == OUTSIDE
        levels.append(score[outside])
        gains.append(made.worth[outside] * profile.fp)
        for number in np.unique(made.window[made.window >= 0]):
            inside = made.window == number
            level, gain = _window(score[inside], made.worth[inside], profile)
            levels.append(level)
            gains.append(gain)
            windows += 1
    return _sum(levels, gains, windows, profile)


def _window(score: Floats, value: Floats, profile: Profile) -> tuple[Floats, Floats]:
    """What lowering the threshold past each row of one window adds."""
    order = np.argsort(-score, kind="stable")
    held = np.maximum.accumulate(value[order] * profile.tp / FIRST)
    return score[order], np.diff(held, prepend=-profile.fn)


def _sum(levels: list[Floats], gains: list[Floats], windows: int, profile: Profile) -> Curve:
    level, gain = np.concatenate(levels or [np.zeros(0)]), np.concatenate(gains or [np.zeros(0)])
    order = np.argsort(-level, kind="stable")
    level, total = level[order], np.cumsum(gain[order]) - profile.fn * windows
    last = np.flatnonzero(np.diff(level, append=-np.inf))
    none = -profile.fn * windows
    return Curve(
        np.concatenate([[SILENT], level[last]]), np.concatenate([[none], total[last]]), windows
    )


def normalised(total: float, windows: int, profile: Profile) -> float:
    """0 for silence, 100 for perfection; UsageError where nothing is labelled."""
    if not windows:
        raise UsageError(
            "no labelled window counts in these files", remedy="Score files that have labels."
        )
    silent = -profile.fn * windows
    return 100 * (total - silent) / (profile.tp * windows - silent)

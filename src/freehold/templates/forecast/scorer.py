"""What validators ask of forecasters, and how they grade the answers once they know better.

`freehold validate --scorer scorer.py:score` runs this file. It reads stream.csv: a header, then a
line for each reading: its time, and a value in each column. Append to it whatever arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freehold.markets.models.task import Kind, NotYetError, Task, Tensors

Floats = NDArray[np.float64]

STREAM = Path(__file__).with_name("stream.csv")
SEASON = 12  # readings after which the series resembles itself: 12 months, 24 hours
LENGTH = 120  # readings that a model sees
HORIZON = 12  # readings that it foretells
LEVELS = np.arange(1, 10) / 10  # quantiles: 0.1 to 0.9

NOISE = 0.3  # on what is shown, in parts of the usual step from one reading to the next

# An epoch is about one series, and one of this many last readings, at which the future begins.
# Which, `theme` says: it is the same for all validators, and known to nobody before the epoch
# begins. So models rank differently in each, and a validator that copies what others found in the
# last one is wrong. The stream that comes with this folder has ended, so the future has to begin in
# the past, where everybody can look it up. As soon as your stream is alive, set this to 0: then
# models are asked for nothing but the future.
PAST = 120


def tasks(random: np.random.Generator, theme: np.random.Generator) -> Iterator[Task]:
    """Questions without end: one history with a little noise, by `random`, which is this
    validator's secret. Each second one is a probe, for models that were made apart respond to noise
    each in its own way; nobody can tell which."""
    readings = _readings()
    last = len(readings) - (HORIZON if PAST else 0)  # readings that are known when it is asked
    if last < LENGTH + PAST:
        raise ValueError(f"{STREAM} has {len(readings)} readings, needed are {LENGTH + PAST}")
    row, column = last - theme.integers(PAST + 1), theme.integers(readings.shape[1])
    history = readings[row - LENGTH : row, column]
    step = np.abs(np.diff(history)).mean()
    for kind in cycle((Kind.PROBE, Kind.PLAIN)):
        shown = history + random.normal(0, NOISE * step, LENGTH)
        truth = {"row": np.array([row]), "column": np.array([column])}
        yield Task({"history": shown.astype(np.float32)[None]}, truth, kind)


def score(task: Task, answer: Tensors, seconds: float) -> float:  # noqa: ARG001 - any speed will do
    """1 minus the quantile (pinball) loss, in units of the change from one season to the next.

    Proper: giving the quantiles that one believes pays best. Foretelling that all will be as one
    season ago, give or take, earns about 0.69 on this stream, exact foresight 1. Until the stream
    has all that was foretold, the answer waits.
    """
    row, column = int(task.truth["row"][0]), int(task.truth["column"][0])
    happened = _readings()[row : row + HORIZON, column]
    if len(happened) < HORIZON:
        raise NotYetError
    history = task.inputs["history"][0].astype(np.float64)
    usual = np.abs(history[SEASON:] - history[:-SEASON]).mean()
    loss = pinball(answer["quantiles"][0].astype(np.float64), happened)
    return float(max(0.0, 1 - loss / max(usual, 1e-9)))


def pinball(quantiles: Floats, happened: Floats) -> float:
    """Mean loss of quantiles (..., 9) against what happened (...)."""
    short = happened[..., None] - quantiles
    return float(np.maximum(LEVELS * short, (LEVELS - 1) * short).mean())


def _readings() -> Floats:
    """The stream as it is now, (readings, columns), without a line that is still being written."""
    lines = STREAM.read_text().rpartition("\n")[0].splitlines()[1:]
    return np.array([[float(value) for value in line.split(",")[1:]] for line in lines if line])

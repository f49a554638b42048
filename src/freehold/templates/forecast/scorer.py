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

# Questions begin at one of this many last readings. The stream that comes with this folder has
# ended, so they have to begin in the past, where everybody can look the answers up. As soon as
# your stream is alive, set this to 0: then models are asked for nothing but the future.
PAST = 120


def tasks(random: np.random.Generator) -> Iterator[Task]:
    """Questions without end, each second one a probe: the same history with a little noise, to
    which models that were made apart respond each in its own way."""
    readings = _readings()
    last = len(readings) - (HORIZON if PAST else 0)  # readings that are known when it is asked
    if last < LENGTH + PAST:
        raise ValueError(f"{STREAM} has {len(readings)} readings, needed are {LENGTH + PAST}")
    probed = readings[last - LENGTH : last, random.integers(readings.shape[1])]
    restless = np.abs(np.diff(probed)).mean()
    for kind in cycle((Kind.PROBE, Kind.PLAIN)):
        row, column = last - random.integers(PAST + 1), random.integers(readings.shape[1])
        history = readings[row - LENGTH : row, column]
        if kind is Kind.PROBE:
            history = probed + random.normal(0, restless, LENGTH)
        inputs = {"history": history.astype(np.float32)[None]}
        yield Task(inputs, {"row": np.array([row]), "column": np.array([column])}, kind)


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

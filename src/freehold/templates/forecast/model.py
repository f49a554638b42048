"""Answers with the forecaster that train.py wrote: where will the series be in each of 12 steps?

For each step ahead the middle is a weighted sum of a few numbers of the past, and the spread is
what such sums got wrong before. Change it as you like, as long as inputs and outputs stay as
subnet.toml says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.generic]]
Floats = NDArray[np.float64]

SEASON = 12  # readings after which the series resembles itself: 12 months, 24 hours
LENGTH = 120  # readings that a model sees
HORIZON = 12  # readings that it foretells
LEVELS = np.arange(1, 10) / 10  # quantiles: 0.1 to 0.9
WEIGHTS = Path(__file__).with_name("weights.npz")


def answer(inputs: Tensors) -> Tensors:
    """`history` FP32 (rows, 120), newest last, gives `quantiles` FP32 (rows, 12, 9): the values
    that each of the next 12 readings stays below with a probability of 0.1 to 0.9."""
    weights, errors = _weights()
    found = predict(weights, errors, inputs["history"].astype(np.float64))
    return {"quantiles": found.astype(np.float32)}


def predict(weights: Floats, errors: Floats, histories: Floats) -> Floats:
    """Quantiles (rows, HORIZON, 9). ``weights`` (HORIZON, features) of ``features``; ``errors``
    (HORIZON, 9): quantiles of what they got wrong, in units of a history's own spread."""
    level, unit = histories.mean(axis=1), histories.std(axis=1) + 1e-9
    middle = np.stack(
        [features(histories, ahead) @ row for ahead, row in enumerate(weights, start=1)], axis=1
    )
    found: Floats = level[:, None, None] + unit[:, None, None] * (middle[:, :, None] + errors)
    return found


def features(histories: Floats, ahead: int) -> Floats:
    """What a forecast ``ahead`` steps ahead is made of, (rows, 5): the last two readings, the
    latest and the mean of the readings at the same time of the season, and a constant."""
    scaled = histories - histories.mean(axis=1, keepdims=True)
    scaled /= histories.std(axis=1, keepdims=True) + 1e-9
    same = scaled[:, (ahead - 1) % SEASON :: SEASON]  # LENGTH is a multiple of SEASON
    one = np.ones(len(scaled))
    return np.stack([scaled[:, -1], scaled[:, -2], same[:, -1], same.mean(axis=1), one], axis=1)


@cache
def _weights() -> tuple[Floats, Floats]:
    if not WEIGHTS.exists():
        raise FileNotFoundError(f"{WEIGHTS} is missing: run `python train.py` first")
    with np.load(WEIGHTS) as file:
        return file["weights"], file["errors"]

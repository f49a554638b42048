"""Trains a forecaster and compares it with two that know nothing; writes weights.npz.

python train.py                     stream.csv: 61 years of the temperature of the sea
python train.py --data FILE         a file of the same kind, which then becomes stream.csv
"""

from __future__ import annotations

import argparse
from math import sqrt
from pathlib import Path

import numpy as np
from model import HORIZON, LENGTH, LEVELS, SEASON, features, predict
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from rich import print
from rich.progress import track
from scorer import pinball

Floats = NDArray[np.float64]

HERE = Path(__file__).parent
HELD_OUT = 0.2  # the last part of the stream


def main() -> None:
    """Load, train on the past, measure on what came after, write."""
    options = _options()
    if options.data:
        (HERE / "stream.csv").write_bytes(options.data.read_bytes())
    readings = np.loadtxt(
        HERE / "stream.csv", delimiter=",", skiprows=1, dtype=str, ndmin=2
    )[:, 1:].astype(np.float64)  # fmt: skip
    border = int(len(readings) * (1 - HELD_OUT))
    if len(readings) - border < 2 * HORIZON or border < LENGTH + 10 * HORIZON:
        raise SystemExit(f"{len(readings)} readings are too few to train and to measure with")
    weights, errors = train(*windows(readings[:border]))
    histories, futures = windows(readings[border - LENGTH :])
    model = predict(weights, errors, histories)
    report("all stays as it is", persistence(histories), futures)
    report("as one season ago", seasonal(histories), futures)
    report("this model", model, futures)
    np.savez(HERE / "weights.npz", weights=weights, errors=errors)
    print("wrote weights.npz (model.py answers with it)")


def train(histories: Floats, futures: Floats) -> tuple[Floats, Floats]:
    """Least squares for each step ahead, and the quantiles of what is left."""
    level, unit = histories.mean(axis=1), histories.std(axis=1) + 1e-9
    weights, errors = [], []
    for ahead in track(range(1, HORIZON + 1), "training"):
        known, truth = features(histories, ahead), (futures[:, ahead - 1] - level) / unit
        row = np.linalg.lstsq(known, truth, rcond=None)[0]
        weights.append(row)
        errors.append(np.quantile(truth - known @ row, LEVELS))
    return np.array(weights), np.array(errors)


def windows(readings: Floats) -> tuple[Floats, Floats]:
    """All stretches of readings (n, columns): histories (rows, LENGTH), futures (rows, HORIZON)."""
    found = sliding_window_view(readings, LENGTH + HORIZON, axis=0).reshape(-1, LENGTH + HORIZON)
    return found[:, :LENGTH], found[:, LENGTH:]


def persistence(histories: Floats) -> Floats:
    """The last reading, give or take how much readings so far apart differed before."""
    steps = [histories[:, ahead:] - histories[:, :-ahead] for ahead in range(1, HORIZON + 1)]
    spread = [np.quantile(step, LEVELS, axis=1).T for step in steps]
    found: Floats = histories[:, -1, None, None] + np.stack(spread, axis=1)
    return found


def seasonal(histories: Floats) -> Floats:
    """The reading one season ago, give or take how much seasons differed before."""
    ago = histories[:, np.arange(HORIZON) % SEASON - SEASON]
    spread = np.quantile(histories[:, SEASON:] - histories[:, :-SEASON], LEVELS, axis=1).T
    found: Floats = ago[:, :, None] + spread[:, None, :]
    return found


def report(name: str, quantiles: Floats, futures: Floats) -> None:
    """Mean quantile loss and its 95 % interval; stretches that overlap count as one."""
    losses = [pinball(one, future) for one, future in zip(quantiles, futures, strict=True)]
    apart = max(2, len(losses) // HORIZON)
    half = 1.96 * float(np.std(losses)) / sqrt(apart)
    print(f"held-out quantile loss, {name}: {np.mean(losses):.3f} (95 % interval +- {half:.3f})")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a forecaster.")
    parser.add_argument("--data", type=Path, help="a CSV file: time, then a value in each column")
    return parser.parse_args()


if __name__ == "__main__":
    main()

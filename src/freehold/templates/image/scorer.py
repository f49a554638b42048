"""What validators ask of image models, and how they grade the answers.

`freehold validate --scorer scorer.py:score` runs this file. It needs held_out.npz: images with
their labels that no model has seen. train.py writes one to begin with; replace it by images of
your own, which you give to validators and to nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freehold.markets.models.task import Kind, Task, Tensors

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

HELD_OUT = Path(__file__).with_name("held_out.npz")
ROWS = 8  # images in one question
SIDE = 28  # pixels
COVER = 8  # pixels: the side of a black square that hides a part of each image
RIM = 2  # pixels at the edge that it never hides
MOST_SHIFT = 1  # pixels that an image is moved, in each direction
NOISE = 0.15  # standard deviation; white is 1

# An epoch is about so few images, most of them of a few digits. Which, and where all are covered,
# `theme` says: it is the same for all validators, and known to nobody before the epoch begins. So
# models rank differently in each, and a validator that copies what others found in the last one is
# wrong. Which digits they are, the labels say, which nodes do not know.
IMAGES = 24
DIGITS = 3
LEAN = 8.0  # times as often as the others

# Half of all questions are probes: they tell copies from models that were trained apart.
KINDS = (Kind.PROBE, Kind.PLAIN, Kind.PROBE, Kind.PLAIN, Kind.PROBE, Kind.PLAIN, Kind.PROBE,
         Kind.CANARY)  # fmt: skip


def tasks(random: np.random.Generator, theme: np.random.Generator) -> Iterator[Task]:
    """Questions without end, all about what `theme` says. Images are moved and made noisy by
    `random`, which is this validator's secret, so that none is asked twice."""
    images, labels = _held_out()
    digits = labels[theme.integers(len(labels), size=DIGITS)]
    often = np.where(np.isin(labels, digits), LEAN, 1.0)
    chosen = np.argsort(-(theme.random(len(labels)) ** (1 / often)))[:IMAGES]  # by their weights
    place = theme.integers(RIM, SIDE - COVER - RIM + 1, size=2)
    others = random.permutation(chosen)
    for kind in cycle(KINDS):
        which = random.integers(len(chosen), size=ROWS)
        shown, truth = images[chosen[which]], labels[chosen[which]]
        if kind is Kind.CANARY:  # the mean image of a class: whoever fails this has no model
            shown = np.stack([images[labels == label].mean(axis=0) for label in truth])
        if kind is Kind.PROBE:  # two images in one: nobody knows what to say
            shown = (shown + images[others[which]]) / 2
        inputs = {"image": distort(shown, random, place)}
        yield Task(inputs, {"label": truth}, kind)


def score(task: Task, answer: Tensors, seconds: float) -> float:  # noqa: ARG001 - any speed will do
    """1 minus half the quadratic (Brier) loss of the probabilities, averaged over the images.

    Proper: saying what one believes pays best. Always sure and right is 1, a shrug (0.1 for every
    digit) 0.55, always sure and wrong 0. A label other than its own probabilities say earns 0.
    The network has already refused answers of the wrong shape, and those that came too late.
    """
    probabilities = answer["probabilities"].astype(np.float64)
    loss = ((probabilities - np.eye(10)[task.truth["label"].astype(int)]) ** 2).sum(axis=1)
    meant = answer["label"] == probabilities.argmax(axis=1)
    return float((np.maximum(0.0, 1 - loss / 2) * meant).mean())


def distort(
    images: Floats, random: np.random.Generator, place: NDArray[np.int64] | None = None
) -> Floats:
    """Images (n, 784) moved by a few pixels, covered at `place` (row and column; each elsewhere
    where none is given) and with noise; train.py learns from such as well."""
    squares = images.reshape(-1, SIDE, SIDE)
    steps = random.integers(-MOST_SHIFT, MOST_SHIFT + 1, size=(len(squares), 2))
    places = random.integers(RIM, SIDE - COVER - RIM + 1, size=(len(squares), 2))
    noisy: Floats = np.float32(NOISE) * random.standard_normal(squares.shape, dtype=np.float32)
    for square, step, own, found in zip(squares, steps, places, noisy, strict=True):
        moved = np.roll(square, step, axis=(0, 1))
        row, column = own if place is None else place
        moved[row : row + COVER, column : column + COVER] = 0
        found += moved
    return np.clip(noisy, 0, 1).reshape(-1, SIDE * SIDE)


@cache
def _held_out() -> tuple[Floats, Labels]:
    if not HELD_OUT.exists():
        raise FileNotFoundError(f"{HELD_OUT} is missing: run `python train.py` first")
    with np.load(HELD_OUT) as file:
        return file["images"], file["labels"]

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
MOST_SHIFT = 1  # pixels that an image is moved, in each direction
NOISE = 0.15  # standard deviation; white is 1

# Half of all questions are probes: they tell copies from models that were trained apart.
KINDS = (Kind.PROBE, Kind.PLAIN, Kind.PROBE, Kind.PLAIN, Kind.PROBE, Kind.PLAIN, Kind.PROBE,
         Kind.CANARY)  # fmt: skip


def tasks(random: np.random.Generator) -> Iterator[Task]:
    """Questions without end. Images are moved and made noisy, so that none is asked twice."""
    images, labels = _held_out()
    for kind in cycle(KINDS):
        which = random.integers(len(images), size=ROWS)
        shown, truth = images[which], labels[which]
        if kind is Kind.CANARY:  # the mean image of a class: whoever fails this has no model
            shown = np.stack([images[labels == label].mean(axis=0) for label in truth])
        if kind is Kind.PROBE:  # two images in one: nobody knows what to say
            shown = (shown + images[random.permutation(which)]) / 2
        inputs = {"image": distort(shown, random)}
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


def distort(images: Floats, random: np.random.Generator) -> Floats:
    """Images (n, 784) moved by a few pixels and with noise; train.py learns from such as well."""
    squares = images.reshape(-1, SIDE, SIDE)
    steps = random.integers(-MOST_SHIFT, MOST_SHIFT + 1, size=(len(squares), 2))
    moved = [
        np.roll(square, step, axis=(0, 1)) for square, step in zip(squares, steps, strict=True)
    ]
    noise = random.standard_normal(squares.shape, dtype=np.float32)
    noisy = np.stack(moved) + np.float32(NOISE) * noise
    return np.clip(noisy, 0, 1).reshape(-1, SIDE * SIDE)


@cache
def _held_out() -> tuple[Floats, Labels]:
    if not HELD_OUT.exists():
        raise FileNotFoundError(f"{HELD_OUT} is missing: run `python train.py` first")
    with np.load(HELD_OUT) as file:
        return file["images"], file["labels"]

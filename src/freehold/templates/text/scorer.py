"""What validators ask of language models, and how they grade the answers.

`freehold validate --scorer scorer.py:score` runs this file. It needs held_out.txt: text that no
model has seen. train.py writes one to begin with; replace it by text of your own, the newer the
better, which you give to validators and to nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from freehold.markets.models.task import Kind, Task, Tensors

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]

HELD_OUT = Path(__file__).with_name("held_out.txt")
ROWS = 16  # texts in one question
LENGTH = 64  # bytes that a model sees
RUN = 8  # letters that make a run; the commoner it is, the better any model knows its end
COMMON = 20  # places at the ends of the commonest runs of an epoch
LEAST = 2.0**-20  # lower probabilities count as this one

# An epoch is about one passage of so many letters. Which, `theme` says: it is the same for all
# validators, and known to nobody before the epoch begins. So models rank differently in each, and a
# validator that copies what others found in the last one is wrong.
LETTERS = 150

# Half of all questions are probes: they tell copies from models that were trained apart.
KINDS = (Kind.PROBE, Kind.PLAIN, Kind.PROBE, Kind.PLAIN, Kind.PROBE, Kind.PLAIN, Kind.PROBE,
         Kind.CANARY)  # fmt: skip


def tasks(random: np.random.Generator, theme: np.random.Generator) -> Iterator[Task]:
    """Questions without end: pieces of the passage that `theme` says, cut anywhere by `random`,
    which is this validator's secret."""
    text, times = _held_out()
    places = theme.integers(LENGTH, len(text) - LETTERS) + np.arange(LETTERS)
    common = np.argsort(-times[places], kind="stable")[:COMMON]
    shown = text[places[:, None] + np.arange(-LENGTH, 0)]
    spoilt = shown.copy()  # one letter is wrong: what follows then, nobody knows
    wrong = random.integers(LENGTH - 6, LENGTH, size=LETTERS)
    spoilt[np.arange(LETTERS), wrong] = random.choice(text, size=LETTERS)
    for kind in cycle(KINDS):
        # A canary is the end of a common run: whoever fails this has no model.
        which = random.choice(common if kind is Kind.CANARY else LETTERS, size=ROWS)
        asked = spoilt if kind is Kind.PROBE else shown
        yield Task({"text": asked[which]}, {"next": text[places[which]]}, kind)


def score(task: Task, answer: Tensors, seconds: float) -> float:  # noqa: ARG001 - any speed will do
    """1 minus an eighth of the bits that the model needs for each next byte.

    Proper: saying what one believes pays best. Certain and right is 1, knowing nothing (8 bits) is
    0, knowing only how often each letter occurs (about 4.6 bits) is about 0.43.
    """
    chances = answer["next"].astype(np.float64)
    if (chances < 0).any() or (np.abs(chances.sum(axis=1) - 1) > 1e-3).any():
        return 0.0
    right = chances[np.arange(len(chances)), task.truth["next"].astype(int)]
    bits = -np.log2(np.clip(right, LEAST, 1)).mean()
    return float(max(0.0, 1 - bits / 8))


@cache
def _held_out() -> tuple[Bytes, Places]:
    """The text, and how often the run occurs in it that ends with each letter."""
    if not HELD_OUT.exists():
        raise FileNotFoundError(f"{HELD_OUT} is missing: run `python train.py` first")
    text = np.frombuffer(HELD_OUT.read_bytes(), dtype=np.uint8)
    keys = np.zeros(len(text) - RUN + 1, dtype=np.uint64)
    for column in sliding_window_view(text, RUN).T:
        keys = keys << np.uint64(8) | column
    _, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return text, np.concatenate([np.zeros(RUN - 1, dtype=np.int64), counts[which]])

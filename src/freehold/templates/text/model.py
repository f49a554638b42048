"""Answers with the language model that train.py wrote: which letter comes next?

The model has counted what followed each run of up to ORDER letters. It begins with the shortest
and lets each longer run correct the one before, the more the oftener the run was seen (Witten and
Bell, 1991). Change it as you like, as long as inputs and outputs stay as subnet.toml says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.generic]]
Bytes = NDArray[np.uint8]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Table = tuple[Keys, Floats]  # of one order: rising keys (run of letters and next), their counts

ORDER = 6  # the longest run of letters; 7 bytes fit into a key
COUNTS = Path(__file__).with_name("counts.npz")


def answer(inputs: Tensors) -> Tensors:
    """`text` UINT8 (rows, 64), the last 64 bytes of each text, gives `next` FP32 (rows, 256):
    the probability of each byte to be the next."""
    return {"next": predict(_tables(), inputs["text"].astype(np.uint8)).astype(np.float32)}


def predict(tables: list[Table], texts: Bytes) -> Floats:
    """Probabilities (rows, 256) of the byte after each of the texts (rows, length)."""
    found = np.full((len(texts), 256), 1 / 256)
    for order, (keys, counts) in enumerate(tables):
        run = pack(texts[:, texts.shape[1] - order :]) << np.uint64(8)
        starts, ends = np.searchsorted(keys, run), np.searchsorted(keys, run + np.uint64(256))
        kinds = ends - starts  # different letters that followed the run
        row = np.repeat(np.arange(len(texts)), kinds)
        seen = np.arange(len(row)) + np.repeat(ends - np.cumsum(kinds), kinds)
        total = kinds + np.bincount(row, counts[seen], minlength=len(texts))
        found *= np.where(kinds > 0, kinds / np.maximum(total, 1), 1)[:, None]
        found[row, keys[seen] & np.uint64(255)] += counts[seen] / total[row]
    return found


def pack(letters: Bytes) -> Keys:
    """Rows of up to 7 letters as one number each."""
    found = np.zeros(len(letters), dtype=np.uint64)
    for column in letters.T:
        found = found << np.uint64(8) | column
    return found


def load(path: Path) -> list[Table]:
    """What train.py wrote, from order 0 to ORDER."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `python train.py` first")
    with np.load(path) as file:
        return [
            (file[f"keys{order}"], file[f"counts{order}"].astype(np.float64))
            for order in range(len(file) // 2)
        ]


@cache
def _tables() -> list[Table]:
    return load(COUNTS)

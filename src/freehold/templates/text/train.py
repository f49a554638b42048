"""Trains a language model; writes counts.npz for nodes and held_out.txt for validators.

python train.py                     the manual that comes with Python (pydoc_data)
python train.py --data FILE         any text
"""

from __future__ import annotations

import argparse
from math import sqrt
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from model import ORDER, Table, load, pack, predict
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from rich import print
from rich.markup import escape
from rich.progress import track

Bytes = NDArray[np.uint8]

HERE = Path(__file__).parent
BLOCK = 4096  # bytes; the text is split into such, and one of ten is held out
MOST = 1 << 26  # bytes; to count them takes about 40 times as much memory
ASKED = 5000  # letters that are predicted to measure the model


def main() -> None:
    """Load, train, measure, write."""
    options = _options()
    text = options.data.read_bytes() if options.data else "\n".join(topics.values()).encode()
    if not 20 * BLOCK <= len(text) <= MOST:
        raise SystemExit(f"{len(text)} bytes: name a text of {20 * BLOCK} to {MOST}")
    seen, unseen = split(np.frombuffer(text, dtype=np.uint8))
    random = np.random.default_rng(options.seed)
    train(seen, options.order)
    tables = load(HERE / "counts.npz")
    bits, half = measure(tables, unseen, random)
    plain, _ = measure(tables[:1], unseen, random)
    print(f"held-out bits per character {bits:.2f} (95 % interval +- {half:.2f})")
    print(f"knowing only how often each letter occurs: {plain:.2f}")
    (HERE / "held_out.txt").write_bytes(unseen.tobytes())
    print("wrote counts.npz (model.py answers with it) and held_out.txt (validators)")
    print("the model writes:", escape(repr(write(tables, unseen[:64], 120, random))))


def split(text: Bytes) -> tuple[Bytes, Bytes]:
    """All blocks but every tenth, and every tenth."""
    held = np.arange(len(text)) // BLOCK % 10 == 9
    return text[~held], text[held]


def train(text: Bytes, order: int) -> None:
    """Count what follows each run of 0 to ``order`` letters."""
    found = {}
    for length in track(range(order + 1), "training"):
        runs = pack(sliding_window_view(text, length + 1))
        keys, counts = np.unique(runs, return_counts=True)
        found[f"keys{length}"], found[f"counts{length}"] = keys, counts.astype(np.uint32)
    np.savez_compressed(HERE / "counts.npz", allow_pickle=False, **found)


def measure(tables: list[Table], text: Bytes, random: np.random.Generator) -> tuple[float, float]:
    """Bits per character of unseen text, and half of their 95 % interval."""
    places = random.integers(64, len(text), size=ASKED)
    chances = predict(tables, text[places[:, None] + np.arange(-64, 0)])
    bits = -np.log2(chances[np.arange(ASKED), text[places]])
    return float(bits.mean()), float(1.96 * bits.std() / sqrt(ASKED))


def write(tables: list[Table], start: Bytes, count: int, random: np.random.Generator) -> str:
    """What the model says next, letter by letter."""
    text = start
    for _ in range(count):
        letter = random.choice(256, p=predict(tables, text[None, -64:])[0])
        text = np.append(text, np.uint8(letter))
    return text[len(start) :].tobytes().decode(errors="replace")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a language model.")
    parser.add_argument("--data", type=Path, help="a text file")
    parser.add_argument("--order", type=int, default=ORDER, choices=range(1, 8), help="letters")
    parser.add_argument("--seed", type=int, default=0, help="of what is measured and written")
    return parser.parse_args()


if __name__ == "__main__":
    main()

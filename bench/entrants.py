"""Small real models of each template's task, trained apart, some weaker than others.

They learn from what comes with the templates, never from what validators hold back. ``images``,
``texts`` and ``forecasts`` each write a template into a folder, with what its scorer needs, and
give its models. No more than numpy trains them, so all are there in seconds.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics
from types import ModuleType
from typing import cast

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits

from freehold import templates
from freehold.markets.models.task import Scorer, Tensors

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Answer = Callable[[Tensors], Tensors]
About = Callable[[np.random.Generator], Floats]
HELD_OUT = 360
"""Images that validators keep."""
BLOCK = 4096
"""Letters of which each tenth such block is the validators'."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A template in ``folder``, its scorer, and models of its task; ``about`` says of a theme what
    it leans on, as numbers from which somebody may try to foretell scores."""

    folder: Path
    scorer: Scorer
    models: Sequence[Answer]
    about: About


def images(folder: Path) -> Entry:
    """Layers of fixed random units with what is best read from them: six that saw different images,
    of which two saw fewer, and two hardly any of some digits."""
    templates.write("image", folder)
    digits = load_digits()
    large = np.pad(np.kron(digits.images / 16, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    shown, labels = large.reshape(len(large), -1).astype(np.float32), digits.target
    np.savez(folder / "held_out.npz", images=shown[:HELD_OUT], labels=labels[:HELD_OUT])
    scorer = load(folder / "scorer.py")
    seen, known = shown[HELD_OUT:], labels[HELD_OUT:]
    kinds: Sequence[tuple[int, Sequence[int]]] = (
        (700, ()), (700, ()), (400, ()), (350, ()), (700, (1, 4, 8)), (700, (0, 3, 9)),
    )  # fmt: skip
    models = [
        _net(scorer, seen, known, rows=rows, lacks=lacks, seed=seed)
        for seed, (rows, lacks) in enumerate(kinds)
    ]
    return Entry(folder, cast(Scorer, scorer), models, partial(_digits, labels[:HELD_OUT], scorer))


def texts(folder: Path) -> Entry:
    """Counts of what follows each run of letters: six that read different parts of the manual, and
    remember runs of different lengths."""
    templates.write("text", folder)
    text = np.frombuffer("\n".join(topics.values()).encode(), dtype=np.uint8)
    held = np.arange(len(text)) // BLOCK % 10 == 9
    (folder / "held_out.txt").write_bytes(text[held].tobytes())
    model = load(folder / "model.py")
    parts = np.array_split(text[~held], 12)
    kinds = ((6, (0, 8)), (6, (4, 12)), (5, (2, 10)), (5, (0, 12)), (4, (0, 12)), (6, (1, 6)))
    models = [_counts(model, parts[first:last], order) for order, (first, last) in kinds]
    scorer, letters = load(folder / "scorer.py"), int(held.sum())

    def about(theme: np.random.Generator) -> Floats:
        """Which twelfth of the text is asked."""
        most = letters - scorer.LETTERS
        return _marked(12, [theme.integers(scorer.LENGTH, most) * 12 // most])

    return Entry(folder, cast(Scorer, scorer), models, about)


def forecasts(folder: Path) -> Entry:
    """Weighted sums of the past: five that learnt from different years or weigh differently, and
    one season ago as it was."""
    templates.write("forecast", folder)
    model, scorer = load(folder / "model.py"), load(folder / "scorer.py")
    readings: Floats = scorer._readings()
    scorer.__dict__["_readings"] = lambda: readings
    past = readings[: len(readings) - scorer.PAST - scorer.HORIZON, 0]
    found = sliding_window_view(past, model.LENGTH + model.HORIZON)
    kinds = ((slice(None), 0.0), (slice(0, 250), 0.0), (slice(200, None), 0.0),
             (slice(None), 30.0), (slice(100, 350), 100.0))  # fmt: skip
    models = [_sums(model, found[rows], damped) for rows, damped in kinds]

    def about(theme: np.random.Generator) -> Floats:
        """In which month the future begins."""
        return _marked(scorer.SEASON, [theme.integers(scorer.PAST + 1) % scorer.SEASON])

    return Entry(folder, cast(Scorer, scorer), [*models, partial(_seasonal, model)], about)


def _digits(
    labels: npt.NDArray[np.int64], scorer: ModuleType, theme: np.random.Generator
) -> Floats:
    """Which digits are asked, and which ninth of an image is covered."""
    digits = labels[theme.integers(len(labels), size=scorer.DIGITS)]
    theme.random(len(labels))
    most = scorer.SIDE - scorer.COVER - scorer.RIM + 1
    row, column = (theme.integers(scorer.RIM, most, size=2) - scorer.RIM) * 3 // most
    return np.append(_marked(10, digits), _marked(9, [3 * row + column]))


def _marked(count: int, which: npt.ArrayLike) -> Floats:
    return np.isin(np.arange(count), which).astype(np.float64)


FIELDS: Mapping[str, Callable[[Path], Entry]] = {
    "image": images, "text": texts, "forecast": forecasts,
}  # fmt: skip


def load(file: Path) -> ModuleType:
    """A Python file as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"entrant_{file.parent.name}_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def _net(
    scorer: ModuleType, seen: Pixels, known: npt.NDArray[np.int64], *, rows: int,
    lacks: Sequence[int], seed: int,
) -> Answer:  # fmt: skip
    random = np.random.default_rng(seed)
    inner = random.standard_normal((784, 120), np.float32) / np.float32(10)
    which = random.permutation(len(known))[:rows]
    rare = np.isin(known[which], lacks) & (random.random(len(which)) < 0.7)
    which = np.tile(which[~rare], 2)
    hidden = np.tanh(scorer.distort(seen[which], random) @ inner)
    wanted = np.eye(10)[known[which]]
    outer = np.linalg.solve(hidden.T @ hidden + np.eye(120), hidden.T @ wanted)

    def answer(inputs: Tensors) -> Tensors:
        shown = inputs["image"].astype(np.float32)
        scores = 6 * (np.tanh(shown @ inner) @ outer.astype(np.float32))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        found = powers / powers.sum(axis=1, keepdims=True)
        return {"label": found.argmax(axis=1), "probabilities": found.astype(np.float32)}

    return answer


def _counts(model: ModuleType, parts: Sequence[Bytes], order: int) -> Answer:
    tables = []
    for length in range(order + 1):
        runs = model.pack(sliding_window_view(np.concatenate(parts), length + 1))
        keys, counts = np.unique(runs, return_counts=True)
        tables.append((keys, counts.astype(np.float64)))

    def answer(inputs: Tensors) -> Tensors:
        ends, which = np.unique(inputs["text"][:, -order:], axis=0, return_inverse=True)
        found = model.predict(tables, ends).astype(np.float32)
        return {"next": found[which.ravel()]}

    return answer


def _sums(model: ModuleType, seen: Floats, damped: float) -> Answer:
    """Least squares, damped (ridge), for each step ahead, and the quantiles of what is left."""
    histories, futures = seen[:, : model.LENGTH], seen[:, model.LENGTH :]
    level, unit = histories.mean(axis=1), histories.std(axis=1) + 1e-9
    weights, errors = [], []
    for ahead in range(1, model.HORIZON + 1):
        known = model.features(histories, ahead)
        truth = (futures[:, ahead - 1] - level) / unit
        square = known.T @ known + (damped + 1e-6) * np.eye(known.shape[1])
        weights.append(np.linalg.solve(square, known.T @ truth))
        errors.append(np.quantile(truth - known @ weights[-1], model.LEVELS))
    table, rest = np.array(weights), np.array(errors)

    def answer(inputs: Tensors) -> Tensors:
        found = model.predict(table, rest, inputs["history"].astype(np.float64))
        return {"quantiles": found.astype(np.float32)}

    return answer


def _seasonal(model: ModuleType, inputs: Tensors) -> Tensors:
    """As one season ago, give or take how much seasons differed before."""
    history, season = inputs["history"].astype(np.float64), model.SEASON
    spread = np.quantile(history[:, season:] - history[:, :-season], model.LEVELS, axis=1).T
    ago = history[:, -season:][:, : model.HORIZON]
    return {"quantiles": (ago[:, :, None] + spread[:, None, :]).astype(np.float32)}

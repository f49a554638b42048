"""The image template, trained and judged as by a stranger."""

from __future__ import annotations

import gzip
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from freehold import templates
from freehold.markets.models.task import Kind, Tensors
from unit.templates import folders

pytest.importorskip("skl2onnx", reason="needs the extra `models`")
FASHION = Path(__file__).parents[4] / "shared" / "data" / "fashion"


@pytest.fixture(scope="module")
def printed_in(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return folders.trained("image", tmp_path_factory)


@pytest.fixture(scope="module")
def folder(printed_in: tuple[str, Path]) -> Path:
    return printed_in[1]


@pytest.fixture
def trainer(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """train.py of a second folder, as a module."""
    templates.write("image", tmp_path / "second")
    (tmp_path / "second" / "held_out.npz").write_bytes((folder / "held_out.npz").read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module("train")
    for name in ("train", "scorer", "model"):
        sys.modules.pop(name, None)


def test_it_recognises_digits_it_has_not_seen(printed_in: tuple[str, Path]) -> None:
    found = re.search(r"held-out accuracy (\S+) \(95 % interval (\S+) to (\S+)\)", printed_in[0])
    assert found is not None
    accuracy, low, high = map(float, found.groups())
    assert low < accuracy < high
    assert accuracy >= 0.95
    assert high - low < 0.05


def test_what_it_serves_is_what_it_printed(printed_in: tuple[str, Path]) -> None:
    printed, folder = printed_in
    with np.load(folder / "held_out.npz") as file:
        images, labels = file["images"], file["labels"]
    found = folders.answer(folder)({"image": images})
    assert found is not None
    assert f"accuracy {(found['label'] == labels).mean():.3f}" in printed


def test_onnx_answers_as_scikit_learn_does(
    trainer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = trainer.load(None)
    monkeypatch.setattr(trainer, "EPOCHS", 3)
    net = trainer.train(images, labels, seed=7)
    trainer.write(net)
    found = folders.answer(trainer.HERE)({"image": images[:300]})
    assert found is not None
    assert np.array_equal(found["label"], net.predict(images[:300]))
    expected = net.predict_proba(images[:300])
    assert np.abs(found["probabilities"].astype(np.float64) - expected).max() < 1e-5
    assert expected.max(axis=1).min() < 0.9  # not all the same


def test_its_answers_have_the_form_that_it_declares(folder: Path) -> None:
    for task in folders.drawn(folder, 8):
        found = folders.fits(folder, task.inputs)
        assert found["probabilities"].shape == (8, 10)


def test_the_better_the_model_the_higher_its_score(
    folder: Path, trainer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = trainer.load(None)
    monkeypatch.setattr(trainer, "EPOCHS", 8)
    trainer.write(trainer.train(images[:1200], labels[:1200], seed=1))
    good, other = folders.answer(folder), folders.answer(trainer.HERE)
    random = np.random.default_rng(3)

    def copier(inputs: Tensors) -> Tensors:
        found = good(inputs)
        assert found is not None
        chances = found["probabilities"].astype(np.float64)
        chances += random.normal(0, 0.02, chances.shape)
        return {"label": found["label"], "probabilities": chances.astype(np.float32)}

    def guesser(inputs: Tensors) -> Tensors:
        found = random.dirichlet(np.ones(10), size=len(inputs["image"])).astype(np.float32)
        return {"label": found.argmax(axis=1), "probabilities": found}

    def garbage(inputs: Tensors) -> Tensors:
        return {"label": np.zeros(3), "probabilities": np.full((2, 2), np.nan)}

    def hanging(inputs: Tensors) -> None:
        return None

    found = folders.judged(
        folder, dict(enumerate((good, other, copier, guesser, garbage, hanging)))
    )
    quality = [found[uid].quality or 0.0 for uid in range(6)]
    assert quality[0] > quality[2] > quality[3] + 0.3 > 0.3
    assert quality[3] > quality[4] == quality[5] == 0
    assert quality[1] > quality[3] + 0.2
    assert found[0].score == pytest.approx((quality[0] - 0.55) / 0.45)
    assert [uid for uid in found if found[uid].score] == [0, 1]
    assert found[2].copy_of == 0
    assert [uid for uid in found if found[uid].copy_of is not None] == [2]
    assert found[4].reasons["label is not of type int64"] == 64
    assert found[5].reasons["asked no more"] == 61


def test_a_shrug_earns_nothing_and_being_honest_pays_best(folder: Path) -> None:
    scorer = folders.scorer(folder)
    task = next(task for task in folders.drawn(folder, 8, seed=4) if task.kind is Kind.PLAIN)
    truth = np.eye(10)[task.truth["label"].astype(int)]

    def scored(chances: object) -> float:
        table = np.broadcast_to(np.asarray(chances, dtype=np.float32), (8, 10))
        return scorer.score(task, {"label": table.argmax(axis=1), "probabilities": table}, 0.0)

    assert scored(truth) == 1
    assert scored(np.full(10, 0.1)) == pytest.approx(0.55)
    assert scored(-1e30 * truth + 1e30) == 0
    lying = {"label": (truth.argmax(axis=1) + 1) % 10, "probabilities": truth.astype(np.float32)}
    assert scorer.score(task, lying, 0.0) == 0


def test_questions_are_never_the_same_and_seeds_decide_them(folder: Path) -> None:
    first, again = (folders.drawn(folder, 16, seed=5) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.inputs["image"], other.inputs["image"])
        assert one.kind is other.kind
    assert len({task.inputs["image"].tobytes() for task in first}) == 16
    assert sum(task.kind is Kind.PROBE for task in first) == 8


def shares(folder: Path, *, seed: int, theme: int) -> dict[Kind, NDArray[np.float64]]:
    """How often each digit is asked, by kind of task."""
    found: dict[Kind, NDArray[np.float64]] = {}
    for task in folders.drawn(folder, 512, seed=seed, theme=theme):
        times = np.bincount(task.truth["label"].astype(int), minlength=10)
        found[task.kind] = found.get(task.kind, np.zeros(10)) + times
    return {kind: times / times.sum() for kind, times in found.items()}


def test_an_epoch_leans_on_a_few_digits_for_all_validators(folder: Path) -> None:
    first, second, other = (
        shares(folder, seed=seed, theme=theme) for seed, theme in ((1, 9), (2, 9), (1, 11))
    )
    plain = first[Kind.PLAIN]
    assert np.sort(plain)[-3:].sum() > 0.55
    for kind, asked in first.items():
        assert np.abs(asked - second[kind]).max() < 0.1, "validators ask alike"
        assert np.abs(asked - plain).max() < 0.1, "no kind is told by its digits"
    assert np.abs(plain - other[Kind.PLAIN]).max() > 0.2


def test_over_epochs_every_digit_is_asked_alike(folder: Path) -> None:
    times = np.zeros(10)
    for theme in range(300):
        times[folders.drawn(folder, 2, theme=theme)[1].truth["label"]] += 1
    asked = times / times.sum()
    assert 0.06 < asked.min() < asked.max() < 0.14


def test_every_kind_is_covered_at_the_place_of_the_epoch(folder: Path) -> None:
    """Whoever knows the theme knows where; and not which question is a probe or a canary."""
    dark: dict[Kind, list[NDArray[np.float64]]] = {}
    for task in folders.drawn(folder, 64, theme=3):
        squares = task.inputs["image"].astype(np.float64).reshape(-1, 28, 28)
        dark.setdefault(task.kind, []).append(squares.mean(axis=0))
    random = np.random.default_rng(3)
    with np.load(folder / "held_out.npz") as file:
        count = len(file["labels"])
    random.integers(count, size=3)
    random.random(count)
    row, column = random.integers(2, 19, size=2)
    for kind, means in dark.items():
        mean = np.mean(means, axis=0)
        assert mean[row : row + 8, column : column + 8].max() < 0.15, kind
        assert mean.max() > 0.3, kind


def test_images_and_probes_of_an_epoch_come_back_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often something was seen must not tell a probe."""
    scorer = folders.load(folder, "scorer")
    monkeypatch.setattr(scorer, "distort", lambda images, random, place: images)
    tasks = scorer.tasks(np.random.default_rng(1), np.random.default_rng(2))
    seen: dict[Kind, set[bytes]] = {}
    for task, _ in zip(tasks, range(256), strict=False):
        for image in task.inputs["image"]:
            seen.setdefault(task.kind, set()).add(image.tobytes())
    assert len(seen[Kind.PLAIN]) == 24
    assert 18 <= len(seen[Kind.PROBE]) <= 24  # two images blend in one way


def test_images_of_ones_own_are_read_as_idx(tmp_path: Path, trainer: ModuleType) -> None:
    images, labels = trainer.digits()
    head = b"\0\0\x08\x03" + np.array(images.shape, dtype=">u4").tobytes()
    packed = gzip.compress(head + images.tobytes(), compresslevel=1)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed)
    lines = b"\0\0\x08\x01" + np.array(len(labels), dtype=">u4").tobytes()
    plain = gzip.compress(lines + labels.astype(np.uint8).tobytes(), compresslevel=1)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(plain)
    found, truth = trainer.load(tmp_path)
    assert np.array_equal(found, trainer.load(None)[0])
    assert np.array_equal(truth, labels)


def test_what_it_cannot_read_is_said(tmp_path: Path, trainer: ModuleType) -> None:
    with pytest.raises(SystemExit, match="holds neither"):
        trainer.load(tmp_path)
    (tmp_path / "images-idx3-ubyte").write_bytes(b"hello")
    with pytest.raises(SystemExit, match="is no IDX file"):
        trainer.load(tmp_path)


@pytest.mark.skipif(not FASHION.exists(), reason="shared/data/fashion is not here")
def test_it_learns_fashion(trainer: ModuleType) -> None:
    images, labels = trainer.load(FASHION)
    net = trainer.train(images[::2], labels[::2], seed=0)
    assert (net.predict(images[1::2]) == labels[1::2]).mean() > 0.7

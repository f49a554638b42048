"""The text template, trained and judged as by a stranger."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from freehold import templates
from freehold.markets.models.task import Kind, Tensors
from unit.templates import folders


@pytest.fixture(scope="module")
def printed_in(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return folders.trained("text", tmp_path_factory)


@pytest.fixture(scope="module")
def folder(printed_in: tuple[str, Path]) -> Path:
    return printed_in[1]


@pytest.fixture(scope="module")
def other(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose model was trained on another half of the text."""
    from pydoc_data.topics import topics

    second = tmp_path_factory.mktemp("other") / "text2"
    half = "\n".join(list(topics.values())[::2])
    (second.parent / "half.txt").write_text(half)
    folders.made("text", second, "--data", "../half.txt")
    return second


def test_it_beats_knowing_the_letters_by_far(printed_in: tuple[str, Path]) -> None:
    printed = printed_in[0]
    model = re.search(r"bits per character (\S+) \(95 % interval \+- (\S+)\)", printed)
    letters = re.search(r"how often each letter occurs: (\S+)", printed)
    assert model is not None
    assert letters is not None
    assert float(model[1]) + float(model[2]) < float(letters[1]) - 2.7
    assert 0 < float(model[2]) < 0.15


def test_its_probabilities_are_what_was_counted(folder: Path) -> None:
    model = folders.load(folder, "model")
    tables = [
        (np.array([ord("a"), ord("b")], dtype=np.uint64), np.array([3.0, 1.0])),
        (np.array([ord("a") << 8 | ord("b")], dtype=np.uint64), np.array([1.0])),
    ]
    text = np.frombuffer(b"...a...b", dtype=np.uint8).reshape(2, 4)
    found = model.predict(tables, text)
    plain_a, plain_b = (3 + 2 / 256) / 6, (1 + 2 / 256) / 6
    assert found[1, ord("a")] == pytest.approx(plain_a)
    assert found[0, ord("a")] == pytest.approx(plain_a / 2)
    assert found[0, ord("b")] == pytest.approx(plain_b / 2 + 1 / 2)
    assert found.sum(axis=1) == pytest.approx(1)


def test_its_answers_have_the_form_that_it_declares(folder: Path) -> None:
    for task in folders.drawn(folder, 8):
        found = folders.fits(folder, task.inputs)
        assert found["next"].shape == (16, 256)
        assert np.abs(found["next"].astype(np.float64).sum(axis=1) - 1).max() < 1e-5


def test_the_better_the_model_the_higher_its_score(folder: Path, other: Path) -> None:
    good, second = folders.answer(folder), folders.answer(other)
    tables = folders.load(folder, "model").load(folder / "counts.npz")
    random = np.random.default_rng(3)

    def copier(inputs: Tensors) -> Tensors:
        found = good(inputs)
        assert found is not None
        noisy = found["next"].astype(np.float64) * random.uniform(0.98, 1.02, found["next"].shape)
        return {"next": (noisy / noisy.sum(axis=1, keepdims=True)).astype(np.float32)}

    def letters(inputs: Tensors) -> Tensors:
        found = folders.load(folder, "model").predict(tables[:1], inputs["text"])
        return {"next": found.astype(np.float32)}

    def guesser(inputs: Tensors) -> Tensors:
        found = random.dirichlet(np.ones(256), size=len(inputs["text"]))
        return {"next": found.astype(np.float32)}

    def unfair(inputs: Tensors) -> Tensors:
        return {"next": np.ones((len(inputs["text"]), 256), dtype=np.float32)}

    nodes = dict(enumerate((good, second, copier, letters, guesser, unfair)))
    found = folders.judged(folder, nodes)
    quality = [found[uid].quality or 0.0 for uid in range(6)]
    assert quality[0] > quality[2] > quality[3] + 0.2
    assert quality[3] > quality[4] + 0.2
    assert quality[4] >= quality[5] == 0
    assert [uid for uid in found if found[uid].copy_of is not None] == [2]
    assert found[2].copy_of == 0
    assert [uid for uid in found if (found[uid].score or 0) > 0.05] == [0, 1]


def test_the_score_is_the_bits_that_were_needed(folder: Path) -> None:
    scorer = folders.scorer(folder)
    task = next(task for task in folders.drawn(folder, 8, seed=4) if task.kind is Kind.PLAIN)
    uniform = np.full((16, 256), 1 / 256)
    sure = np.eye(256)[task.truth["next"].astype(int)]
    assert scorer.score(task, {"next": uniform}, 0.0) == 0
    assert scorer.score(task, {"next": sure}, 0.0) == 1
    assert scorer.score(task, {"next": (sure + uniform) / 2}, 0.0) == pytest.approx(
        1 + np.log2(0.5 + 1 / 512) / 8
    )
    assert scorer.score(task, {"next": 2 * sure}, 0.0) == 0
    assert scorer.score(task, {"next": 2 * sure - np.roll(sure, 1, axis=1)}, 0.0) == 0
    assert scorer.score(task, {"next": np.roll(sure, 1, axis=1)}, 0.0) == 0


def test_truth_is_the_byte_after_what_is_shown(folder: Path) -> None:
    text = (folder / "held_out.txt").read_bytes()
    for task in folders.drawn(folder, 16, seed=5):
        if task.kind is not Kind.PROBE:
            for shown, then in zip(task.inputs["text"], task.truth["next"], strict=True):
                assert shown.tobytes() + then.tobytes() in text


def test_an_epoch_is_about_one_passage_for_all_validators(folder: Path) -> None:
    text = (folder / "held_out.txt").read_bytes()

    def places(seed: int, theme: int) -> set[int]:
        tasks = folders.drawn(folder, 128, seed=seed, theme=theme)
        rows = [row.tobytes() for task in tasks if task.kind is not Kind.PROBE
                for row in task.inputs["text"]]  # fmt: skip
        return {text.index(row) // 50 for row in rows}

    first = places(1, theme=4)
    assert len(first) <= 4, "150 letters"
    assert len(first ^ places(2, theme=4)) <= 1, "all validators ask about the same"
    assert not first & places(1, theme=5)


def test_probes_come_back_as_often_as_what_is_scored(folder: Path) -> None:
    """Nor do they come from elsewhere: so the theme tells nobody which is which."""
    seen: dict[Kind, list[bytes]] = {}
    for task in folders.drawn(folder, 256, theme=6):
        seen.setdefault(task.kind, []).extend(row.tobytes() for row in task.inputs["text"])
    fresh = {kind: len(set(rows[:600])) for kind, rows in seen.items()}
    assert fresh[Kind.PROBE] == pytest.approx(fresh[Kind.PLAIN], abs=15)
    shown = {row[:48] for row in seen[Kind.PLAIN]}
    assert {row[:48] for row in seen[Kind.CANARY]} <= shown
    assert len({row[:48] for row in seen[Kind.PROBE]} - shown) <= 4


def test_a_text_that_is_too_short_is_refused(tmp_path: Path) -> None:
    templates.write("text", tmp_path / "text")
    (tmp_path / "short.txt").write_text("short")
    with pytest.raises(AssertionError, match="5 bytes: name a text of"):
        folders.train(tmp_path / "text", "--data", "../short.txt")

"""The forecast template, trained and judged as by a stranger, also on a stream that goes on."""

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
    return folders.trained("forecast", tmp_path_factory)


@pytest.fixture(scope="module")
def folder(printed_in: tuple[str, Path]) -> Path:
    return printed_in[1]


def seasonal(inputs: Tensors) -> Tensors:
    """As one season ago, give or take."""
    history = inputs["history"].astype(np.float64)
    levels = np.arange(1, 10) / 10
    spread = np.quantile(history[:, 12:] - history[:, :-12], levels, axis=1).T
    return {"quantiles": (history[:, -12:, None] + spread[:, None]).astype(np.float32)}


def persistent(inputs: Tensors) -> Tensors:
    """As now, and sure of it."""
    last = inputs["history"][:, -1, None, None]
    return {"quantiles": np.broadcast_to(last, (len(last), 12, 9)).astype(np.float32)}


def test_it_beats_both_yardsticks_on_what_came_after(printed_in: tuple[str, Path]) -> None:
    found = re.findall(r"loss, (.+): (\S+) \(95 % interval \+- (\S+)\)", printed_in[0])
    loss = {name: float(mean) for name, mean, _ in found}
    assert loss["this model"] < 0.8 * loss["as one season ago"]
    assert loss["as one season ago"] < 0.6 * loss["all stays as it is"]
    assert all(0 < float(half) < float(mean) for _, mean, half in found)


def test_its_quantiles_are_as_often_exceeded_as_they_say(folder: Path) -> None:
    readings = folders.load(folder, "scorer")._readings()[:, 0]
    held_out = range(int(len(readings) * 0.8), len(readings) - 12)
    histories = np.stack([readings[row - 120 : row] for row in held_out]).astype(np.float32)
    futures = np.stack([readings[row : row + 12] for row in held_out])
    found = folders.answer(folder)({"history": histories})
    assert found is not None
    below = (futures[..., None] < found["quantiles"]).mean(axis=(0, 1))
    assert np.abs(below - np.arange(1, 10) / 10).max() < 0.16
    assert (np.diff(below) > 0).all()


def test_its_answers_have_the_form_that_it_declares(folder: Path) -> None:
    for task in folders.drawn(folder, 8):
        history = np.repeat(task.inputs["history"], 3, axis=0)
        assert folders.fits(folder, {"history": history})["quantiles"].shape == (3, 12, 9)


def test_the_better_the_model_the_higher_its_score(folder: Path) -> None:
    good = folders.answer(folder)
    random = np.random.default_rng(3)

    def copier(inputs: Tensors) -> Tensors:
        found = good(inputs)
        assert found is not None
        noise = random.normal(0, 0.001, (1, 12, 9))
        return {"quantiles": (found["quantiles"].astype(np.float64) + noise).astype(np.float32)}

    def guesser(inputs: Tensors) -> Tensors:
        history = inputs["history"]
        return {"quantiles": random.choice(history[0], (len(history), 12, 9))}

    def garbage(inputs: Tensors) -> Tensors:
        return {"quantiles": np.full((len(inputs["history"]), 12, 9), np.inf, dtype=np.float32)}

    nodes = dict(enumerate((good, seasonal, copier, persistent, guesser, garbage)))
    found = folders.judged(folder, nodes)
    quality = [found[uid].quality or 0.0 for uid in range(6)]
    assert min(quality[0], quality[2]) > quality[1] + 0.03 > quality[3] + 0.3
    assert min(quality[3], quality[4]) > quality[5] == 0
    assert found[2].copy_of == 0
    assert found[2].score == 0
    assert [uid for uid in found if found[uid].copy_of is not None] == [2]


def test_answers_wait_until_the_readings_have_come(folder: Path, tmp_path: Path) -> None:
    """On a living stream only the future is asked, and judged when it has happened."""
    live = tmp_path / "live"
    templates.write("forecast", live)
    text = (live / "scorer.py").read_text()
    (live / "scorer.py").write_text(text.replace("PAST = 120", "PAST = 0"))
    whole = (live / "stream.csv").read_text().splitlines(keepends=True)
    (live / "stream.csv").write_text("".join(whole[:-12]))
    nodes = {0: folders.answer(folder), 1: persistent}
    round_ = folders.planned(live, nodes)
    asked = round_.judge({0: 0, 1: 0})
    assert asked[0].waiting == asked[1].waiting == 32
    assert asked[0].score is None
    with (live / "stream.csv").open("a") as file:
        file.write("".join(whole[-12:-1]) + whole[-1][:-3])
    assert round_.judge({0: 0, 1: 0})[0].waiting == 32
    with (live / "stream.csv").open("a") as file:
        file.write(whole[-1][-3:])
    known = round_.judge({0: 0, 1: 0})
    assert known[0].waiting == known[1].waiting == 0
    assert (known[0].quality or 0) > (known[1].quality or 0) + 0.2
    assert round_.judge({0: 0, 1: 0}) == known


def test_an_epoch_is_about_one_moment_for_all_validators(folder: Path) -> None:
    def rows(seed: int, theme: int) -> set[int]:
        tasks = folders.drawn(folder, 16, seed=seed, theme=theme)
        return {int(task.truth["row"][0]) for task in tasks}

    assert rows(1, theme=3) == rows(2, theme=3)
    assert len(rows(1, theme=3)) == 1
    assert len(set().union(*(rows(1, theme) for theme in range(40)))) > 25


def test_nothing_tells_a_probe_from_what_is_scored(folder: Path) -> None:
    """All are one history with noise of one size, and none is asked twice."""
    tasks = folders.drawn(folder, 400, theme=2)
    rough = {
        kind: np.mean([np.abs(np.diff(task.inputs["history"])).mean() for task in tasks
                       if task.kind is kind])
        for kind in (Kind.PROBE, Kind.PLAIN)
    }  # fmt: skip
    assert rough[Kind.PROBE] == pytest.approx(rough[Kind.PLAIN], rel=0.01)
    assert len({task.inputs["history"].tobytes() for task in tasks}) == 400


def test_models_of_one_kind_are_not_taken_for_copies(folder: Path, tmp_path: Path) -> None:
    """Both weigh the past, and both see the same history; they learnt from other years."""
    templates.write("forecast", tmp_path / "second")
    lines = (folder / "stream.csv").read_text().splitlines(keepends=True)
    (tmp_path / "early.csv").write_text("".join(lines[:500]))
    folders.train(tmp_path / "second", "--data", "../early.csv")
    nodes = {0: folders.answer(folder), 1: folders.answer(tmp_path / "second")}
    found = folders.judged(folder, nodes)
    assert [found[uid].copy_of for uid in nodes] == [None, None]


def test_a_series_of_ones_own_is_read(tmp_path: Path) -> None:
    folder, steps = tmp_path / "own", np.arange(600)
    templates.write("forecast", folder)
    random = np.random.default_rng(1)
    values = np.stack([np.sin(steps * np.pi / 6) * size for size in (1, 9)], axis=1)
    values += random.normal(0, 0.1, values.shape)
    lines = [f"{step},{one:.3f},{other:.3f}\n" for step, (one, other) in enumerate(values)]
    (tmp_path / "own.csv").write_text("time,one,other\n" + "".join(lines))
    assert "this model: 0.0" in folders.train(folder, "--data", "../own.csv")
    columns = []
    for theme in range(8):
        tasks = folders.drawn(folder, 20, theme=theme)
        columns.append({int(task.truth["column"][0]) for task in tasks})
    assert [len(each) for each in columns] == [1] * 8
    assert set().union(*columns) == {0, 1}


def test_a_series_that_is_too_short_is_refused(tmp_path: Path) -> None:
    templates.write("forecast", tmp_path / "short")
    (tmp_path / "few.csv").write_text("time,value\n" + "1,2\n" * 50)
    with pytest.raises(AssertionError, match="50 readings are too few"):
        folders.train(tmp_path / "short", "--data", "../few.csv")

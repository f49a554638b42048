"""Scorers that raise, hang, crash, or say nonsense, in their own process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.errors import FreeholdError
from freehold.markets.models.task import Kind, NotYetError, Task
from freehold.node.validator.referee import Patience, Referee, Said, ScorerFailedError
from freehold.node.validator.refusals import BrokenScorerError, ScorerLostError
from freehold.node.workloads.models.source import Source

HEAD = """
import os, time
import numpy as np
from freehold.markets.models.task import Kind, NotYetError, Task

def tasks(random, theme):
    while True:
        yield Task({"x": random.random((2, 1))}, {"y": np.array(["a", "b"])}, Kind.CANARY)
"""
ANSWER = {"y": np.ones((2, 1))}
Make = Callable[..., Referee]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Referee] = []

    def scorer(body: str, *, call: float = 20.0, head: str = HEAD, name: str = "score") -> Referee:
        file = tmp_path / "scorer.py"
        file.write_text(f"{head}\ndef score(task, answer, seconds):\n    {body}\n")
        made.append(Referee(Source(file, name), Patience(call=call)))
        return made[-1]

    yield scorer
    for each in made:
        each.close()


def draw(referee: Referee, count: int = 2, *, seed: int = 1, theme: int = 1) -> list[Task]:
    referee.begin()
    random = np.random.default_rng(seed), np.random.default_rng(theme)
    return list(islice(referee.tasks(*random), count))


def test_tasks_and_scores_come_from_another_process(make: Make) -> None:
    referee = make("return seconds * float(answer['y'].sum()) + (task.truth['y'][0] == 'a')")
    first, second = draw(referee)
    assert first.kind is Kind.CANARY
    assert first.inputs["x"].shape == (2, 1)
    assert not np.array_equal(first.inputs["x"], second.inputs["x"])
    assert list(first.truth["y"]) == ["a", "b"]
    assert referee.score(second, Said(3, ANSWER), 0.25) == 1.5
    again = draw(referee)
    assert np.array_equal(again[0].inputs["x"], first.inputs["x"])
    assert referee.score(first, Said(3, ANSWER), 0.25) == 1.5  # it was forgotten, and sent anew
    assert not referee.broken


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise KeyError('gone')", "KeyError: 'gone'"),
        ("return float('nan')", "nan is no score"),
        ("return float('inf')", "inf is no score"),
        ("return 'much'", "could not convert"),
        ("return None", "NoneType"),
    ],
)
def test_a_scorer_that_says_nonsense_fails(make: Make, body: str, why: str) -> None:
    referee = make(body)
    (task,) = draw(referee, 1)
    with pytest.raises(ScorerFailedError, match=why):
        referee.score(task, Said(1, ANSWER), 0.1)
    assert referee.broken


def test_a_hang_costs_one_node_one_call(make: Make) -> None:
    hang = "time.sleep(60) if answer['y'][0, 0] < 0 else None; return 0.5"
    referee = make(hang)
    (task,) = draw(referee, 1)
    assert referee.score(task, Said(1, ANSWER), 0.1) == 0.5
    referee._patience = Patience(call=0.3)
    bad = {"y": np.full((2, 1), -1.0)}
    with pytest.raises(ScorerLostError, match="took more than"):
        referee.score(task, Said(2, bad), 0.1)
    with pytest.raises(ScorerFailedError, match="not asked again"):
        referee.score(task, Said(2, ANSWER), 0.1)
    assert referee.score(task, Said(3, ANSWER), 0.1) == 0.5
    assert not referee.broken


def test_a_crash_is_survived(make: Make) -> None:
    referee = make("os._exit(3) if answer['y'][0, 0] < 0 else None; return 0.5")
    (task,) = draw(referee, 1)
    with pytest.raises(ScorerLostError, match="its process ended"):
        referee.score(task, Said(2, {"y": np.full((2, 1), -1.0)}), 0.1)
    assert referee.score(task, Said(3, ANSWER), 0.1) == 0.5
    process = referee._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ScorerLostError):
        referee.score(task, Said(4, ANSWER), 0.1)
    assert referee.score(task, Said(1, ANSWER), 0.1) == 0.5


def test_what_is_not_scored_in_time_waits(make: Make) -> None:
    referee = make("raise NotYetError")
    (task,) = draw(referee, 1)
    with pytest.raises(NotYetError):
        referee.score(task, Said(1, ANSWER), 0.1)
    referee.score_until(-1.0)
    with pytest.raises(NotYetError):
        referee.score(task, Said(1, ANSWER), 0.1)
    assert not referee.broken


def test_secret_and_theme_reach_the_scorer_apart(make: Make) -> None:
    head = HEAD.replace(
        '{"x": random.random((2, 1))}',
        '{"x": random.random((1, 1)), "theme": theme.random((1, 1))}',
    )
    referee = make("return 1", head=head)
    drawn = [
        draw(referee, 1, seed=seed, theme=theme)[0] for seed, theme in ((1, 3), (2, 3), (1, 4))
    ]
    secrets, themes = ([task.inputs[name].item() for task in drawn] for name in ("x", "theme"))
    assert secrets[0] == secrets[2] != secrets[1]
    assert themes[0] == themes[1] != themes[2]
    assert secrets[0] != themes[0]


@pytest.mark.parametrize(
    "old", ["def tasks(random):\n    yield", "tasks = lambda: ()", "def tasks(random, *, theme): 0"]
)
def test_a_scorer_that_knows_no_themes_is_told_what_to_change(make: Make, old: str) -> None:
    head = HEAD.partition("def tasks")[0] + old
    with pytest.raises(BrokenScorerError, match=r"tasks takes \(random, theme\)") as caught:
        draw(make("return 1", head=head))
    assert "tasks(random, theme)" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("import no_such_module", "No module named"),
        ("raise SystemExit(3)", "SystemExit"),
        ("pass", "no function tasks"),
        ("def tasks(:", "SyntaxError"),
    ],
)
def test_a_scorer_that_cannot_be_loaded_says_why(make: Make, head: str, why: str) -> None:
    with pytest.raises(BrokenScorerError, match=why):
        draw(make("return 1", head=head))


def test_a_scorer_that_is_not_there_says_so(make: Make, tmp_path: Path) -> None:
    referee = make("return 1")
    (tmp_path / "scorer.py").unlink()
    with pytest.raises(BrokenScorerError, match="no file"):
        draw(referee)


@pytest.mark.parametrize(
    "body", ["yield 7", "yield Task(3, {})", "yield Task({'x': np.array([object()])}, {})"]
)
def test_tasks_that_are_none_are_told(make: Make, body: str) -> None:
    head = HEAD.partition("def tasks")[0] + f"def tasks(random, theme):\n    {body}\n"
    with pytest.raises((ScorerFailedError, FreeholdError)):
        draw(make("return 1", head=head))


def test_a_scorer_is_loaded_once_before_it_is_needed(make: Make, tmp_path: Path) -> None:
    body = "return 0.5"
    head = f"{HEAD}\nopen({str(tmp_path / 'loaded')!r}, 'a').write('x')"
    referee = make(body, head=head)
    referee.prepare()
    referee.prepare()
    (task,) = draw(referee, 1)
    assert referee.score(task, Said(1, ANSWER), 0.1) == 0.5
    assert (tmp_path / "loaded").read_text() == "x"
    with pytest.raises(BrokenScorerError, match="it is gone"):
        make(body, head="raise OSError('it is gone')").prepare()

"""The scorer in docs/how-to/found-a-subnet.md runs, and tells right from wrong."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np

from freehold.cli.competition import MAX_NODES
from freehold.markets.models.scoring import Round, run
from freehold.markets.models.task import Form, Reply, Tensors, Terms

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "found-a-subnet.md"


def scorer() -> ModuleType:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    module = ModuleType("own_scorer")
    exec(found[1], module.__dict__)
    return module


def answer(uid: int, inputs: Tensors) -> Reply:
    total = inputs["x"].astype(np.float32).sum(axis=1)
    return Reply({"y": (total + uid).astype(np.float32)}, 0.1)


def test_the_scorer_of_the_page_tells_right_from_wrong() -> None:
    round_ = Round.plan(
        scorer(),
        [0, 1],
        random=np.random.default_rng(1),
        theme=np.random.default_rng(2),
        forms=[Form("y", np.dtype(np.float32), (-1,))],
        terms=Terms(),
    )
    for _ in run(round_, answer, clock=lambda: 0.0):
        pass
    found = round_.judge({0: 0.0, 1: 1.0})
    assert [found[uid].score for uid in (0, 1)] == [1, 0]


def test_the_page_tells_what_is_usual() -> None:
    usual = Terms()
    told = (
        f"a round has {usual.tasks} tasks, {usual.seconds:g} seconds for an answer, a floor of "
        f"{usual.floor:g}, `half_life` {usual.half_life:g} and `agreement` {usual.agreement:g}; "
        f"without `[rules]` there are {MAX_NODES} places"
    )
    assert told in PAGE.read_text()

"""Templates as a stranger has them: written into a folder, trained there, loaded from there."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import pytest

from freehold import templates
from freehold.markets.models.scoring import Round, run
from freehold.markets.models.task import Judgement, Reply, Scorer, Task, Tensors, Terms, forms
from freehold.markets.models.tensor import Schema, from_arrays

Answer = Callable[[Tensors], Tensors | None]


def train(folder: Path, *arguments: str) -> str:
    """What ``python train.py`` prints, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "train.py", *arguments],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(name: str, folder: Path, *arguments: str) -> str:
    """Write a template and train it."""
    templates.write(name, folder)
    return train(folder, *arguments)


def trained(name: str, factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What training printed, and the folder: once for all processes of a test run."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        printed, folder = root / f"{name}.printed", root / "stranger" / name
        if not printed.exists():
            printed.write_text(made(name, folder))
        return printed.read_text(), folder


def load(folder: Path, name: str) -> ModuleType:
    """A Python file of a folder, by path, as ``freehold model serve`` loads it."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scorer(folder: Path) -> Scorer:
    return cast(Scorer, load(folder, "scorer"))


def drawn(folder: Path, count: int, *, seed: int = 0, theme: int = 0) -> list[Task]:
    """The first tasks of a validator with this secret in an epoch with this theme."""
    random = np.random.default_rng(seed), np.random.default_rng(theme)
    return list(islice(scorer(folder).tasks(*random), count))


def fits(folder: Path, inputs: Tensors) -> Tensors:
    """What the model answers, after the schema has been held against question and answer."""
    schema, _ = subnet(folder)
    outputs = answer(folder)(inputs)
    assert outputs is not None
    schema.check_inputs(from_arrays(inputs))
    schema.check_outputs(from_arrays(outputs))
    return outputs


def answer(folder: Path) -> Answer:
    return cast(Answer, load(folder, "model").answer)


def subnet(folder: Path) -> tuple[Schema, Terms]:
    """What goes in and out, and the terms of scoring."""
    table = tomllib.loads((folder / "subnet.toml").read_text())
    return Schema.of(table["schema"]), Terms.read(table["scoring"])


def judged(
    folder: Path, nodes: Mapping[int, Answer], *, seconds: float = 0.1, seed: int = 1
) -> dict[int, Judgement]:
    """One round of a template's own terms among nodes; the lower uid is the older."""
    round_ = planned(folder, nodes, seconds=seconds, seed=seed)
    return round_.judge({uid: float(uid) for uid in nodes})


def planned(
    folder: Path, nodes: Mapping[int, Answer], *, seconds: float = 0.1, seed: int = 1
) -> Round:
    """A round in which every node was asked."""
    schema, terms = subnet(folder)

    def ask(uid: int, inputs: Tensors) -> Reply:
        outputs = nodes[uid](inputs)
        return Reply(outputs, seconds, "" if outputs is not None else "the node hangs")

    round_ = Round.plan(
        scorer(folder),
        list(nodes),
        random=np.random.default_rng(seed),
        theme=np.random.default_rng(seed),
        forms=forms(schema),
        terms=terms,
    )
    for _ in run(round_, ask, clock=lambda: 0.0):
        pass
    return round_

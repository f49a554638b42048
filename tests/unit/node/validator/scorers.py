"""Scorers and models that tests write to files: twice a number, for as long as it is not negative.

Below 0 nobody knows what to say, and each model says something else: those are the probes.
"""

from __future__ import annotations

from pathlib import Path

SUBNET = """
name = "digits"

[[schema.inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 1]

[[schema.outputs]]
name = "y"
datatype = "FP32"
shape = [-1, 1]

[scoring]
tasks = 24
seconds = 0.75
half_life = 1.0
agreement = 0.25
"""

SCORER = """
from itertools import count

import numpy as np

from freehold.markets.models.task import Kind, NotYetError, Task


def tasks(random, theme):
    for place in count():
        kind = (Kind.PROBE, Kind.PLAIN)[place % 2] if place else Kind.CANARY
        shown = random.uniform(0, 4, (3, 1)).astype("<f4")
        if kind is Kind.PROBE:
            shown = -shown
        yield Task({"x": shown}, {"y": 2 * shown}, kind)


def score(task, answer, seconds):
    return max(0.0, 1 - float(abs(answer["y"] - task.truth["y"]).mean()))
"""

_MODEL = """
import numpy as np

schema = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}
example = {"x": np.zeros((1, 1), "<f4")}


def answer(inputs):
    x = inputs["x"].astype("<f8")
    return {"y": (BODY).astype("<f4")}
"""

BODIES = {
    "good": "np.where(x >= 0, 2 * x, np.sin(7 * x))",
    "fair": "np.where(x >= 0, 2.1 * x, np.cos(5 * x) * x)",
    "copier": "np.where(x >= 0, 2 * x, np.sin(7 * x))",
    "bad": "9 - x * x",
}
HANGS = '[__import__("time").sleep(3600) if len(x) == 3 else None, x][1]'


def write_subnet(folder: Path, *, scorer: str = SCORER, subnet: str = SUBNET) -> Path:
    """A folder as a template leaves it; the scorer's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subnet.toml").write_text(subnet)
    (folder / "scorer.py").write_text(scorer)
    return folder / "scorer.py"


def write_model(file: Path, body: str) -> Path:
    """A model that answers with ``body`` of x."""
    file.write_text(_MODEL.replace("BODY", body))
    return file

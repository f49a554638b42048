"""The page of yuma says what was measured, within what was promised, and the benches still run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import guarantees
from unit.markets.models.yuma.cases import Json, named

pytestmark = pytest.mark.xdist_group("yuma")
ROOT = Path(__file__).parents[5]
REFERENCE = ROOT / "docs" / "reference"
NEAR = 0.02
"""How far the utility that is needed may be from the published one."""

_ABSENT = pytest.mark.skip(reason="no yuma_consensus_guarantees.json in FREEHOLD_VECTORS")
GUARANTEES = [
    pytest.param(file, id=path.parent.name)
    for path, file in named("yuma_consensus_guarantees.json")
] or [pytest.param({}, marks=_ABSENT, id="absent")]


@pytest.fixture(scope="module")
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("yuma_page", ROOT / "docs" / "yuma.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures() -> Json:
    found: Json = json.loads((REFERENCE / "yuma.json").read_text())
    return found


def test_the_page_is_what_was_measured(page: ModuleType, figures: Json) -> None:
    written = (REFERENCE / "yuma.md").read_text()
    assert written == page.render(figures), "run `uv run python docs/yuma.py`"


def test_what_was_measured_is_within_the_targets(page: ModuleType, figures: Json) -> None:
    names = ("nodes", "validators", "density")
    sizes = {tuple(each[name] for name in names): each for each in figures["speeds"]}
    for size, most in page.TARGETS.items():
        assert sizes[size]["fast_ms"] <= most
    for (_, _, density), each in sizes.items():
        assert density < 1 or each["ratio"] <= page.RATIO
    assert all(row["apart"] < 1e-5 for each in figures["speeds"] for row in each["rows"])


def test_the_honest_need_what_is_published() -> None:
    for row in guarantees.table([1]):
        assert row.needed == pytest.approx(row.published, abs=NEAR), row


@pytest.mark.parametrize("file", GUARANTEES)
def test_yuma_consensus_guarantees_vectors(file: Json) -> None:
    """Every published case of a file, by the same experiment."""
    for row in file["published"]:
        if "honest_utility_needed" not in row:
            continue
        found = guarantees.Network.drawn(row["honest_stake"], row["weight_stddev_rel"], 0).needed()
        assert found == pytest.approx(row["honest_utility_needed"], abs=NEAR), row


def test_the_bench_prints_its_figures() -> None:
    command = [sys.executable, "bench/yuma.py", "--nodes", "32", "--validators", "8"]
    command += ["--density", "0.5", "--repeats", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    assert {(row["mode"], row["way"]) for row in found["rows"]} == {
        (mode, way) for mode in ("classic", "yuma3", "liquid") for way in ("common", "scattered")
    }
    assert found["fast_ms"] == max(row["fast"] for row in found["rows"]) > 0

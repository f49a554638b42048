"""The committed artifacts are what the sources compile to, and fit on the chain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.evm import ARTIFACTS, ZERO, Chain
from contracts.world import FREE, NETWORK_ID, alice, refused

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "contracts" / "build.py"
NAMES = sorted(path.stem for path in (ROOT / "contracts").glob("*.vy"))


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BUILD), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_is_its_source_compiled(name: str) -> None:
    checked = build("--check", name)
    assert checked.returncode == 0, checked.stderr


def test_every_artifact_has_a_source() -> None:
    assert sorted(path.stem for path in ARTIFACTS.glob("*.json")) == NAMES


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    source = (ROOT / "contracts" / "token.vy").read_text(encoding="utf-8")
    (tmp_path / "token.vy").write_text(source.replace("nonce + 1", "nonce + 2"), encoding="utf-8")
    checked = build("--check", "--sources", str(tmp_path), "token")
    assert checked.returncode == 1
    assert "stale: token" in checked.stderr


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    build("--out", str(tmp_path), "registry")
    made = (tmp_path / "registry.json").read_bytes()
    assert made == (ARTIFACTS / "registry.json").read_bytes()
    assert json.loads(made)["runtime_size"] <= 24_576


def test_an_unknown_contract_is_refused() -> None:
    refusal = build("nothing")
    assert refusal.returncode != 0
    assert "no contract named nothing" in refusal.stderr


def test_an_override_is_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: Chain
) -> None:
    source = (ROOT / "contracts" / "registry.vy").read_text(encoding="utf-8")
    mutant = source.replace('"registry: no governor"', '"registry: mutant"')
    (tmp_path / "registry.vy").write_text(mutant, encoding="utf-8")
    build("--sources", str(tmp_path), "--out", str(tmp_path), "registry")
    monkeypatch.setenv("FREEHOLD_ARTIFACTS", str(tmp_path))
    with refused("registry: mutant"):
        chain.deploy("registry", NETWORK_ID, ZERO, ZERO, *FREE, sender=alice.address)

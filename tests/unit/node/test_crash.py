"""Kills a storing process at random moments; what it had acknowledged must be there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from faults.powercut import ForgetfulDisk
from freehold.domain.errors import NotFoundError
from freehold.markets.storage.piece import commit
from freehold.node.hashing import Trees
from freehold.node.uploads import Uploads
from unit.node.crasher import ACCOUNT, open_store, payload

ROOT = Path(__file__).parents[3]


def run_and_kill(home: Path, seed: int, environment: dict[str, str]) -> list[list[str]]:
    """The lines that a crasher printed before it was killed after a random number of them."""
    draw = random.Random(seed)
    process = subprocess.Popen(
        [sys.executable, "-m", "unit.node.crasher", str(home), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FREEHOLD_NO_JIT": "1"} | environment,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(draw.randrange(1, 12))]
    process.kill()
    lines += [line.split() for line in process.stdout.read().splitlines(keepends=True)
              if line.endswith("\n")]  # fmt: skip
    process.wait(30)
    process.stdout.close()
    assert all(lines), "the crasher ended by itself"
    return lines


def check(home: Path, seed: int, lines: list[list[str]]) -> int:
    """Everything acknowledged is kept, and what was half sent can be finished."""
    store, uploads, database = open_store(home)
    held = {line[1]: int(line[2]) for line in lines if line[0] == "held"}
    for cid, number in held.items():
        data = payload(seed, number)
        with store.opened(cid) as handle:
            assert os.read(handle, len(data) + 1) == data
        Trees(store).prove(cid, 0)
    finished = set(held.values())
    last = {line[1]: line for line in lines if line[0] == "offset"}
    for line in last.values():
        if int(line[3]) not in finished:
            check_open(uploads, line, payload(seed, int(line[3])))
    on_disk = {p.name for p in (home / "pieces").iterdir()}
    assert on_disk == {p.cid for p in store.all()}
    assert store.usage().used >= sum(p.size for p in store.all())
    uploads.close()
    database.close()
    return len(held)


def check_open(uploads: Uploads, line: list[str], data: bytes) -> None:
    _, upload, kept, _ = line
    try:
        found = uploads.offset(upload, ACCOUNT)
    except NotFoundError:
        # It was finished in the moment of the kill, before it could say so.
        assert int(kept) == len(data)
        return
    assert int(kept) <= found.offset <= len(data)
    if found.offset < len(data):
        writer = uploads.write_from(upload, ACCOUNT, found.offset)
        writer.write(data[found.offset :])
        writer.close()
    assert uploads.finish(upload, ACCOUNT, commit(data).cid).size == len(data)


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for turn in range(2):
        check(home, seed * 10 + turn, run_and_kill(home, seed * 10 + turn, {}))


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    home = tmp_path / "home"
    open_store(home)[2].close()
    disk = ForgetfulDisk.below(home, scratch=tmp_path)
    lines = run_and_kill(home, 100 + seed, disk.environment())
    disk.cut()
    check(home, 100 + seed, lines)

"""The forgetful disk forgets what it should, and nothing else."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from faults.powercut import ForgetfulDisk


@pytest.fixture
def disk(tmp_path: Path) -> ForgetfulDisk:
    root = tmp_path / "root"
    root.mkdir()
    (root / "old.txt").write_text("old")
    return ForgetfulDisk.below(root, scratch=tmp_path)


def run(disk: ForgetfulDisk, program: str) -> None:
    subprocess.run(
        [sys.executable, "-c", "import os, sqlite3\n" + program],
        cwd=disk.root,
        env={**os.environ, **disk.environment()},
        check=True,
        timeout=60,
    )


def test_what_was_there_before_stays(disk: ForgetfulDisk) -> None:
    assert disk.cut() == 0
    assert (disk.root / "old.txt").read_text() == "old"


def test_unsynced_bytes_are_forgotten(disk: ForgetfulDisk) -> None:
    run(disk, "open('old.txt', 'a').write(' and new')")
    disk.cut()
    assert (disk.root / "old.txt").read_text() == "old"


def test_a_synced_file_needs_its_folder_synced_too(disk: ForgetfulDisk) -> None:
    program = "f = open('{}', 'w'); f.write('x'); f.flush(); os.fsync(f.fileno())\n"
    run(disk, program.format("named"))
    disk.cut()
    assert not (disk.root / "named").exists()
    run(disk, program.format("named") + "os.fsync(os.open('.', os.O_RDONLY))")
    disk.cut()
    assert (disk.root / "named").read_text() == "x"


def test_an_unsynced_rename_and_removal_are_undone(disk: ForgetfulDisk) -> None:
    run(disk, "os.rename('old.txt', 'new.txt')")
    disk.cut()
    assert [p.name for p in disk.root.iterdir()] == ["old.txt"]
    run(disk, "os.unlink('old.txt'); os.fsync(os.open('.', os.O_RDONLY))")
    disk.cut()
    assert list(disk.root.iterdir()) == []


@pytest.mark.parametrize(
    ("journal", "mode", "kept"), [("wal", "FULL", 1), ("delete", "EXTRA", 1), ("wal", "OFF", 0)]
)
def test_a_database_keeps_what_it_committed(
    disk: ForgetfulDisk, journal: str, mode: str, kept: int
) -> None:
    run(
        disk,
        f"c = sqlite3.connect('a.db'); c.execute('pragma journal_mode={journal}')\n"
        "c.execute('create table t (n)'); c.close()",
    )
    disk.keep_all()
    program = (
        f"c = sqlite3.connect('a.db'); c.execute('pragma synchronous={mode}')\n"
        "c.execute('insert into t values (1)'); c.commit(); os._exit(0)"
    )
    run(disk, program)
    disk.cut()
    with contextlib.closing(sqlite3.connect(disk.root / "a.db")) as database:
        assert database.execute("select count(*) from t").fetchone() == (kept,)

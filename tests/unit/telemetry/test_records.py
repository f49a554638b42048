"""A program's own SQLite file: durable, of a known version, failing in our words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from freehold.domain.errors import CapacityError, IntegrityError, UnavailableError, VersionError
from freehold.telemetry.records import Form, Records

FORM = Form(
    version=3, schema=("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB) STRICT",),
    always=("CREATE INDEX IF NOT EXISTS by_b ON t (b)",), full="free", busy="wait",
    damaged="restore", patience=0.05,
)  # fmt: skip


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    first = Records(tmp_path / "f", FORM)
    assert first.insert("INSERT INTO t (b) VALUES (?)", (b"x",)) == 1
    first.run_many("INSERT INTO t (b) VALUES (?)", [(b"y",), (None,)])
    assert first.run("DELETE FROM t WHERE a > 1") == 2
    first.close()
    again = Records(tmp_path / "f", FORM)
    assert again.rows("SELECT a, b FROM t") == [(1, b"x")]
    again.close()
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_a_transaction_is_whole_and_nests(tmp_path: Path) -> None:
    file = Records(tmp_path / "f", FORM)

    def broken_off() -> None:
        with file.write():
            file.run("INSERT INTO t (b) VALUES (?)", (b"x",))
            with file.write():
                file.run("INSERT INTO t (b) VALUES (?)", (b"y",))
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    assert file.rows("SELECT count(*) FROM t") == [(0,)]
    file.close()


def test_a_file_of_another_owner_version_or_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    file = Records(path, FORM)
    with pytest.raises(UnavailableError) as caught:
        Records(path, FORM)
    assert caught.value.remedy == "wait"
    file.close()
    with pytest.raises(VersionError):
        Records(path, replace(FORM, version=4))
    (tmp_path / "g").write_bytes(b"no database at all" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        Records(tmp_path / "g", FORM)


def test_a_shared_file_is_opened_twice(tmp_path: Path) -> None:
    form = replace(FORM, shared=True)
    first, second = Records(tmp_path / "f", form), Records(tmp_path / "f", form)
    first.run("INSERT INTO t (b) VALUES (?)", (b"x",))
    assert second.rows("SELECT b FROM t") == [(b"x",)]
    first.close()
    second.close()


def test_a_full_disk_and_a_number_too_large_are_told(tmp_path: Path) -> None:
    file = Records(tmp_path / "f", FORM)
    with pytest.raises(IntegrityError):
        file.run("INSERT INTO t (a) VALUES (?)", (2**63,))
    file.run("PRAGMA max_page_count=4")
    with pytest.raises(CapacityError) as caught:
        file.run("INSERT INTO t (b) VALUES (?)", (bytes(100_000),))
    assert caught.value.remedy == "free"
    assert file.rows("SELECT count(*) FROM t") == [(0,)]
    file.close()
    with pytest.raises(UnavailableError):
        file.rows("SELECT 1")

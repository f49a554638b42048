from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.errors import IntegrityError
from freehold.telemetry import states
from freehold.telemetry.journal import COUNT, PIECE, Counts, Journal
from freehold.telemetry.quality import Record
from unit.telemetry.devices import NOW, batch


def counted(*arrived: int) -> Counts:
    counts = np.zeros(len(arrived), COUNT)
    counts["arrived"], counts["sound"] = arrived, 1
    return counts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.sqlite"


def test_a_turn_that_fails_logs_and_remembers_nothing(path: Path) -> None:
    journal = Journal(path, part=0, partitions=1)
    with suppress(ZeroDivisionError), journal.turn(NOW) as entry:
        assert entry.admit(batch(), b"one", "0xa").new
        raise ZeroDivisionError
    assert list(journal.since(0, until=99)) == []
    with journal.turn(NOW) as entry:
        assert entry.admit(batch(), b"one", "0xa").new
        assert not entry.admit(batch(), b"one", "0xa").new
    assert [(each.id, each.data) for each in journal.since(0, until=99)] == [(1, b"one")]
    journal.close()


def test_numbers_and_arrivals_never_go_back(path: Path) -> None:
    for turn, now in enumerate((NOW, NOW - 5_000)):
        journal = Journal(path, part=0, partitions=1)
        with journal.turn(now) as entry:
            entry.admit(batch(sequence=turn + 1), b"x", "0xa")
        journal.close()
    journal = Journal(path, part=0, partitions=1)
    assert [each.arrived for each in journal.since(0, until=99)] == [NOW, NOW]
    home = journal.home
    journal.forget(NOW + 1, worked=99)
    journal.close()
    journal = Journal(path, part=0, partitions=1)
    assert (journal.last, journal.home) == (2, home)
    journal.close()


def test_a_state_larger_than_a_row_and_its_counts_are_kept_together(path: Path) -> None:
    journal = Journal(path, part=0, partitions=1)
    state = bytes(range(256)) * (PIECE // 256) + b"end"
    journal.cut(1, 4)
    journal.cut(5, 6)
    journal.save(4, state, [(1, counted(10, 20)), (3, counted(30))])
    assert journal.state() == (4, state)
    assert journal.cuts(4) == [(5, 6)]
    found = [each["arrived"].tolist() for each in journal.counts(20, 30)]
    assert [each for each in found if each] == [[20]]
    journal.close()


def test_evidence_of_one_member_is_found_by_an_index_and_by_arrival(path: Path) -> None:
    journal = Journal(path, part=0, partitions=1)
    journal.close()
    with sqlite3.connect(path) as made_before:
        made_before.execute("DROP INDEX batches_member")
    made_before.close()
    journal = Journal(path, part=0, partitions=1)
    for turn in range(12):
        with journal.turn(NOW + 10 * (turn // 2)) as entry:
            member = f"0x{turn % 3}"
            entry.admit(batch(sequence=turn + 1), b"%d" % turn, member)

    def found(since: int, until: int, member: str = "0x1") -> list[bytes]:
        return list(journal.evidence(NOW + since, NOW + until, member))

    assert found(-99, 99) == [b"1", b"4", b"7", b"10"]
    assert found(20, 50) == [b"4", b"7"]
    assert found(21, 51) == [b"7", b"10"]
    assert found(51, 99) == found(30, 30) == found(0, 99, "0x9") == []
    plan = journal._guard.read(
        "EXPLAIN QUERY PLAN SELECT id, data FROM batches WHERE member = ? AND id > ? AND id < ?"
        " ORDER BY id LIMIT ?", "0x1", 0, 9, 9,
    )  # fmt: skip
    assert [str(row[3]) for row in plan] == [
        "SEARCH batches USING INDEX batches_member (member=? AND id>? AND id<?)"
    ]
    journal.close()


def test_marks_are_kept_by_device_and_time(path: Path) -> None:
    journal = Journal(path, part=0, partitions=1)
    journal.mark("0xa", "copied", 5, "copied: first")
    journal.mark("0xa", "replayed", 7, "replayed: later")
    assert journal.marked("0xa", 6) == "replayed: later"
    assert journal.marked("0xa", 8) == journal.marked("0xb", 0) == ""
    journal.close()


def test_a_file_with_values_of_another_kind_is_refused(path: Path) -> None:
    Journal(path, part=0, partitions=1).close()
    with sqlite3.connect(path) as file:
        file.execute("DROP TABLE marked")
        file.execute("CREATE TABLE marked (member TEXT, kind TEXT, at INTEGER, reason BLOB)")
        file.execute("INSERT INTO marked VALUES ('0xa', 'x', 1, x'00')")
    file.close()
    journal = Journal(path, part=0, partitions=1)
    with pytest.raises(IntegrityError, match="another kind"):
        journal.marked("0xa", 0)
    journal.close()


CRASHER = """
import os, signal, sys
from pathlib import Path
from freehold.telemetry.journal import Journal
from unit.telemetry.devices import NOW, batch
journal = Journal(Path(sys.argv[1]), part=0, partitions=1)
for sequence in range(1, 100):
    with journal.turn(NOW) as entry:
        entry.admit(batch(sequence=sequence), b"%d" % sequence, "0xa")
        if sequence == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    print(sequence, flush=True)
"""


def test_after_a_kill_the_log_is_what_was_acknowledged(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CRASHER, str(path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    journal = Journal(path, part=0, partitions=1)
    logged = [int(each.data) for each in journal.since(0, until=99)]
    assert logged == [int(line) for line in ended.stdout.split()] == [1, 2, 3, 4]
    journal.close()


def test_arrays_come_back_as_they_were_and_damage_is_seen() -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array([True, False]), "c": np.zeros((0, 2))}
    data = states.encode({"x": [1]}, arrays)
    words, back = states.decode(data)
    assert words == {"x": [1]}
    assert all(np.array_equal(arrays[name], back[name]) for name in arrays)
    for bad in (data[:-1], data + b"x", b"", b"\xff" * 40, data[:20]):
        with pytest.raises(IntegrityError):
            states.decode(bad)
    with pytest.raises(IntegrityError):
        states.decode(states.encode(None, {"o": np.array([1])}).replace(b"<i8", b"|O8"))
    with pytest.raises(IntegrityError):
        states.unnamed("r", {"r.heard": np.zeros(3)}, Record.empty(1))

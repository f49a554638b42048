from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, UnavailableError, VersionError
from freehold.telemetry import replay
from freehold.telemetry.reading import Batch
from freehold.telemetry.refusals import AlteredError, ReplayError, RollbackError, StaleError
from freehold.telemetry.replay import BOOTS, DAY, WINDOW, Bounds, Guard, Past, Turn, judge
from unit.telemetry.devices import KEYS, NOW, batch


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    opened = Guard(tmp_path / "guard.sqlite")
    yield opened
    opened.close()


def admit(guard: Guard, *batches: Batch, now: int = NOW) -> list[bool]:
    with guard.turn(now) as turn:
        return [turn.admit(each).new for each in batches]


@st.composite
def arrivals(draw: st.DrawFn) -> list[int]:
    """Sequence numbers from 1, each at least once, none more than WINDOW - 1 late."""
    count = draw(st.integers(1, 150))
    delays = draw(st.lists(st.integers(0, WINDOW - 1), min_size=count, max_size=count))
    again = draw(st.lists(st.tuples(st.integers(1, count), st.integers(0, WINDOW - 1)), max_size=9))
    sent = [(at + delay, at) for at, delay in enumerate(delays, start=1)]
    sent += [(at + delay, at) for at, delay in again]
    return [at for _, at in sorted(sent)]


@given(arrivals())
def test_each_batch_counts_once_in_any_order_within_the_window(order: list[int]) -> None:
    past, new = Past(), []
    for sequence in order:
        past, counts = judge(past, batch(sequence=sequence, payload=b"x"))
        assert Past.decode(past.encode()) == past
        if counts:
            new.append(sequence)
    assert sorted(new) == sorted(set(order))
    assert past.missing == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 200)), max_size=120))
def test_nothing_ever_counts_twice(sent: list[tuple[int, int]]) -> None:
    past, seen = Past(), set[tuple[int, int]]()
    for boot, sequence in sent:
        try:
            past, new = judge(past, batch(boot=boot, sequence=sequence, payload=b"x"))
        except ReplayError:
            continue
        assert new == ((boot, sequence) not in seen)
        seen.add((boot, sequence))
        assert len(past.boots) <= BOOTS
        assert all(each.missing >= 0 for each in past.boots)


def test_a_duplicate_is_acknowledged_and_not_counted_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "guard.sqlite"
    for expected in ([True, True], [False, False]):
        guard = Guard(path)
        assert admit(guard, batch(sequence=1), batch(sequence=2)) == expected
        guard.close()


def test_another_batch_in_the_same_place_is_refused(guard: Guard) -> None:
    admit(guard, batch(sequence=3))
    with pytest.raises(AlteredError, match="came before with other content"):
        admit(guard, batch(sequence=3, payload=b"other"))
    with pytest.raises(AlteredError):
        admit(guard, batch(sequence=3, time=NOW + 1))


def test_what_fell_out_of_the_window_is_refused(guard: Guard) -> None:
    admit(guard, batch(sequence=1), batch(sequence=WINDOW + 2))
    assert admit(guard, batch(sequence=3)) == [True]
    with pytest.raises(ReplayError, match="late"):
        admit(guard, batch(sequence=2))
    with pytest.raises(ReplayError, match="late"):
        admit(guard, batch(sequence=1))


def test_boots_that_are_forgotten_stay_refused(guard: Guard) -> None:
    admit(guard, *(batch(boot=boot) for boot in range(10, 10 + BOOTS + 1)))
    for boot in (10, 9, 0):
        with pytest.raises(RollbackError, match="before the boots"):
            admit(guard, batch(boot=boot, sequence=7))
    assert admit(guard, batch(boot=11, sequence=2)) == [True]


def test_a_copy_that_lives_on_in_an_old_boot_is_refused(guard: Guard) -> None:
    admit(guard, batch(boot=1, sequence=5), batch(boot=2))
    assert admit(guard, batch(boot=1, sequence=5 + WINDOW)) == [True]
    with pytest.raises(RollbackError, match="a boot that ended"):
        admit(guard, batch(boot=1, sequence=6 + WINDOW))


def test_gaps_are_counted_and_close_when_the_late_arrive(guard: Guard) -> None:
    with guard.turn(NOW) as turn:
        assert turn.admit(batch(sequence=100)).missing == 0
        assert turn.admit(batch(sequence=104)).missing == 3
        assert turn.admit(batch(sequence=102)).missing == 2
        assert turn.admit(batch(boot=2, sequence=3)).missing == 4
        assert turn.admit(batch(sequence=101)).missing == 3
    assert guard.past(batch().device).missing == 3


def test_devices_do_not_share_a_past(guard: Guard) -> None:
    assert admit(guard, batch(), batch(key=KEYS[1])) == [True, True]


def test_times_too_far_from_now_are_refused(guard: Guard) -> None:
    admit(guard, batch(sequence=1), now=NOW + 30 * DAY)
    admit(guard, batch(sequence=2), now=NOW - 600_000)
    with pytest.raises(StaleError, match="seconds old"):
        admit(guard, batch(sequence=3), now=NOW + 30 * DAY + 1)
    with pytest.raises(StaleError, match="ahead"):
        admit(guard, batch(sequence=4), now=NOW - 600_001)


def _fail_after(turn: Turn) -> None:
    assert turn.admit(batch()).new
    raise KeyError("the store has failed")


def test_a_turn_that_fails_remembers_nothing(guard: Guard) -> None:
    with pytest.raises(KeyError), guard.turn(NOW) as turn:
        _fail_after(turn)
    assert admit(guard, batch()) == [True]


def test_a_refusal_inside_a_turn_leaves_the_rest(guard: Guard) -> None:
    with guard.turn(NOW) as turn:
        turn.admit(batch(sequence=1))
        with pytest.raises(AlteredError):
            turn.admit(batch(sequence=1, payload=b"other"))
        assert turn.admit(batch(sequence=2)).new
    assert admit(guard, batch(sequence=1), batch(sequence=2)) == [False, False]


def test_memory_is_bounded_and_what_left_it_is_still_known(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "guard.sqlite", bounds=Bounds(kept=1))
    both = batch(), batch(key=KEYS[1])
    assert admit(guard, *both) == [True, True]
    assert len(guard._kept) == 1
    assert admit(guard, *both) == [False, False]
    guard.close()


def test_many_threads_count_each_batch_once(guard: Guard) -> None:
    new: list[bool] = []

    def send() -> None:
        for sequence in range(1, 21):
            new.extend(admit(guard, batch(sequence=sequence)))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert new.count(True) == 20


CRASHER = """
import sys, os
sys.path.insert(0, "tests")
from pathlib import Path
from unit.telemetry.devices import NOW, batch
from freehold.telemetry.replay import Guard
guard = Guard(Path(sys.argv[1]))
for sequence in range(1, 10_000):
    with guard.turn(NOW) as turn:
        turn.admit(batch(sequence=sequence))
    os.write(1, b"%d\\n" % sequence)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "guard.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    guard = Guard(path)
    recent = [each for each in acknowledged if each > acknowledged[-1] - WINDOW + 2]
    assert not any(admit(guard, *(batch(sequence=sequence) for sequence in recent)))
    guard.close()


def test_a_second_process_cannot_guard_the_same_file(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(replay, "BUSY_SECONDS", 0.05)
    with pytest.raises(UnavailableError) as caught:
        Guard(tmp_path / "guard.sqlite")
    assert "another process" in caught.value.remedy


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version=2")
    db.close()
    with pytest.raises(VersionError):
        Guard(newer)
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(IntegrityError):
        Guard(damaged)

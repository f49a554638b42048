"""The buffer: durable, in order, bounded; and how readings become batches."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from freehold.domain.errors import IntegrityError, VersionError
from freehold.node.agent import buffer as buffers
from freehold.node.agent.buffer import Buffer, Sealed
from freehold.node.agent.edge import WARM, Edge
from freehold.node.agent.rounds import WAIT, Rounds
from freehold.telemetry.columns import unpack
from freehold.telemetry.reading import METRICS_MAX, READINGS_MAX, Reading, open_batch
from unit.node.agent.homes import NETWORK, make_home

ROOM = 2**20


def batch(boot: int, sequence: int, size: int = 100) -> Sealed:
    return Sealed(boot, sequence, bytes(size))


def test_batches_come_oldest_first_over_restarts(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "b", room=ROOM)
    for boot, sequence in ((2, 1), (1, 10), (1, 9), (2, 2)):
        buffer.put(batch(boot, sequence))
    buffer.close()
    again = Buffer(tmp_path / "b", room=ROOM)
    assert [(b.boot, b.sequence) for b in again.oldest(3)] == [(1, 9), (1, 10), (2, 1)]
    again.delivered(again.oldest(3))
    assert (again.waiting, again.count("sent")) == (1, 3)
    again.delivered([batch(1, 9)])  # told twice: gone already
    assert again.waiting == 1
    again.close()


def test_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "b", room=ROOM)
    dropped = [buffer.put(batch(1, n, 300_000)) for n in range(1, 6)]
    assert dropped == [0, 0, 0, 1, 1]
    assert [b.sequence for b in buffer.oldest(9)] == [3, 4, 5]
    assert buffer.count("lost") == 2
    buffer.close()
    again = Buffer(tmp_path / "b", room=ROOM)  # its size is measured anew
    assert again.put(batch(2, 1, 300_000)) == 1
    again.close()


def test_refused_batches_are_set_aside_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "REFUSED_MAX", 9)
    buffer = Buffer(tmp_path / "b", room=ROOM)
    for n in range(1, 13):
        buffer.put(batch(1, n))
        buffer.refuse(batch(1, n), f"why {n}" + "!" * 1_000)
    assert buffer.waiting == 0
    assert buffer.count("refused") == 12
    kept = buffer.refusals()
    assert len(kept) == 9
    assert kept[0][:2] == (1, 4)
    assert len(kept[0][2]) == 500
    buffer.close()


def test_a_number_is_never_taken_twice(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path / "b", room=ROOM)
    buffer.put(batch(1, 1))
    with pytest.raises(IntegrityError):
        buffer.put(batch(1, 1))
    assert buffer.waiting == 1
    buffer.put(batch(1, 2))
    buffer.close()


def test_damaged_and_newer_files_are_typed_errors(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"x" * 5_000)
    with pytest.raises(IntegrityError):
        Buffer(tmp_path / "b", room=ROOM)
    db = sqlite3.connect(tmp_path / "c")
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(VersionError):
        Buffer(tmp_path / "c", room=ROOM)


def readings(*times: int, metric: str = "a.temperature", value: float = 20.0) -> list[Reading]:
    return [Reading(metric, "Cel", time, value) for time in times]


def rounds(tmp_path: Path) -> Rounds:
    _, keys = make_home(tmp_path)
    return Rounds(network_id=NETWORK, did=keys.did, boot=3, sign=keys.sign)


def test_batches_by_count_by_time_and_at_once(tmp_path: Path) -> None:
    made = rounds(tmp_path)
    assert made.take(readings(1_000), now=1_000, batch=2) == []
    (two,) = made.take(readings(2_000), now=2_000, batch=2)
    assert made.take(readings(3_000), now=3_000, batch=99) == []
    assert made.take([], now=2_000 + WAIT, batch=99, pause=1_000) == []
    (waited,) = made.take([], now=3_000 + WAIT, batch=99, pause=1_000)
    (urgent,) = made.take(readings(90_000), now=90_000, batch=99, urgent=True)
    found = [open_batch(each.data, network_id=NETWORK) for each in (two, waited, urgent)]
    assert [(b.boot, b.sequence, b.time) for b in found] == [
        (3, 1, 2_000), (3, 2, 13_000), (3, 3, 90_000),
    ]  # fmt: skip
    assert made.take([], now=10**9, batch=1) == []


@pytest.mark.parametrize("pause", [1_000, 3_000, WAIT, WAIT + 1, 60_000])
def test_no_reading_waits_longer_than_ten_seconds_to_be_sent(tmp_path: Path, pause: int) -> None:
    made, longest = rounds(tmp_path), 0
    for now in range(1_000, 5 * max(WAIT, pause), pause):
        for sealed in made.take(readings(now), now=now, batch=4_000, pause=pause):
            batch = open_batch(sealed.data, network_id=NETWORK)
            longest = max(longest, now - min(each.time for each in unpack(batch).readings()))
    assert longest <= WAIT == 10_000
    assert (longest == 0) == (pause > WAIT)


def test_a_clock_that_was_set_back_begins_a_new_batch(tmp_path: Path) -> None:
    made = rounds(tmp_path)
    made.take(readings(9_000), now=9_000, batch=99)
    (before,) = made.take(readings(1_000), now=1_000, batch=99)
    (after,) = made.flush(1_500)
    first, second = (open_batch(each.data, network_id=NETWORK) for each in (before, after))
    assert (first.time, second.time) == (9_000, 1_500)
    for each in (first, second):
        unpack(each)


def test_more_than_a_batch_holds_becomes_several(tmp_path: Path) -> None:
    made = rounds(tmp_path)
    many = [Reading(f"m{n}", "1", 1_000, 1.0) for n in range(METRICS_MAX + 1)]
    assert len(made.take(many, now=1_000, batch=1)) == 2
    long = readings(*range(READINGS_MAX + 1))
    assert len(made.take(long, now=10**6, batch=1)) == 2


def test_a_jump_scores_high_and_noise_does_not() -> None:
    edge = Edge()
    noise = [20 + 0.5 * ((n * 7919) % 13 - 6) / 6 for n in range(200)]
    scores = [edge.score(readings(n, value=value)) for n, value in enumerate(noise)]
    assert max(scores) < 0.5
    assert scores[:WARM] == [0.0] * WARM
    assert edge.score(readings(299, value=1e6)) > 0.99
    assert edge.score(readings(300, value=29.0)) > 0.5
    assert edge.score(readings(301, value=29.0)) > 0.5, "one spike must not hide the next"
    for n in range(200):
        last = edge.score(readings(400 + n, value=29.0))
    assert last < 0.5, "what lasts becomes usual"


def test_a_metric_that_stood_still_may_move_a_little() -> None:
    edge = Edge()
    for n in range(50):
        edge.score(readings(n, value=100.0))
    assert edge.score(readings(51, value=101.0)) < 0.5
    assert edge.score(readings(52, value=110.0)) > 0.5
    assert edge.score([]) == 0.0

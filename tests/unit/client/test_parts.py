"""The client's smaller parts: sources, sinks, timing, journal, liveness, hedging."""

from __future__ import annotations

import io
import os
import secrets
import threading
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from freehold.client.download import Download, Recipe
from freehold.client.journal import VERSION, Intent, Journal, Leg
from freehold.client.liveness import Liveness
from freehold.client.sink import BLOCK, open_sink
from freehold.client.source import open_source
from freehold.client.timing import Timing
from freehold.domain.buffers import Buffers
from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    VersionError,
)
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.erasure import Code, room
from freehold.markets.storage.seal import seal_segment

KEY, OBJECT = bytes(range(32)), bytes(range(1, 33))


# --- sources and sinks ---------------------------------------------------------------------------


def test_sources_tell_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    source = open_source(path, scratch=tmp_path)
    before = source.fingerprint()
    path.write_bytes(b"other")
    assert source.fingerprint() != before
    with pytest.raises(IntegrityError, match="changed while"):
        source.read(4, memoryview(bytearray(2)))
    source.close()


def test_sources_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        open_source(tmp_path / "nowhere", scratch=tmp_path)
    with pytest.raises(ConflictError, match="no regular file"):
        open_source(tmp_path, scratch=tmp_path)


def test_bytes_and_streams_are_sources(tmp_path: Path) -> None:
    for thing in (b"abcdef", bytearray(b"abcdef"), io.BytesIO(b"abcdef")):
        source = open_source(thing, scratch=tmp_path)
        into = bytearray(3)
        source.read(2, memoryview(into))
        assert (source.size, bytes(into)) == (6, b"cde")
        source.close()


@pytest.mark.parametrize("size", [0, 1, 4095, BLOCK, BLOCK + 1, 2 * BLOCK + 4097])
def test_a_file_appears_whole(tmp_path: Path, size: int) -> None:
    data = secrets.token_bytes(size)
    with open_sink(tmp_path / "x") as write:
        write(memoryview(data)[:1000])
        write(memoryview(data)[1000:])
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == data


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        _fail_in(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def _fail_in(path: Path) -> None:
    with open_sink(path) as write:
        write(memoryview(b"new"))
        raise ZeroDivisionError


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match="cannot be written"), open_sink(tmp_path / "a" / "b"):
        pass


# --- timing --------------------------------------------------------------------------------------


def test_nested_stages_count_for_themselves_alone() -> None:
    ticks = iter([0.0, 1.0, 4.0, 10.0])
    timing = Timing(lambda: next(ticks))
    with timing.stage("network"), timing.stage("hash"):
        pass
    assert (timing.seconds()["network"], timing.seconds()["hash"]) == (7.0, 3.0)
    assert timing.shares()["hash"] == 0.3


# --- journal -------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def intent(object_id: bytes = OBJECT) -> Intent:
    return Intent(object_id, "b/x", "file:1", b"head", b"secret", 100, 1)


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.run(f"PRAGMA user_version = {VERSION + 1}")
    journal.close()
    with pytest.raises(VersionError, match="has version"):
        Journal(tmp_path / "journal.db")


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"something of the user" * 100)
    with pytest.raises(UnavailableError, match="cannot be used"):
        Journal(path)
    assert path.read_bytes().startswith(b"something")


def test_a_transaction_is_whole_or_nothing(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_writing(journal)
    assert journal.all_entries() == []
    journal.close()


def _fail_writing(journal: Journal) -> None:
    with journal.write():
        journal.add_entry("b/x", "put", b"", 1)
        raise ZeroDivisionError


def test_intents_and_legs_live_and_die_together(journal: Journal) -> None:
    journal.save_intent(intent(), [Leg(0, "0x1"), Leg(1, "0x2")])
    journal.save_leg(OBJECT, Leg(1, "0x2", "upload", "cid", "{}"))
    assert journal.legs(OBJECT)[1].upload == "upload"
    assert journal.claim(OBJECT, owner=5, from_owner=0)
    assert not journal.claim(OBJECT, owner=6, from_owner=0)
    journal.drop_intent(OBJECT)
    assert journal.legs(OBJECT) == {}
    journal.close()


def test_counters_never_repeat(journal: Journal) -> None:
    assert [journal.bump("x", 0), journal.bump("x", 0), journal.bump("x", 7)] == [0, 1, 7]
    assert journal.bump("x", 3) == 8
    journal.close()


def test_journals_are_private(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").close()
    assert (tmp_path / "journal.db").stat().st_mode & 0o077 == 0


def test_a_process_that_let_go_is_dead(tmp_path: Path) -> None:
    one = Liveness(tmp_path, random=secrets.token_bytes)
    two = Liveness(tmp_path, random=secrets.token_bytes)
    assert one.alive(two.id)
    assert one.alive(one.id)
    two.close()
    assert not one.alive(two.id)
    assert not one.alive(12345)
    one.close()


# --- hedging -------------------------------------------------------------------------------------


class MemoryColumn:
    """A column in memory that may wait for an event before it answers."""

    def __init__(self, data: bytes, gate: threading.Event | None = None) -> None:
        self.data, self.gate, self.reads = data, gate, 0
        self.dead, self.lies = False, False
        self._asked = threading.Condition()

    def read_times(self, count: int) -> bool:
        """Wait until it was read so often."""
        with self._asked:
            return self._asked.wait_for(lambda: self.reads >= count, 20)

    def read(self, start: int, into: memoryview, *, stop: Callable[[], bool]) -> None:
        with self._asked:
            self.reads += 1
            self._asked.notify_all()
        if self.gate is not None:
            self.gate.wait(20)
        if self.dead:
            raise UnavailableError("the node is gone", remedy="Ask others.")
        into[:] = self.data[start : start + into.nbytes]
        into[0] ^= self.lies

    def audit(self) -> bool:
        return not self.lies and not self.dead


MEMORY = Buffers(room, kept=2)


def columns(segments: int = 3) -> tuple[Recipe, list[bytes], bytes]:
    layout = ColumnLayout.plan(segments * 65_536, k=2, n=4, header_length=10, segment_length=65_536)
    data = secrets.token_bytes(layout.size)
    shards: list[list[bytes]] = [[bytes(layout.data_offset)] for _ in range(4)]
    for index in range(layout.segments):
        part = data[index * 65_536 : (index + 1) * 65_536]
        sealed = seal_segment(part, key=KEY, object_id=OBJECT, index=index, count=layout.segments)
        for column, shard in zip(shards, Code(2, 4).encode(sealed), strict=True):
            column.append(bytes(shard))
    return Recipe(layout, OBJECT, KEY), [b"".join(column) for column in shards], data


def test_a_slow_column_is_raced_and_asked_last_from_then_on() -> None:
    recipe, data, plain = columns()
    gate = threading.Event()
    found = {slot: MemoryColumn(part) for slot, part in enumerate(data)}
    found[0].gate = gate
    download = Download(recipe, found, timing=Timing(), buffers=MEMORY, hedge_floor=0.01)
    got = b"".join(bytes(part) for part in download.segments(range(recipe.layout.segments)))
    gate.set()
    download.close()
    assert got[: len(plain)] == plain
    assert found[0].reads <= 2
    assert found[2].reads + found[3].reads >= 1
    assert not download.lost


def test_healthy_columns_are_read_once_each() -> None:
    recipe, data, plain = columns()
    found = {slot: MemoryColumn(part) for slot, part in enumerate(data)}
    download = Download(recipe, found, timing=Timing(), buffers=MEMORY)
    got = b"".join(bytes(part) for part in download.segments(range(recipe.layout.segments)))
    download.close()
    assert got[: len(plain)] == plain
    assert [found[slot].reads for slot in range(4)] == [3, 3, 0, 0]


def test_a_column_goes_on_with_the_next_segment_once_it_has_given_its_part() -> None:
    recipe, data, plain = columns(segments=4)
    gate = threading.Event()
    found = {slot: MemoryColumn(part) for slot, part in enumerate(data)}
    found[0].gate = gate
    download = Download(recipe, found, timing=Timing(), buffers=MEMORY, hedge_floor=20.0)
    segments = download.segments(range(recipe.layout.segments))
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(bytes(part) for part in segments))
    reader.start()
    assert found[1].read_times(2)
    assert (found[0].reads, found[1].reads) == (1, 2)
    gate.set()
    reader.join(20)
    download.close()
    assert b"".join(got)[: len(plain)] == plain
    assert [found[slot].reads for slot in range(4)] == [4, 4, 0, 0]


@pytest.mark.parametrize("dead", [False, True], ids=["two liars", "a liar and a dead node"])
@pytest.mark.parametrize("bad", list(permutations(range(4), 2)))
def test_any_k_honest_columns_suffice(bad: tuple[int, int], dead: bool) -> None:
    recipe, data, plain = columns()
    found = {slot: MemoryColumn(part) for slot, part in enumerate(data)}
    found[bad[0]].lies, found[bad[1]].lies, found[bad[1]].dead = True, not dead, dead
    download = Download(recipe, found, timing=Timing(), buffers=MEMORY, hedge_floor=20.0)
    got = b"".join(bytes(part) for part in download.segments(range(recipe.layout.segments)))
    download.close()
    assert got[: len(plain)] == plain

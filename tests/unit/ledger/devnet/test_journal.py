"""The journal: torn tails are cut, damage is refused, nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, UnavailableError, VersionError
from freehold.ledger.devnet.disk import FolderDisk
from freehold.ledger.devnet.journal import (
    Block,
    Journal,
    Record,
    Skew,
    encode,
    parse,
    without_refused,
)
from unit.ledger.devnet.lossy_disk import Crash, LossyDisk

HEADER = b"freehold-journal 1\n"
records = st.lists(
    st.one_of(
        st.builds(
            Block,
            st.integers(0, 2**40),
            st.lists(st.binary(max_size=40).map(lambda raw: "0x" + raw.hex()), max_size=3).map(
                tuple
            ),
            st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=2).map(tuple),
        ),
        st.builds(Skew, st.integers(-(10**9), 10**9)),
    ),
    max_size=6,
)


@given(records, st.data())
def test_cut_anywhere_the_whole_records_before_it_are_read(
    written: list[Record], data: st.DataObject
) -> None:
    frames = [encode(record) for record in written]
    content = HEADER + b"".join(frames)
    cut = data.draw(st.integers(0, len(content)))
    found = parse(content[:cut], "j")
    whole = [end for end in ends(frames) if end <= cut]
    assert list(found.records) == written[: len(whole)]
    assert found.sound + found.torn == cut


def ends(frames: list[bytes]) -> list[int]:
    """Where each record ends in the file."""
    return [len(HEADER) + sum(map(len, frames[: n + 1])) for n in range(len(frames))]


@given(records.filter(bool), st.data())
def test_a_changed_byte_never_passes_for_a_record(
    written: list[Record], data: st.DataObject
) -> None:
    frames = [encode(record) for record in written]
    content = bytearray(HEADER + b"".join(frames))
    place = data.draw(st.integers(len(HEADER), len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    damaged = sum(end <= place for end in ends(frames))
    if damaged == len(frames) - 1:
        assert list(parse(bytes(content), "j").records) == written[:-1]
    else:
        with pytest.raises(IntegrityError, match="sound records behind"):
            parse(bytes(content), "j")


def test_headers_of_others_are_refused() -> None:
    with pytest.raises(VersionError):
        parse(b"freehold-journal 2\n", "j")
    with pytest.raises(IntegrityError, match="not a journal"):
        parse(b"something else entirely", "j")
    assert parse(b"free", "j").sound == 0


def test_resuming_cuts_the_tail_and_goes_on(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path)
    journal = Journal.create(disk, "j")
    journal.append(Block(1, ("0x01",)))
    journal.close()
    with (tmp_path / "j").open("ab") as file:
        file.write(encode(Block(2, ("0x02",)))[:-1])
    journal = Journal.resume(disk, "j", parse(disk.read("j"), "j"))
    journal.append(Block(3))
    journal.close()
    assert parse(disk.read("j"), "j").records == (Block(1, ("0x01",)), Block(3))
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_refused_transactions_are_left_out() -> None:
    written: list[Record] = [
        Block(1, ("0xa", "0xb")),
        Skew(5),
        Block(2, ("0xb",), ((0, 1),)),
        Block(3, (), ((2, 0),)),
    ]
    assert without_refused(written) == [Block(1, ("0xa",)), Skew(5), Block(2), Block(3)]


def test_a_full_disk_refuses_and_stays_refusing() -> None:
    disk = LossyDisk(Random(1))
    journal = Journal.create(disk, "j")
    journal.append(Block(1))
    disk.full = True
    with pytest.raises(UnavailableError, match="cannot write its journal"):
        journal.append(Block(2))
    disk.full = False
    with pytest.raises(UnavailableError):
        journal.append(Block(3))


@pytest.mark.parametrize("seed", range(200))
def test_no_acknowledged_record_is_lost_on_a_forgetful_disk(seed: int) -> None:
    random = Random(seed)
    disk = LossyDisk(random)
    Journal.create(disk, "j")
    acknowledged: list[Record] = []
    for _ in range(4):
        contents = parse(disk.read("j"), "j")
        assert list(contents.records[: len(acknowledged)]) == acknowledged
        acknowledged = list(contents.records)
        disk.fuse = random.randrange(1, 12)
        try:
            journal = Journal.resume(disk, "j", contents)
            while True:
                record = Block(random.randrange(99), ("0x" + random.randbytes(700).hex(),))
                journal.append(record)
                acknowledged.append(record)
        except Crash:
            disk.reboot()

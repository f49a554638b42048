"""Dumps: only whole ones are used, and there is always one to fall back on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest

from freehold.domain.errors import IntegrityError, VersionError
from freehold.ledger.devnet import dumps
from freehold.ledger.devnet.disk import FolderDisk
from freehold.ledger.devnet.dumps import Dump, journal_name, state_name
from freehold.ledger.devnet.journal import Journal
from unit.ledger.devnet.lossy_disk import Crash, LossyDisk


def dump(number: int, *, head: int = 7, size: int = 100) -> Dump:
    """A dump as the engine might give it."""
    state = {"best_block_number": head, "accounts": "x" * size}
    return Dump(number, head, "0x" + "ab" * 32, -5, gzip.compress(json.dumps(state).encode()))


@pytest.fixture
def disk(tmp_path: Path) -> FolderDisk:
    """A folder with dumps 1 and 2 and all journals."""
    disk = FolderDisk(tmp_path)
    for number in range(3):
        Journal.create(disk, journal_name(number)).close()
    for number in (1, 2):
        dumps.save(disk, dump(number))
    return disk


def test_the_newest_is_used(disk: FolderDisk) -> None:
    found = dumps.newest(disk)
    assert found == dump(2)
    assert dumps.journals_from(disk, 2) == [2]


@pytest.mark.parametrize("keep", [0, 5, 40, 60, -1])
def test_a_truncated_dump_falls_back(disk: FolderDisk, tmp_path: Path, keep: int) -> None:
    path = tmp_path / state_name(2)
    path.write_bytes(path.read_bytes()[:keep])
    found = dumps.newest(disk)
    assert found is not None
    assert found.number == 1
    assert dumps.journals_from(disk, 1) == [1, 2]
    (tmp_path / state_name(1)).write_bytes(b"")
    assert dumps.newest(disk) is None
    assert dumps.journals_from(disk, 0) == [0, 1, 2]


def test_a_flipped_bit_falls_back(disk: FolderDisk, tmp_path: Path) -> None:
    path = tmp_path / state_name(2)
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), 7):
        content[place] ^= 4
        path.write_bytes(content)
        found = dumps.newest(disk)
        assert found is not None
        assert found.number == 1
        content[place] ^= 4


def test_nothing_whole_left_is_told(disk: FolderDisk, tmp_path: Path) -> None:
    disk.remove(journal_name(0))
    for number in (1, 2):
        (tmp_path / state_name(number)).write_bytes(b"freehold-state 1\nrubbish")
    with pytest.raises(IntegrityError, match="none of the devnet's dumps"):
        dumps.newest(disk)


def test_a_missing_journal_is_told(disk: FolderDisk, tmp_path: Path) -> None:
    Journal.create(disk, journal_name(4)).close()
    with pytest.raises(IntegrityError, match="journals are missing"):
        dumps.journals_from(disk, 2)


def test_a_newer_dump_is_refused_rather_than_skipped(disk: FolderDisk) -> None:
    disk.replace(state_name(3), b"freehold-state 2\n" + b"\0" * 50)
    with pytest.raises(VersionError):
        dumps.newest(disk)


def test_half_a_state_is_never_saved(disk: FolderDisk) -> None:
    good = dump(3)
    for state in (b"", good.state[:-9], gzip.compress(b"{}"), gzip.compress(b"no json")):
        with pytest.raises(IntegrityError):
            dumps.save(disk, Dump(3, good.head, good.head_hash, 0, state))
    with pytest.raises(IntegrityError, match="ends at block 7, not 8"):
        dumps.save(disk, Dump(3, 8, good.head_hash, 0, good.state))
    assert state_name(3) not in disk.names()


def test_the_two_newest_are_kept(disk: FolderDisk) -> None:
    Journal.create(disk, journal_name(3)).close()
    dumps.save(disk, dump(3))
    dumps.prune(disk)
    assert disk.names() == [journal_name(2), journal_name(3), state_name(2), state_name(3)]


def test_an_unusable_dump_does_not_crowd_out_a_whole_one(disk: FolderDisk) -> None:
    disk.replace(state_name(2), b"rubbish")
    dumps.save(disk, dump(3))
    dumps.drop_unusable(disk)
    assert state_name(2) not in disk.names()
    assert state_name(1) in disk.names()


@pytest.mark.parametrize("seed", range(100))
def test_a_forgetful_disk_always_has_one_to_start_from(seed: int) -> None:
    random = Random(seed)
    disk = LossyDisk(random)
    Journal.create(disk, journal_name(0))
    for _ in range(6):
        disk.fuse = random.randrange(1, 9)
        try:
            while True:
                number = dumps.highest(disk) + 1
                Journal.create(disk, journal_name(number))
                dumps.save(disk, dump(number, size=random.randrange(2_000)))
                dumps.prune(disk)
        except Crash:
            disk.reboot()
        found = dumps.newest(disk)
        assert dumps.journals_from(disk, 0 if found is None else found.number)

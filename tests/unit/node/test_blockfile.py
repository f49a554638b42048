from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UnavailableError
from freehold.node.blockfile import BLOCK, BlockFile, block_memory, make_block_file
from freehold.node.direct import ALIGN
from freehold.node.refusals import DiskFullError

STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3 * ALIGN), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 5])),
        st.sampled_from(["", "sync", "reopen"]),
    ),
    max_size=6,
)


def put(file: BlockFile, data: bytes) -> None:
    view = memoryview(data)
    while view:
        room = file.room()
        part = view[: len(room)]
        room[: len(part)] = part
        job = file.take(len(part))
        if job is not None:
            job()
        view = view[len(part) :]


def pattern(length: int, seed: int) -> bytes:
    return (bytes(range(seed, 251)) * (length // 100 + 2))[:length]


@given(STEPS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_synced_is_what_was_written(tmp_path: Path, steps: list[tuple[int, str]]) -> None:
    path = tmp_path / "x"
    path.unlink(missing_ok=True)
    make_block_file(path)
    file, written, durable = BlockFile(path, 0, block_memory()), b"", b""
    for seed, (length, then) in enumerate(steps):
        data = pattern(length, seed)
        put(file, data)
        written += data
        if then == "sync":
            file.sync()
            durable = written
            assert path.read_bytes()[: len(durable)] == durable
        if then == "reopen":  # what a crash left: the file is cut to what was acknowledged
            file.close()
            file, written = BlockFile(path, len(durable), block_memory()), durable
    file.sync()
    file.trim()
    file.close()
    assert path.read_bytes() == written


def test_only_a_file_that_was_made_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        BlockFile(tmp_path / "x", 0, block_memory())
    assert not (tmp_path / "x").exists()
    make_block_file(tmp_path / "x")
    with pytest.raises(UnavailableError):
        make_block_file(tmp_path / "x")


def test_a_closed_file_takes_no_more(tmp_path: Path) -> None:
    make_block_file(tmp_path / "x")
    file = BlockFile(tmp_path / "x", 0, block_memory())
    file.close()
    with pytest.raises(UnavailableError):
        put(file, bytes(BLOCK))


def test_full_blocks_are_written_and_memory_is_given_back(tmp_path: Path) -> None:
    make_block_file(tmp_path / "x")
    file = BlockFile(tmp_path / "x", 0, block_memory())
    put(file, bytes(3 * BLOCK + 1))
    assert (tmp_path / "x").stat().st_size == 3 * BLOCK
    file.sync()
    assert file._blocks == []
    file.close()


def test_a_disk_that_takes_no_direct_writes_is_written_through_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: list[int] = []
    real = fcntl.fcntl

    def refuse(handle: int, command: int, given: int = 0) -> int:
        if command == fcntl.F_SETFL:
            flags.append(given)
            raise OSError(errno.EINVAL, "no direct writes here")
        return real(handle, command, given)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    make_block_file(tmp_path / "x")
    file = BlockFile(tmp_path / "x", 0, block_memory())
    monkeypatch.undo()
    put(file, b"abc")
    file.sync()
    file.trim()
    file.close()
    assert (tmp_path / "x").read_bytes() == b"abc"
    assert any(given & os.O_DIRECT for given in flags)


def test_a_write_that_is_refused_goes_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_block_file(tmp_path / "x")
    file = BlockFile(tmp_path / "x", 0, block_memory())
    real = os.write

    def refuse_once(handle: int, data: memoryview) -> int:
        monkeypatch.setattr(os, "write", real)
        raise OSError(errno.EINVAL, "not aligned")

    monkeypatch.setattr(os, "write", refuse_once)
    put(file, pattern(BLOCK + 7, 1))
    file.sync()
    file.trim()
    file.close()
    assert (tmp_path / "x").read_bytes() == pattern(BLOCK + 7, 1)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_block_file(tmp_path / "x")
    file = BlockFile(tmp_path / "x", 0, block_memory())

    def full(handle: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFullError, match="no room left for x"):
        put(file, bytes(BLOCK))
    file.close()

"""A file that grows in whole blocks past the page cache.

What a node takes in is seldom read again soon (see ``direct``).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

from freehold.domain.buffers import Buffers
from freehold.domain.files import sync_folder
from freehold.node.direct import ALIGN, back_to_cache, pass_by_cache
from freehold.node.files import disk, write_all

BLOCK = 2**21
KEPT = 4
"""Blocks that a node keeps between uploads."""


def block_memory() -> Buffers:
    """Memory for the blocks of many files."""
    return Buffers(lambda size: memoryview(mmap.mmap(-1, size)), kept=KEPT)


def make_block_file(path: Path) -> None:
    """Make the empty file of a ``BlockFile``, durably; UnavailableError if there is one."""
    with disk(path):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        sync_folder(path.parent)


class BlockFile:
    """The file of one upload, written at its end by one thread at a time.

    Bytes are put into ``room`` and then declared by ``take``, whose job writes them. There are
    two blocks in turn, so that one is filled while the other is written. Their memory is given
    back by ``settle``. On the disk the last block is filled up with zeros, which ``trim`` cuts
    off. Failures are those of ``disk``.
    """

    def __init__(self, path: Path, length: int, memory: Buffers) -> None:
        """Stand behind the first ``length`` bytes of ``path`` (see ``make_block_file``)."""
        self._memory = memory
        self._path = path
        self._blocks: list[memoryview] = []
        with disk(path):
            self._handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                pass_by_cache(self._handle)
                os.ftruncate(self._handle, length)
                self._start = length // ALIGN * ALIGN
                with path.open("rb") as file:
                    self._tail = os.pread(file.fileno(), ALIGN, self._start)
            except BaseException:
                os.close(self._handle)
                raise
        self._filled = len(self._tail)

    def room(self) -> memoryview:
        """Memory for the next bytes, at least one and at most a block."""
        if not self._blocks:
            self._blocks = [self._memory.take(BLOCK) for _ in range(2)]
            self._blocks[0][: self._filled] = self._tail
        return self._blocks[0][self._filled :]

    def take(self, count: int) -> Callable[[], None] | None:
        """``count`` bytes were put into the room: a job that writes the block, if it is full.

        At most one job may wait; jobs run in order, and before ``settle``.
        """
        self._filled += count
        if self._filled < BLOCK:
            return None
        block, start = self._blocks[0], self._start
        self._blocks.reverse()
        self._start, self._filled = start + BLOCK, 0
        return lambda: self._put(block, start)

    def flush(self) -> None:
        """Make all durable that was written."""
        with disk(self._path):
            os.fdatasync(self._handle)

    def settle(self) -> None:
        """Write everything that was taken and give its memory back."""
        if self._blocks:
            block, whole = self._blocks[0], self._filled // ALIGN * ALIGN
            self._tail = bytes(block[whole : self._filled])
            if self._filled:
                padded = -(-self._filled // ALIGN) * ALIGN
                block[self._filled : padded] = bytes(padded - self._filled)
                self._put(block[:padded], self._start)
            self._start, self._filled = self._start + whole, len(self._tail)
            while self._blocks:
                self._memory.give(self._blocks.pop())

    def sync(self) -> None:
        """As ``settle``, durably."""
        self.settle()
        self.flush()

    def trim(self) -> None:
        """Cut off what fills the last block up, and make all durable; call it after ``settle``."""
        with disk(self._path):
            os.ftruncate(self._handle, self._start + self._filled)
        self.flush()

    def close(self) -> None:
        """Close the file; what was not synced is lost, and later writes fail."""
        handle, self._handle = self._handle, -1
        os.close(handle)
        self._blocks = []

    def _put(self, block: memoryview, start: int) -> None:
        with disk(self._path):
            try:
                self._put_at(block, start)
            except OSError as error:
                back_to_cache(self._handle, error)
                self._put_at(block, start)

    def _put_at(self, block: memoryview, start: int) -> None:
        os.lseek(self._handle, start, os.SEEK_SET)
        write_all(self._handle, block)

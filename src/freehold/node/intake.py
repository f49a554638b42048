"""The open file of one upload and the hash that runs along with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from freehold.domain.buffers import Buffers
from freehold.markets.storage.piece import Piece
from freehold.node.blockfile import BlockFile
from freehold.node.files import disk

READ = 2**20


class Hasher(Protocol):
    """Computes the commitment and the cached proof tree of bytes as they arrive."""

    def update(self, data: bytes | memoryview) -> None:
        """Take more bytes."""

    def finish(self) -> tuple[Piece, bytes]:
        """The piece and its tree in disk format."""


class Session:
    """The open file and running hash of one upload; who holds ``busy`` alone may use it.

    ``offset`` bytes were taken, ``synced`` of them are durable and recorded so.
    """

    def __init__(self, file: Path, offset: int, hasher: Hasher, memory: Buffers) -> None:
        self.file = file
        self.offset = offset
        self.synced = offset
        self.hasher = hasher
        self.busy = threading.Lock()
        self._unhashed = offset
        self._blocks = BlockFile(file, offset, memory)

    def rehash(self) -> None:
        """Feed the hash what an earlier process left on the disk."""
        left, self._unhashed = self._unhashed, 0
        if not left:
            return
        with disk(self.file), self.file.open("rb") as data:
            while left:
                block = data.read(min(READ, left))
                if not block:
                    raise OSError("the file is shorter than its record")
                self.hasher.update(block)
                left -= len(block)

    def room(self) -> memoryview:
        """As ``BlockFile.room``."""
        return self._blocks.room()

    def take(self, count: int) -> Callable[[], bool]:
        """The job of ``BlockFile.take``, which also hashes; True if all is written behind it."""
        data = self._blocks.room()[:count]
        write = self._blocks.take(count)
        self.offset += count

        def job() -> bool:
            self.hasher.update(data)
            if write is not None:
                write()
            return write is not None

        return job

    def flush(self) -> None:
        """Make what was written durable."""
        self._blocks.flush()

    def settle(self) -> None:
        """As ``BlockFile.settle``."""
        self._blocks.settle()

    def sync(self) -> None:
        """Make everything that was taken durable."""
        self._blocks.sync()

    def trim(self) -> None:
        """As ``BlockFile.trim``."""
        self._blocks.trim()

    def close(self) -> None:
        """Close the file; what was not synced is lost."""
        self._blocks.close()

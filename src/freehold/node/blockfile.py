"""A file that grows in whole blocks past the page cache.

What a node takes in is seldom read again soon: in the page cache it would only push out what
is, and filling fresh pages of the cache costs more than the disk does. Where the system cannot
write so, the same blocks go through the cache.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

from freehold.domain.files import sync_folder
from freehold.node.files import disk, write_all

ALIGN = 4096
"""Bytes: what disks want offsets and lengths of direct writes to be multiples of."""
BLOCK = 2**20


class BlockFile:
    """The file of one upload, written at its end by one thread at a time.

    Its last block is filled up with zeros on the disk; ``trim`` takes them off. Memory is one
    block between the first ``write`` and the next ``sync``. Failures are those of ``disk``.
    """

    def __init__(self, path: Path, length: int) -> None:
        """Stand behind the first ``length`` bytes of ``path``, which is made if need be."""
        self._path = path
        self._block: mmap.mmap | None = None
        with disk(path):
            self._direct = getattr(os, "O_DIRECT", 0)
            self._handle = self._open()
            try:
                os.ftruncate(self._handle, length)
                sync_folder(path.parent)
                self._start = length // ALIGN * ALIGN
                with path.open("rb") as file:
                    self._tail = os.pread(file.fileno(), ALIGN, self._start)
            except BaseException:
                os.close(self._handle)
                raise
        self._filled = len(self._tail)

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``; durable after the next ``sync``."""
        view = memoryview(data)
        block = self._opened()
        while view.nbytes:
            part = view[: BLOCK - self._filled]
            block[self._filled : self._filled + part.nbytes] = part
            self._filled += part.nbytes
            view = view[part.nbytes :]
            if self._filled == BLOCK:
                self._put(block, BLOCK)
                self._start += BLOCK
                self._filled = 0

    def sync(self) -> None:
        """Make everything that was written durable."""
        if self._block is not None:
            whole = self._filled // ALIGN * ALIGN
            self._tail = self._block[whole : self._filled]
            if self._filled:
                padded = -(-self._filled // ALIGN) * ALIGN
                self._block[self._filled : padded] = bytes(padded - self._filled)
                self._put(self._block, padded)
            self._start, self._filled = self._start + whole, len(self._tail)
            self._block = None
        with disk(self._path):
            os.fdatasync(self._handle)

    def trim(self) -> None:
        """Cut off, durably, what fills the last block up; call it after ``sync``."""
        with disk(self._path):
            os.ftruncate(self._handle, self._start + self._filled)
            os.fdatasync(self._handle)

    def close(self) -> None:
        """Close the file; what was not synced is lost."""
        os.close(self._handle)
        self._block = None

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags | self._direct, 0o600)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            self._direct = 0
            return os.open(self._path, flags, 0o600)

    def _opened(self) -> mmap.mmap:
        if self._block is None:
            self._block = mmap.mmap(-1, BLOCK)
            self._block[: self._filled] = self._tail
        return self._block

    def _put(self, block: mmap.mmap, length: int) -> None:
        view = memoryview(block)[:length]
        with disk(self._path):
            try:
                self._put_at(view)
            except OSError as error:
                if not self._direct or error.errno != errno.EINVAL:
                    raise
                self._direct = 0
                flags = fcntl.fcntl(self._handle, fcntl.F_GETFL) & ~os.O_DIRECT
                fcntl.fcntl(self._handle, fcntl.F_SETFL, flags)
                self._put_at(view)

    def _put_at(self, view: memoryview) -> None:
        os.lseek(self._handle, self._start, os.SEEK_SET)
        write_all(self._handle, view)

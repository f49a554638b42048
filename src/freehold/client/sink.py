"""Where an object's bytes go: a stream, or a file that appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from freehold.domain.errors import CapacityError

SinkLike = Path | str | BinaryIO
Write = Callable[[memoryview], None]
BLOCK = 8 * 2**20


@contextmanager
def open_sink(sink: SinkLike) -> Iterator[Write]:
    """A function that takes the bytes in order.

    A path gets them only when the block ends well: written beside it, synced, renamed.
    """
    if isinstance(sink, (str, Path)):
        with _file(Path(sink)) as write:
            yield write
        return
    stream = sink

    def write_stream(data: memoryview) -> None:
        while data.nbytes:
            count = stream.write(data)
            data = data[count:] if count is not None else data[:0]

    yield write_stream


@contextmanager
def _file(path: Path) -> Iterator[Write]:
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        file = _PartFile(part)
        try:
            yield file.write
            file.finish()
        finally:
            file.close()
        part.rename(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CapacityError(
            f"{path} cannot be written: {error.strerror}",
            remedy="Check the folder, its permissions and the disk's space.",
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class _PartFile:
    """Written past the page cache where the system can: large objects would only flush others
    out of it, and its fresh pages cost more than the disk does."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._direct = getattr(os, "O_DIRECT", 0)
        try:
            self._handle = os.open(path, flags | self._direct, 0o666)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            path.unlink(missing_ok=True)
            self._direct = 0
            self._handle = os.open(path, flags, 0o666)
        self._block = mmap.mmap(-1, BLOCK)
        self._filled = 0

    def write(self, data: memoryview) -> None:
        while data.nbytes:
            count = min(data.nbytes, BLOCK - self._filled)
            self._block[self._filled : self._filled + count] = data[:count]
            self._filled += count
            data = data[count:]
            if self._filled == BLOCK:
                self._flush()

    def finish(self) -> None:
        if self._filled:
            self._cache()
            self._flush()
        os.fdatasync(self._handle)

    def close(self) -> None:
        os.close(self._handle)
        self._block.close()

    def _flush(self) -> None:
        with memoryview(self._block) as block:
            try:
                _write_all(self._handle, block[: self._filled])
            except OSError as error:
                if not self._direct or error.errno != errno.EINVAL:
                    raise
                self._cache()
                _write_all(self._handle, block[: self._filled])
        self._filled = 0

    def _cache(self) -> None:
        """From here on through the page cache: a last block is no multiple of the disk's."""
        if self._direct:
            flags = fcntl.fcntl(self._handle, fcntl.F_GETFL)
            fcntl.fcntl(self._handle, fcntl.F_SETFL, flags & ~self._direct)
            self._direct = 0


def _write_all(handle: int, data: memoryview) -> None:
    while data.nbytes:
        data = data[os.write(handle, data) :]

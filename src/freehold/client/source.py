"""Where an object's bytes come from: read more than once, and noticed when they change."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol

from freehold.domain.errors import ConflictError, IntegrityError, NotFoundError, UsageError

COPY = 2**20
SourceLike = Path | str | bytes | bytearray | memoryview | BinaryIO


class Source(Protocol):
    """Bytes of known size that can be read again."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, into: memoryview) -> None:
        """Fill ``into`` from ``offset``; IntegrityError when the source ends before."""

    def fingerprint(self) -> str:
        """A text that differs once the bytes may have changed."""

    def close(self) -> None:
        """Release what is open."""


class FileSource:
    """A file, open for the length of a transfer."""

    def __init__(self, file: BinaryIO, *, name: str) -> None:
        self._file = file
        self._name = name
        self._size = os.fstat(file.fileno()).st_size

    @property
    def size(self) -> int:
        """Length in bytes when it was opened."""
        return self._size

    def read(self, offset: int, into: memoryview) -> None:
        """Fill ``into`` from ``offset``."""
        at = 0
        while at < into.nbytes:
            count = os.preadv(self._file.fileno(), [into[at:]], offset + at)
            if not count:
                raise changed(self._name)
            at += count

    def fingerprint(self) -> str:
        """Device, inode, size and times of change."""
        now = os.fstat(self._file.fileno())
        parts = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        return "file:" + ":".join(str(part) for part in parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._data.nbytes

    def read(self, offset: int, into: memoryview) -> None:
        """Fill ``into`` from ``offset``."""
        into[:] = self._data[offset : offset + into.nbytes]

    def fingerprint(self) -> str:
        """The SHA-256 of the bytes."""
        return "sha256:" + sha256(self._data).hexdigest()

    def close(self) -> None:
        """Nothing is open."""


def open_source(source: SourceLike, *, scratch: Path) -> Source:
    """Open a path, bytes or binary file; a stream that cannot seek is copied below ``scratch``.

    NotFoundError or UsageError name the path that cannot be read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesSource(memoryview(source).cast("B"))
    if isinstance(source, (str, Path)):
        return _open_path(Path(source))
    return _open_stream(source, scratch)


def changed(name: str) -> IntegrityError:
    """The error of a source that changed while it was stored."""
    return IntegrityError(
        f"{name} changed while it was being stored",
        remedy="Put it again once nobody writes to it; nothing was opened or charged.",
    )


def _open_path(path: Path) -> Source:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConflictError(
                f"{path} is no regular file", remedy="Pipe it in as a stream instead."
            )
        return FileSource(path.open("rb"), name=str(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", remedy="Check the path.") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", remedy="Name a readable file."
        ) from error


def _open_stream(stream: BinaryIO, scratch: Path) -> Source:
    copy = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the source closes it
    try:
        shutil.copyfileobj(stream, copy, COPY)
        copy.flush()
    except BaseException:
        copy.close()
        raise
    return FileSource(copy, name="the stream")

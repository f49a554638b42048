"""Where an object's bytes go: a stream, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from freehold.domain.errors import CapacityError

SinkLike = Path | str | BinaryIO
Write = Callable[[memoryview], None]


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
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            yield lambda data: _write_all(handle, data)
            os.fdatasync(handle)
        finally:
            os.close(handle)
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


def _write_all(handle: int, data: memoryview) -> None:
    while data.nbytes:
        data = data[os.write(handle, data) :]

"""Files of a node, written so that they survive a crash, with errors that name them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freehold.domain.errors import UnavailableError
from freehold.domain.files import sync_folder, write_whole
from freehold.node.refusals import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn failures of the disk into typed errors that name ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"the disk has no room left for {path.name}",
                remedy="Free space on the node's disk, or lower its capacity.",
            ) from error
        raise UnavailableError(
            f"{path} cannot be written or read: {error.strerror}",
            remedy="Check the node's disk and the rights of its folder.",
        ) from error


def make_folder(folder: Path) -> None:
    """Create ``folder`` (mode 0700) with its parents, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write the whole of ``data``; a raw write may stop early."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def replace_file(path: Path, data: bytes) -> None:
    """``write_whole`` with typed errors; DiskFullError leaves the old content."""
    with disk(path):
        write_whole(path, data)


def write_synced(path: Path, data: bytes) -> None:
    """Write ``path`` anew; its content is durable, its name not until ``publish_file``."""
    with disk(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, data)
            os.fdatasync(handle)
        finally:
            os.close(handle)


def publish_file(source: Path, target: Path) -> None:
    """Give ``source`` (already synced, same disk) the name ``target`` as well, durably.

    The source keeps its name until the caller removes it; where the disk knows no hard links
    it is moved instead.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    with disk(target):
        try:
            temporary.unlink(missing_ok=True)
            os.link(source, temporary)
            temporary.replace(target)
            # Where both names are of one file already, a rename leaves them both.
            temporary.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            source.replace(target)
        sync_folder(target.parent)


def remove_file(path: Path) -> bool:
    """Remove ``path`` durably; False when there was none."""
    with disk(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(path.parent)
    return True

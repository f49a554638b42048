"""The few file operations that durability rests on, handed in so that tests can lose writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Protocol

from freehold.domain.files import sync_folder, write_whole


class Appendable(Protocol):
    """A file that only grows."""

    def append(self, data: bytes) -> None:
        """Write at the end; OSError where the disk refuses."""

    def sync(self) -> None:
        """Return once everything appended is on the disk."""

    def close(self) -> None:
        """Close the file."""


class Disk(Protocol):
    """One folder of files, by name."""

    def names(self) -> list[str]:
        """The names of all files."""

    def read(self, name: str) -> bytes:
        """A file's bytes; FileNotFoundError when there is none."""

    def replace(self, name: str, data: bytes) -> None:
        """Make ``name`` hold ``data``, whole or not at all, and durably."""

    def append_to(self, name: str, *, keep: int) -> Appendable:
        """Open a file to append, cut to its first ``keep`` bytes."""

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, data: bytes) -> None:
        self._file.write(data)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class FolderDisk:
    """A folder of the operating system; files are for the owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def names(self) -> list[str]:
        """The names of all files."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_file())

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        return (self._folder / name).read_bytes()

    def replace(self, name: str, data: bytes) -> None:
        """Temporary file, fsync, rename, fsync of the folder."""
        write_whole(self._folder / name, data)

    def append_to(self, name: str, *, keep: int) -> Appendable:
        """Open a file to append, cut to its first ``keep`` bytes, durably."""
        file = open(self._folder / name, "ab", buffering=0, opener=_private)  # noqa: SIM115
        file.truncate(keep)
        os.fsync(file.fileno())
        sync_folder(self._folder)
        return _File(file)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self._folder / name).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

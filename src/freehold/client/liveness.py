"""Which processes that use a state folder still live: each holds a lock that dies with it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


class Liveness:
    """This process among those that share ``folder``."""

    def __init__(self, folder: Path, *, random: Callable[[int], bytes]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.id = int.from_bytes(random(7), "big") + 1
        self._handle = os.open(self._path(self.id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def alive(self, process: int) -> bool:
        """Whether the process of that id still holds its lock; its file goes when it does not."""
        if process == self.id:
            return True
        path = self._path(process)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(handle)

    def close(self) -> None:
        """Let go: what this process left unfinished may be taken over."""
        if self._handle >= 0:
            self._path(self.id).unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1

    def _path(self, process: int) -> Path:
        return self._folder / f"{process:016x}"

"""The state folder of one network: where everything lies, its version, and its lock."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    NotFoundError,
    UsageError,
    VersionError,
)
from freehold.domain.files import write_whole

if TYPE_CHECKING:
    from freehold.domain.network import Network

VERSION = 1
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one state folder; nothing else of a network lies elsewhere."""

    root: Path

    @property
    def descriptor(self) -> Path:
        return self.root / "network.json"

    @property
    def devnet(self) -> Path:
        return self.root / "devnet"

    @property
    def wallet(self) -> Path:
        return self.root / "wallet"

    @property
    def watcher(self) -> Path:
        return self.root / "watcher"

    @property
    def telemetry(self) -> Path:
        return self.root / "telemetry"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def password_file(self) -> Path:
        return self.root / "password"

    def node(self, name: str) -> Path:
        return self.root / "nodes" / name

    def nodes(self) -> list[Path]:
        """The folders of this machine's nodes, in order of their names: node-9, node-10."""
        folder = self.root / "nodes"
        found = [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
        return sorted(found, key=lambda path: natural(path.name))

    def network(self) -> Network:
        """The network that this home belongs to; NotFoundError before it has one."""
        from freehold.domain.network import Network

        if not self.descriptor.is_file():
            raise NotFoundError(
                f"no network in {self.root}",
                remedy="Name the one to use with `freehold network use network.json`, or start one "
                "with `freehold up`.",
            )
        return Network.parse(self.descriptor.read_text())

    def claim(self) -> None:
        """Make or check the marker of this home.

        VersionError when it is foreign or newer, UsageError when it cannot be made or read there,
        CapacityError when the disk is full.
        """
        with _usable(self.root):
            self._claim(self.root / "home.json")

    def _claim(self, marker: Path) -> None:
        if not marker.exists():
            self._make(marker)
            return
        try:
            version = json.loads(marker.read_text())["freehold_home"]
        except (ValueError, KeyError, TypeError) as error:
            raise _foreign(self.root, "its home.json is not ours") from error
        if version != VERSION:
            raise VersionError(
                f"{self.root} was made by another release (home version {version!r})",
                remedy="Install that release, or choose another folder with --home.",
            )

    def _make(self, marker: Path) -> None:
        if self.root.exists() and any(self.root.iterdir()):
            raise _foreign(self.root, "it holds files but no home.json")
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(marker, json.dumps({"freehold_home": VERSION}).encode())

    def password(self) -> str:
        """The password of this home's keystores, drawn once and kept with mode 0600."""
        if not self.password_file.exists():
            write_whole(self.password_file, secrets.token_urlsafe(24).encode())
        return self.password_file.read_text().strip()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this home alone; ConflictError while another process does, UsageError where
        nothing can be written."""
        with _usable(self.root):
            file = (self.root / "lock").open("a+")
            if not os.access(self.root, os.W_OK | os.X_OK):
                file.close()
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    f"another `freehold up` runs in {self.root}",
                    remedy="Look at it with `freehold status`, or end it with `freehold down`.",
                ) from error
            yield


def natural(name: str) -> tuple[str, int]:
    """A key that sorts node-9 before node-10."""
    stem, _, number = name.rpartition("-")
    return (stem, int(number)) if number.isascii() and number.isdigit() else (name, 0)


def default_root() -> Path:
    """The user's data folder for Freehold on this system."""
    from platformdirs import user_data_path

    return user_data_path("freehold", appauthor=False)


def find_home(root: Path | None) -> Home:
    """The home at ``root``, or the user's own; it need not exist yet."""
    try:
        return Home((root or default_root()).expanduser().absolute())
    except RuntimeError as error:
        raise UsageError(
            f"{root} names no folder: {error}", remedy="Write the folder out, from the root on."
        ) from error


def open_home(root: Path | None) -> Home:
    """A home that exists and is ours; NotFoundError or VersionError otherwise."""
    home = find_home(root)
    with _usable(home.root):
        there = home.root.exists()
    if not there:
        raise NotFoundError(
            f"there is no Freehold home at {home.root}",
            remedy="Start a network with `freehold up`, make the home with `freehold network use "
            "network.json`, or name its folder with --home.",
        )
    home.claim()
    return home


def read_text(path: Path) -> str:
    """The text of a file that the user named; UsageError when it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"{path} cannot be read: {reason}", remedy="Name a text file that exists."
        ) from error


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    """Say which home the system refused to make, read or write, and why."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        kind = CapacityError if full else UsageError
        raise kind(
            f"{root} cannot be a Freehold home: {error.strerror}",
            remedy="Free some space, or choose a folder on another disk with --home."
            if full
            else "Choose a folder that you may write, or a new one in such a folder, with --home.",
        ) from error


def _foreign(root: Path, reason: str) -> VersionError:
    return VersionError(
        f"{root} is not a Freehold home: {reason}",
        remedy="Choose an empty or new folder with --home.",
    )

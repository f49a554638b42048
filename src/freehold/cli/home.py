"""The state folder of one network: where everything lies, its version, and its lock."""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.domain.errors import ConflictError, NotFoundError, UsageError, VersionError
from freehold.domain.files import write_whole

if TYPE_CHECKING:
    from freehold.domain.network import Network

VERSION = 1


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
                remedy="Start one with `freehold up`, or join one with "
                "`freehold node join --network network.json`.",
            )
        return Network.parse(self.descriptor.read_text())

    def claim(self) -> None:
        """Make or check the marker of this home; VersionError when it is foreign or newer."""
        marker = self.root / "home.json"
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
        """Hold this home alone; ConflictError while another process does."""
        path = self.root / "lock"
        with path.open("a+") as file:
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
    return Home((root or default_root()).expanduser().absolute())


def open_home(root: Path | None) -> Home:
    """A home that exists and is ours; NotFoundError or VersionError otherwise."""
    home = find_home(root)
    if not home.root.exists():
        raise NotFoundError(
            f"there is no Freehold home at {home.root}",
            remedy="Start a network with `freehold up`, or name its folder with --home.",
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


def _foreign(root: Path, reason: str) -> VersionError:
    return VersionError(
        f"{root} is not a Freehold home: {reason}",
        remedy="Choose an empty or new folder with --home.",
    )

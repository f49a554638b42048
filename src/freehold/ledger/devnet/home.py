"""The devnet's folder: its version, port and chain id, the funder's key, genesis, the lock."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from freehold.domain.errors import ConflictError, IntegrityError, UnavailableError, VersionError
from freehold.domain.keys import Key
from freehold.ledger.devnet.disk import FolderDisk
from freehold.ledger.devnet.ports import free_port

VERSION = 1
FOLDER = "devnet"
CHAIN_ID = 31_337
BLOCK_GAS = 60_000_000
FUNDS = 10**9 * 10**18
"""What the funder owns at genesis, in wei."""
_SETTINGS = "devnet.json"
_FUNDER = "funder.json"
_GENESIS = "genesis.json"
_ZERO_HASH = "0x" + "00" * 32


@dataclass(frozen=True, slots=True)
class Home:
    """The settings of one devnet; ``folder`` holds everything it keeps."""

    folder: Path
    chain_id: int
    port: int
    funder: Key

    @property
    def url(self) -> str:
        """Where the devnet answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def genesis(self) -> Path:
        """The engine's genesis file."""
        return self.folder / _GENESIS

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.folder / "devnet.log"


def create_or_open(
    home: Path,
    *,
    now: int,
    random: Callable[[int], bytes],
    chain_id: int = CHAIN_ID,
    port: int | None = None,
) -> Home:
    """The devnet of a home folder, made on first use with a port that is free now.

    ``now`` is the time of genesis, ``random`` draws the funder's key. Raises VersionError for a
    newer or foreign folder, IntegrityError for a damaged one.
    """
    folder = home / FOLDER
    if (folder / _SETTINGS).exists():
        return open_home(home)
    _refuse_foreign(folder)
    disk = FolderDisk(folder)
    funder = Key.draw(random)
    disk.replace(_FUNDER, json.dumps({"secret": "0x" + funder.secret.hex()}).encode())
    disk.replace(_GENESIS, json.dumps(_genesis(funder, chain_id, now)).encode())
    settings = {
        "freehold_devnet": VERSION,
        "chain_id": chain_id,
        "port": port or free_port(),
    }
    # Written last: a crash before this line starts over.
    disk.replace(_SETTINGS, (json.dumps(settings, indent=2) + "\n").encode())
    return open_home(home)


def open_home(home: Path) -> Home:
    """The devnet that a home folder holds; UnavailableError when it holds none."""
    folder = home / FOLDER
    try:
        settings = json.loads((folder / _SETTINGS).read_bytes())
        if not isinstance(settings, dict) or settings.get("freehold_devnet") != VERSION:
            raise VersionError(
                f"{folder} is not a devnet of version {VERSION}",
                remedy="Install the release of freehold that made it, or choose another --home.",
            )
        secret = json.loads((folder / _FUNDER).read_bytes())["secret"]
        return Home(
            folder=folder,
            chain_id=int(settings["chain_id"]),
            port=int(settings["port"]),
            funder=Key.from_secret(bytes.fromhex(secret.removeprefix("0x"))),
        )
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{home} holds no devnet ({error.filename} is missing)",
            remedy="Start one with `freehold up`.",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"the settings of the devnet in {folder} are damaged: {error!r}",
            remedy="Restore the folder from a backup.",
        ) from error


def _refuse_foreign(folder: Path) -> None:
    ours = {_FUNDER, _GENESIS, f".{_FUNDER}.new", f".{_GENESIS}.new", f".{_SETTINGS}.new"}
    ours |= {"lock", "devnet.log"}
    if folder.exists() and (strange := sorted({p.name for p in folder.iterdir()} - ours)):
        raise VersionError(
            f"{folder} holds {strange[0]} but no {_SETTINGS}: it is not a devnet of this program",
            remedy="Choose another --home, or restore the folder from a backup.",
        )


def _genesis(funder: Key, chain_id: int, now: int) -> dict[str, object]:
    return {
        "config": {"chainId": chain_id},
        "nonce": "0x0",
        "timestamp": hex(now),
        "extraData": "0x",
        "gasLimit": hex(BLOCK_GAS),
        "difficulty": "0x0",
        "mixHash": _ZERO_HASH,
        "coinbase": "0x" + "00" * 20,
        "alloc": {funder.address: {"balance": hex(FUNDS)}},
    }


class Lock:
    """One devnet a home: an advisory lock that the kernel drops when its holder dies."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path) -> Lock:
        """Take the lock; ConflictError when a devnet of this home runs already."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = open(folder / "lock", "a+b")  # noqa: SIM115 - kept open as long as the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(file)
            file.close()
            raise ConflictError(
                f"the devnet in {folder} runs already{holder}",
                remedy="Use the running one, stop it with `freehold down`, or choose another "
                "--home.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        return cls(file)

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()


def running_pid(folder: Path) -> int | None:
    """The process that holds the lock of a devnet's folder, None where none runs."""
    try:
        with open(folder / "lock", "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                text = file.read(20)
                return int(text) if text.isdigit() else 0
            return None
    except FileNotFoundError:
        return None


def _holder(file: BinaryIO) -> str:
    file.seek(0)
    text = file.read(20)
    return f" (process {text.decode()})" if text.isdigit() else ""

"""Keys on disk: Web3 secret storage (version 3), for the owner's eyes only."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from secrets import token_bytes

from freehold.domain.errors import (
    AccessError,
    CapacityError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from freehold.domain.files import write_whole
from freehold.domain.keys import Key
from freehold.ledger import secret

_SIZE_LIMIT = 64 * 1024


def save(
    path: Path, key: Key, password: str, *, cost: int = secret.COST, replace: bool = False
) -> None:
    """Encrypt ``key`` into a file of mode 0600, whole or not at all.

    ``cost`` is scrypt's N. ConflictError when the file is there and ``replace`` is not asked for.
    """
    named = {"address": key.address[2:].lower()}
    content = named | secret.seal(key.secret, password, random=token_bytes, cost=cost)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        write_whole(path, json.dumps(content, indent=2).encode() + b"\n", replace=replace)
    except FileExistsError as error:
        raise ConflictError(
            f"there is a keystore at {path} already",
            remedy="Choose another path; a key that is overwritten is lost with all it owns.",
        ) from error


def load(path: Path, password: str) -> Key:
    """Decrypt a keystore.

    AccessError for a wrong password or a file that others can read, NotFoundError when there is
    none, IntegrityError when it is not a keystore, CapacityError when opening it costs too much,
    UsageError when the path names no file or the password is not text.
    """
    content = _read(path)
    try:
        opened = secret.unseal(content, password)
    except AccessError as error:
        raise AccessError(
            f"the password does not open the keystore {path}", remedy=error.remedy
        ) from error
    except (IntegrityError, CapacityError) as error:
        raise type(error)(f"{path}: {error.message}", remedy=error.remedy) from error
    key = Key.from_secret(opened)
    named = content.get("address")
    if isinstance(named, str) and named.lower().removeprefix("0x") != key.address[2:].lower():
        raise _malformed(path, f"it names address {named} but holds the key of {key.address}")
    return key


def _read(path: Path) -> dict[str, object]:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_SIZE_LIMIT + 1) if stat.S_ISREG(mode) else None
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no keystore at {path}",
            remedy="Create a wallet with `freehold wallet create`, or name another file.",
        ) from error
    except PermissionError as error:
        raise AccessError(
            f"the keystore {path} cannot be read", remedy="Run as the user who owns it."
        ) from error
    except (OSError, ValueError) as error:
        raise _no_file(path, str(error)) from error
    if data is None:
        raise _no_file(path, "it is not a file")
    if mode & 0o077:
        raise AccessError(
            f"the keystore {path} can be read by others (mode {mode & 0o777:04o})",
            remedy=f"Run `chmod 600 {path}`, and change the password if others had access.",
        )
    try:
        content = json.loads(data) if len(data) <= _SIZE_LIMIT else None
    except (ValueError, RecursionError) as error:
        raise _malformed(path, "it is not JSON") from error
    if not isinstance(content, dict):
        raise _malformed(path, "it is not a JSON object of a few lines")
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody writes to would never open


def _no_file(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"there can be no keystore at {path}: {reason}",
        remedy="Name the keystore's own file, such as key.json.",
    )


def _malformed(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not a keystore: {reason}",
        remedy="Restore it from a backup, or make it anew from the recovery phrase.",
    )

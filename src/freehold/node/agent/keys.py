"""A device's two keys, and the number of its boot: files of mode 0600 in its folder.

``device.key`` (Ed25519, PKCS8 PEM) signs readings, ``agent.key`` (secp256k1, hex) signs consent
and receipts. They are not encrypted: the agent starts by itself after a power cut, so whoever
reads the folder is the device. A lost device is retired on the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from freehold.domain.did import Did, sign
from freehold.domain.errors import AccessError, ConflictError, FreeholdError, IntegrityError
from freehold.domain.files import write_whole
from freehold.domain.keys import Key

DEVICE_KEY, AGENT_KEY, BOOT = "device.key", "agent.key", "boot"
_SIZE_MAX = 4_096
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Keys:
    """Both keys; neither secret appears in ``repr``."""

    reading: Ed25519PrivateKey = field(repr=False)
    agent: Key
    did: Did

    def sign(self, message: bytes) -> bytes:
        """The device's 64-byte signature, as batches and bindings carry it."""
        return sign(self.reading, message)


def create(folder: Path, *, random: Callable[[int], bytes]) -> Keys:
    """Draw both keys and keep them in ``folder``; ConflictError where there are some already."""
    reading, agent = Ed25519PrivateKey.from_private_bytes(random(32)), Key.draw(random)
    pem = reading.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        write_whole(folder / DEVICE_KEY, pem, replace=False)
        write_whole(folder / AGENT_KEY, agent.secret.hex().encode(), replace=False)
    except FileExistsError as error:
        raise ConflictError(
            f"there are keys in {folder} already",
            remedy="Choose another name; keys of a device are never overwritten.",
        ) from error
    return Keys(reading, agent, Did.of(reading.public_key()))


def load(folder: Path) -> Keys:
    """The keys in ``folder``; AccessError where they are missing, unreadable or open to others."""
    try:
        reading = load_pem_private_key(_secret(folder / DEVICE_KEY), password=None)
        agent = Key.from_secret(bytes.fromhex(_secret(folder / AGENT_KEY).decode().strip()))
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(f"the keys in {folder} cannot be read: {type(error).__name__}") from error
    if not isinstance(reading, Ed25519PrivateKey):
        raise _unusable(f"{folder / DEVICE_KEY} is not an Ed25519 key")
    return Keys(reading, agent, Did.of(reading.public_key()))


def next_boot(folder: Path) -> int:
    """The number of this boot: one more than the last, durable on return and never given again.

    IntegrityError where the file is damaged: a number that began anew would be refused as a
    rollback by every receiver.
    """
    file = folder / BOOT
    try:
        boot = int(file.read_text()) + 1 if file.exists() else 1
    except (ValueError, OSError) as error:
        raise IntegrityError(
            f"{file} is damaged",
            remedy="Write a number into it that is above every earlier boot, or pair anew.",
        ) from error
    write_whole(file, str(boot).encode())
    return boot


def _secret(file: Path) -> bytes:
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_mode & _OTHERS:
            raise AccessError(f"{file} is open to other users", remedy=f"Run `chmod 600 {file}`.")
        return opened.read(_SIZE_MAX)


def _unusable(reason: str) -> FreeholdError:
    return AccessError(reason, remedy="Restore them from a backup, or pair the device anew.")

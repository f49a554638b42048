"""How a device comes to its owner: the binding of its keys, its place, and its pairing code.

A device shows a pairing code; its owner checks it and enrols the device with what it says. The
code is no secret: it names its owner, and nobody else can use it.

    freehold:device?BODY

BODY is base64url without padding, of (numbers big-endian): version (1), network id (32), device
(20), owner (20), generation (8), deadline (8), consent (65), binding (64), device key in multicodec
form (34 or 35), firmware (the rest, UTF-8), and the first 4 bytes of the keccak of all before.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from freehold.domain.did import PREFIX, Curve, Did, PrivateKey, sign
from freehold.domain.errors import (
    AccessError,
    ConflictError,
    FreeholdError,
    UsageError,
    VersionError,
)
from freehold.domain.ids import Address, checksum, keccak, raw_address
from freehold.domain.keys import Key, recover
from freehold.domain.typed import ENROLMENT, Domain

VERSION = 1
SCHEME = "freehold:device?"
CODE_MAX = 1_000
"""Characters of a pairing code."""
FIRMWARE_MAX = 32
"""Bytes of the name of a firmware, as the contract takes it."""
SALT = 32
CELL_MAX = 64
"""Characters of the name of a cell."""
_STATEMENT = b"Freehold device, version 1\n"
_U64 = 2**64
_SUM = 4
_FIXED = (1, 32, 20, 20, 8, 8, 65, 64)
_BODY = re.compile("[A-Za-z0-9_-]+")


class BadPairingError(UsageError):
    """A text that is no pairing code, or parts that make none."""


class ForeignPairingError(AccessError):
    """A pairing code for another network, or whose signatures are not its device's."""


class ExpiredPairingError(ConflictError):
    """A pairing code whose deadline is over."""


def binding_statement(network_id: bytes, device: Address, owner: Address) -> bytes:
    """What a device key signs to say whose it is, for a 32-byte network id."""
    if len(network_id) != 32:
        raise _bad(f"a network id has 32 bytes, not {len(network_id)}")
    return _STATEMENT + network_id + raw_address(device) + raw_address(owner)


def seal(key: PrivateKey, *, network_id: bytes, device: Address, owner: Address) -> bytes:
    """The binding: 64 bytes by the device key."""
    return sign(key, binding_statement(network_id, device, owner))


def check(did: Did, binding: bytes, *, network_id: bytes, device: Address, owner: Address) -> None:
    """ForgedError unless the device key ``did`` said that it is this device's, of this owner."""
    did.verify(binding, binding_statement(network_id, device, owner))


def place(salt: bytes, cell: str) -> bytes:
    """The 32-byte commitment to a cell, such as a geohash; the salt of 32 random bytes is kept by
    the owner, who can show both. UsageError where either has the wrong length."""
    if len(salt) != SALT:
        raise UsageError(
            f"a salt has {SALT} bytes, not {len(salt)}", remedy="Draw one of 32 random bytes."
        )
    if not 0 < len(cell) <= CELL_MAX or not cell.isprintable():
        raise UsageError(
            f"a cell is named by 1 to {CELL_MAX} printable characters",
            remedy="Give a coarse cell, such as the first five characters of a geohash.",
        )
    return keccak(salt + cell.encode())


@dataclass(frozen=True, slots=True)
class PairingCode:
    """What a device shows so that its owner can enrol it; BadPairingError for wrong parts.

    ``consent`` is by the agent key, whose address ``device`` is, ``binding`` by the device key.
    """

    network_id: bytes
    device: Address
    owner: Address
    generation: int
    deadline: int
    consent: bytes
    binding: bytes
    did: Did
    firmware: str

    def __post_init__(self) -> None:
        if (len(self.network_id), len(self.consent), len(self.binding)) != (32, 65, 64):
            raise _bad("the network id, consent or binding has the wrong length")
        if not 0 < self.generation < _U64 or not 0 < self.deadline < _U64:
            raise _bad("the generation or the deadline is out of bounds")
        if not is_firmware(self.firmware):
            raise _bad(f"a firmware is named by at most {FIRMWARE_MAX} printable bytes")

    @classmethod
    def make(
        cls,
        domain: Domain,
        *,
        agent: Key,
        key: PrivateKey,
        did: Did,
        owner: Address,
        generation: int,
        deadline: int,
        firmware: str,
    ) -> PairingCode:
        """Sign a code for ``owner``; ``domain`` is that of the contract ``devices``, ``did`` names
        ``key``, ``generation`` is the device's next one."""
        network_id, device = domain.salt, agent.address
        values = (device, owner, keccak(did.raw), generation, deadline)
        return cls(
            network_id=network_id,
            device=device,
            owner=owner,
            generation=generation,
            deadline=deadline,
            consent=agent.sign(ENROLMENT.digest(domain, values)),
            binding=seal(key, network_id=network_id, device=device, owner=owner),
            did=did,
            firmware=firmware,
        )

    def check(self, domain: Domain, *, now: int) -> None:
        """Whether the contract ``devices`` of ``domain`` and its readers would take the code.

        ForeignPairingError where it is for another network or not by the agent key, ForgedError
        where not by the device key, ExpiredPairingError after its deadline.
        """
        if self.network_id != domain.salt:
            raise _foreign("the pairing code is for another network")
        if now > self.deadline:
            raise ExpiredPairingError(
                f"the pairing code of {self.device} expired",
                remedy="Make a new one with `freehold device pair` on the device.",
            )
        if recover(self._consent_digest(domain), self.consent) != self.device:
            raise _foreign(f"the device {self.device} did not consent to {self.owner}")
        whose = {"device": self.device, "owner": self.owner}
        check(self.did, self.binding, network_id=self.network_id, **whose)

    def encode(self) -> str:
        """The text, at most 402 characters; it fits a QR code."""
        numbers = self.generation.to_bytes(8, "big") + self.deadline.to_bytes(8, "big")
        whose = raw_address(self.device) + raw_address(self.owner)
        signed = self.consent + self.binding + self.did.raw
        head = bytes([VERSION]) + self.network_id
        data = head + whose + numbers + signed + self.firmware.encode()
        body = base64.urlsafe_b64encode(data + keccak(data)[:_SUM])
        return SCHEME + body.decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> PairingCode:
        """The code that a text is; BadPairingError, or VersionError for one of another version.

        Blanks around the text are left out; nothing is verified, see `check`.
        """
        data = _body(text.strip())
        if data[0] != VERSION:
            raise VersionError(
                f"the pairing code has version {data[0]}, not {VERSION}",
                remedy="Install the same release of freehold here and on the device.",
            )
        parts, rest = _cut(data)
        _, network_id, device, owner, generation, deadline, consent, binding = parts
        size = PREFIX + (Curve.P256 if rest[:PREFIX] == Curve.P256.value else Curve.ED25519).size
        return cls(
            network_id=network_id,
            device=checksum(device),
            owner=checksum(owner),
            generation=int.from_bytes(generation, "big"),
            deadline=int.from_bytes(deadline, "big"),
            consent=consent,
            binding=binding,
            did=_did(rest[:size]),
            firmware=_text(rest[size:]),
        )

    def _consent_digest(self, domain: Domain) -> bytes:
        whose = (self.device, self.owner, keccak(self.did.raw))
        return ENROLMENT.digest(domain, (*whose, self.generation, self.deadline))


def is_firmware(text: str) -> bool:
    """Whether a text can name a firmware: at most 32 bytes, no control characters."""
    return text.isprintable() and len(text.encode(errors="replace")) <= FIRMWARE_MAX


def _body(text: str) -> bytes:
    """The bytes of a code whose checksum is right, at least one."""
    if len(text) > CODE_MAX:
        raise _bad(f"it is longer than {CODE_MAX:,} characters")
    body = text.removeprefix(SCHEME)
    if body == text or _BODY.fullmatch(body) is None:
        raise _bad(f"it is not {SCHEME} and letters, digits, - and _")
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error as error:
        raise _bad("it is cut off") from error
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != body:
        raise _bad("its last character is not what it should be")
    data, told = raw[:-_SUM], raw[-_SUM:]
    if not data or keccak(data)[:_SUM] != told:
        raise _bad("its checksum is wrong")
    return data


def _cut(data: bytes) -> tuple[list[bytes], bytes]:
    """The parts of fixed length, and the key and firmware after them."""
    parts, at = [], 0
    for size in _FIXED:
        parts.append(data[at : at + size])
        at += size
    if len(data) <= at:
        raise _bad("it is cut off")
    return parts, data[at:]


def _did(raw: bytes) -> Did:
    try:
        return Did.read(raw)
    except FreeholdError as error:
        raise _bad(error.message) from error


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _bad("its firmware is not text") from error


def _bad(reason: str) -> BadPairingError:
    return BadPairingError(
        f"this is not a pairing code: {reason}",
        remedy="Show it again with `freehold device pair` on the device, and copy it whole.",
    )


def _foreign(reason: str) -> ForeignPairingError:
    return ForeignPairingError(
        reason, remedy="Make the code with `freehold device pair` for this network and owner."
    )

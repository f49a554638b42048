"""Names of devices: did:key of Ed25519 and P-256 public keys, and the signatures they make.

A did:key is ``did:key:z`` and the base58btc text of a multicodec prefix and the public key: 32
bytes of Ed25519 (RFC 8032), or 33 of a compressed P-256 point (SEC 1). Signatures have 64 bytes:
Ed25519 as it is, P-256 as ``r || s`` over SHA-256 with the lower s, so that nobody can make a
second signature out of a first. Source: W3C CCG, The did:key Method.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from freehold.domain.errors import AccessError, UsageError

SIGNATURE = 64
"""Bytes of a signature of either curve."""
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TEXT = re.compile(f"did:key:z(?P<body>[{_ALPHABET}]{{44,52}})")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_PRIME = 2**255 - 19
_ED25519_WEAK = frozenset(
    {
        0,
        1,
        _ED25519_PRIME - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            "little",
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            "little",
        ),
    }
)
"""The y of the points of small order: such a key's signature fits any message."""
_KEYS_KEPT = 65_536
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


class Curve(Enum):
    """A kind of key; its value is the multicodec prefix."""

    ED25519 = bytes.fromhex("ed01")
    P256 = bytes.fromhex("8024")

    @property
    def size(self) -> int:
        """Bytes of a public key."""
        return 32 if self is Curve.ED25519 else 33


_BY_PREFIX = {curve.value: curve for curve in Curve}
PREFIX = 2
"""Bytes of the multicodec prefix of either curve."""


class BadDidError(UsageError):
    """A text or bytes that name no key of a supported kind."""


class ForgedError(AccessError):
    """A signature that the named key did not make."""


@dataclass(frozen=True, slots=True)
class Did:
    """A device's name: ``key`` has 32 bytes of Ed25519 or 33 of a compressed P-256 point."""

    curve: Curve
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Did:
        """The name that ``text`` is; BadDidError unless it is the canonical did:key of a key."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise _bad(f"{text[:80]!r} is not a did:key")
        raw = _from_base58(match["body"])
        did = cls.read(raw)
        if did.text != text:
            raise _bad(f"{text!r} is not the canonical text of its key")
        return did

    @classmethod
    def read(cls, raw: bytes) -> Did:
        """The name in multicodec form, prefix and key; BadDidError unless the key is usable."""
        curve = _BY_PREFIX.get(raw[:PREFIX])
        if curve is None:
            raise _bad(f"the key is of the kind 0x{raw[:PREFIX].hex()}, not Ed25519 or P-256")
        if len(raw) != PREFIX + curve.size:
            raise _bad(f"a key of {curve.name} has {curve.size} bytes, not {len(raw) - PREFIX}")
        did = cls(curve, raw[PREFIX:])
        _public(did)
        return did

    @classmethod
    def of(cls, key: PublicKey) -> Did:
        """The name of a public key; BadDidError for an elliptic curve other than P-256."""
        if isinstance(key, Ed25519PublicKey):
            return cls.read(Curve.ED25519.value + key.public_bytes_raw())
        if not isinstance(key.curve, SECP256R1):
            raise _bad(f"the key is of the curve {key.curve.name}, not P-256")
        point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return cls.read(Curve.P256.value + point)

    @property
    def raw(self) -> bytes:
        """The multicodec form: prefix and key, 34 or 35 bytes."""
        return self.curve.value + self.key

    @property
    def text(self) -> str:
        """The did:key that people read."""
        return "did:key:z" + _base58(self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """ForgedError unless this key made the 64 bytes of ``signature`` over ``message``."""
        public = _public(self)
        try:
            if isinstance(public, Ed25519PublicKey):
                public.verify(signature, message)
            else:
                public.verify(_der(signature), message, ECDSA(SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise ForgedError(
                f"{self.text} did not sign this",
                remedy="Pair the device again, or sign with the key that it was paired with.",
            ) from error


def sign(key: PrivateKey, message: bytes) -> bytes:
    """The 64-byte signature of ``message``, canonical for the curve of ``key``."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    r, s = decode_dss_signature(key.sign(message, ECDSA(SHA256())))
    low = min(s, _P256_ORDER - s)
    return r.to_bytes(32, "big") + low.to_bytes(32, "big")


@lru_cache(_KEYS_KEPT)
def _public(did: Did) -> PublicKey:
    """The key itself, kept because decompressing a point costs as much as half a verification."""
    if did.curve is Curve.ED25519:
        height = int.from_bytes(did.key, "little") & (2**255 - 1)
        if height >= _ED25519_PRIME or height in _ED25519_WEAK:
            raise _bad("the Ed25519 key is weak or not canonical")
        return Ed25519PublicKey.from_public_bytes(did.key)
    if did.key[:1] not in (b"\x02", b"\x03"):
        raise _bad("the P-256 key is not a compressed point")
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), did.key)
    except ValueError as error:
        raise _bad("the P-256 key is not a point of the curve") from error


def _der(signature: bytes) -> bytes:
    if len(signature) != SIGNATURE:
        raise ValueError("a signature has 64 bytes")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not 0 < s <= _P256_ORDER // 2:
        raise ValueError("the signature is not canonical")
    return encode_dss_signature(r, s)


def _base58(raw: bytes) -> str:
    """Base58btc of bytes that do not begin with zero, as multicodec prefixes never do."""
    number, digits = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return digits


def _from_base58(text: str) -> bytes:
    number = 0
    for digit in text:
        number = number * 58 + _ALPHABET.index(digit)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _bad(reason: str) -> BadDidError:
    return BadDidError(
        reason, remedy="Copy the whole did:key of the device; `freehold device list` shows it."
    )

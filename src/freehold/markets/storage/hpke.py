"""Sealing to a public key: HPKE (RFC 9180) in base mode, X25519, HKDF-SHA256, AES-256-GCM.

Anyone can seal to a public key: an opened message is secret, but says nothing of its sender.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from freehold.domain.errors import AccessError, UsageError

KEY_LENGTH = 32
OVERHEAD = 32 + 16
"""Bytes that a sealed message has more than its data: the encapsulated key and the tag."""
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def public_key(secret: bytes) -> bytes:
    """The 32-byte X25519 public key of a 32-byte secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def seal_to(public: bytes, data: bytes, *, info: bytes) -> bytes:
    """``data`` so that only the holder of ``public``'s secret opens it; ``info`` is bound.

    UsageError when ``public`` is no usable X25519 key.
    """
    try:
        return _SUITE.encrypt(data, X25519PublicKey.from_public_bytes(public), info)
    except ValueError as error:
        raise UsageError(
            "the recipient's key is not a usable X25519 key",
            remedy="Ask the recipient to send it again.",
        ) from error


def open_with(secret: bytes, sealed: bytes, *, info: bytes) -> bytes:
    """What ``seal_to`` sealed; AccessError when it is for another key, or altered."""
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(secret), info)
    except (InvalidTag, ValueError) as error:
        raise AccessError(
            "the message was sealed for another key, or altered",
            remedy="Use the account it was made for, or ask for it again.",
        ) from error

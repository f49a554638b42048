"""A device with a fixed key, and batches of it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.did import Did, PrivateKey, sign
from freehold.telemetry.reading import Batch, Reading, pack, seal

NETWORK = bytes(range(32))
NOW = 1_790_000_000_000
KEYS: tuple[PrivateKey, ...] = (
    Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    ec.derive_private_key(987654321, ec.SECP256R1()),
)
READINGS = (
    Reading("roof.temperature", "Cel", NOW - 2_000, 21.5),
    Reading("roof.humidity", "%", NOW - 2_000, 40.0),
    Reading("roof.temperature", "Cel", NOW - 1_000, 21.75),
)


def batch(
    *,
    key: PrivateKey = KEYS[0],
    boot: int = 1,
    sequence: int = 1,
    time: int = NOW,
    payload: bytes | None = None,
) -> Batch:
    payload = pack(READINGS) if payload is None else payload
    return Batch(NETWORK, Did.of(key.public_key()), boot, sequence, time, payload)


def sealed(made: Batch, key: PrivateKey = KEYS[0]) -> bytes:
    return seal(made, lambda message: sign(key, message))

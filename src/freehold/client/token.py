"""The scoped token that a request to a node carries (PROTOCOL.md, Identity and signatures)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from freehold.domain.clock import Clock
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.typed import REQUEST, Domain

LIFETIME = 240
"""Seconds; nodes refuse more than 300, and clocks differ."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a key, the registry's signing domain, a clock, and randomness for nonces.

    ``account`` is whom it asks for where the key is a session key that the registry lists.
    """

    key: Key
    domain: Domain
    clock: Clock
    random: Callable[[int], bytes]
    account: Address | None = None

    def token(self, *, audience: Address, method: str, path: str, body: bytes = b"") -> str:
        """The Authorization header of one request; ``body`` is hashed when there is one."""
        digest = sha256(body).digest() if body else bytes(32)
        expiry = self.clock.now() + LIFETIME
        nonce = self.random(32)
        signed = REQUEST.digest(self.domain, [audience, method, path, digest, expiry, nonce])
        fields = {
            "audience": audience,
            "method": method,
            "path": path,
            "body": "0x" + digest.hex() if body else "",
            "expiry": expiry,
            "nonce": "0x" + nonce.hex(),
            "account": self.account or self.key.address,
            "network": "0x" + self.domain.salt.hex(),
            "signature": "0x" + self.key.sign(signed).hex(),
        }
        text = json.dumps(fields, separators=(",", ":")).encode()
        return "Freehold " + base64.urlsafe_b64encode(text).decode()

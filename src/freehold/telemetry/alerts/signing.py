"""Signatures of messages to hooks: HMAC-SHA-256 over time and body."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from freehold.domain.errors import AccessError

HEADER = "Freehold-Signature"
TAG = "Freehold-Delivery"
TOLERANCE = 300
"""Seconds that a receiver's clock may be off."""
_SIGNED = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def sign(secret: str, body: bytes, now: int) -> str:
    """The header for ``body`` at ``now`` (seconds)."""
    return f"t={now},v1={_code(secret, body, str(now))}"


def verify(secret: str, header: str, body: bytes, now: int) -> None:
    """Raise AccessError unless who knows ``secret`` sent ``body`` within five minutes of ``now``.

    For receivers, who should also drop a ``Freehold-Delivery`` that they have seen.
    """
    found = _SIGNED.fullmatch(header)
    if found is None or not hmac.compare_digest(found[2], _code(secret, body, found[1])):
        raise AccessError("the signature does not verify", remedy="Compare the hook's secret.")
    if abs(int(found[1]) - now) > TOLERANCE:
        raise AccessError("the message is old", remedy="Set the clock; or it is a replay.")


def _code(secret: str, body: bytes, time: str) -> str:
    return hmac.new(secret.encode(), time.encode() + b"." + body, sha256).hexdigest()

"""Bytes as one line of text that survives mail and copying: ``label-base64url``.

The last four bytes are a SHA-256 checksum over the label and the rest, so a cut or mistyped
line is told from a forged one.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from freehold.domain.errors import UsageError

_SUM = 4
MAX_TEXT = 65536


def armour(label: str, data: bytes) -> str:
    """The line that carries ``data``."""
    body = urlsafe_b64encode(data + _sum(label, data)).decode().rstrip("=")
    return f"{label}-{body}"


def unarmour(label: str, text: str, *, what: str) -> bytes:
    """The bytes of a line of ``label``; UsageError, naming ``what``, when it is another."""
    line = "".join(text.split()) if len(text) <= MAX_TEXT else ""
    found, _, body = line.partition("-")
    if found != label:
        raise UsageError(f"this is no {what}", remedy=f"It begins with {label}-; copy it whole.")
    try:
        raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    data = raw[:-_SUM]
    if len(raw) <= _SUM or raw[-_SUM:] != _sum(label, data) or armour(label, data) != line:
        raise UsageError(f"the {what} is cut or mistyped", remedy="Copy it again, whole.")
    return data


def _sum(label: str, data: bytes) -> bytes:
    return sha256(f"freehold {label} ".encode() + data).digest()[:_SUM]

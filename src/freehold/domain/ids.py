"""Names of things: addresses, hashes, CAIP-2 chains and CAIP-10 accounts."""

from __future__ import annotations

import re
from typing import NewType

from eth_hash.auto import keccak as _keccak

from freehold.domain.errors import UsageError

Address = NewType("Address", str)
"""A checksummed 0x address (EIP-55)."""

ZERO_ADDRESS = Address("0x" + "0" * 40)

_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_CAIP2 = re.compile(r"eip155:(?P<chain>[1-9][0-9]{0,18})")


def keccak(data: bytes) -> bytes:
    """The 32-byte Keccak-256 of ``data``."""
    return bytes(_keccak(data))


def checksum(raw: bytes) -> Address:
    """The EIP-55 text of a 20-byte address."""
    if len(raw) != 20:
        raise UsageError(
            f"an address has 20 bytes, not {len(raw)}", remedy="Check where the address came from."
        )
    text = raw.hex()
    digest = keccak(text.encode()).hex()
    body = "".join(
        c.upper() if int(d, 16) >= 8 else c for c, d in zip(text, digest[:40], strict=True)
    )
    return Address("0x" + body)


def address(text: str) -> Address:
    """Parse a 0x address; mixed case must carry a valid EIP-55 checksum."""
    if _HEX_ADDRESS.fullmatch(text) is None:
        raise UsageError(
            f"{text!r} is not an address", remedy="An address is 0x and 40 hexadecimal digits."
        )
    parsed = checksum(bytes.fromhex(text[2:]))
    if text[2:] not in (text[2:].lower(), text[2:].upper()) and text != parsed:
        raise UsageError(
            f"the checksum of address {text} is wrong", remedy="Copy the address again, whole."
        )
    return parsed


def raw_address(value: Address) -> bytes:
    """The 20 bytes of an address."""
    return bytes.fromhex(value[2:])


def caip2(chain_id: int) -> str:
    """The CAIP-2 name of an EVM chain."""
    return f"eip155:{chain_id}"


def parse_caip2(text: str) -> int:
    """The chain id of a CAIP-2 name of an EVM chain; UsageError otherwise."""
    match = _CAIP2.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not an EVM chain", remedy="Write eip155:<chain id>.")
    return int(match["chain"])


def caip10(chain_id: int, account: Address) -> str:
    """The CAIP-10 name of an account, as people read it."""
    return f"{caip2(chain_id)}:{account}"


def hex32(text: str) -> bytes:
    """Parse 0x and 64 hexadecimal digits; UsageError otherwise."""
    if re.fullmatch(r"0x[0-9a-fA-F]{64}", text) is None:
        raise UsageError(
            f"{text!r} is not a 32-byte hash", remedy="Write 0x and 64 hexadecimal digits."
        )
    return bytes.fromhex(text[2:])

"""How much gas a raw transaction may use, so that a batch is cut where its block is full."""

from __future__ import annotations

from collections.abc import Iterator

_GAS_PLACE = {1: 3, 2: 4, 3: 4, 4: 4}
"""Where the gas limit stands in a typed transaction (EIP-2930, 1559, 4844, 7702)."""
_LEGACY_PLACE = 2


def gas_limit(raw: bytes, *, otherwise: int) -> int:
    """The gas limit that a transaction carries; ``otherwise`` where it cannot be read: the
    engine refuses such a transaction itself."""
    if not raw:
        return otherwise
    typed = raw[0] < 0x80
    place = _GAS_PLACE.get(raw[0], -1) if typed else _LEGACY_PLACE
    body = raw[1:] if typed else raw
    try:
        start, end = _payload(body, 0)
        for number, item in enumerate(_items(body[start:end])):
            if number == place:
                return int.from_bytes(item, "big")
    except IndexError:
        return otherwise
    return otherwise


def _items(payload: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(payload):
        start, end = _payload(payload, offset)
        yield payload[start:end]
        offset = end


def _payload(data: bytes, offset: int) -> tuple[int, int]:
    """Where the content of the RLP item at ``offset`` begins and ends."""
    prefix = data[offset]
    if prefix < 0x80:
        return offset, offset + 1
    base = 0x80 if prefix < 0xC0 else 0xC0
    size = prefix - base
    if size <= 55:
        return offset + 1, offset + 1 + size
    digits = size - 55
    start = offset + 1 + digits
    return start, start + int.from_bytes(data[offset + 1 : start], "big")

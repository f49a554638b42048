"""Recursive length prefix, strict both ways: what decodes, encodes to the same bytes.

Source: Ethereum yellow paper, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from freehold.domain.errors import IntegrityError

Item: TypeAlias = "bytes | list[Item]"

MAX_DEPTH = 16


def encode(item: bytes | Sequence[Item]) -> bytes:
    """The encoding of bytes or of nested sequences of bytes."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _prefix(len(item), 0x80) + item
    body = b"".join(encode(part) for part in item)
    return _prefix(len(body), 0xC0) + body


def number(value: int) -> bytes:
    """The shortest big-endian bytes of a number; none for zero."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """The item that ``data`` encodes; IntegrityError unless it is the canonical encoding."""
    item, end = _item(data, 0, 0)
    if end != len(data):
        raise _malformed(f"{len(data) - end} bytes follow the item")
    return item


def as_bytes(item: Item) -> bytes:
    """``item`` where it is bytes; IntegrityError where it is a list."""
    if isinstance(item, list):
        raise _malformed("a list stands where bytes belong")
    return item


def as_list(item: Item) -> list[Item]:
    """``item`` where it is a list; IntegrityError where it is bytes."""
    if isinstance(item, bytes):
        raise _malformed("bytes stand where a list belongs")
    return item


def as_number(item: Item) -> int:
    """The number of ``item``; IntegrityError for leading zeros or more than 32 bytes."""
    raw = as_bytes(item)
    if raw[:1] == b"\0" or len(raw) > 32:
        raise _malformed(f"{raw[:33].hex()} is not a number")
    return int.from_bytes(raw, "big")


def _prefix(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = number(length)
    return bytes([base + 55 + len(size)]) + size


def _item(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    if at >= len(data):
        raise _malformed("it ends in the middle")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    base = 0x80 if first < 0xC0 else 0xC0
    start, end = _span(data, at, base)
    if base == 0x80:
        body = data[start:end]
        if len(body) == 1 and body[0] < 0x80:
            raise _malformed("a small byte carries a needless length")
        return body, end
    return _items(data, start, end, depth + 1), end


def _items(data: bytes, at: int, end: int, depth: int) -> list[Item]:
    if depth > MAX_DEPTH:
        raise _malformed("lists are nested too deeply")
    parts: list[Item] = []
    while at < end:
        part, at = _item(data, at, depth)
        parts.append(part)
    if at != end:
        raise _malformed("a list ends in the middle of an item")
    return parts


def _span(data: bytes, at: int, base: int) -> tuple[int, int]:
    short = data[at] - base
    if short < 56:
        start, length = at + 1, short
    else:
        start = at + 1 + short - 55
        size = data[at + 1 : start]
        length = int.from_bytes(size, "big")
        if size[:1] == b"\0" or length < 56:
            raise _malformed("a length is not in its shortest form")
    if start + length > len(data):
        raise _malformed("it ends in the middle")
    return start, start + length


def _malformed(reason: str) -> IntegrityError:
    return IntegrityError(
        f"the RLP encoding is malformed: {reason}",
        remedy="Export the chain again, from another RPC if it repeats.",
    )

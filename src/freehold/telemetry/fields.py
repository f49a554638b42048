"""Messages of Protocol Buffers, read strictly by a table of the fields that are wanted.

Written by hand so that what a stranger sends is bounded while it is read: every field costs one of
a budget, lengths are checked before anything is copied, groups are refused, and a known field of
another wire type than its own is an error. Fields that the table does not name are passed over.
Source: Protocol Buffers, Encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from freehold.telemetry.refusals import MalformedError, TooLargeError

_DOUBLE, _FIXED, _SIGNED = struct.Struct("<d"), struct.Struct("<Q"), struct.Struct("<q")
_VARINT_WIRE, _FIXED64_WIRE, _BYTES_WIRE, _FIXED32_WIRE = 0, 1, 2, 5


class Kind(Enum):
    """How the value of a field is written; the value is the wire type and what it means."""

    NUMBER = (_VARINT_WIRE, "unsigned")
    SIGNED = (_VARINT_WIRE, "int64")
    FIXED = (_FIXED64_WIRE, "fixed64")
    SIGNED_FIXED = (_FIXED64_WIRE, "sfixed64")
    DOUBLE = (_FIXED64_WIRE, "double")
    TEXT = (_BYTES_WIRE, "string")


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its name in JSON: a ``kind`` or a message of its own, ``many`` where repeated."""

    name: str
    of: Kind | Mapping[int, Field]
    many: bool = False


Table = Mapping[int, Field]


@dataclass(slots=True)
class Budget:
    """Fields that may still be read."""

    left: int

    def spend(self) -> None:
        """One less; TooLargeError at the end."""
        self.left -= 1
        if self.left < 0:
            raise TooLargeError(
                "the message has more fields than are read at once",
                remedy="Let the sender put fewer samples into one request.",
            )


def read(data: bytes, table: Table, budget: Budget) -> dict[str, object]:
    """The message as JSON would show it; MalformedError or TooLargeError."""
    return _message(data, 0, len(data), table, budget)


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at ``at``, below 2^64, and where it ends; MalformedError past ``end``."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
        shift += 7
        if shift > 63:
            break
    raise broken("a number is cut off or too long")


def skip(data: bytes, at: int, end: int, wire: int) -> int:
    """Where a value of wire type ``wire`` ends; MalformedError past ``end``."""
    if wire == _VARINT_WIRE:
        return varint(data, at, end)[1]
    if wire == _BYTES_WIRE:
        length, at = varint(data, at, end)
        at += length
    elif wire == _FIXED64_WIRE:
        at += 8
    elif wire == _FIXED32_WIRE:
        at += 4
    else:
        raise broken("it has a field of an unknown kind")
    if at > end:
        raise broken("a field is cut off")
    return at


def broken(reason: str) -> MalformedError:
    """The refusal of bytes that are no such message."""
    return MalformedError(
        f"the message is malformed: {reason}",
        remedy="Check that the sender speaks this protocol and that nothing between alters it.",
    )


def _message(data: bytes, at: int, end: int, table: Table, budget: Budget) -> dict[str, object]:
    found: dict[str, object] = {}
    while at < end:
        budget.spend()
        tag, at = varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise broken("a field has the number 0")
        stop = skip(data, at, end, wire)
        field = table.get(number)
        if field is not None:
            _put(found, field, _value(data, at, stop, wire, field, budget))
        at = stop
    return found


def _put(found: dict[str, object], field: Field, value: object) -> None:
    if not field.many:
        found[field.name] = value
        return
    values = found.setdefault(field.name, [])
    if isinstance(values, list):
        values.append(value)


def _value(data: bytes, at: int, stop: int, wire: int, field: Field, budget: Budget) -> object:
    kind = field.of
    if wire != (kind.value[0] if isinstance(kind, Kind) else _BYTES_WIRE):
        raise broken(f"{field.name} is of another kind")
    if wire == _BYTES_WIRE:
        at = varint(data, at, stop)[1]
        if not isinstance(kind, Kind):
            return _message(data, at, stop, kind, budget)
        return text(data[at:stop])
    if wire == _VARINT_WIRE:
        number = varint(data, at, stop)[0]
        return number - 2**64 if kind is Kind.SIGNED and number >= 2**63 else number
    shape = {Kind.DOUBLE: _DOUBLE, Kind.FIXED: _FIXED}.get(kind, _SIGNED)  # type: ignore[arg-type]
    value: object = shape.unpack_from(data, at)[0]
    return value


def text(raw: bytes) -> str:
    """The text of a string field; MalformedError unless it is UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise broken("a text is not UTF-8") from error

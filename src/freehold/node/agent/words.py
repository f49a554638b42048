"""Words of the chain, by hand: calls of views, and their answers.

An ABI library costs a device 14 MB and 100 ms; what is needed here are words of 32 bytes, and
structs whose only dynamic members are texts and bytes (Solidity, contract ABI specification).
"""

from __future__ import annotations

from collections.abc import Mapping

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address, checksum, keccak, raw_address

WORD = 32
TEXT_MAX = 4_096
_DYNAMIC = {"string", "bytes"}
Value = int | bytes | str


def number(value: int) -> bytes:
    """The word of an unsigned number."""
    return value.to_bytes(WORD, "big")


def account(value: Address) -> bytes:
    """The word of an address."""
    return bytes(12) + raw_address(value)


def call(signature: str, *members: bytes) -> bytes:
    """The calldata of a function such as ``open_of(address)`` with words for arguments."""
    return keccak(signature.encode())[:4] + b"".join(members)


def numbers(data: bytes, *, most: int) -> list[int]:
    """The answer of a view that gives a list of at most ``most`` numbers."""
    start = _number(data, 0)
    count = _number(data, start)
    if count > most:
        raise _unfit(f"a list of {count:,}")
    return [_number(data, start + WORD * (1 + index)) for index in range(count)]


def struct(data: bytes, fields: Mapping[str, str]) -> dict[str, Value]:
    """The members of a struct that a view gives: ``fields`` are their ABI types by name.

    Numbers come as int, ``bytes`` and ``bytes32`` as bytes, addresses and texts as str.
    """
    base = _number(data, 0) if _DYNAMIC & set(fields.values()) else 0
    return {
        name: _member(data, base, base + WORD * place, kind)
        for place, (name, kind) in enumerate(fields.items())
    }


def _member(data: bytes, base: int, at: int, kind: str) -> Value:
    if kind == "string":
        return _bytes(data, base + _number(data, at)).decode(errors="replace")
    if kind == "bytes":
        return _bytes(data, base + _number(data, at))
    word = _word(data, at)
    if kind == "address":
        return checksum(word[12:])
    if kind == "bytes32":
        return word
    return int.from_bytes(word, "big", signed=kind.startswith("int"))


def _bytes(data: bytes, at: int) -> bytes:
    size = _number(data, at)
    raw = data[at + WORD : at + WORD + size]
    if size > TEXT_MAX or len(raw) != size:
        raise _unfit("a text")
    return raw


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(_word(data, at), "big")


def _word(data: bytes, at: int) -> bytes:
    word = data[at : at + WORD]
    if len(word) != WORD:
        raise _unfit("a word")
    return word


def _unfit(what: str) -> IntegrityError:
    return IntegrityError(
        f"the chain's answer does not fit: it lacks {what}",
        remedy="Check the RPC URLs and contract addresses in device.json.",
    )

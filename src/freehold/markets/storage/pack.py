"""Small objects together: one object, one deal, one proof for up to 16,384 of them.

A pack's data is its members one behind the other in order of name, each sealed under a key of
its own, and all sealed once more as segments of the pack. So whoever is given one member's
location can open that one: the pack's content key alone shows them only ciphertext.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.errors import CapacityError, IntegrityError, UsageError
from freehold.markets.storage.manifest import MAX_ENTRIES, Attributes, Location, Put
from freehold.markets.storage.seal import KEY_LENGTH, Random, open_segment, seal_segment

MAX_MEMBER = 2**20
"""Bytes up to which an object is small."""
MAX_PACK = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Small:
    """An object to be packed; ``modified`` in nanoseconds since 1970."""

    name: str
    data: bytes
    modified: int
    attributes: Attributes = ()


@dataclass(frozen=True, slots=True)
class Pack:
    """The data of a pack and the manifest entries of its members."""

    data: bytes
    puts: tuple[Put, ...]


def pack(members: Sequence[Small], *, object_id: bytes, content_key: bytes, random: Random) -> Pack:
    """Members sealed and joined, in order of name.

    CapacityError when a member is above 1 MiB, the pack above 64 MiB or 16,384 members;
    UsageError when two have one name.
    """
    _check(members)
    parts: list[bytes] = []
    puts: list[Put] = []
    offset = 0
    for member in sorted(members, key=lambda m: m.name):
        key = random(KEY_LENGTH)
        place = Location(object_id, content_key, offset, len(member.data), key)
        puts.append(Put(member.name, place, member.modified, member.attributes))
        parts.append(seal_segment(member.data, key=key, object_id=object_id, index=0, count=1))
        offset += place.stored_size
    return Pack(b"".join(parts), tuple(puts))


def _check(members: Sequence[Small]) -> None:
    for member in members:
        if len(member.data) > MAX_MEMBER:
            raise CapacityError(
                f"{member.name!r} has {len(member.data)} bytes, too many for a pack",
                remedy="Store it as an object of its own.",
            )
    if len(members) > MAX_ENTRIES or sum(len(m.data) + 16 for m in members) > MAX_PACK:
        raise CapacityError(
            f"{len(members)} members do not fit in one pack", remedy="Begin another pack."
        )
    if not members or len({m.name for m in members}) != len(members):
        raise UsageError(
            f"{len(members)} members cannot be packed",
            remedy="Pack at least one, and each name once.",
        )


def extract(data: bytes, place: Location, *, start: int = 0) -> bytes:
    """One object's bytes, from ``data`` that begins at ``start`` of the data at its location.

    Opens the member's own seal where it has one. IntegrityError when the location lies outside
    or the bytes are not those of this member.
    """
    begin = place.offset - start
    end = begin + place.stored_size
    if begin < 0 or end > len(data):
        raise IntegrityError(
            f"bytes {place.offset} to {place.offset + place.stored_size} lie outside what was read",
            remedy="Read the object again; if it stays so, its manifest is wrong.",
        )
    stored = data[begin:end]
    if place.member_key is None:
        return stored
    return open_segment(stored, key=place.member_key, object_id=place.object_id, index=0, count=1)

"""The sealed manifest at the head of every column of an object, in two layers.

::

    version | slots | outer | doors | sections | zeros up to a Padmé size

- **slots**: the data seed, sealed for the phrase, the wallet, other devices (``keys``).
- **outer**, under the catalogue key: sequence number, time, directories. Its associated data
  binds the object id and a hash of all other bytes, so one altered byte anywhere shows.
- **sections**, one a directory, under a key of that directory: its entries. Bound to object
  id, sequence number and place.
- **doors**: for each directory and each one above it, a box that the upper directory's key
  opens and that holds the section's key. So a shared prefix opens what lies under it, wherever
  that is, and nothing else. Their number is padded to a multiple of 8 with random boxes.

The object id is known from the chain, so a node that serves an older or a foreign manifest
cannot pass it off: it does not open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from freehold.domain.errors import CapacityError, IntegrityError, UsageError, VersionError
from freehold.domain.ids import Address
from freehold.markets.storage import names
from freehold.markets.storage.codec import Reader, Writer
from freehold.markets.storage.column import MAX_HEADER_LENGTH, padded_size
from freehold.markets.storage.keys import (
    MAX_SLOT_LENGTH,
    MAX_SLOTS,
    DataSeed,
    PathKey,
    Slot,
    SlotKind,
    check_slots,
)
from freehold.markets.storage.manifest import (
    MAX_ENTRIES,
    Entry,
    Manifest,
    decode_section,
    encode_section,
)
from freehold.markets.storage.seal import BOX_OVERHEAD, KEY_LENGTH, Random, open_box, seal_box

VERSION = 1
MIN_LENGTH = 1024
MAX_DOORS = 4 * MAX_ENTRIES
SHARED_DEPTH = 32
"""Deeper directories are shared by their own key or one of the first 32 above them."""
_DOOR_GROUP = 8
_DOOR_LENGTH = 8 + 4 + KEY_LENGTH + BOX_OVERHEAD
_GRAIN = 128


@dataclass(frozen=True, slots=True)
class Header:
    """A header taken apart, nothing opened yet."""

    slots: tuple[Slot, ...]
    outer: bytes
    doors: tuple[bytes, ...]
    sections: tuple[bytes, ...]

    @classmethod
    def parse(cls, data: bytes) -> Header:
        """The parts of a column's header; IntegrityError, or VersionError when newer."""
        reader = Reader(data, what="the column's header")
        version = reader.number()
        if version != VERSION:
            raise VersionError(
                f"the column's header has version {version}, not {VERSION}",
                remedy="Install a newer release of freehold.",
            )
        slots = tuple(_read_slot(reader) for _ in range(reader.number(MAX_SLOTS)))
        outer = reader.blob(MAX_HEADER_LENGTH)
        doors = tuple(reader.fixed(_DOOR_LENGTH) for _ in range(reader.number(MAX_DOORS)))
        count = reader.number(MAX_ENTRIES)
        sections = tuple(reader.blob(MAX_HEADER_LENGTH) for _ in range(count))
        length = padded_size(reader.at, least=MIN_LENGTH)
        if length != len(data) or reader.rest().strip(b"\0"):
            reader.fail("its padding is wrong")
        return cls(slots, outer, doors, sections)

    def render(self) -> bytes:
        """The bytes of the header; CapacityError above 8 MiB."""
        writer = Writer()
        writer.number(VERSION)
        writer.number(len(self.slots))
        for slot in self.slots:
            writer.number(slot.kind)
            writer.blob(slot.body)
        writer.blob(self.outer)
        writer.number(len(self.doors))
        writer.fixed(b"".join(self.doors))
        writer.number(len(self.sections))
        for section in self.sections:
            writer.blob(section)
        data = writer.data
        length = padded_size(len(data), least=MIN_LENGTH)
        if length > MAX_HEADER_LENGTH:
            raise CapacityError(
                f"a manifest of {length} bytes is longer than {MAX_HEADER_LENGTH}",
                remedy="Put fewer objects in one pack, or give them fewer attributes.",
            )
        return data.ljust(length, b"\0")

    def bound(self, object_id: bytes) -> bytes:
        """Associated data of the outer layer: the object and every other byte."""
        rest = Header(self.slots, b"", self.doors, self.sections).render()
        return b"freehold outer 1" + object_id + sha256(rest).digest()


def _read_slot(reader: Reader) -> Slot:
    kind, body = reader.number(255), reader.blob(MAX_SLOT_LENGTH)
    if kind not in set(SlotKind):
        reader.fail(f"there is no slot of kind {kind}")
    return Slot(SlotKind(kind), body)


def seal_header(
    manifest: Manifest,
    *,
    seed: DataSeed,
    account: Address,
    slots: tuple[Slot, ...],
    random: Random,
) -> bytes:
    """The header of every column of ``manifest``'s object.

    UsageError on impossible slots, CapacityError when it would be longer than 8 MiB.
    """
    check_slots(slots)
    root = seed.root(account)
    directories = manifest.directories()
    doors: list[bytes] = []
    sections: list[bytes] = []
    for index, (directory, entries) in enumerate(directories.items()):
        lineage = root.lineage(directory)[1:]
        key = lineage[-1].section_key(manifest.object_id)
        plain = _pad(encode_section(manifest.object_id, directory, entries))
        bound = _section_bound(manifest.object_id, manifest.sequence, index)
        sections.append(seal_box(plain, key=key, bound=bound, random=random))
        inside = manifest.sequence.to_bytes(8, "big") + index.to_bytes(4, "big") + key
        reached = lineage[:SHARED_DEPTH] + lineage[SHARED_DEPTH:][-1:]
        doors += (_seal_door(above, inside, manifest.object_id, random) for above in reached)
    doors += (random(_DOOR_LENGTH) for _ in range(-len(doors) % _DOOR_GROUP))
    if len(doors) > MAX_DOORS:
        raise CapacityError(
            f"a manifest over {len(directories)} directories needs {len(doors)} doors",
            remedy="Put objects of fewer directories in one pack.",
        )
    header = Header(slots, b"", tuple(sorted(doors)), tuple(sections))
    outer = seal_box(
        _encode_outer(manifest, directories),
        key=seed.catalogue_key(),
        bound=header.bound(manifest.object_id),
        random=random,
    )
    return Header(slots, outer, header.doors, header.sections).render()


def open_header(data: bytes, *, object_id: bytes, seed: DataSeed, account: Address) -> Manifest:
    """The manifest of ``object_id``; IntegrityError when altered, old, foreign or malformed."""
    header = Header.parse(data)
    box = open_box(header.outer, key=seed.catalogue_key(), bound=header.bound(object_id))
    if box is None:
        raise _closed(object_id, "it is of another object or account, or altered")
    sequence, created, directories = _decode_outer(box, object_id)
    root = seed.root(account)
    entries: list[Entry] = []
    for index, directory in enumerate(directories):
        key = root.lineage(directory)[-1].section_key(object_id)
        entries += _open_section(header, index, key, object_id=object_id, sequence=sequence)[1]
    return _manifest(object_id, sequence, created, entries)


def open_shared(data: bytes, *, object_id: bytes, key: PathKey) -> Manifest | None:
    """What the holder of a shared directory's key may know of an object; None when nothing.

    Its ``created`` is 0. IntegrityError when a door that opens leads to something malformed.
    """
    header = Header.parse(data)
    bound = _door_bound(object_id)
    door_key = key.door_key(object_id)
    opened = (open_box(door, key=door_key, bound=bound) for door in header.doors)
    entries: list[Entry] = []
    sequences: set[int] = set()
    for inside in opened:
        if inside is None:
            continue
        sequence, index = int.from_bytes(inside[:8], "big"), int.from_bytes(inside[8:12], "big")
        directory, part = _open_section(
            header, index, inside[12:], object_id=object_id, sequence=sequence
        )
        if key.lineage(directory)[-1].section_key(object_id) != inside[12:]:
            raise _closed(object_id, "a door leads to another directory")
        entries += part
        sequences.add(sequence)
    if len(sequences) > 1:
        raise _closed(object_id, "its doors disagree")
    return _manifest(object_id, sequences.pop(), 0, entries) if sequences else None


def _open_section(
    header: Header, index: int, key: bytes, *, object_id: bytes, sequence: int
) -> tuple[str, tuple[Entry, ...]]:
    if index >= len(header.sections):
        raise _closed(object_id, f"it has no section {index}")
    bound = _section_bound(object_id, sequence, index)
    plain = open_box(header.sections[index], key=key, bound=bound)
    if plain is None:
        raise _closed(object_id, f"its section {index} is altered")
    return decode_section(object_id, _unpad(plain, object_id))


def _manifest(object_id: bytes, sequence: int, created: int, entries: Iterable[Entry]) -> Manifest:
    try:
        return Manifest(object_id, sequence, created, tuple(entries))
    except UsageError as error:
        raise _closed(object_id, error.message) from error


def _encode_outer(manifest: Manifest, directories: Iterable[str]) -> bytes:
    writer = Writer()
    writer.number(manifest.sequence)
    writer.number(manifest.created)
    listed = list(directories)
    writer.number(len(listed))
    for directory in listed:
        writer.text(directory)
    return _pad(writer.data)


def _decode_outer(box: bytes, object_id: bytes) -> tuple[int, int, list[str]]:
    reader = Reader(_unpad(box, object_id), what=f"the manifest of object {object_id.hex()[:16]}")
    sequence, created = reader.number(), reader.number()
    directories = [reader.text(names.MAX_NAME) for _ in range(reader.number(MAX_ENTRIES))]
    reader.end()
    return sequence, created, directories


def _seal_door(above: PathKey, inside: bytes, object_id: bytes, random: Random) -> bytes:
    key = above.door_key(object_id)
    return seal_box(inside, key=key, bound=_door_bound(object_id), random=random)


def _door_bound(object_id: bytes) -> bytes:
    return b"freehold door 1" + object_id


def _section_bound(object_id: bytes, sequence: int, index: int) -> bytes:
    place = sequence.to_bytes(8, "big") + index.to_bytes(4, "big")
    return b"freehold section 1" + object_id + place


def _pad(plain: bytes) -> bytes:
    writer = Writer()
    writer.blob(plain)
    data = writer.data
    return data.ljust(-(-len(data) // _GRAIN) * _GRAIN, b"\0")


def _unpad(padded: bytes, object_id: bytes) -> bytes:
    reader = Reader(padded, what=f"the manifest of object {object_id.hex()[:16]}")
    plain = reader.blob(MAX_HEADER_LENGTH)
    if len(reader.rest().strip(b"\0")):
        reader.fail("its padding is not zero")
    return plain


def _closed(object_id: bytes, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the manifest of object {object_id.hex()[:16]} does not open: {reason}",
        remedy="Read the header from another of the object's nodes.",
    )

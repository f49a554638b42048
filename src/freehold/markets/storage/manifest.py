"""What an object's manifest says: which names it puts, links or deletes, and when.

A manifest is one page of the account's log. Its sequence number orders it among the others,
and for every name the latest page that speaks of it holds (``listing.fold``). A rename is a
delete of the old name and a put of the new one that points at the same bytes, so whoever may
read the new directory can read the object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from freehold.domain.errors import IntegrityError, UsageError
from freehold.markets.storage import names
from freehold.markets.storage.codec import Reader, Writer
from freehold.markets.storage.seal import KEY_LENGTH, TAG_LENGTH

MAX_ENTRIES = 16384
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTES_LENGTH = 8192
Attributes = tuple[tuple[str, str], ...]
"""Further properties of an object, sorted by name: media type, digest, user metadata."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object's ``size`` bytes lie and what opens them.

    They begin at ``offset`` of the data of object ``object_id``, whose segments
    ``content_key`` opens. In a pack they are sealed once more under ``member_key``, as segment
    0 of 1 and 16 bytes longer, so that one member can be shared alone.
    """

    object_id: bytes
    content_key: bytes = field(repr=False)
    offset: int
    size: int
    member_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        keys = (self.object_id, self.content_key, self.member_key or bytes(KEY_LENGTH))
        lengths = all(len(key) == KEY_LENGTH for key in keys)
        if not lengths or not 0 <= self.size < 2**62 or not 0 <= self.offset < 2**62:
            raise UsageError(
                f"no object lies at {self.offset} with {self.size} bytes and such keys",
                remedy="Ids and keys have 32 bytes; sizes and offsets are not negative.",
            )

    @property
    def stored_size(self) -> int:
        """Bytes that it takes in the data of ``object_id``."""
        return self.size if self.member_key is None else self.size + TAG_LENGTH


@dataclass(frozen=True, slots=True)
class Put:
    """``name`` now means the bytes at ``location``; ``modified`` in nanoseconds since 1970."""

    name: str
    location: Location
    modified: int
    attributes: Attributes = ()

    def __post_init__(self) -> None:
        names.check(self.name)
        if not 0 <= self.modified < 2**64:
            raise UsageError(
                f"{self.name!r} was modified at no possible time", remedy="Set its time to now."
            )
        _check_attributes(self.name, self.attributes)


@dataclass(frozen=True, slots=True)
class Delete:
    """``name`` no longer means anything."""

    name: str

    def __post_init__(self) -> None:
        names.check(self.name)


Entry = Put | Delete


@dataclass(frozen=True, slots=True)
class Manifest:
    """A page of the log, in the header of object ``object_id``.

    ``created`` in nanoseconds since 1970. Entries are sorted by name, one for each; UsageError
    when two speak of one name, or there are more than 16,384.
    """

    object_id: bytes
    sequence: int
    created: int
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda e: e.name)))
        distinct = len({entry.name for entry in self.entries})
        if distinct != len(self.entries) or distinct > MAX_ENTRIES:
            raise UsageError(
                f"a manifest of {len(self.entries)} entries speaks of {distinct} names",
                remedy=f"Give each name once, and at most {MAX_ENTRIES} in a manifest.",
            )
        if len({p.location.content_key for p in self.own_puts()}) > 1:
            raise UsageError(
                "a manifest gives its object two content keys", remedy="Seal an object under one."
            )
        numbers = 0 <= self.sequence < 2**64 and 0 <= self.created < 2**64
        if len(self.object_id) != 32 or not numbers:
            raise UsageError(
                f"no manifest has sequence number {self.sequence}",
                remedy="Ids have 32 bytes; numbers are not negative.",
            )

    def own_puts(self) -> tuple[Put, ...]:
        """Puts whose bytes lie in this very object, not in an earlier one."""
        puts = (entry for entry in self.entries if isinstance(entry, Put))
        return tuple(put for put in puts if put.location.object_id == self.object_id)

    def directories(self) -> dict[str, tuple[Entry, ...]]:
        """Entries by directory, both in order."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(names.directory(entry.name), []).append(entry)
        return {name: tuple(found[name]) for name in sorted(found)}


def rename(put: Put, name: str) -> tuple[Delete, Put]:
    """The entries that make ``put`` be known as ``name``."""
    return Delete(put.name), Put(name, put.location, put.modified, put.attributes)


def _check_attributes(name: str, attributes: Attributes) -> None:
    keys = [key for key, _ in attributes]
    try:
        length = sum(len((key + value).encode()) for key, value in attributes)
    except UnicodeEncodeError:
        length = MAX_ATTRIBUTES_LENGTH + 1
    small = len(keys) <= MAX_ATTRIBUTES and length <= MAX_ATTRIBUTES_LENGTH
    if not small or keys != sorted(set(keys)):
        raise UsageError(
            f"the attributes of {name!r} are too many, too long, not sorted or not Unicode",
            remedy=f"Give at most {MAX_ATTRIBUTES} in {MAX_ATTRIBUTES_LENGTH} bytes, each once.",
        )


_DELETE, _WHOLE, _MEMBER, _LINK, _LINK_MEMBER = range(5)


def encode_section(object_id: bytes, directory: str, entries: tuple[Entry, ...]) -> bytes:
    """The canonical bytes of what a manifest says about one directory."""
    writer = Writer()
    writer.text(directory)
    own = [e.location for e in entries if isinstance(e, Put) and e.location.object_id == object_id]
    writer.blob(own[0].content_key if own else b"")
    writer.number(len(entries))
    for entry in entries:
        _write_entry(writer, entry, object_id)
    return writer.data


def _write_entry(writer: Writer, entry: Entry, object_id: bytes) -> None:
    name = entry.name.rpartition("/")[2]
    if isinstance(entry, Delete):
        writer.number(_DELETE)
        writer.text(name)
        return
    place = entry.location
    link = place.object_id != object_id
    writer.number((_LINK if link else _WHOLE) + (place.member_key is not None))
    writer.text(name)
    writer.number(entry.modified)
    write_location(writer, place, own=not link)
    writer.number(len(entry.attributes))
    for pair in entry.attributes:
        for text in pair:
            writer.text(text)


def write_location(writer: Writer, place: Location, *, own: bool) -> None:
    """Write ``place``; of an object's own bytes the reader knows id and content key."""
    writer.number(place.size)
    writer.number(place.offset)
    if not own:
        writer.fixed(place.object_id + place.content_key)
    if place.member_key is not None:
        writer.fixed(place.member_key)


def decode_section(object_id: bytes, data: bytes) -> tuple[str, tuple[Entry, ...]]:
    """The directory and entries of ``encode_section``; IntegrityError when malformed."""
    reader = Reader(data, what=f"the manifest of object {object_id.hex()[:16]}")
    directory = reader.text(names.MAX_NAME)
    content_key = reader.blob(KEY_LENGTH)
    count = reader.number(MAX_ENTRIES)
    try:
        entries = tuple(
            _read_entry(reader, directory, (object_id, content_key)) for _ in range(count)
        )
    except UsageError as error:
        raise IntegrityError(error.message, remedy=error.remedy) from error
    reader.end()
    return directory, entries


def _read_entry(reader: Reader, directory: str, own: tuple[bytes, bytes]) -> Entry:
    kind = reader.number(_LINK_MEMBER)
    last = reader.text(names.MAX_NAME)
    if "/" in last:
        reader.fail(f"{last!r} is not a name in {directory!r}")
    name = f"{directory}/{last}"
    if kind == _DELETE:
        return Delete(name)
    modified = reader.number()
    member = kind in (_MEMBER, _LINK_MEMBER)
    place = read_location(reader, own if kind in (_WHOLE, _MEMBER) else None, member=member)
    pairs = [
        (reader.text(MAX_ATTRIBUTES_LENGTH), reader.text(MAX_ATTRIBUTES_LENGTH))
        for _ in range(reader.number(MAX_ATTRIBUTES))
    ]
    return Put(name, place, modified, tuple(pairs))


def read_location(reader: Reader, own: tuple[bytes, bytes] | None, *, member: bool) -> Location:
    """A location as ``write_location`` wrote it; ``own`` is (object id, content key)."""
    size, offset = reader.number(), reader.number()
    object_id, content_key = own or (reader.fixed(32), reader.fixed(KEY_LENGTH))
    member_key = reader.fixed(KEY_LENGTH) if member else None
    return Location(object_id, content_key, offset, size, member_key)

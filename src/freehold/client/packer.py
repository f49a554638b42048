"""Small objects, renames and deletions: promised at once, put on the chain together.

A promise is one synced row of the journal; until its pack opens it is shown as pending. Packs
flush by size, by number, or when the oldest promise has waited long enough. An entry belongs to
one pack at a time and leaves the journal only when that pack's deal is on the chain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from freehold.client.catalog import Catalog
from freehold.client.journal import Entry, Intent, Journal
from freehold.domain.clock import Clock
from freehold.domain.errors import CapacityError, IntegrityError
from freehold.markets.storage import names
from freehold.markets.storage.manifest import (
    Attributes,
    Delete,
    Location,
    Manifest,
    Put,
    decode_section,
    encode_section,
)
from freehold.markets.storage.manifest import Entry as ManifestEntry
from freehold.markets.storage.pack import MAX_MEMBER, Small, pack
from freehold.markets.storage.seal import KEY_LENGTH

PUT, LINK, DELETE = "put", "link", "delete"
PACK = "a pack of small objects"
_NOWHERE = bytes(32)
_HEAD = 4
Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """When a pack is flushed: bytes, entries, and seconds that the oldest has waited."""

    size: int = 32 * 2**20
    count: int = 4096
    wait: int = 30


@dataclass(frozen=True, slots=True)
class Load:
    """A pack ready to be put: its data and its page of the log."""

    object_id: bytes
    key: bytes
    data: bytes
    manifest: Manifest

    def sizes(self) -> dict[str, int]:
        """Bytes by name of everything in it; 0 for what is deleted."""
        return {
            entry.name: entry.location.size if isinstance(entry, Put) else 0
            for entry in self.manifest.entries
        }


class Packer:
    """The queue of promises of one account."""

    def __init__(
        self,
        journal: Journal,
        catalog: Catalog,
        *,
        clock: Clock,
        random: Random,
        owner: int,
        limits: Limits | None = None,
    ) -> None:
        self._owner = owner
        self._journal, self._catalog = journal, catalog
        self._clock, self._random = clock, random
        self.limits = limits or Limits()

    def add(self, name: str, data: bytes, *, modified: int, attributes: Attributes = ()) -> int:
        """Promise a small object; it is durable when this returns. CapacityError above 1 MiB.

        The number of a promise that can be taken back; 0 where it stands in for an older one.
        """
        if len(data) > MAX_MEMBER:
            raise CapacityError(
                f"{name!r} has {len(data)} bytes, too many for a pack",
                remedy="Store it as an object of its own.",
            )
        names.check(name)
        with self._journal.write():
            older = self._journal.entry_named(name)
            made = self._journal.add_entry(name, PUT, _frame(attributes, data), modified)
        return 0 if older else made

    def take_back(self, promises: Collection[int]) -> None:
        """Forget promises that ``add`` numbered, but for those that a pack carries."""
        with self._journal.write():
            self._journal.drop_entries(sorted(promises))

    def link(self, put: Put) -> None:
        """Promise that a name means bytes that are stored already."""
        section = encode_section(_NOWHERE, names.directory(put.name), (put,))
        self._journal.add_entry(put.name, LINK, section, put.modified)

    def delete(self, name: str, *, modified: int) -> None:
        """Promise that a name means nothing."""
        self._journal.add_entry(names.check(name), DELETE, b"", modified)

    def together(self) -> AbstractContextManager[None]:
        """All promises of the block at once or none, and nobody else's between them."""
        return self._journal.write()

    def pending(self) -> dict[str, Entry]:
        """The latest promise about every name."""
        return {entry.name: entry for entry in self._journal.all_entries()}

    def promise_of(self, name: str) -> Entry | None:
        """The latest promise about one name."""
        return self._journal.entry_named(name)

    def held_objects(self) -> set[bytes]:
        """Objects that a promised name points at, and those of puts under way: an older page may
        rank above such a one's own until its put has said again what holds."""
        putting = {intent.object_id for intent in self._journal.intents()}
        # Read after the puts: one that has ended meanwhile has left its promise.
        links = self._journal.all_entries(kind=LINK)
        return putting | {linked(entry).location.object_id for entry in links}

    def speaks_of(self, name: str) -> bool:
        """Whether a promise or a put under way speaks of a name: more than the pages know."""
        return self.promise_of(name) is not None or self._journal.putting(name)

    def names_under_way(self) -> set[str]:
        """All names that pages speak of which are not listed yet."""
        return self._journal.names_under_way()

    def due(self) -> bool:
        """Whether a pack should be flushed now."""
        count, size, oldest = self._journal.waiting()
        waited = self._clock.now() - oldest // 10**9
        full = size >= self.limits.size or count >= self.limits.count
        return full or (count > 0 and waited >= self.limits.wait)

    def load(self, object_id: bytes, names: Collection[str] | None = None) -> Load | None:
        """Assign the oldest promises (about ``names``; or all) to a new pack, ``object_id``; None
        when none wait.

        Only the last promise about a name goes in; what it overrides is dropped with the pack.
        """
        self._catalog.listing()  # nobody waits for the journal while pages are opened
        with self._journal.write():
            entries = self._needed(names)
            if not entries:
                return None
            self._journal.save_intent(self._placeholder(object_id), [])
            self._journal.assign(object_id, [entry.id for entry in entries])
            sequence = self._journal.bump("sequence", self._catalog.next_sequence())
        key = self._random(KEY_LENGTH)
        latest = {entry.name: entry for entry in entries}
        return self._build(object_id, key, sequence, latest.values())

    def _needed(self, names: Collection[str] | None) -> list[Entry]:
        """The oldest promises that a page must carry; what is needless before them is dropped."""
        while waiting := self._fitting(self._waiting(names)):
            needless = {entry.id for entry in waiting if self._needless(entry)}
            self._journal.drop_entries(sorted(needless))
            if entries := [entry for entry in waiting if entry.id not in needless]:
                return entries
        return []

    def _waiting(self, names: Collection[str] | None) -> list[Entry]:
        if names is None:
            return self._journal.entries(limit=self.limits.count)
        return self._journal.entries_about(names)[: self.limits.count]

    def _needless(self, entry: Entry) -> bool:
        """Whether this deletes what no page that is stored, waits or is under way ever named."""
        return (
            entry.kind == DELETE
            and not self._journal.named_before(entry)
            and not self._journal.putting(entry.name)
            and not self._catalog.versions(entry.name)
        )

    def _placeholder(self, object_id: bytes) -> Intent:
        """Whose entries these are, should this process die before the put has its own record."""
        now = self._clock.now()
        return Intent(object_id, PACK, PACK, b"", b"", 0, now, "packing", self._owner)

    def _fitting(self, entries: Sequence[Entry]) -> list[Entry]:
        chosen: list[Entry] = []
        size = 0
        for entry in entries:
            size += len(entry.body) + 16
            if chosen and size > self.limits.size + MAX_MEMBER:
                break
            chosen.append(entry)
        return chosen

    def _build(self, object_id: bytes, key: bytes, sequence: int, entries: Iterable[Entry]) -> Load:
        smalls: list[Small] = []
        others: list[ManifestEntry] = []
        for entry in entries:
            if entry.kind == PUT:
                attributes, data = unframe(entry.body)
                smalls.append(Small(entry.name, data, entry.modified, attributes))
            elif entry.kind == LINK:
                others.append(linked(entry))
            else:
                others.append(Delete(entry.name))
        data, puts = b"", tuple[Put, ...]()
        if smalls:
            packed = pack(smalls, object_id=object_id, content_key=key, random=self._random)
            data, puts = packed.data, packed.puts
        created = self._clock.now() * 10**9
        return Load(object_id, key, data, Manifest(object_id, sequence, created, (*puts, *others)))


def linked(entry: Entry) -> Put:
    """The put that a link entry promises."""
    _, entries = decode_section(_NOWHERE, entry.body)
    put = entries[0]
    if isinstance(put, Put):
        return put
    raise IntegrityError(
        f"the journal's promise about {entry.name!r} is damaged",
        remedy="Restore the client's state folder; what is on the chain is safe.",
    )


def unframe(body: bytes) -> tuple[Attributes, bytes]:
    """Attributes and data of a put entry."""
    length = int.from_bytes(body[:_HEAD], "big")
    pairs = json.loads(body[_HEAD : _HEAD + length])
    return tuple((str(key), str(value)) for key, value in pairs), body[_HEAD + length :]


def promised(entry: Entry) -> Put | None:
    """What a promise will mean, before it has a place; None for a deletion."""
    if entry.kind == DELETE:
        return None
    if entry.kind == LINK:
        return linked(entry)
    attributes, data = unframe(entry.body)
    nowhere = Location(_NOWHERE, bytes(KEY_LENGTH), 0, len(data))
    return Put(entry.name, nowhere, entry.modified, attributes)


def _frame(attributes: Attributes, data: bytes) -> bytes:
    text = json.dumps([list(pair) for pair in attributes]).encode()
    return len(text).to_bytes(_HEAD, "big") + text + data

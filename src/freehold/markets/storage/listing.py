"""What an account owns: its manifests folded into one listing.

The fold takes them in any order and with repeats. For each name the entry of the highest
(sequence number, object id) holds; two devices that write at once thus agree on the outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError
from freehold.markets.storage.manifest import Delete, Entry, Manifest, Put

Rank = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Item:
    """A name that means something, and the log page that says so."""

    put: Put
    sequence: int
    object_id: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """All items by name, in order.

    ``sequence`` is the highest seen (-1 when there is no manifest): the next page takes one
    more. ``obsolete`` are objects whose deals can all be closed, in any order, without changing
    the listing: nothing in them is named any more, and no name would come back.
    """

    items: Mapping[str, Item]
    sequence: int
    obsolete: frozenset[bytes]

    def under(self, prefix: str) -> tuple[Item, ...]:
        """Items of a bucket or directory."""
        return tuple(i for name, i in self.items.items() if name.startswith(f"{prefix}/"))


def fold(manifests: Iterable[Manifest]) -> Listing:
    """The listing of a set of manifests; IntegrityError when two differ for one object."""
    pages = _distinct(manifests)
    latest: dict[str, tuple[Rank, Entry]] = {}
    oldest_put: dict[str, Rank] = {}
    for page in pages.values():
        rank = (page.sequence, page.object_id)
        for entry in page.entries:
            if entry.name not in latest or rank > latest[entry.name][0]:
                latest[entry.name] = (rank, entry)
            if isinstance(entry, Put):
                oldest_put[entry.name] = min(rank, oldest_put.get(entry.name, rank))
    items = {
        name: Item(entry, *rank)
        for name, (rank, entry) in sorted(latest.items())
        if isinstance(entry, Put)
    }
    needed = _needed(items, latest, oldest_put)
    highest = max((page.sequence for page in pages.values()), default=-1)
    return Listing(items, highest, frozenset(pages) - needed)


def _distinct(manifests: Iterable[Manifest]) -> dict[bytes, Manifest]:
    pages: dict[bytes, Manifest] = {}
    for page in manifests:
        if pages.setdefault(page.object_id, page) != page:
            raise IntegrityError(
                f"two different manifests claim object {page.object_id.hex()[:16]}",
                remedy="Check which column matches the PieceCID of the deal.",
            )
    return pages


def _needed(
    items: Mapping[str, Item],
    latest: Mapping[str, tuple[Rank, Entry]],
    oldest_put: Mapping[str, Rank],
) -> set[bytes]:
    """Objects that hold bytes or the name of an item, or hide a put that would come back."""
    needed = {item.object_id for item in items.values()}
    needed |= {item.put.location.object_id for item in items.values()}
    for name, (rank, entry) in latest.items():
        if isinstance(entry, Delete) and name in oldest_put and oldest_put[name] < rank:
            needed.add(rank[1])
    return needed

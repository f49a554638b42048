"""Names taken away or changed, and deals closed that nothing needs any more."""

from __future__ import annotations

import time

from freehold.client.catalog import Catalog
from freehold.client.chain import Chain
from freehold.client.packer import PUT, Packer, unframe
from freehold.client.view import View
from freehold.domain.errors import NotFoundError, RefusedError
from freehold.markets.storage import names
from freehold.markets.storage.manifest import Delete, Manifest, Put, rename


class Removing:
    """Deletes and renames objects of one account."""

    def __init__(self, chain: Chain, catalog: Catalog, packer: Packer, view: View) -> None:
        self._chain, self._catalog = chain, catalog
        self._packer, self._view = packer, view

    def remove(self, name: str) -> list[int]:
        """Delete an object; the deals that were closed for it, oldest first.

        One that shares its deal with others is deleted by a promise, pending until the next pack.
        """
        self._view.named(name)
        # Asked before the pages are read: what has ended meanwhile is among these.
        spoken = self._packer.speaks_of(name)
        own = self._own_pages(name)
        if own is None or spoken:
            self._packer.delete(name, modified=time.time_ns())
        return [self.close(object_id) for object_id in own or ()]

    def move(self, old: str, new: str) -> None:
        """Rename an object by a promise; no byte is copied."""
        names.check(new)
        self._view.named(old)  # that it is there; and nobody waits for the journal meanwhile
        if old == new:
            return
        with self._packer.together():
            entry = self._packer.promise_of(old)
            named = self._view.means(old, entry)
            if entry is not None and entry.kind == PUT:
                attributes, data = unframe(entry.body)
                self._packer.add(new, data, modified=entry.modified, attributes=attributes)
            else:
                self._packer.link(rename(named.put, new)[1])
            self._packer.delete(old, modified=time.time_ns())

    def tidy(self) -> list[int]:
        """Close the deals of objects that no name needs; their ids."""
        self._catalog.listing()  # nobody waits for the journal while pages are opened
        with self._packer.together():  # a renaming has said what it needs, or looks after this
            obsolete = self._obsolete()
        closed = []
        for object_id in sorted(obsolete):
            try:
                closed.append(self.close(object_id))
            except NotFoundError:
                continue  # another process of this account was faster
        return closed

    def _obsolete(self) -> set[bytes]:
        """What the listing needs no more, nor a promise, nor a page that is still under way: a
        deletion hides what that one says of the name."""
        pages = {page.object_id: page for page in self._catalog.manifests()}
        obsolete = self._catalog.listing().obsolete & pages.keys()
        coming = self._packer.names_under_way()
        return {
            object_id
            for object_id in obsolete - self._packer.held_objects()
            if not _deletes(pages[object_id]) & coming
        }

    def close(self, object_id: bytes) -> int:
        """Close an object's deal and forget it; also one whose closing was cut short."""
        deal = self._catalog.page(object_id).deal
        try:
            self._chain.close(deal)
        except RefusedError:
            if not self._chain.deal(deal).closed_at:
                raise
        self._catalog.drop(object_id)
        return deal

    def _own_pages(self, name: str) -> list[bytes] | None:
        """The objects that hold ``name`` and nothing else, oldest first; None when others do too.

        Closing these, the newest last, deletes the name without a page that says so.
        """
        pages = [m for m in self._catalog.manifests() if any(e.name == name for e in m.entries)]
        if not pages or not all(_holds_only(page, name) for page in pages):
            return None
        ids = {page.object_id for page in pages} & self._needed_elsewhere(name)
        if ids:
            return None
        return [m.object_id for m in sorted(pages, key=lambda m: (m.sequence, m.object_id))]

    def _needed_elsewhere(self, name: str) -> set[bytes]:
        items = self._catalog.listing().items.values()
        linked = {i.put.location.object_id for i in items if i.put.name != name}
        return linked | self._packer.held_objects()


def _deletes(page: Manifest) -> set[str]:
    return {entry.name for entry in page.entries if isinstance(entry, Delete)}


def _holds_only(page: Manifest, name: str) -> bool:
    return all(
        entry.name == name and isinstance(entry, Put) and entry.location.object_id == page.object_id
        for entry in page.entries
    )

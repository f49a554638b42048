"""What every name means to the account: the listing on the chain, and promises on top."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.client.catalog import Catalog
from freehold.client.journal import Entry
from freehold.client.packer import Packer, promised
from freehold.domain.errors import NotFoundError
from freehold.markets.storage.manifest import Put


@dataclass(frozen=True, slots=True)
class Named:
    """An object by name. ``sequence`` is its version, -1 while ``pending``."""

    put: Put
    sequence: int
    pending: bool

    @property
    def name(self) -> str:
        """Bucket and key."""
        return self.put.name

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.put.location.size


class View:
    """The account's names now."""

    def __init__(self, catalog: Catalog, packer: Packer) -> None:
        self._catalog, self._packer = catalog, packer

    def under(self, prefix: str) -> list[Named]:
        """Objects whose name is or lies under ``prefix`` (all with an empty one), by name."""
        return [
            named
            for name, named in sorted(self._all().items())
            if not prefix or name == prefix or name.startswith(prefix.rstrip("/") + "/")
        ]

    def named(self, name: str) -> Named:
        """One object; NotFoundError when the name means nothing."""
        return self.means(name, self._packer.promise_of(name))

    def means(self, name: str, entry: Entry | None) -> Named:
        """What a name means when ``entry`` is the latest promise about it, as read before this."""
        item = self._catalog.listing().items.get(name)
        if entry is not None:
            put = promised(entry)
            if put is not None:
                return Named(put, -1, pending=True)
        elif item is not None:
            return Named(item.put, item.sequence, pending=False)
        raise NotFoundError(
            f"there is no object {name!r}", remedy="List what there is with `freehold ls`."
        )

    def _all(self) -> dict[str, Named]:
        # Promises first: one that is kept meanwhile is in the listing by then.
        pending = self._packer.pending()
        found = {
            name: Named(item.put, item.sequence, pending=False)
            for name, item in self._catalog.listing().items.items()
        }
        for name, entry in pending.items():
            put = promised(entry)
            if put is None:
                found.pop(name, None)
            else:
                found[name] = Named(put, -1, pending=True)
        return found

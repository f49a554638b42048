"""All events of a contract that match, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from freehold.ledger.values import Event

_PAGE = 1_000


class Paged(Protocol):
    """An index of events that answers a page at a time."""

    def events(
        self,
        contract: str,
        name: str,
        *,
        where: Mapping[str, object] | None = None,
        since: int = 0,
        after: Event | None = None,
        limit: int = 1_000,
    ) -> list[Event]:
        """At most ``limit`` events in block order, those behind ``after``."""


def every(
    index: Paged,
    contract: str,
    name: str,
    where: Mapping[str, object] | None = None,
    *,
    since: int = 0,
) -> Iterator[Event]:
    """Events as the index has them now, from the block ``since`` on, in order."""
    last: Event | None = None
    while True:
        page = index.events(contract, name, where=where, since=since, after=last, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]

"""Which columns are alive on a node, read from the event index and checked on the chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import Column, Deal
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from freehold.markets.storage.piece import cid_from

PAGE = 500


@dataclass(frozen=True, slots=True)
class Placed:
    """A column where it is now."""

    number: int
    slot: int
    deal: Deal
    column: Column

    @property
    def cid(self) -> str:
        """The PieceCID of the column."""
        return cid_from(self.column.root, self.deal.size, self.deal.height)


class Columns:
    """Looks columns up; nothing is kept in memory between calls."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on(self, node: Address) -> Iterator[Placed]:
        """The columns that ``node`` holds now, whatever their state but finished."""
        seen: set[tuple[int, int]] = set()
        for name in ("ColumnOpened", "ColumnReplaced"):
            for event in self._pages(name, node):
                place = (event.number("deal"), event.number("slot"))
                if place not in seen:
                    seen.add(place)
                    placed = self.at(*place)
                    if placed.column.node == node:
                        yield placed

    def at(self, deal: int, slot: int) -> Placed:
        """The column in one place of a deal."""
        storage = self._ledger.storage
        return Placed(deal, slot, storage.deal(deal), storage.column(deal, slot))

    def _pages(self, name: str, node: Address) -> Iterator[Event]:
        last = None
        while True:
            page = self._ledger.index.events(
                "storage", name, where={"node": node}, after=last, limit=PAGE
            )
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1]

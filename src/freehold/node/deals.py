"""Follows the chain for the deals that this node's columns are part of.

Everything here can be read again from the chain at any time; the records are an index for the
node's own decisions: which pieces to keep, which rails to settle, what to finish.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ACTIVE, FINISHED
from freehold.ledger.paging import every
from freehold.ledger.values import Event
from freehold.markets.storage.piece import cid_from
from freehold.node.database import Cell, Database, integer, text
from freehold.node.logs import fields
from freehold.node.ports import Chain

MARGIN = 256
"""Blocks before the last one followed that are read again each time."""
PAGE = 500
ROLLED = 2
"""State of a piece whose removal from its set was applied."""
_log = logging.getLogger(__name__)
_SELECT = "SELECT deal, slot, cid, client, size, piece_id, rail, term_end, state FROM columns"


@dataclass(frozen=True, slots=True)
class HeldColumn:
    """A column of a deal that is or was on this node; ``state`` as in the storage market."""

    deal: int
    slot: int
    cid: str
    client: Address
    size: int
    piece_id: int
    rail: int
    term_end: int
    state: int


class Deals:
    """The records of this node's columns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Iterator[HeldColumn]:
        """Every column, by rail, in pages."""
        last = 0
        while True:
            rows = self._database.rows(
                _SELECT + " WHERE rail > ? ORDER BY rail LIMIT ?", (last, PAGE)
            )
            found = [_column(row) for row in rows]
            yield from found
            if len(found) < PAGE:
                return
            last = found[-1].rail

    def active(self) -> list[HeldColumn]:
        """Columns whose deal goes on."""
        return [column for column in self.all() if column.state == ACTIVE]

    def over(self, now: int) -> list[HeldColumn]:
        """Columns that ended, or whose term is past: to be settled and finished."""
        return [c for c in self.all() if c.state != ACTIVE or c.term_end <= now]

    def at(self, deal: int, slot: int) -> HeldColumn | None:
        """The newest column of ours in that place."""
        row = self._database.row(
            _SELECT + " WHERE deal = ? AND slot = ? ORDER BY rail DESC LIMIT 1",
            (deal, slot),
        )
        return None if row is None else _column(row)

    def of(self, rail: int) -> HeldColumn | None:
        """The column that a rail pays for, if it is ours."""
        row = self._database.row(_SELECT + " WHERE rail = ?", (rail,))
        return None if row is None else _column(row)

    def add(self, column: HeldColumn, root: bytes) -> bool:
        """Record a column; False when it was known. The acceptance it came from is used up."""
        with self._database.write():
            fresh = self._database.run(
                "INSERT OR IGNORE INTO columns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    column.deal,
                    column.slot,
                    column.cid,
                    column.client,
                    root,
                    column.size,
                    column.piece_id,
                    column.rail,
                    column.term_end,
                    column.state,
                ),
            )
            self._database.run(
                "UPDATE acceptances SET opened = 1 WHERE cid = ? AND client = ? AND term_end = ?",
                (column.cid, column.client, column.term_end),
            )
        return bool(fresh)

    def set_state(self, rail: int, state: int) -> None:
        """Record what became of a column."""
        with self._database.write():
            self._database.run("UPDATE columns SET state = ? WHERE rail = ?", (state, rail))

    def set_term(self, deal: int, term_end: int) -> None:
        """Record that a deal was renewed."""
        with self._database.write():
            self._database.run("UPDATE columns SET term_end = ? WHERE deal = ?", (term_end, deal))

    def forget(self, rail: int) -> None:
        """Drop a column that needs nothing any more; its piece is free to be collected."""
        with self._database.write():
            self._database.run("DELETE FROM columns WHERE rail = ?", (rail,))

    def counts(self) -> dict[int, int]:
        """How many columns are in each state."""
        rows = self._database.rows("SELECT state, count(*) FROM columns GROUP BY state")
        return {integer(row[0]): integer(row[1]) for row in rows}


def is_cleared(chain: Chain, set_id: int, piece_id: int) -> bool:
    """Whether no challenge can ask for a piece any more: removed for good, or its set closed."""
    removed = chain.pdp.piece(set_id, piece_id).removed
    return removed >= ROLLED or chain.pdp.set(set_id).closed


class Follower:
    """Keeps ``Deals`` true to the chain's events, reorganisations included."""

    def __init__(self, chain: Chain, node: Address, database: Database, deals: Deals) -> None:
        self._chain = chain
        self._node = node
        self._database = database
        self._deals = deals
        self.reached = 0
        """The last block whose events are in the records."""
        self.seen_until = 0
        """Block time up to which everything of the chain is in the records."""
        self._known = (-1, -1)
        self._past: set[int] = set()

    def step(self) -> None:
        """Read what happened since the last step."""
        head = self._chain.head()
        self.reached = self._chain.index.sync()
        rollbacks = self._chain.index.rollbacks()
        if (self.reached, rollbacks) != self._known:
            self._follow(rollbacks)
            self._known = (self.reached, rollbacks)
        if self.reached >= head.number:
            self.seen_until = head.time

    def _follow(self, rollbacks: int) -> None:
        since = self._since(str(rollbacks))
        for name in ("ColumnOpened", "ColumnReplaced"):
            for event in self._events(name, since, node=self._node):
                self._opened(event)
        for event in self._events("ColumnEnded", since, node=self._node):
            self._ended(event)
        for event in self._events("DealRenewed", since):
            self._deals.set_term(event.number("deal"), event.number("term_end"))
        self._database.remember("followed", str(self.reached))

    def _since(self, rollbacks: str) -> int:
        """The block to read from: again from the start after a reorganisation."""
        if self._database.mark("rollbacks") != rollbacks:
            self._past.clear()
            self._check_all()
            self._database.remember("rollbacks", rollbacks)
            return 0
        return max(int(self._database.mark("followed") or "0") - MARGIN, 0)

    def _events(self, name: str, since: int, **where: object) -> Iterator[Event]:
        return every(self._chain.index, "storage", name, where, since=since)

    def _opened(self, event: Event) -> None:
        number, slot, rail = event.number("deal"), event.number("slot"), event.number("rail")
        known = self._deals.at(number, slot)
        if rail in self._past or (known is not None and known.rail >= rail):
            return
        found = self._chain.storage.column_of(rail)
        if found.state == FINISHED and self._is_cleared(found.piece_id):
            self._past.add(rail)
            return
        deal = self._chain.storage.deal(number)
        column = HeldColumn(
            number,
            slot,
            cid_from(found.root, deal.size, deal.height),
            deal.client,
            deal.size,
            found.piece_id,
            rail,
            deal.term_end,
            found.state,
        )
        if self._deals.add(column, found.root):
            _log.info(
                "a column opened",
                extra=fields(deal=number, slot=slot, cid=column.cid, client=column.client),
            )
            if not self._database.row("SELECT 1 FROM pieces WHERE cid = ?", (column.cid,)):
                _log.error(
                    "a deal names a piece that is not on this disk",
                    extra=fields(
                        cid=column.cid,
                        remedy="Restore it from a backup, or have the client close the deal.",
                    ),
                )

    def _is_cleared(self, piece_id: int) -> bool:
        return is_cleared(self._chain, self._chain.faults.set_of(self._node), piece_id)

    def _ended(self, event: Event) -> None:
        column = self._deals.of(event.number("rail"))
        if column is not None and column.state == ACTIVE:
            self._check(column)

    def _check(self, column: HeldColumn) -> None:
        """Put the chain's present state of one column into its record."""
        state = self._chain.storage.column_of(column.rail).state
        if state != column.state:
            self._deals.set_state(column.rail, state)
            _log.info(
                "a column changed",
                extra=fields(deal=column.deal, slot=column.slot, state=state),
            )

    def _check_all(self) -> None:
        """After a reorganisation: drop columns that never were, revive those that go on."""
        for column in list(self._deals.all()):
            try:
                found = self._chain.storage.column_of(column.rail)
            except RefusedError:
                self._deals.forget(column.rail)
                continue
            if found.node == self._node and found.piece_id == column.piece_id:
                self._check(column)
            else:
                self._deals.forget(column.rail)


def _column(row: tuple[Cell, ...]) -> HeldColumn:
    deal, slot, cid, client, size, piece_id, rail, term_end, state = row
    return HeldColumn(
        integer(deal),
        integer(slot),
        text(cid),
        Address(text(client)),
        integer(size),
        integer(piece_id),
        integer(rail),
        integer(term_end),
        integer(state),
    )

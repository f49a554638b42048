"""Objects of a deal as readable columns: their heads, their shards, and whole pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from freehold.client.catalog import Page
from freehold.client.chain import Chain
from freehold.client.peers import Peers
from freehold.client.retrieval import Cheques
from freehold.domain.errors import (
    CancelledError,
    FreeholdError,
    IntegrityError,
    NotEnoughShardsError,
)
from freehold.ledger.contracts.storage import FINISHED, Column, Deal
from freehold.markets.storage.column import PREFIX_LENGTH, ColumnLayout
from freehold.markets.storage.piece import Committer, Piece, cid_from, parse_cid

BLOCK = 4 * 2**20


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RemoteColumn:
    """One column of a deal on its node. Reads are paid when the node wants it."""

    slot: int
    deal: Deal
    record: Column
    peers: Peers
    cheques: Cheques

    @property
    def cid(self) -> str:
        """The PieceCID of the column."""
        return cid_from(self.record.root, self.deal.size, self.deal.height)

    @property
    def piece(self) -> Piece:
        """What the chain says the column is."""
        return parse_cid(self.cid)

    def read(self, start: int, into: memoryview, *, stop: Callable[[], bool] = _never) -> None:
        """Fill ``into`` from ``start`` of the column."""
        session = self.peers.session(self.record.node)
        self.cheques.read(session, f"/piece/{self.cid}", start, into, stop=stop)

    def fetch(self, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``."""
        data = bytearray(length)
        self.read(start, memoryview(data))
        return bytes(data)

    def audit(self) -> bool:
        """Whether the whole column hashes to its root; False also when it cannot be read."""
        committer = Committer()
        block = bytearray(min(BLOCK, self.deal.size))
        try:
            for at in range(0, self.deal.size, BLOCK):
                view = memoryview(block)[: min(BLOCK, self.deal.size - at)]
                self.read(at, view)
                committer.update(view)
            return committer.finish().root == self.record.root
        except CancelledError:
            raise
        except FreeholdError:
            return False

    def head(self) -> bytes:
        """Prefix and header; IntegrityError when they do not belong to the deal."""
        prefix = self.fetch(0, min(PREFIX_LENGTH, self.deal.size))
        layout = ColumnLayout.parse(prefix)
        fits = (layout.k, layout.n, layout.total) == (self.deal.k, self.deal.n, self.deal.size)
        if not fits:
            raise IntegrityError(
                f"column {self.slot} on node {self.record.node} is laid out as {layout.k} of "
                f"{layout.n} in {layout.total} bytes, the deal says {self.deal.k} of "
                f"{self.deal.n} in {self.deal.size}",
                remedy="The other columns are asked; report this node.",
            )
        return prefix + self.fetch(PREFIX_LENGTH, layout.header_length)


class Library:
    """Finds the columns of deals."""

    def __init__(self, chain: Chain, peers: Peers, cheques: Cheques) -> None:
        self._chain, self._peers, self._cheques = chain, peers, cheques

    def columns(self, deal: int) -> dict[int, RemoteColumn]:
        """The columns of a deal by slot, finished ones left out."""
        record = self._chain.deal(deal)
        return {
            slot: RemoteColumn(slot, record, column, self._peers, self._cheques)
            for slot in range(record.n)
            if (column := self._chain.column(deal, slot)).state != FINISHED
        }

    def page(self, deal: int, accept: Callable[[Page], object]) -> Page:
        """The head of a deal's columns that ``accept`` takes, from whichever node gives it.

        A node that serves an old, foreign or altered head is passed over, for ``accept`` raises
        IntegrityError on it. NotEnoughShardsError tells what went wrong when none is left.
        """
        reasons: list[str] = []
        for column in self.columns(deal).values():
            try:
                page = Page(column.deal.object_id, deal, column.head())
                accept(page)
            except FreeholdError as error:
                reasons.append(error.message)
                continue
            return page
        why = "; ".join(reasons[:3]) or "no column is left"
        raise NotEnoughShardsError(
            f"no node gives the manifest of deal {deal}: {why}",
            remedy="Try again when one of its nodes answers; a watcher repairs lost columns.",
        )

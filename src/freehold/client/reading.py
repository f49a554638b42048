"""Objects of a deal as readable columns: their heads, their shards, and whole pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from freehold.client.catalog import Page
from freehold.client.chain import Chain
from freehold.client.peers import Peers
from freehold.client.retrieval import Cheques
from freehold.domain.errors import (
    CancelledError,
    FreeholdError,
    InsufficientFundsError,
    IntegrityError,
    NotEnoughShardsError,
)
from freehold.ledger.contracts.storage import FINISHED, Column, Deal
from freehold.markets.storage.column import MAX_HEADER_LENGTH, PREFIX_LENGTH, ColumnLayout
from freehold.markets.storage.piece import Committer, Piece, cid_from, parse_cid

BLOCK = 4 * 2**20
WITNESSES = 3
"""Nodes that must give the same head before a reader who cannot authenticate it believes it."""


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
        """Whether the whole column hashes to its root; False also when it cannot be read, but
        InsufficientFundsError when it is the reader who cannot pay for it."""
        try:
            return self._hash(0)[0] == self.record.root
        except (CancelledError, InsufficientFundsError):
            raise
        except FreeholdError:
            return False

    def head(self) -> bytes:
        """Prefix and header; IntegrityError when they do not belong to the deal."""
        prefix = self.fetch(0, min(PREFIX_LENGTH, self.deal.size))
        return prefix + self.fetch(PREFIX_LENGTH, self._layout(prefix).header_length)

    def proven_head(self) -> bytes:
        """Prefix and header out of the whole column, read and hashed; IntegrityError when it does
        not hash to the root that the chain names."""
        root, first = self._hash(PREFIX_LENGTH + MAX_HEADER_LENGTH)
        if root != self.record.root:
            raise IntegrityError(
                f"column {self.slot} on node {self.record.node} is not the piece {self.cid}",
                remedy="The other columns are asked; report this node.",
            )
        return first[: self._layout(first[:PREFIX_LENGTH]).data_offset]

    def _hash(self, keep: int) -> tuple[bytes, bytes]:
        """The root of what the node gives for the whole column, and its first ``keep`` bytes."""
        committer, kept = Committer(), bytearray()
        block = bytearray(min(BLOCK, self.deal.size))
        for at in range(0, self.deal.size, BLOCK):
            view = memoryview(block)[: min(BLOCK, self.deal.size - at)]
            self.read(at, view)
            committer.update(view)
            kept += view[: keep - len(kept)]
        return committer.finish().root, bytes(kept)

    def _layout(self, prefix: bytes) -> ColumnLayout:
        layout = ColumnLayout.parse(prefix)
        fits = (layout.k, layout.n, layout.total) == (self.deal.k, self.deal.n, self.deal.size)
        if not fits:
            raise IntegrityError(
                f"column {self.slot} on node {self.record.node} is laid out as {layout.k} of "
                f"{layout.n} in {layout.total} bytes, the deal says {self.deal.k} of "
                f"{self.deal.n} in {self.deal.size}",
                remedy="The other columns are asked; report this node.",
            )
        return layout


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

    def former(self, deal: int) -> list[RemoteColumn]:
        """The columns of a deal on nodes that they were moved away from, newest first.

        A node keeps what was moved until its new node has proven it, for a bounded time.
        """
        record = self._chain.deal(deal)
        return [
            RemoteColumn(
                slot,
                record,
                replace(self._chain.column(deal, slot), node=node),
                self._peers,
                self._cheques,
            )
            for slot, node in self._chain.former(deal)
        ]

    def page(self, deal: int, accept: Callable[[Page], object]) -> Page:
        """The head of a deal's columns that ``accept`` takes, from whichever node gives it.

        For readers whose ``accept`` tells any altered head, raising IntegrityError: its node is
        passed over. NotEnoughShardsError tells what went wrong when none is left,
        InsufficientFundsError that a node wants money which the reader lacks.
        """
        ballot = _Ballot(deal, accept)
        for column in self.columns(deal).values():
            page = ballot.ask(column)
            if page is not None:
                return page
        raise ballot.silence()

    def agreed_page(self, deal: int, accept: Callable[[Page], object]) -> Page:
        """The head of a deal's columns that its nodes agree on, among those ``accept`` takes.

        For readers who hold the key to a part of it only, so that they could not tell what a node
        left out. All columns of a deal begin alike: once two nodes differ, everyone is asked, and
        the head of more than half of those who answer is taken; without such a majority that of a
        column which hashes to its root.
        """
        ballot = _Ballot(deal, accept)
        for column in self.columns(deal).values():
            ballot.ask(column)
            if ballot.unanimous >= WITNESSES:
                break
        return ballot.winner()


class _Ballot:
    """What the nodes of one deal give as its head, and why some gave none."""

    def __init__(self, deal: int, accept: Callable[[Page], object]) -> None:
        self._deal, self._accept = deal, accept
        self._votes: dict[bytes, list[RemoteColumn]] = {}
        self._reasons: list[FreeholdError] = []

    def ask(self, column: RemoteColumn) -> Page | None:
        """Count a column's head; None when it gives none that is accepted."""
        page = self._try(column, column.head)
        if page is not None:
            self._votes.setdefault(page.head, []).append(column)
        return page

    @property
    def unanimous(self) -> int:
        """How many gave the same head, if none gave another; 0 otherwise."""
        return len(next(iter(self._votes.values()))) if len(self._votes) == 1 else 0

    def winner(self) -> Page:
        """The page with a majority, or else one that is proven by its root."""
        ranked = sorted(self._votes.items(), key=lambda vote: -len(vote[1]))
        if not ranked:
            raise self.silence()
        head, voters = ranked[0]
        if 2 * len(voters) > sum(len(columns) for _, columns in ranked):
            return Page(voters[0].deal.object_id, self._deal, head)
        for column in (column for _, columns in ranked for column in columns):
            page = self._try(column, column.proven_head)
            if page is not None:
                return page
        raise self.silence()

    def silence(self) -> FreeholdError:
        """Why there is no head: a lack of money before all else, since no waiting mends it."""
        poor = next((e for e in self._reasons if isinstance(e, InsufficientFundsError)), None)
        if poor is not None:
            return poor
        why = "; ".join(error.message for error in self._reasons[:3]) or "no column is left"
        return NotEnoughShardsError(
            f"no node gives the manifest of deal {self._deal}: {why}",
            remedy="Try again when one of its nodes answers; a watcher repairs lost columns.",
        )

    def _try(self, column: RemoteColumn, read: Callable[[], bytes]) -> Page | None:
        try:
            page = Page(column.deal.object_id, self._deal, read())
            self._accept(page)
        except CancelledError:
            raise
        except FreeholdError as error:
            self._reasons.append(error)
            return None
        return page

"""A column made anew from k others and put on another node: repair and drain are this one call.

No key is needed: ciphertext suffices, and the root on the chain says whether it is right. When
it is not, the columns that were read are hashed, those that lie are left out, and it is tried
once more. Where fewer than k columns can be read, nodes that held one before it was moved are
asked: it may have been moved to a node that never had it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from freehold.client import accepting
from freehold.client.accepting import Parties
from freehold.client.chain import Chain
from freehold.client.peers import Peers
from freehold.client.quote import stake_needed
from freehold.client.reading import Library, RemoteColumn
from freehold.client.session import Body, Session
from freehold.control.placement import Candidate, Need, place
from freehold.domain.errors import (
    ConflictError,
    FreeholdError,
    IntegrityError,
    NotEnoughShardsError,
    UnavailableError,
)
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ACTIVE, Acceptance, Deal
from freehold.markets.storage.column import (
    PREFIX_LENGTH,
    REPAIR_BLOCK,
    ColumnLayout,
    Reader,
    regenerate,
)
from freehold.markets.storage.piece import Committer, Piece

TARGETS = 4
"""Nodes that are tried for one column."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A column that moved: its new node and the transaction that says so."""

    deal: int
    slot: int
    node: Address
    transaction: str
    liars: tuple[int, ...] = ()


class Repairer:
    """Regenerates columns of any client's deals, within their mandates."""

    def __init__(self, chain: Chain, peers: Peers, library: Library) -> None:
        self._chain, self._peers, self._library = chain, peers, library

    def repair(self, deal: int, slot: int, *, target: Address | None = None) -> Repaired:
        """Regenerate column ``slot`` of ``deal`` on ``target``, or on the best fitting node.

        NotEnoughShardsError below k columns, CapacityError when no node fits the mandate,
        RefusedError when the contract sees no reason to replace the column.
        """
        record = self._chain.deal(deal)
        columns = self._library.columns(deal)
        if slot not in columns:
            raise ConflictError(
                f"deal {deal} has no live column {slot}", remedy="List its columns with `info`."
            )
        failures: list[FreeholdError] = []
        for node in self._targets(record, columns, slot, target)[:TARGETS]:
            try:
                acceptance, liars = self._place(deal, columns[slot], node)
            except (NotEnoughShardsError, IntegrityError):
                raise
            except FreeholdError as error:
                failures.append(error)
                continue
            tag = f"replace:{deal}:{slot}:{acceptance.signature.hex()[:32]}"
            done = self._chain.replace(deal, slot, acceptance, tag=tag)
            return Repaired(deal, slot, node, done, liars)
        raise UnavailableError(
            f"no node took column {slot} of deal {deal}: {failures[-1].message}",
            remedy="Try again later: every fitting node refused it just now.",
        )

    def _targets(
        self,
        record: Deal,
        columns: Mapping[int, RemoteColumn],
        slot: int,
        target: Address | None,
    ) -> list[Address]:
        candidates = self._peers.candidates(fresh=True)
        owners = {candidate.node: candidate.owner for candidate in candidates}
        others = [c.record.node for s, c in columns.items() if s != slot]
        allowed = [c for c in candidates if target in (None, c.node)]
        placement = place(allowed, self._need(record, columns[slot], owners, others))
        chosen: list[Candidate] = [*placement.chosen, *placement.spares]
        return [candidate.node for candidate in chosen]

    def _need(
        self,
        record: Deal,
        column: RemoteColumn,
        owners: Mapping[Address, Address],
        others: list[Address],
    ) -> Need:
        mandate = record.mandate
        return Need(
            columns=1,
            size=record.size,
            term=max(1, record.term_end - self._chain.now()),
            max_price=mandate.max_price,
            stake=max(mandate.min_stake, stake_needed(record.size, self._chain.terms())),
            seed=record.object_id + bytes([column.slot]),
            per_owner=mandate.per_owner,
            excluded=frozenset([*others, column.record.node]),
            taken=Counter(owners[node] for node in others if node in owners),
        )

    def _place(
        self, deal: int, column: RemoteColumn, node: Address
    ) -> tuple[Acceptance, tuple[int, ...]]:
        session = self._peers.session(node)
        try:
            return self._accept(column.deal, session, column.piece), ()
        except FreeholdError:
            liars = self._copy(deal, column, session)
        return self._accept(column.deal, session, column.piece), liars

    def _accept(self, record: Deal, session: Session, piece: Piece) -> Acceptance:
        return accepting.accept(
            session,
            self._chain.network,
            parties=Parties(record.client, self._chain.account, record.token),
            piece=piece,
            term_end=record.term_end,
            now=self._chain.now(),
        )

    def _copy(self, deal: int, column: RemoteColumn, session: Session) -> tuple[int, ...]:
        """Send the column to ``session``; the slots that turned out to lie."""
        bad: set[tuple[int, Address]] = set()
        liars: set[int] = set()
        while True:
            failed: set[int] = set()
            sources, layout = self._sources(deal, column, bad)
            try:
                self._send(column, layout, _watched(sources, failed), session)
                return tuple(sorted(liars))
            except IntegrityError:
                failed |= {s for s in sources if s not in failed and not sources[s].audit()}
                liars |= failed
                if not failed:
                    raise
            except FreeholdError:
                if not failed:
                    raise
            bad |= {(s, sources[s].record.node) for s in failed}

    def _sources(
        self, deal: int, column: RemoteColumn, bad: set[tuple[int, Address]]
    ) -> tuple[dict[int, RemoteColumn], ColumnLayout]:
        """Columns to regenerate one from: present ones, and former ones where those do not do."""
        active = [c for c in self._library.columns(deal).values() if c.record.state == ACTIVE]
        present = _others(active, column, bad)
        try:
            return _readable(present, column.deal)
        except NotEnoughShardsError:
            former = _others(self._library.former(deal), column, bad)
            if not former:
                raise
            return _readable([*present, *former], column.deal)

    def _send(
        self,
        column: RemoteColumn,
        layout: ColumnLayout,
        sources: Mapping[int, Reader],
        session: Session,
    ) -> None:
        record = column.deal
        path = f"/upload/{accepting.begin(session, record.size)}"
        committer, offset = Committer(), 0
        with ThreadPoolExecutor(2 * layout.k + 1) as pool:
            chosen = sorted(sources)[: layout.k]
            readers = {s: _Ahead(sources[s], _plan(layout), pool) for s in chosen}
            for block in regenerate(layout, column.slot, readers):
                sending = pool.submit(session.send, path, offset, Body.of(memoryview(block)))
                committer.update(block)
                sending.result()
                offset += len(block)
        piece = committer.finish()
        if piece.root != column.record.root:
            session.ask("DELETE", path)
            raise IntegrityError(
                f"column {column.slot} of object {record.object_id.hex()[:16]} regenerates to "
                f"{piece.cid}, the deal names {column.cid}",
                remedy="One of the columns that were read lies; they are hashed to find it.",
            )
        accepting.finish(session, path.rpartition("/")[2], piece.cid)


class _Ahead:
    """Reads along a plan, fetching the next block while the present one is used."""

    def __init__(
        self,
        read: Reader,
        plan: Iterator[tuple[int, int]],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._read, self._plan, self._pool = read, plan, pool
        self._ahead: tuple[tuple[int, int], Future[bytes]] | None = None

    def __call__(self, offset: int, length: int) -> bytes:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            next(self._plan, None)
            ahead = (offset, length), self._pool.submit(self._read, offset, length)
        following = next(self._plan, None)
        if following is not None:
            self._ahead = following, self._pool.submit(self._read, *following)
        wanted, future = ahead
        return future.result() if wanted == (offset, length) else self._read(offset, length)


def _watched(sources: Mapping[int, RemoteColumn], failed: set[int]) -> dict[int, Reader]:
    """Readers that note in ``failed`` whose column could not be read."""

    def watch(slot: int, column: RemoteColumn) -> Reader:
        def read(offset: int, length: int) -> bytes:
            try:
                return column.fetch(offset, length)
            except FreeholdError:
                failed.add(slot)
                raise

        return read

    return {slot: watch(slot, column) for slot, column in sources.items()}


def _plan(layout: ColumnLayout) -> Iterator[tuple[int, int]]:
    """The reads that ``regenerate`` makes of each column, in order."""
    yield 0, layout.data_offset
    for segment in range(layout.segments):
        start, length = layout.shard_offset(segment), layout.shard_length(segment)
        for at in range(0, length, REPAIR_BLOCK):
            yield start + at, min(REPAIR_BLOCK, length - at)


def _others(
    columns: Iterable[RemoteColumn], lost: RemoteColumn, bad: set[tuple[int, Address]]
) -> list[RemoteColumn]:
    """Columns in other slots than the lost one, on nodes that did not turn out bad."""
    return [c for c in columns if c.slot != lost.slot and (c.slot, c.record.node) not in bad]


def _readable(
    columns: Iterable[RemoteColumn], record: Deal
) -> tuple[dict[int, RemoteColumn], ColumnLayout]:
    """The columns that answer with a prefix of the deal's shape, the first of each slot, and the
    layout they share."""
    found: dict[int, RemoteColumn] = {}
    layouts: Counter[ColumnLayout] = Counter()
    of: dict[int, ColumnLayout] = {}
    reasons: list[str] = []
    for column in columns:
        if column.slot in found:
            continue
        try:
            layout = ColumnLayout.parse(column.fetch(0, min(PREFIX_LENGTH, record.size)))
        except FreeholdError as error:
            reasons.append(error.message)
            continue
        if (layout.k, layout.n, layout.total) == (record.k, record.n, record.size):
            found[column.slot], of[column.slot] = column, layout
            layouts[layout] += 1
    if len(found) < record.k:
        raise NotEnoughShardsError(
            f"{len(found)} of the {record.k} columns that are needed can be read"
            + (f": {'; '.join(reasons[:3])}" if reasons else ""),
            remedy="Wait until more of the object's nodes answer.",
        )
    layout = layouts.most_common(1)[0][0]
    return {slot: column for slot, column in found.items() if of[slot] == layout}, layout

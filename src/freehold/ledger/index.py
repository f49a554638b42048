"""The event index: what the network's contracts logged, in a database that follows the head.

Only eth_getLogs and block headers are read, so a chain with pruned state serves. Blocks near the
head are stored one by one and linked by their parents' hashes; when a stored hash is no longer
the chain's, everything from there on is rolled back and read again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, Row, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.sql import ColumnElement

from freehold.domain.errors import (
    NotFoundError,
    UnavailableError,
    UsageError,
    VersionError,
)
from freehold.domain.network import Network
from freehold.ledger import abi
from freehold.ledger.abi import EventType
from freehold.ledger.rpc import Rpc
from freehold.ledger.tables import BLOCKS, EVENTS, METADATA, STATE, VERSION, open_sqlite, open_url
from freehold.ledger.values import Event, Header, Log, Value
from freehold.ledger.wire import RpcRefusal

SPAN = 1_000
"""Blocks in one eth_getLogs; halved while the RPC refuses so many."""
NEAR = 128
"""Every block this close to the head is stored; farther down only those with events and the
ends of spans, which is enough to find where a reorganisation began."""
_KEEP_SPARSE = 50
_THIN_EVERY = 1_000
_PAGE = 500
_PASSES = 10_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the index has read: the block's number and hash."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Batch:
    first: int
    headers: tuple[Header, ...]
    logs: tuple[Log, ...]


class _Moved(Exception):
    """The chain reorganised between two questions; look again."""


class Index:
    """Decoded events of a network; threads and processes may share the database.

    ``sync`` reads up to the head; queries answer from what was read. Raises UnavailableError when
    the database or the chain cannot be used, VersionError for a newer or foreign database.
    """

    def __init__(self, network: Network, *, rpc: Rpc, engine: Engine) -> None:
        self._network = network
        self._id = network.network_id.hex()
        self._rpc = rpc
        self._engine = engine
        self._span = SPAN
        self._thinned = 0
        self._lock = threading.Lock()
        self._names = {place: name for name, place in network.contracts.items()}
        self._prepare()

    @classmethod
    def open(cls, network: Network, *, rpc: Rpc, state: Path, database: str | None = None) -> Index:
        """The index in ``state``, or in the database of an SQLAlchemy URL."""
        engine = open_url(database) if database else open_sqlite(state / "index.sqlite")
        try:
            return cls(network, rpc=rpc, engine=engine)
        except BaseException:
            engine.dispose()
            raise

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    # --- following the head ----------------------------------------------------------------------

    def sync(self, *, blocks: int | None = None) -> int:
        """Read up to the head, or at most about ``blocks`` further; the last block read.

        Reorganisations met on the way are rolled back. Bounded: it stops at the head seen first.
        """
        with self._lock:
            head = self._rpc.header("latest").number
            begun = self.cursor().number
            target = head if blocks is None else min(head, begun + blocks)
            for _ in range(_PASSES):
                if not self._step(target):
                    return self.cursor().number
        return self.cursor().number

    def _step(self, target: int) -> bool:
        cursor = self._settled(self.cursor())
        if cursor.number >= target:
            return False
        try:
            batch = self._fetch(cursor, target)
        except (_Moved, NotFoundError):
            return True
        self._store(cursor, batch)
        return True

    def _settled(self, cursor: Cursor) -> Cursor:
        """The newest block read that the chain still has; later ones are rolled back."""
        if cursor.number < self._network.deployed_block:
            return cursor
        found = self._rpc.find_header(cursor.number)
        if found is not None and found.hash == cursor.hash:
            return cursor
        for known in self._stored_backwards(cursor.number):
            found = self._rpc.find_header(known.number)
            if found is not None and found.hash == known.hash:
                return self._roll_back(known)
        return self._roll_back(self._origin())

    def _stored_backwards(self, number: int) -> Iterator[Cursor]:
        below = number
        while True:
            with self._open() as db:
                rows = db.execute(
                    select(BLOCKS.c.number, BLOCKS.c.hash)
                    .where(BLOCKS.c.network == self._id, BLOCKS.c.number < below)
                    .order_by(BLOCKS.c.number.desc())
                    .limit(_KEEP_SPARSE)
                ).all()
            yield from (Cursor(row.number, row.hash) for row in rows)
            if len(rows) < _KEEP_SPARSE:
                return
            below = rows[-1].number

    def _roll_back(self, to: Cursor) -> Cursor:
        with self._open() as db:
            mine = BLOCKS.c.network == self._id
            db.execute(delete(BLOCKS).where(mine, BLOCKS.c.number > to.number))
            db.execute(
                delete(EVENTS).where(EVENTS.c.network == self._id, EVENTS.c.block > to.number)
            )
            db.execute(
                update(STATE)
                .where(STATE.c.network == self._id)
                .values(rollbacks=STATE.c.rollbacks + 1)
            )
        return to

    def _fetch(self, cursor: Cursor, target: int) -> _Batch:
        first = cursor.number + 1
        last = min(target, first + self._span - 1)
        logs = self._logs(first, last)
        if logs is None:
            return self._fetch(cursor, target)
        near = range(max(first, target - NEAR + 1), last + 1)
        wanted = sorted({first, last, *near, *(log.block for log in logs)})
        headers = self._rpc.headers(wanted)
        _check_links(cursor, first, headers, logs)
        return _Batch(first, tuple(headers), tuple(logs))

    def _logs(self, first: int, last: int) -> list[Log] | None:
        """The logs of a span; None after the span was halved because the RPC refused it."""
        try:
            logs = self._rpc.logs(list(self._names), first, last)
        except RpcRefusal:
            if self._span == 1:
                raise
            self._span = max(1, self._span // 2)
            return None
        if any(log.address not in self._names or not first <= log.block <= last for log in logs):
            raise UnavailableError(
                f"the RPC answered logs that were not asked for (blocks {first} to {last})",
                remedy="Use another --rpc.",
            )
        return logs

    def _store(self, cursor: Cursor, batch: _Batch) -> None:
        times = {header.number: header.time for header in batch.headers}
        rows = [row for log in batch.logs if (row := self._row(log, times[log.block]))]
        try:
            with self._open() as db:
                if self._cursor(db) != cursor:
                    return  # another process was here first
                db.execute(insert(BLOCKS), [self._block(header) for header in batch.headers])
                if rows:
                    db.execute(insert(EVENTS), rows)
                self._thin(db, batch.headers[-1].number)
        except IntegrityError:
            return  # another process stored the same span at the same time

    def _thin(self, db: Connection, head: int) -> None:
        """Forget stored blocks far below the head, except those with events and every 50th."""
        if head - self._thinned < _THIN_EVERY:
            return
        self._thinned = head
        with_events = select(EVENTS.c.block).where(
            EVENTS.c.network == self._id, EVENTS.c.block == BLOCKS.c.number
        )
        db.execute(
            delete(BLOCKS).where(
                BLOCKS.c.network == self._id,
                BLOCKS.c.number < head - 4 * NEAR,
                BLOCKS.c.number % _KEEP_SPARSE != 0,
                ~with_events.exists(),
            )
        )

    def _block(self, header: Header) -> dict[str, object]:
        return {
            "network": self._id,
            "number": header.number,
            "hash": header.hash,
            "time": header.time,
        }

    def _row(self, log: Log, time: int) -> dict[str, object] | None:
        contract = self._names[log.address]
        kind = abi.artifact(contract).events.get(log.topics[0]) if log.topics else None
        if kind is None:
            return None
        topics = ["0x" + topic.hex() for topic in log.topics]
        topics += [""] * (4 - len(topics))
        return {
            "network": self._id,
            "block": log.block,
            "position": log.index,
            "contract": contract,
            "name": kind.name,
            "transaction": log.transaction,
            "block_hash": log.block_hash,
            "time": time,
            "topic0": topics[0],
            "topic1": topics[1] or None,
            "topic2": topics[2] or None,
            "topic3": topics[3] or None,
            "data": log.data,
        }

    # --- queries ---------------------------------------------------------------------------------

    def cursor(self) -> Cursor:
        """How far the index has read."""
        with self._open() as db:
            return self._cursor(db)

    def rollbacks(self) -> int:
        """How often a reorganisation was rolled back; a reader with a memory compares it."""
        with self._open() as db:
            query = select(STATE.c.rollbacks).where(STATE.c.network == self._id)
            return int(db.execute(query).scalar_one())

    def events(
        self,
        contract: str,
        name: str,
        *,
        where: Mapping[str, object] | None = None,
        since: int = 0,
        until: int | None = None,
        after: Event | None = None,
        limit: int = 1_000,
        newest_first: bool = False,
    ) -> list[Event]:
        """Events of a contract in block order, at most ``limit``.

        ``where`` compares arguments for equality (indexed ones in the database), ``since`` and
        ``until`` bound the block, ``after`` is the last event of the previous page.
        """
        kind = abi.artifact(contract).event(name)
        indexed, plain = _split(kind, where or {})
        found: list[Event] = []
        while len(found) < limit:
            page = self._page(contract, kind, indexed, (since, until), after, newest_first)
            matching = [e for e in page if all(e.args[f] == v for f, v in plain.items())]
            found += matching[: limit - len(found)]
            if len(page) < _PAGE:
                break
            after = page[-1]
        return found

    def last(
        self, contract: str, name: str, *, where: Mapping[str, object] | None = None
    ) -> Event | None:
        """The newest event that matches, None where there is none."""
        found = self.events(contract, name, where=where, limit=1, newest_first=True)
        return found[0] if found else None

    def count(self, contract: str, name: str, *, where: Mapping[str, object] | None = None) -> int:
        """How many events match; ``where`` may name indexed arguments only."""
        indexed, plain = _split(abi.artifact(contract).event(name), where or {})
        if plain:
            raise UsageError(
                f"{sorted(plain)} of {contract}.{name} are not indexed",
                remedy="Count what `events` returns.",
            )
        query = select(func.count()).select_from(EVENTS)
        query = query.where(*self._named(contract, name), *indexed)
        with self._open() as db:
            return int(db.execute(query).scalar_one())

    def _page(
        self,
        contract: str,
        kind: EventType,
        indexed: Sequence[ColumnElement[bool]],
        blocks: tuple[int, int | None],
        after: Event | None,
        newest_first: bool,
    ) -> list[Event]:
        since, until = blocks
        query = select(EVENTS).where(*self._named(contract, kind.name), *indexed)
        query = query.where(EVENTS.c.block >= since)
        if until is not None:
            query = query.where(EVENTS.c.block <= until)
        if after is not None:
            query = query.where(_beyond(after, newest_first))
        order = [EVENTS.c.block, EVENTS.c.position]
        query = query.order_by(*(c.desc() if newest_first else c.asc() for c in order))
        with self._open() as db:
            rows = db.execute(query.limit(_PAGE)).all()
        return [self._event(row) for row in rows]

    def _named(self, contract: str, name: str) -> tuple[ColumnElement[bool], ...]:
        return (
            EVENTS.c.network == self._id,
            EVENTS.c.contract == contract,
            EVENTS.c.name == name,
        )

    def _event(self, row: Row[tuple[object, ...]]) -> Event:
        topics = (row.topic0, row.topic1, row.topic2, row.topic3)
        log = Log(
            address=self._network.contracts[row.contract],
            topics=tuple(bytes.fromhex(topic[2:]) for topic in topics if topic),
            data=bytes(row.data),
            block=row.block,
            block_hash=row.block_hash,
            transaction=row.transaction,
            index=row.position,
        )
        decoded = abi.decode_log(row.contract, abi.artifact(row.contract), log)
        if decoded is None:
            raise VersionError(
                f"the index holds an event {row.contract}.{row.name} that this release lacks",
                remedy="Install the release of freehold that wrote the index.",
            )
        return Event(
            decoded.contract,
            decoded.name,
            decoded.args,
            decoded.block,
            decoded.index,
            decoded.transaction,
            decoded.block_hash,
            row.time,
        )

    # --- the database ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        with self._open() as db:
            METADATA.create_all(db)
            row = db.execute(select(STATE).where(STATE.c.network == self._id)).one_or_none()
            if row is None:
                first = self._network.deployed_block
                db.execute(
                    insert(STATE).values(
                        network=self._id, version=VERSION, first_block=first, rollbacks=0
                    )
                )
            elif row.version != VERSION:
                raise VersionError(
                    f"the event index has version {row.version}, not {VERSION}",
                    remedy="Install the release of freehold that wrote it, or delete it: "
                    "it is rebuilt from the chain.",
                )

    def _origin(self) -> Cursor:
        return Cursor(self._network.deployed_block - 1, "")

    def _cursor(self, db: Connection) -> Cursor:
        row = db.execute(
            select(BLOCKS.c.number, BLOCKS.c.hash)
            .where(BLOCKS.c.network == self._id)
            .order_by(BLOCKS.c.number.desc())
            .limit(1)
        ).one_or_none()
        return self._origin() if row is None else Cursor(row.number, row.hash)

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as db:
                yield db
        except IntegrityError:
            raise
        except OperationalError as error:
            raise UnavailableError(
                f"the event index cannot be used: {error.orig}",
                remedy="Check the disk's space and rights, or that the database server runs.",
            ) from error
        except SQLAlchemyError as error:
            if isinstance(error, DatabaseError) and self._engine.dialect.name == "sqlite":
                raise VersionError(
                    f"this is not an event index: {error.orig}",
                    remedy="Delete the index file: it is rebuilt from the chain.",
                ) from error
            raise UnavailableError(
                f"the event index cannot be used: {error}",
                remedy="Check the database URL and that the database server runs.",
            ) from error


def _check_links(
    cursor: Cursor, first: int, headers: Sequence[Header], logs: Sequence[Log]
) -> None:
    by_number = {header.number: header for header in headers}
    if cursor.hash and by_number[first].parent != cursor.hash:
        raise _Moved
    for header in headers:
        before = by_number.get(header.number - 1)
        if before is not None and before.hash != header.parent:
            raise _Moved
    if any(log.block_hash != by_number[log.block].hash for log in logs):
        raise _Moved


def _split(
    kind: EventType, where: Mapping[str, object]
) -> tuple[list[ColumnElement[bool]], dict[str, Value]]:
    topics = [parameter for parameter in kind.inputs if parameter.indexed]
    names = {parameter.name: parameter for parameter in kind.inputs}
    indexed: list[ColumnElement[bool]] = []
    plain: dict[str, Value] = {}
    for name, value in where.items():
        if name not in names:
            raise UsageError(
                f"event {kind.name} has no argument {name}", remedy=f"It has {sorted(names)}."
            )
        parameter = names[name]
        if parameter in topics:
            topic = abi.topic_of(parameter, value)
            column = EVENTS.c[f"topic{topics.index(parameter) + 1}"]
            indexed.append(column == "0x" + topic.hex())
        elif isinstance(value, (int, str, bytes)):
            plain[name] = value
    return indexed, plain


def _beyond(after: Event, newest_first: bool) -> ColumnElement[bool]:
    block, position = EVENTS.c.block, EVENTS.c.position
    if newest_first:
        return (block < after.block) | ((block == after.block) & (position < after.index))
    return (block > after.block) | ((block == after.block) & (position > after.index))

"""The event index: what the network's contracts logged, in a database that follows the head.

Only eth_getLogs and block headers are read, so a chain with pruned state serves. Blocks near the
head are stored one by one and linked by their parents' hashes; when a stored hash is no longer
the chain's, everything from there on is rolled back and read again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, Row, func, select
from sqlalchemy.sql import ColumnElement

from freehold.domain.errors import (
    NotFoundError,
    UnavailableError,
    UsageError,
    VersionError,
)
from freehold.domain.network import Network
from freehold.ledger import abi, shelf
from freehold.ledger.abi import EventType
from freehold.ledger.rpc import Rpc
from freehold.ledger.shelf import Cursor, Shelf
from freehold.ledger.tables import EVENTS, open_sqlite, open_url
from freehold.ledger.values import Event, Header, Log, Value
from freehold.ledger.wire import RpcRefusal

SPAN = 1_000
"""Blocks in one eth_getLogs; halved while the RPC refuses so many."""
_PAGE = 500
_PASSES = 10_000


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
        self._rpc = rpc
        self._shelf = Shelf(network, engine)
        self._names = self._shelf.names
        self._span = SPAN
        self._lock = threading.Lock()

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
        self._shelf.close()

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
        self._shelf.add(cursor, batch.headers, batch.logs)
        return True

    def _settled(self, cursor: Cursor) -> Cursor:
        """The newest block read that the chain still has; later ones are rolled back."""
        if cursor.number < self._network.deployed_block:
            return cursor
        found = self._rpc.find_header(cursor.number)
        if found is not None and found.hash == cursor.hash:
            return cursor
        for known in self._shelf.backwards(cursor.number):
            found = self._rpc.find_header(known.number)
            if found is not None and found.hash == known.hash:
                return self._shelf.roll_back(known)
        return self._shelf.roll_back(self._shelf.origin())

    def _fetch(self, cursor: Cursor, target: int) -> _Batch:
        first = cursor.number + 1
        last = min(target, first + self._span - 1)
        logs = self._logs(first, last)
        if logs is None:
            return self._fetch(cursor, target)
        near = range(max(first, target - shelf.NEAR + 1), last + 1)
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

    # --- queries ---------------------------------------------------------------------------------

    def cursor(self) -> Cursor:
        """How far the index has read."""
        return self._shelf.cursor()

    def rollbacks(self) -> int:
        """How often a reorganisation was rolled back; a reader with a memory compares it."""
        return self._shelf.rollbacks()

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
        with self._shelf.open() as db:
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
        with self._shelf.open() as db:
            rows = db.execute(query.limit(_PAGE)).all()
        return [self._event(row) for row in rows]

    def _named(self, contract: str, name: str) -> tuple[ColumnElement[bool], ...]:
        return (
            EVENTS.c.network == self._shelf.id,
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

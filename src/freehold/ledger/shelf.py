"""The event index's database: blocks read, events found, and what a reorganisation took back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, SQLAlchemyError

from freehold.domain.errors import UnavailableError, VersionError
from freehold.domain.network import Network
from freehold.ledger import abi
from freehold.ledger.tables import BLOCKS, EVENTS, METADATA, STATE, VERSION
from freehold.ledger.values import Header, Log

NEAR = 128
"""Every block this close to the head is stored; farther down only those with events and the
ends of spans, which is enough to find where a reorganisation began."""
_KEEP_SPARSE = 50
_THIN_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the index has read: the block's number and hash."""

    number: int
    hash: str


class Shelf:
    """One network's rows in a database that threads, processes and networks may share.

    Raises UnavailableError when the database cannot be used, VersionError for a newer or foreign
    one.
    """

    def __init__(self, network: Network, engine: Engine) -> None:
        self._network = network
        self._engine = engine
        self._thinned = 0
        self.id = network.network_id.hex()
        self.names = {place: name for name, place in network.contracts.items()}
        self._prepare()

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def cursor(self) -> Cursor:
        """How far was read."""
        with self.open() as db:
            return self._cursor(db)

    def rollbacks(self) -> int:
        """How many reorganisations were rolled back."""
        with self.open() as db:
            query = select(STATE.c.rollbacks).where(STATE.c.network == self.id)
            return int(db.execute(query).scalar_one())

    def origin(self) -> Cursor:
        """The block before the network's first."""
        return Cursor(self._network.deployed_block - 1, "")

    def backwards(self, number: int) -> Iterator[Cursor]:
        """Stored blocks below a number, the highest first."""
        below = number
        while True:
            with self.open() as db:
                rows = db.execute(
                    select(BLOCKS.c.number, BLOCKS.c.hash)
                    .where(BLOCKS.c.network == self.id, BLOCKS.c.number < below)
                    .order_by(BLOCKS.c.number.desc())
                    .limit(_KEEP_SPARSE)
                ).all()
            yield from (Cursor(row.number, row.hash) for row in rows)
            if len(rows) < _KEEP_SPARSE:
                return
            below = rows[-1].number

    def roll_back(self, to: Cursor) -> Cursor:
        """Forget everything above a block."""
        with self.open() as db:
            mine = BLOCKS.c.network == self.id
            db.execute(delete(BLOCKS).where(mine, BLOCKS.c.number > to.number))
            db.execute(
                delete(EVENTS).where(EVENTS.c.network == self.id, EVENTS.c.block > to.number)
            )
            db.execute(
                update(STATE)
                .where(STATE.c.network == self.id)
                .values(rollbacks=STATE.c.rollbacks + 1)
            )
        return to

    def add(self, cursor: Cursor, headers: Sequence[Header], logs: Sequence[Log]) -> None:
        """Store what was read behind ``cursor``, unless another process was here first."""
        times = {header.number: header.time for header in headers}
        rows = [row for log in logs if (row := self._row(log, times[log.block]))]
        try:
            with self.open() as db:
                if self._cursor(db) != cursor:
                    return
                db.execute(insert(BLOCKS), [self._block(header) for header in headers])
                if rows:
                    db.execute(insert(EVENTS), rows)
                self._thin(db, headers[-1].number)
        except IntegrityError:
            return  # another process stored the same span at the same time

    def _thin(self, db: Connection, head: int) -> None:
        """Forget stored blocks far below the head, except those with events and every 50th."""
        if head - self._thinned < _THIN_EVERY:
            return
        self._thinned = head
        with_events = select(EVENTS.c.block).where(
            EVENTS.c.network == self.id, EVENTS.c.block == BLOCKS.c.number
        )
        db.execute(
            delete(BLOCKS).where(
                BLOCKS.c.network == self.id,
                BLOCKS.c.number < head - 4 * NEAR,
                BLOCKS.c.number % _KEEP_SPARSE != 0,
                ~with_events.exists(),
            )
        )

    def _block(self, header: Header) -> dict[str, object]:
        return {
            "network": self.id,
            "number": header.number,
            "hash": header.hash,
            "time": header.time,
        }

    def _row(self, log: Log, time: int) -> dict[str, object] | None:
        contract = self.names[log.address]
        kind = abi.artifact(contract).events.get(log.topics[0]) if log.topics else None
        if kind is None:
            return None
        topics = ["0x" + topic.hex() for topic in log.topics]
        topics += [""] * (4 - len(topics))
        return {
            "network": self.id,
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

    def _prepare(self) -> None:
        with self.open() as db:
            METADATA.create_all(db)
            row = db.execute(select(STATE).where(STATE.c.network == self.id)).one_or_none()
            if row is None:
                first = self._network.deployed_block
                db.execute(
                    insert(STATE).values(
                        network=self.id, version=VERSION, first_block=first, rollbacks=0
                    )
                )
            elif row.version != VERSION:
                raise VersionError(
                    f"the event index has version {row.version}, not {VERSION}",
                    remedy="Install the release of freehold that wrote it, or delete it: "
                    "it is rebuilt from the chain.",
                )

    def _cursor(self, db: Connection) -> Cursor:
        row = db.execute(
            select(BLOCKS.c.number, BLOCKS.c.hash)
            .where(BLOCKS.c.network == self.id)
            .order_by(BLOCKS.c.number.desc())
            .limit(1)
        ).one_or_none()
        return self.origin() if row is None else Cursor(row.number, row.hash)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """One transaction, with the database's errors typed."""
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

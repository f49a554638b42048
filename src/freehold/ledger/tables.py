"""The tables of the event index, and how its database is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from freehold.domain.errors import UsageError

VERSION = 1
METADATA = MetaData()

STATE = Table(
    "freehold_index",
    METADATA,
    Column("network", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("rollbacks", BigInteger, nullable=False),
)
BLOCKS = Table(
    "freehold_blocks",
    METADATA,
    Column("network", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(66), nullable=False),
    Column("time", BigInteger, nullable=False),
)
EVENTS = Table(
    "freehold_events",
    METADATA,
    Column("network", String(64), primary_key=True),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("contract", String(32), nullable=False),
    Column("name", String(64), nullable=False),
    Column("transaction", String(66), nullable=False),
    Column("block_hash", String(66), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("topic0", String(66), nullable=False),
    Column("topic1", String(66)),
    Column("topic2", String(66)),
    Column("topic3", String(66)),
    Column("data", LargeBinary, nullable=False),
)
for _topic in ("topic1", "topic2", "topic3"):
    Index(
        f"freehold_events_{_topic}",
        EVENTS.c.network, EVENTS.c.contract, EVENTS.c.name, EVENTS.c[_topic], EVENTS.c.block,
    )  # fmt: skip


def open_sqlite(path: Path) -> Engine:
    """An engine over a SQLite file in WAL mode, its transactions exclusive among writers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # An index can be rebuilt from the chain: WAL without a sync a commit is safe enough.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    event.listen(engine, "connect", configure)
    return engine


def open_url(url: str) -> Engine:
    """An engine for an SQLAlchemy URL; UsageError when it is malformed or lacks its driver."""
    try:
        return create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UsageError(
            f"the database URL cannot be used: {error}",
            remedy="Write postgresql+pg8000://user:password@host/name and install "
            "freehold[postgres].",
        ) from error

"""The node's own records in one SQLite file (WAL), written by many threads one at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from freehold.domain.errors import IntegrityError, UnavailableError, VersionError
from freehold.ledger.turns import turn
from freehold.node.refusals import DiskFullError

VERSION = 1
BUSY_SECONDS = 30.0
Cell = int | str | bytes | None

SCHEMA = """
CREATE TABLE pieces (
  cid TEXT PRIMARY KEY, root BLOB NOT NULL, height INTEGER NOT NULL, size INTEGER NOT NULL,
  bytes INTEGER NOT NULL, stored_at INTEGER NOT NULL, scrubbed_at INTEGER NOT NULL,
  fault TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX pieces_by_root ON pieces (root);
CREATE INDEX pieces_by_scrub ON pieces (scrubbed_at);
CREATE TABLE claims (
  cid TEXT NOT NULL, account TEXT NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (cid, account)
) STRICT;
CREATE INDEX claims_by_account ON claims (account);
CREATE TABLE uploads (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, size INTEGER NOT NULL, bytes INTEGER NOT NULL,
  offset INTEGER NOT NULL, expires INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_by_account ON uploads (account);
CREATE TABLE acceptances (
  nonce TEXT PRIMARY KEY, cid TEXT NOT NULL, client TEXT NOT NULL, account TEXT NOT NULL,
  size INTEGER NOT NULL,
  price TEXT NOT NULL, term_end INTEGER NOT NULL, deadline INTEGER NOT NULL,
  signature BLOB NOT NULL, opened INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX acceptances_by_cid ON acceptances (cid, client);
CREATE INDEX acceptances_by_account ON acceptances (account);
CREATE TABLE columns (
  deal INTEGER NOT NULL, slot INTEGER NOT NULL, cid TEXT NOT NULL, client TEXT NOT NULL,
  root BLOB NOT NULL, size INTEGER NOT NULL, piece_id INTEGER NOT NULL, rail INTEGER NOT NULL,
  term_end INTEGER NOT NULL, state INTEGER NOT NULL,
  PRIMARY KEY (rail)
) STRICT;
CREATE INDEX columns_by_cid ON columns (cid);
CREATE INDEX columns_by_client ON columns (client, state);
CREATE TABLE vouchers (
  rail INTEGER PRIMARY KEY, payer TEXT NOT NULL, amount TEXT NOT NULL, spent TEXT NOT NULL,
  redeemed TEXT NOT NULL, signature BLOB NOT NULL
) STRICT;
CREATE TABLE allowances (
  account TEXT NOT NULL, cid TEXT NOT NULL, day INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (account, cid, day)
) STRICT;
CREATE TABLE nonces (nonce BLOB PRIMARY KEY, expiry INTEGER NOT NULL) STRICT;
CREATE INDEX nonces_by_expiry ON nonces (expiry);
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


class Database:
    """One SQLite file; every method may be called from any thread.

    ``write`` is durable when it returns (synchronous=FULL) unless the database was opened with
    ``durable=False``, where a commit survives the death of the process but perhaps not of the
    machine.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._typed():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.execute("PRAGMA cache_size=-2048")
            self._prepare()

    def _prepare(self) -> None:
        with self.write():
            version = self.number("PRAGMA user_version")
            if version == 0:
                for statement in SCHEMA.split(";"):
                    self.run(statement)
                self.run(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                raise VersionError(
                    f"{self.path} has version {version}, this program writes {VERSION}",
                    remedy="Run the release of freehold that made this node.",
                )

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction: everything inside is written, durably, or nothing is. Nests."""
        with self._lock, self._typed(), turn(self._connection):
            yield

    def run(self, statement: str, values: Sequence[Cell] = ()) -> int:
        """Run one statement; returns how many rows it changed."""
        with self._lock, self._typed():
            return self._connection.execute(statement, values).rowcount

    def rows(self, query: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """All rows of a query; the caller bounds it."""
        with self._lock, self._typed():
            return list(self._connection.execute(query, values))

    def row(self, query: str, values: Sequence[Cell] = ()) -> tuple[Cell, ...] | None:
        """The first row of a query, if any."""
        found = self.rows(query, values)
        return found[0] if found else None

    def number(self, query: str, values: Sequence[Cell] = ()) -> int:
        """The first cell of a query as a number; 0 when there is none."""
        found = self.row(query, values)
        return 0 if found is None or found[0] is None else integer(found[0])

    def mark(self, name: str) -> str:
        """A remembered value, or the empty text."""
        found = self.row("SELECT value FROM marks WHERE name = ?", (name,))
        return "" if found is None else text(found[0])

    def remember(self, name: str, value: str) -> None:
        """Keep ``value`` under ``name``."""
        with self.write():
            self.run("REPLACE INTO marks VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file; later calls fail."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            if "full" in str(error):
                raise DiskFullError(
                    f"the disk has no room left for {self.path.name}",
                    remedy="Free space on the node's disk.",
                ) from error
            raise UnavailableError(
                f"{self.path} cannot be used: {error}",
                remedy="Check the node's disk; if another node uses this home, stop it.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"{self.path} is damaged: {error}",
                remedy="Restore the node's home from a backup of its disk.",
            ) from error


def integer(cell: Cell) -> int:
    """A cell that holds a number, or a number as text."""
    if isinstance(cell, int | str):
        return int(cell)
    raise TypeError(f"not a number: {cell!r}")


def text(cell: Cell) -> str:
    """A cell that holds text."""
    if isinstance(cell, str):
        return cell
    raise TypeError(f"not text: {cell!r}")


def blob(cell: Cell) -> bytes:
    """A cell that holds bytes."""
    if isinstance(cell, bytes):
        return cell
    raise TypeError(f"not bytes: {cell!r}")

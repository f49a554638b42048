"""The desk's SQLite file: one transaction holds an alert, its news and the messages about it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from freehold.domain.errors import CapacityError, IntegrityError, UnavailableError, VersionError

VERSION = 1
BUSY_SECONDS = 2.0
Cell = int | float | str | None
_SCHEMA = """
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, metric TEXT NOT NULL, severity INTEGER NOT NULL, state TEXT NOT NULL,
  since INTEGER NOT NULL, at INTEGER NOT NULL, heard INTEGER NOT NULL, score REAL,
  reason TEXT NOT NULL, value REAL, low REAL, high REAL, times INTEGER NOT NULL,
  told INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_by_what ON alerts (subject, kind, metric, id);
CREATE INDEX alerts_by_state ON alerts (state, heard);
CREATE TABLE keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, alert INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_by_alert ON keys (alert, id);
CREATE TABLE moves (
  id INTEGER PRIMARY KEY AUTOINCREMENT, alert INTEGER NOT NULL, at INTEGER NOT NULL,
  event TEXT NOT NULL, by TEXT NOT NULL, note TEXT NOT NULL, silenced INTEGER NOT NULL
) STRICT;
CREATE INDEX moves_by_alert ON moves (alert, id);
CREATE TABLE silences (
  id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, kind TEXT NOT NULL,
  metric TEXT NOT NULL, until INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, tag TEXT NOT NULL, body TEXT NOT NULL,
  made INTEGER NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL, failed INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_hook ON outbox (hook, failed, tries, id);
CREATE TABLE counts (name TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT;
"""


class Book:
    """One SQLite file (WAL, synced at each commit); every method from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._typed():
            path.touch(mode=0o600)
            self._db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        with self.write():
            ((version,),) = self.rows("PRAGMA user_version")
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self.run(statement)
                self.run(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                raise VersionError(
                    f"{self._path} has version {version}, this program writes {VERSION}",
                    remedy="Install the release of freehold that wrote it, or a newer one.",
                )

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction: everything inside is written, durably, or nothing is. Nests."""
        with self._lock, self._typed():
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def run(self, statement: str, values: Sequence[Cell] = ()) -> int:
        """Run one statement; the id of a row that it inserted."""
        with self._lock, self._typed():
            return self._db.execute(statement, values).lastrowid or 0

    def rows(self, query: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """All rows of a query; the caller bounds it."""
        with self._lock, self._typed():
            return list(self._db.execute(query, values))

    def number(self, query: str, values: Sequence[Cell] = ()) -> int:
        """The first cell of a query; 0 when there is none."""
        found = self.rows(query, values)
        cell = found[0][0] if found else 0
        return cell if isinstance(cell, int) else 0

    def close(self) -> None:
        """Close the file; later calls fail."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            if "full" in str(error):
                raise CapacityError(
                    f"the disk has no room left for {self._path.name}",
                    remedy="Free space on the disk; findings are told again.",
                ) from error
            raise UnavailableError(
                f"{self._path} cannot be used: {error}",
                remedy="Check the disk; if another process uses this file, stop it.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"{self._path} is damaged: {error}",
                remedy="Move it away; alerts begin anew.",
            ) from error

"""Which files count: the one place that says what the store holds.

A Parquet file counts once its row is committed here, and no longer once the row is gone; so a
merge changes many files in one transaction, and a crash leaves files that nobody counts, which
the next start removes. Segments are listed in the same transaction as their files.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from enum import IntEnum
from pathlib import Path

from freehold.domain.errors import CapacityError, IntegrityError, UnavailableError, VersionError
from freehold.telemetry.store.limits import TIME_END

VERSION = 1
BUSY_SECONDS = 2.0
_SCHEMA = """
CREATE TABLE files (
  name TEXT PRIMARY KEY, level INTEGER NOT NULL, day INTEGER NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, low TEXT NOT NULL,
  high TEXT NOT NULL, metrics TEXT NOT NULL, folded INTEGER NOT NULL, digest BLOB NOT NULL
) STRICT;
CREATE INDEX files_by_time ON files (level, last, first);
CREATE TABLE segments (
  segment TEXT PRIMARY KEY, newest INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE floors (level INTEGER PRIMARY KEY, time INTEGER NOT NULL) STRICT;
"""


class Level(IntEnum):
    """What a row of a file is: a reading, or what one metric of a device did in a span."""

    READINGS = 0
    MINUTES = 1
    HOURS = 2


FOLDERS = {Level.READINGS: "readings", Level.MINUTES: "minutes", Level.HOURS: "hours"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: ``name`` below the store; times ``first`` to ``last`` (ms) and device ids ``low`` to
    ``high``, both ends held. ``day`` (days since 1970) names its folder. ``metrics`` is empty where
    each row is one reading, else the metric of each value column. ``folded``: the next level holds
    it too. ``digest`` is the SHA-256 of its bytes."""

    name: str
    level: Level
    day: int
    first: int
    last: int
    rows: int
    size: int
    low: str
    high: str
    metrics: tuple[str, ...]
    folded: bool
    digest: bytes


class Manifest:
    """The file ``path``, which no other process may use; every method from any thread."""

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
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN IMMEDIATE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.execute("COMMIT")
        if version not in (0, VERSION):
            raise VersionError(
                f"{self._path} has version {version}, this program writes {VERSION}",
                remedy="Install the release of freehold that wrote it, or a newer one.",
            )

    def change(
        self,
        *,
        add: Sequence[Entry] = (),
        drop: Sequence[Entry] = (),
        fold: Sequence[Entry] = (),
        segment: tuple[str, int] | None = None,
    ) -> None:
        """All of it at once, durable on return: count ``add``, no longer ``drop``, note that
        ``fold`` is in the next level, and that ``segment`` (name, newest time) is kept."""
        with self._write():
            for entry in drop:
                self._db.execute("DELETE FROM files WHERE name = ?", (entry.name,))
            self._db.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_cells(entry) for entry in add],
            )
            for entry in fold:
                self._db.execute("UPDATE files SET folded = 1 WHERE name = ?", (entry.name,))
            if segment is not None:
                self._db.execute("INSERT INTO segments VALUES (?, ?)", segment)

    def knows(self, segment: str) -> bool:
        """Whether a segment of this name was kept."""
        return bool(self._rows("SELECT 1 FROM segments WHERE segment = ?", (segment,)))

    def forget(self, before: int) -> None:
        """Forget names of segments whose newest reading is from before ``before``."""
        with self._write():
            self._db.execute("DELETE FROM segments WHERE newest < ?", (before,))

    def entries(
        self, level: Level | None = None, *, since: int = 0, until: int = TIME_END
    ) -> list[Entry]:
        """The files of ``level`` (None: all) with a row from ``since`` to before ``until``, oldest
        first."""
        found = self._rows(
            "SELECT * FROM files WHERE level BETWEEN ? AND ? AND last >= ? AND first < ? "
            "ORDER BY first, name",
            (level or 0, max(Level) if level is None else level, since, until),
        )
        return [_entry(cells) for cells in found]

    def names(self) -> set[str]:
        """The names of all files that count."""
        return {str(name) for (name,) in self._rows("SELECT name FROM files")}

    def bytes(self) -> int:
        """What all files together take."""
        ((total,),) = self._rows("SELECT coalesce(sum(bytes), 0) FROM files")
        return _int(total)

    def floor(self, level: Level) -> int:
        """The time before which files of ``level`` were dropped; 0 where none were."""
        found = self._rows("SELECT time FROM floors WHERE level = ?", (level,))
        return _int(found[0][0]) if found else 0

    def raise_floor(self, level: Level, time: int) -> None:
        """Note that files of ``level`` from before ``time`` are dropped."""
        with self._write():
            self._db.execute(
                "INSERT INTO floors VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET time = max(time, excluded.time)",
                (level, time),
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock, self._typed():
            return list(self._db.execute(query, values))

    @contextmanager
    def _write(self) -> Iterator[None]:
        with self._lock, self._typed():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            if "full" in str(error):
                raise CapacityError(
                    f"the disk has no room left for {self._path.name}",
                    remedy="Free space on the disk, or keep readings for fewer days.",
                ) from error
            raise UnavailableError(
                f"{self._path} cannot be used: {error}",
                remedy="Check the disk; if another process uses this store, stop it.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"{self._path} is damaged: {error}",
                remedy="Restore it, with the readings beside it, from a backup.",
            ) from error


def _cells(entry: Entry) -> tuple[object, ...]:
    cells = list(astuple(entry))
    cells[9] = json.dumps(entry.metrics) if entry.metrics else ""
    cells[10] = int(entry.folded)
    return tuple(cells)


def _entry(cells: tuple[object, ...]) -> Entry:
    name, level, day, first, last, rows, size, low, high, metrics, folded, digest = cells
    return Entry(
        name=str(name),
        level=Level(_int(level)),
        day=_int(day),
        first=_int(first),
        last=_int(last),
        rows=_int(rows),
        size=_int(size),
        low=str(low),
        high=str(high),
        metrics=tuple(json.loads(str(metrics))) if metrics else (),
        folded=bool(folded),
        digest=digest if isinstance(digest, bytes) else b"",
    )


def _int(cell: object) -> int:
    return cell if isinstance(cell, int) else 0

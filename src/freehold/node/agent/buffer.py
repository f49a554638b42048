"""Sealed batches that wait for their acknowledgement: one SQLite file, oldest first, bounded.

A batch is here, durably, before it is sent, and leaves once it was acknowledged or refused for
good; so a crash sends it twice at most, which receivers count once. When there is no room the
oldest are dropped and counted: an alert needs the newest readings, and the count is reported, so
that a gap is known as one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from freehold.domain.errors import CapacityError, IntegrityError, UnavailableError, VersionError

FILE = "buffer.sqlite"
VERSION = 1
REFUSED_MAX = 256
"""Refused batches that are kept to look at."""
BUSY_SECONDS = 1.0
_ROW = 64
"""Bytes that a row takes beside its batch."""
_SCHEMA = (
    "CREATE TABLE batches (boot INTEGER, sequence INTEGER, data BLOB NOT NULL,"
    " PRIMARY KEY (boot, sequence)) STRICT, WITHOUT ROWID",
    "CREATE TABLE refused (id INTEGER PRIMARY KEY, boot INTEGER, sequence INTEGER,"
    " data BLOB NOT NULL, reason TEXT NOT NULL) STRICT",
    "CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True, order=True)
class Sealed:
    """A batch to send; they are in order of boot and sequence."""

    boot: int
    sequence: int
    data: bytes = field(repr=False, compare=False)


class Buffer:
    """The file ``path`` with at most ``room`` bytes of batches; thread-safe, of one process."""

    def __init__(self, path: Path, *, room: int) -> None:
        self._path = path
        self._room = room
        self._lock = threading.Lock()
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
        self._bytes, self._count = self._measured()

    def put(self, batch: Sealed) -> int:
        """Keep a batch durably; how many older ones had to be dropped for it. CapacityError where
        the disk is full: the batch is not kept."""
        with self._turn():
            self._db.execute(
                "INSERT INTO batches VALUES (?, ?, ?)", (batch.boot, batch.sequence, batch.data)
            )
            dropped = self._make_room(self._bytes + len(batch.data) + _ROW)
            if dropped:
                self._add("lost", len(dropped))
            self._bytes += len(batch.data) + _ROW - sum(dropped)
            self._count += 1 - len(dropped)
        return len(dropped)

    def oldest(self, most: int) -> list[Sealed]:
        """The first ``most`` batches to send."""
        with self._lock, self._typed():
            rows = self._db.execute(
                "SELECT boot, sequence, data FROM batches ORDER BY boot, sequence LIMIT ?", (most,)
            )
            return [Sealed(*row) for row in rows]

    def delivered(self, batches: Sequence[Sealed]) -> None:
        """Forget batches that were acknowledged."""
        with self._turn():
            self._remove(batches)
            self._add("sent", len(batches))

    def refuse(self, batch: Sealed, reason: str) -> None:
        """Set a batch aside that can never be taken."""
        with self._turn():
            self._remove([batch])
            self._db.execute(
                "INSERT INTO refused (boot, sequence, data, reason) VALUES (?, ?, ?, ?)",
                (batch.boot, batch.sequence, batch.data, reason[:500]),
            )
            self._db.execute(
                "DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (REFUSED_MAX,)
            )
            self._add("refused", 1)

    def refusals(self) -> list[tuple[int, int, str]]:
        """Boot, sequence and reason of the batches that were set aside, oldest first."""
        with self._lock, self._typed():
            rows = self._db.execute("SELECT boot, sequence, reason FROM refused ORDER BY id")
            return [(int(boot), int(sequence), str(reason)) for boot, sequence, reason in rows]

    def count(self, name: str) -> int:
        """How many batches were ever ``sent``, ``refused`` or ``lost``."""
        with self._lock, self._typed():
            row = self._db.execute("SELECT value FROM counts WHERE name = ?", (name,)).fetchone()
            return int(row[0]) if row else 0

    @property
    def waiting(self) -> int:
        """Batches that wait."""
        return self._count

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA cache_size=-512")
        self._db.execute("BEGIN IMMEDIATE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.execute("COMMIT")
        if version not in (0, VERSION):
            raise VersionError(
                f"{self._path} has version {version}, this program writes {VERSION}",
                remedy="Install the release of freehold that wrote it, or a newer one.",
            )

    def _measured(self) -> tuple[int, int]:
        with self._typed():
            size, count = self._db.execute(
                f"SELECT coalesce(sum(length(data) + {_ROW}), 0), count(*) FROM batches"  # noqa: S608
            ).fetchone()
        return int(size), int(count)

    def _make_room(self, used: int) -> list[int]:
        """Drop the oldest until ``used`` bytes fit, the newest never; the sizes of what went."""
        dropped: list[int] = []
        while used - sum(dropped) > self._room and self._count - len(dropped) > 0:
            boot, sequence, size = self._db.execute(
                f"SELECT boot, sequence, length(data) + {_ROW} FROM batches"  # noqa: S608
                " ORDER BY boot, sequence LIMIT 1"
            ).fetchone()
            self._db.execute(
                "DELETE FROM batches WHERE boot = ? AND sequence = ?", (boot, sequence)
            )
            dropped.append(int(size))
        return dropped

    def _remove(self, batches: Sequence[Sealed]) -> None:
        for batch in batches:
            gone = self._db.execute(
                "DELETE FROM batches WHERE boot = ? AND sequence = ?", (batch.boot, batch.sequence)
            ).rowcount
            self._count -= gone
            self._bytes -= gone * (len(batch.data) + _ROW)

    def _add(self, name: str, count: int) -> None:
        self._db.execute(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name)"
            " DO UPDATE SET value = value + excluded.value",
            (name, count),
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, self._typed():
            before = self._bytes, self._count
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._bytes, self._count = before
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """Say what happened to the file."""
        try:
            yield
        except sqlite3.OperationalError as error:
            full = "full" in str(error)
            kind = CapacityError if full else UnavailableError
            raise kind(
                f"{self._path}: {error}",
                remedy="Free some space." if full else "See that no other agent uses this folder.",
            ) from error
        except (sqlite3.DatabaseError, OSError) as error:
            raise IntegrityError(
                f"{self._path} is damaged or cannot be written: {error}",
                remedy="Move it away; the agent begins a new one, and what waited in it is lost.",
            ) from error

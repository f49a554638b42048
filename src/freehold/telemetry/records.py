"""A SQLite file that one program owns: opened durably, of a known version, failing in our words.

The guard, the manifest of the store, the desk's book, and the agent's buffer and journal are such
files. Nothing here needs more than the standard library, so that a small device's agent starts
fast.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import CapacityError, IntegrityError, UnavailableError, VersionError

Cell = int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Form:
    """What is in a file: ``schema`` is run in a new one of ``version``, ``always`` at each opening.

    ``full``, ``busy`` and ``damaged`` are the remedies where the disk has no room, the file cannot
    be used, or it is no database. A ``shared`` file may be opened twice, else the second opening
    waits ``patience`` seconds in vain. ``cache`` in KiB, 0 for what SQLite takes.
    """

    version: int
    schema: Sequence[str]
    full: str
    busy: str
    damaged: str
    always: Sequence[str] = ()
    patience: float = 2.0
    cache: int = 0
    shared: bool = False


class Records:
    """The file ``path`` (WAL, synced at each commit, mode 0600); every method from any thread.

    Raises CapacityError, UnavailableError, IntegrityError, and VersionError at its opening.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self.path = path
        self._form = form
        self._lock = threading.RLock()
        with self._typed():
            try:
                path.touch(mode=0o600)
            except OSError as error:
                raise self._damaged(error) from error
            self._db = sqlite3.connect(
                path, timeout=form.patience, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        form = self._form
        if not form.shared:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if form.cache:
            self._db.execute(f"PRAGMA cache_size=-{form.cache}")
        with self.write():
            ((version,),) = self.rows("PRAGMA user_version")
            if version not in (0, form.version):
                raise VersionError(
                    f"{self.path} has version {version!r}, this program writes {form.version}",
                    remedy="Install the release of freehold that wrote it, or a newer one.",
                )
            if version == 0:
                self._all(form.schema)
                self.run(f"PRAGMA user_version={form.version}")
            self._all(form.always)

    def _all(self, statements: Sequence[str]) -> None:
        for statement in statements:
            self.run(statement)

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
        """Run one statement; how many rows it changed."""
        return self._execute(statement, values).rowcount

    def insert(self, statement: str, values: Sequence[Cell] = ()) -> int:
        """Insert a row; its id."""
        return self._execute(statement, values).lastrowid or 0

    def run_many(self, statement: str, rows: Iterable[Sequence[Cell]]) -> None:
        """Run one statement for each of ``rows``: in ``write`` as part of it, else one by one."""
        with self._lock, self._typed():
            self._db.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """All rows of a query; the caller bounds it."""
        with self._lock, self._typed():
            return self._execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file; later calls fail."""
        with self._lock:
            self._db.close()

    def _execute(self, statement: str, values: Sequence[Cell]) -> sqlite3.Cursor:
        with self._lock, self._typed():
            try:
                return self._db.execute(statement, values)
            except OverflowError as error:
                raise self._damaged(error) from error

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
            if "full" in str(error):
                raise CapacityError(
                    f"the disk has no room left for {self.path.name}", remedy=self._form.full
                ) from error
            raise UnavailableError(
                f"{self.path} cannot be used: {error}", remedy=self._form.busy
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> IntegrityError:
        return IntegrityError(
            f"{self.path} is damaged or cannot be written: {error}", remedy=self._form.damaged
        )

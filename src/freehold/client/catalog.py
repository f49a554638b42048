"""The cache of what the account owns: one row an object, holding its sealed header.

It can be deleted at any time: the account's deals on the chain and one live node of each give
the same rows again. Names and keys stay sealed on the disk; they are opened in memory.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import FreeholdError, NotFoundError, UnavailableError
from freehold.domain.ids import Address
from freehold.ledger.turns import alone
from freehold.markets.storage.column import PREFIX_LENGTH, ColumnLayout
from freehold.markets.storage.header import open_header
from freehold.markets.storage.keys import DataSeed
from freehold.markets.storage.listing import Listing, fold
from freehold.markets.storage.manifest import Manifest, Put

VERSION = 1
FETCHERS = 8
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_SCHEMA = """
CREATE TABLE pages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, object_id BLOB UNIQUE NOT NULL,
  deal INTEGER NOT NULL, sequence INTEGER NOT NULL, head BLOB NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Page:
    """An object's row: its deal, and prefix and header of its columns, as sealed."""

    object_id: bytes
    deal: int
    head: bytes

    @property
    def layout(self) -> ColumnLayout:
        """Where everything lies in its columns."""
        return ColumnLayout.parse(self.head[:PREFIX_LENGTH])

    @property
    def header(self) -> bytes:
        """The sealed manifest."""
        return self.head[PREFIX_LENGTH:]


@dataclass(frozen=True, slots=True)
class Unread:
    """A deal whose manifest no node gave, and why."""

    deal: int
    reason: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a name: its log sequence number and entry."""

    sequence: int
    put: Put


class Catalog:
    """The file ``path``; any number of threads and processes may use it."""

    def __init__(self, path: Path, *, seed: DataSeed, account: Address) -> None:
        self._path, self._seed, self._account = path, seed, account
        self._lock = threading.RLock()
        self._db = self._connect()
        self._pages: dict[bytes, tuple[int, Manifest]] = {}
        self._listing: Listing | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add(self, page: Page) -> Manifest:
        """Keep an object's header; IntegrityError when it does not open for this account."""
        manifest = self._open(page)
        with self._typed(), self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO pages (object_id, deal, sequence, head) "
                "VALUES (?, ?, ?, ?)",
                (page.object_id, page.deal, manifest.sequence, page.head),
            )
        return manifest

    def check(self, page: Page) -> None:
        """IntegrityError when a page does not open for this account."""
        self._open(page)

    def drop(self, object_id: bytes) -> None:
        """Forget an object whose deal ended."""
        with self._typed(), self._db:
            self._db.execute("DELETE FROM pages WHERE object_id = ?", (object_id,))

    def next_sequence(self) -> int:
        """One more than the highest sequence number known."""
        with self._typed():
            row = self._db.execute("SELECT coalesce(max(sequence), -1) FROM pages").fetchone()
        return int(row[0]) + 1

    def listing(self) -> Listing:
        """What every name means now."""
        with self._lock:
            self._load()
            if self._listing is None:
                self._listing = fold(manifest for _, manifest in self._pages.values())
            return self._listing

    def versions(self, name: str) -> list[Version]:
        """All stored versions of ``name``, newest first."""
        with self._lock:
            self._load()
            found = [
                Version(manifest.sequence, entry)
                for _, manifest in self._pages.values()
                for entry in manifest.entries
                if isinstance(entry, Put) and entry.name == name
            ]
        return sorted(found, key=lambda v: (v.sequence, v.put.location.object_id), reverse=True)

    def manifests(self) -> list[Manifest]:
        """Every page of the log."""
        with self._lock:
            self._load()
            return [manifest for _, manifest in self._pages.values()]

    def page(self, object_id: bytes) -> Page:
        """An object's row; NotFoundError when the account has no such object."""
        with self._typed():
            row = self._db.execute(
                "SELECT deal, head FROM pages WHERE object_id = ?", (object_id,)
            ).fetchone()
        if row is None:
            raise NotFoundError(
                f"object {object_id.hex()[:16]} is not among this account's deals",
                remedy="Refresh the catalog from the chain; its deal may have ended.",
            )
        return Page(object_id, int(row[0]), bytes(row[1]))

    def deals(self) -> dict[int, bytes]:
        """Object ids by deal."""
        with self._typed():
            rows = self._db.execute("SELECT deal, object_id FROM pages").fetchall()
        return {int(deal): bytes(object_id) for deal, object_id in rows}

    @property
    def complete(self) -> bool:
        """Whether the rows were ever made from the chain; not so in a new file."""
        with self._typed():
            return bool(self._db.execute("PRAGMA application_id").fetchone()[0])

    def refresh(
        self, live: Callable[[], Sequence[int]], fetch: Callable[[int], Page]
    ) -> list[Unread]:
        """Make the rows those of the ``live`` deals, fetching what is missing.

        Deals that no node answers for are returned, not forgotten: the next refresh tries again.
        """
        living = self._drop_ended(live)
        known = self.deals()
        missing = [deal for deal in living if deal not in known]
        unread: list[Unread] = []
        with ThreadPoolExecutor(FETCHERS) as pool:
            futures = {deal: pool.submit(fetch, deal) for deal in missing}
        still = set(live()) if missing else set()
        for deal, future in futures.items():
            try:
                page = future.result()
                if deal in still:
                    self.add(page)
            except FreeholdError as error:
                unread.append(Unread(deal, error.message))
        if missing:
            self._drop_ended(live)
        with self._typed(), self._db:
            self._db.execute("PRAGMA application_id = 1")
        return unread

    def _drop_ended(self, live: Callable[[], Sequence[int]]) -> Sequence[int]:
        """Forget deals that are not ``live``, which is asked for after the rows are read: what
        another process opened meanwhile is no ended one. The live ones."""
        known = self.deals()
        living = live()
        for deal in known.keys() - set(living):
            self.drop(known[deal])
        return living

    def _load(self) -> None:
        """Open what other processes or threads added, drop what they dropped."""
        with self._typed():
            rows = self._db.execute("SELECT id, object_id FROM pages").fetchall()
        present = {bytes(object_id): int(row) for row, object_id in rows}
        gone = [oid for oid, (row, _) in self._pages.items() if present.get(oid) != row]
        fresh = [oid for oid in present if oid not in self._pages or oid in gone]
        if gone or fresh:
            self._listing = None
        for oid in gone:
            del self._pages[oid]
        for oid in fresh:
            try:
                page = self.page(oid)
            except NotFoundError:
                continue  # another process dropped it since the rows were read
            self._pages[oid] = (present[oid], self._open(page))

    def _open(self, page: Page) -> Manifest:
        return open_header(
            page.header, object_id=page.object_id, seed=self._seed, account=self._account
        )

    def _connect(self) -> sqlite3.Connection:
        with self._typed(), alone(self._path.parent):
            try:
                return self._connected()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode not in _DAMAGED:
                    raise
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path, timeout=30.0, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            # The journal forgets a put once its row is here: until somebody refreshes from the
            # chain, a row that a power cut took would be an object that is gone.
            db.execute("PRAGMA synchronous=FULL")
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                db.execute("DROP TABLE IF EXISTS pages")
                db.execute(_SCHEMA)
                db.execute("PRAGMA application_id = 0")
                db.execute(f"PRAGMA user_version = {VERSION}")
            db.commit()
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    @contextmanager
    def _typed(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise UnavailableError(
                    f"the catalog {self._path} cannot be used: {error}",
                    remedy="Delete it: it is a cache, and is rebuilt from the chain.",
                ) from error

"""The nonce book: every transaction is written here, signed, before the chain sees it.

One SQLite file may serve many processes; writers take turns (BEGIN IMMEDIATE) and every commit
is synced. Rows are kept per (network, account), so several networks can share a state folder.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import UnavailableError, VersionError
from freehold.domain.ids import Address
from freehold.ledger.turns import turn

FILE = "sender.sqlite"
"""Its name in a state folder."""
VERSION = 1
LIVE, MINED, REFUSED, DROPPED = "live", "mined", "refused", "dropped"
"""States of a row: handed in or about to be; in a block; reverted in a block; out of the race
(replaced by a bumped copy or another transaction of the same nonce, or never accepted)."""
KEPT, KEPT_TAGGED = 7 * 86_400, 366 * 86_400
"""Seconds for which settled rows are kept: for a reorganisation; for a retry of the same tag."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    hash TEXT NOT NULL,
    raw BLOB NOT NULL,
    tag TEXT,
    state TEXT NOT NULL,
    fee TEXT NOT NULL,
    tip TEXT NOT NULL,
    gas INTEGER NOT NULL,
    target TEXT NOT NULL,
    value TEXT NOT NULL,
    data BLOB NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS sent_state ON sent (scope, state, nonce);
CREATE INDEX IF NOT EXISTS sent_tag ON sent (scope, tag);
CREATE UNIQUE INDEX IF NOT EXISTS sent_hash ON sent (scope, hash);
"""
_COLUMNS = "id, nonce, hash, raw, tag, state, fee, tip, gas, target, value, data, at"


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction before it has a nonce; ``fee`` and ``tip`` are wei per gas."""

    target: Address
    data: bytes
    value: int
    gas: int
    fee: int
    tip: int


@dataclass(frozen=True, slots=True)
class Row:
    """One signed transaction in the book."""

    id: int
    nonce: int
    hash: str
    raw: bytes
    tag: str | None
    state: str
    draft: Draft
    at: int


class Book:
    """The rows of one account on one network; safe for threads and processes."""

    def __init__(self, path: Path, scope: str, *, busy_timeout: float = 30.0) -> None:
        self._path = path
        self._scope = scope
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            path, timeout=busy_timeout, isolation_level=None, check_same_thread=False
        )
        with self._guard():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
        self._prepare()
        path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _prepare(self) -> None:
        with self._turn():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise VersionError(
                    f"the nonce book {self._path} has version {version}, not {VERSION}",
                    remedy="Install the release of freehold that wrote this state folder.",
                )
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                raise UnavailableError(
                    f"the nonce book {self._path} cannot be used: {error}",
                    remedy="Check the disk's space and rights, and that no program holds the file.",
                ) from error
            except sqlite3.DatabaseError as error:
                raise VersionError(
                    f"{self._path} is not a nonce book: {error}",
                    remedy="Move the file away; nonces are then read from the chain.",
                ) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._guard(), turn(self._db):
            yield

    def reserve(
        self,
        draft: Draft,
        *,
        first_free: Callable[[], int],
        sign: Callable[[Draft, int], tuple[str, bytes]],
        tag: str | None,
        at: int,
    ) -> tuple[Row, list[Row]]:
        """Write ``draft`` under the lowest free nonce, signed; return it and what came undone.

        ``first_free`` asks the chain for the lowest nonce that it does not know yet; it is asked
        while the book is locked, so that no other sender takes the same one. Where the book has
        transactions in blocks at or above that nonce, the chain reorganised or its RPC lags:
        they keep their nonces, are live again, and are to be handed in again.
        """
        with self._turn():
            nonce = first_free()
            known = self._select("nonce >= ? AND state <> ?", nonce, DROPPED)
            undone = [row for row in known if row.state != LIVE]
            for row in undone:
                self._db.execute("UPDATE sent SET state = ? WHERE id = ?", (LIVE, row.id))
            taken = {row.nonce for row in known}
            while nonce in taken:
                nonce += 1
            return self._insert(draft, nonce, sign(draft, nonce), tag, at), undone

    def replace(
        self, row: Row, draft: Draft, *, sign: Callable[[Draft, int], tuple[str, bytes]], at: int
    ) -> Row:
        """Write a copy of a row with other fees under the same nonce; both stay live."""
        with self._turn():
            return self._insert(draft, row.nonce, sign(draft, row.nonce), row.tag, at)

    def _insert(
        self, draft: Draft, nonce: int, signed: tuple[str, bytes], tag: str | None, at: int
    ) -> Row:
        name, raw = signed
        cursor = self._db.execute(
            "INSERT OR REPLACE INTO sent (scope, nonce, hash, raw, tag, state, fee, tip, gas,"
            " target, value, data, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._scope, nonce, name, raw, tag, LIVE, str(draft.fee), str(draft.tip),
                draft.gas, draft.target, str(draft.value), draft.data, at,
            ),
        )  # fmt: skip
        return Row(cursor.lastrowid or 0, nonce, name, raw, tag, LIVE, draft, at)

    def mark(self, row: Row, state: str) -> None:
        """Set a row's state."""
        with self._turn():
            self._db.execute("UPDATE sent SET state = ? WHERE id = ?", (state, row.id))

    def settle(self, row: Row, state: str) -> None:
        """The nonce is spent by ``row``: set its state and drop its live rivals."""
        with self._turn():
            self._db.execute(
                "UPDATE sent SET state = ? WHERE scope = ? AND nonce = ? AND state = ? AND id <> ?",
                (DROPPED, self._scope, row.nonce, LIVE, row.id),
            )
            self._db.execute("UPDATE sent SET state = ? WHERE id = ?", (state, row.id))

    def live(self) -> list[Row]:
        """Rows whose fate is open, lowest nonce first."""
        with self._guard():
            return self._select("state = ?", LIVE)

    def rivals(self, nonce: int) -> list[Row]:
        """Live rows of one nonce, the newest first."""
        with self._guard():
            return self._select("state = ? AND nonce = ?", LIVE, nonce)[::-1]

    def tagged(self, tag: str) -> list[Row]:
        """Rows with a tag, the newest first."""
        with self._guard():
            return self._select("tag = ?", tag)[::-1]

    def prune(self, *, now: int) -> None:
        """Forget settled rows that no reorganisation and no retry asks for any more."""
        with self._turn():
            self._db.execute(
                "DELETE FROM sent WHERE scope = ? AND state <> ? AND "
                "at < CASE WHEN tag IS NULL THEN ? ELSE ? END",
                (self._scope, LIVE, now - KEPT, now - KEPT_TAGGED),
            )

    def _select(self, where: str, *values: str | int) -> list[Row]:
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM sent WHERE scope = ? AND {where} ORDER BY nonce, id",  # noqa: S608
            (self._scope, *values),
        )
        return [_row(columns) for columns in found]


def _row(columns: tuple[object, ...]) -> Row:
    (number, nonce, name, raw, tag, state, fee, tip, gas, target, value, data, at) = columns
    return Row(
        id=int(str(number)),
        nonce=int(str(nonce)),
        hash=str(name),
        raw=_blob(raw),
        tag=None if tag is None else str(tag),
        state=str(state),
        draft=Draft(
            target=Address(str(target)),
            data=_blob(data),
            value=int(str(value)),
            gas=int(str(gas)),
            fee=int(str(fee)),
            tip=int(str(tip)),
        ),
        at=int(str(at)),
    )


def _blob(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def begun(state: Path) -> bool:
    """Whether a transaction was sent with the book of a state folder, or cannot be ruled out."""
    file = state / FILE
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(file)) as db:
            found = db.execute("SELECT 1 FROM sent WHERE state != ? LIMIT 1", (DROPPED,))
            return found.fetchone() is not None
    except sqlite3.Error:
        return True

"""What must survive a crash of the client: one SQLite file, synced at every commit.

- **entries**: small objects, renames and deletions that were promised and wait for a pack;
- **intents** and **legs**: puts under way, with each column's node, upload and acceptance;
- **spoken**: the names that a pack under way speaks of, also once newer promises override it;
- **reservations**: money that those puts count on;
- **cheques**: the highest amount ever signed to a node, written before it is sent.

Any number of processes may use it at once; each change is one transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from freehold.domain.errors import UnavailableError, VersionError
from freehold.ledger.turns import alone, turn

BUSY_SECONDS = 30.0
Cell = int | str | bytes | None

_SCHEMA = """
CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, kind TEXT NOT NULL,
  body BLOB NOT NULL, modified INTEGER NOT NULL, pack BLOB
) STRICT;
CREATE INDEX entries_by_pack ON entries (pack, id);
CREATE INDEX entries_by_name ON entries (name);
CREATE TABLE intents (
  object_id BLOB PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, head BLOB NOT NULL,
  secret BLOB NOT NULL, term_end INTEGER NOT NULL, created INTEGER NOT NULL,
  state TEXT NOT NULL, owner INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_by_name ON intents (name, source);
CREATE TABLE legs (
  object_id BLOB NOT NULL REFERENCES intents ON DELETE CASCADE, slot INTEGER NOT NULL,
  node TEXT NOT NULL, upload TEXT NOT NULL, cid TEXT NOT NULL, acceptance TEXT NOT NULL,
  PRIMARY KEY (object_id, slot)
) STRICT;
CREATE TABLE cheques (
  node TEXT PRIMARY KEY, rail INTEGER NOT NULL, amount TEXT NOT NULL
) STRICT;
CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""
_RESERVATIONS = """
CREATE TABLE reservations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, object_id BLOB UNIQUE NOT NULL, owner INTEGER NOT NULL,
  locked TEXT NOT NULL, rate TEXT NOT NULL, escrow TEXT NOT NULL, gas TEXT NOT NULL
) STRICT;
"""
_SPOKEN = """
CREATE TABLE spoken (
  object_id BLOB NOT NULL REFERENCES intents ON DELETE CASCADE, name TEXT NOT NULL,
  PRIMARY KEY (object_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX spoken_by_name ON spoken (name);
INSERT INTO spoken SELECT DISTINCT pack, name FROM entries WHERE pack IN
  (SELECT object_id FROM intents);
"""
_STEPS = (_SCHEMA, _RESERVATIONS, _SPOKEN)
"""What each version of the file adds to the one before."""
_SAVE_INTENT = """
INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (object_id) DO UPDATE SET
  name = excluded.name, source = excluded.source, head = excluded.head, secret = excluded.secret,
  term_end = excluded.term_end, created = excluded.created, state = excluded.state,
  owner = excluded.owner
"""
VERSION = len(_STEPS)


@dataclass(frozen=True, slots=True)
class Entry:
    """A promised change of the listing: ``kind`` is put, link or delete, ``body`` what it needs."""

    id: int
    name: str
    kind: str
    body: bytes = field(repr=False)
    modified: int
    pack: bytes | None


@dataclass(frozen=True, slots=True)
class Leg:
    """One column's way: its node, upload id, CID once known, and acceptance once signed (JSON)."""

    slot: int
    node: str
    upload: str = ""
    cid: str = ""
    acceptance: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """A put under way. ``head`` begins every column, ``secret`` is the sealed content key,
    ``source`` the fingerprint of the bytes; ``state`` is sending, then opening."""

    object_id: bytes
    name: str
    source: str
    head: bytes
    secret: bytes = field(repr=False)
    term_end: int
    created: int
    state: str = "sending"
    owner: int = 0


class Journal:
    """The file ``path``; every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        with self._typed(), alone(path.parent):
            path.touch(mode=0o600)
            self._db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
        self._prepare()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction, durable when the block ends; nested blocks join the outer one."""
        with self._lock, self._typed(), turn(self._db):
            yield

    def run(self, statement: str, values: Sequence[Cell] = ()) -> int:
        """Execute a change; how many rows it touched."""
        with self._lock, self._typed():
            return self._db.execute(statement, values).rowcount

    def rows(self, query: str, values: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """All rows of a query."""
        with self._lock, self._typed():
            return self._db.execute(query, values).fetchall()

    def bump(self, name: str, least: int) -> int:
        """The next value of a counter: above every earlier one, and at least ``least``."""
        with self.write():
            found = self.rows("SELECT value FROM marks WHERE name = ?", (name,))
            value = max(least, _integer(found[0][0]) + 1 if found else 0)
            self.run("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))
            return value

    def add_entry(self, name: str, kind: str, body: bytes, modified: int) -> int:
        """Promise a change; it is durable when this returns."""
        with self.write():
            self.run(
                "INSERT INTO entries (name, kind, body, modified) VALUES (?, ?, ?, ?)",
                (name, kind, body, modified),
            )
            return _integer(self.rows("SELECT last_insert_rowid()")[0][0])

    def entries(self, *, pack: bytes | None = None, limit: int = 2**31) -> list[Entry]:
        """Entries of one pack, or those of none, oldest first."""
        where = "pack IS NULL" if pack is None else "pack = ?"
        return self._entries(
            f"SELECT * FROM entries WHERE {where} ORDER BY id LIMIT ?",  # noqa: S608 - constant
            (limit,) if pack is None else (pack, limit),
        )

    def entries_about(self, names: Collection[str]) -> list[Entry]:
        """Entries of no pack about these names, oldest first."""
        marks = ", ".join("?" * len(names))
        return self._entries(
            f"SELECT * FROM entries WHERE pack IS NULL AND name IN ({marks}) ORDER BY id",  # noqa: S608 - marks
            tuple(names),
        )

    def all_entries(self, *, kind: str = "%") -> list[Entry]:
        """Every entry that is still promised and not on the chain, oldest first."""
        return self._entries("SELECT * FROM entries WHERE kind LIKE ? ORDER BY id", (kind,))

    def entry_named(self, name: str) -> Entry | None:
        """The latest entry that speaks of ``name``."""
        query = "SELECT * FROM entries WHERE name = ? ORDER BY id DESC LIMIT 1"
        found = self._entries(query, (name,))
        return found[0] if found else None

    def named_before(self, entry: Entry) -> bool:
        """Whether an older promise about the same name is still on its way."""
        query = "SELECT 1 FROM entries WHERE name = ? AND id < ? LIMIT 1"
        return bool(self.rows(query, (entry.name, entry.id)))

    def waiting(self) -> tuple[int, int, int]:
        """Entries of no pack: how many, their bytes, and the oldest one's time (0 if none)."""
        row = self.rows(
            "SELECT count(*), coalesce(sum(length(body)), 0), coalesce(min(modified), 0) "
            "FROM entries WHERE pack IS NULL"
        )[0]
        return _integer(row[0]), _integer(row[1]), _integer(row[2])

    def assign(self, pack: bytes, ids: Sequence[int]) -> None:
        """Let ``pack``, which has its intent, carry these entries; part of the transaction around
        it."""
        for entry in ids:
            self.run("UPDATE entries SET pack = ? WHERE id = ? AND pack IS NULL", (pack, entry))
        self.run(
            "INSERT INTO spoken SELECT DISTINCT pack, name FROM entries WHERE pack = ?", (pack,)
        )

    def packing(self, name: str) -> bool:
        """Whether a pack under way speaks of ``name``."""
        return bool(self.rows("SELECT 1 FROM spoken WHERE name = ? LIMIT 1", (name,)))

    def putting(self, name: str) -> bool:
        """Whether any put under way, of a pack or of a whole object, speaks of ``name``."""
        query = "SELECT 1 FROM intents WHERE name = ? LIMIT 1"
        return self.packing(name) or bool(self.rows(query, (name,)))

    def names_under_way(self) -> set[str]:
        """All names that puts under way speak of."""
        rows = self.rows("SELECT name FROM spoken UNION SELECT name FROM intents")
        return {str(row[0]) for row in rows}

    def drop_entries(self, ids: Sequence[int]) -> None:
        """Forget entries that need no pack; part of the transaction around it."""
        for entry in ids:
            self.run("DELETE FROM entries WHERE id = ? AND pack IS NULL", (entry,))

    def drop_pack(self, pack: bytes) -> None:
        """Forget the entries that ``pack`` put on the chain, and older ones about the same names:
        should a pack that carries such a one fail, it must not come back."""
        self.run(
            "DELETE FROM entries WHERE EXISTS (SELECT 1 FROM entries AS done WHERE "
            "done.pack = ? AND done.name = entries.name AND entries.id <= done.id)",
            (pack,),
        )

    def release_pack(self, pack: bytes) -> None:
        """Give the entries of a pack that never opened back to the queue, but for those that a
        newer promise overrides: it may be in another pack already, and must stay the last."""
        with self.write():
            self.run(
                "DELETE FROM entries WHERE pack = ? AND EXISTS (SELECT 1 FROM entries AS newer "
                "WHERE newer.name = entries.name AND newer.id > entries.id)",
                (pack,),
            )
            self.run("UPDATE entries SET pack = NULL WHERE pack = ?", (pack,))

    def save_intent(self, intent: Intent, legs: Sequence[Leg]) -> None:
        """Record a put before anything of it is sent; what its pack speaks of stays known."""
        with self.write():
            self.run(
                _SAVE_INTENT,
                (
                    intent.object_id,
                    intent.name,
                    intent.source,
                    intent.head,
                    intent.secret,
                    intent.term_end,
                    intent.created,
                    intent.state,
                    intent.owner,
                ),
            )
            for leg in legs:
                self.save_leg(intent.object_id, leg)

    def save_leg(self, object_id: bytes, leg: Leg) -> None:
        """Record how far one column is."""
        with self.write():
            self.run(
                "INSERT OR REPLACE INTO legs VALUES (?, ?, ?, ?, ?, ?)",
                (object_id, leg.slot, leg.node, leg.upload, leg.cid, leg.acceptance),
            )

    def set_state(self, object_id: bytes, state: str) -> None:
        """Move an intent on."""
        with self.write():
            self.run("UPDATE intents SET state = ? WHERE object_id = ?", (state, object_id))

    def claim(self, object_id: bytes, *, owner: int, from_owner: int) -> bool:
        """Take an intent over from a process that died; False when another was faster."""
        with self.write():
            return bool(
                self.run(
                    "UPDATE intents SET owner = ? WHERE object_id = ? AND owner = ?",
                    (owner, object_id, from_owner),
                )
            )

    def drop_intent(self, object_id: bytes) -> None:
        """Forget a put that ended."""
        with self.write():
            self.run("DELETE FROM intents WHERE object_id = ?", (object_id,))

    def intents(self) -> list[Intent]:
        """Puts under way, oldest first."""
        return [_intent(row) for row in self.rows("SELECT * FROM intents ORDER BY created, rowid")]

    def intent(self, object_id: bytes) -> Intent | None:
        """One put under way, as it stands now."""
        found = self.rows("SELECT * FROM intents WHERE object_id = ?", (object_id,))
        return _intent(found[0]) if found else None

    def legs(self, object_id: bytes) -> dict[int, Leg]:
        """The columns of a put by slot."""
        rows = self.rows(
            "SELECT slot, node, upload, cid, acceptance FROM legs WHERE object_id = ?", (object_id,)
        )
        return {
            _integer(r[0]): Leg(_integer(r[0]), str(r[1]), str(r[2]), str(r[3]), str(r[4]))
            for r in rows
        }

    def cheque(self, node: str) -> tuple[int, int] | None:
        """The voucher rail to a node and the highest amount signed on it."""
        found = self.rows("SELECT rail, amount FROM cheques WHERE node = ?", (node,))
        return (_integer(found[0][0]), int(str(found[0][1]))) if found else None

    def save_cheque(self, node: str, rail: int, amount: int) -> None:
        """Record an amount before it is signed; amounts of one rail never fall."""
        with self.write():
            known = self.cheque(node)
            if known is not None and known[0] == rail:
                amount = max(amount, known[1])
            self.run("INSERT OR REPLACE INTO cheques VALUES (?, ?, ?)", (node, rail, str(amount)))

    def _entries(self, query: str, values: Sequence[Cell]) -> list[Entry]:
        return [
            Entry(
                _integer(row[0]),
                str(row[1]),
                str(row[2]),
                _bytes(row[3]),
                _integer(row[4]),
                None if row[5] is None else _bytes(row[5]),
            )
            for row in self.rows(query, values)
        ]

    def _prepare(self) -> None:
        with self.write():
            version = _integer(self.rows("PRAGMA user_version")[0][0])
            if version > VERSION:
                raise VersionError(
                    f"the client's journal {self._path} has version {version}, not {VERSION}",
                    remedy="Install the release of freehold that wrote it.",
                )
            for statement in filter(str.strip, "".join(_STEPS[version:]).split(";")):
                self.run(statement)
            self.run(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(
                f"the client's journal {self._path} cannot be used: {error}",
                remedy="Check the disk's space and permissions; the file must stay as it is.",
            ) from error


def _intent(row: Sequence[Cell]) -> Intent:
    return Intent(
        object_id=_bytes(row[0]),
        name=str(row[1]),
        source=str(row[2]),
        head=_bytes(row[3]),
        secret=_bytes(row[4]),
        term_end=_integer(row[5]),
        created=_integer(row[6]),
        state=str(row[7]),
        owner=_integer(row[8]),
    )


def _integer(value: Cell) -> int:
    if not isinstance(value, int):
        raise TypeError("an integer column")
    return value


def _bytes(value: Cell) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a blob column")
    return value

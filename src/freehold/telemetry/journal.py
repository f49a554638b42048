"""The log of what was acknowledged, in one file and one transaction with the guard.

Beside the guard's table the file holds: ``batches`` as they came, in the order of arrival;
``cuts``, which batches were worked on together, written before the work, so that work that is
done again after a crash gives the same segments; ``counts``, what of each batch counts for pay;
``checkpoints``, the state after a cut; ``marked``, devices that were found lying.

A batch is acknowledged after its turn, which is synced. It stays as evidence until ``forget``.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import ConflictError, IntegrityError
from freehold.telemetry.reading import Batch
from freehold.telemetry.records import Cell
from freehold.telemetry.replay import Bounds, Guard, Turn, Verdict

PIECE = 2**24
"""Bytes of a checkpoint in one row."""
PAGE = 512
"""Rows that are read at once."""
COUNT = np.dtype([("slot", "<u4"), ("sound", "<u4"), ("arrived", "<i8"), ("quality", "<f4")])
"""What of a batch counts: the device's place among the partition's, readings without a mark of
unsoundness, arrival, and the device's quality then."""
Counts = NDArray[np.void]
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY AUTOINCREMENT, member TEXT NOT"
    " NULL, arrived INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS batches_arrived ON batches (arrived)",
    "CREATE INDEX IF NOT EXISTS batches_member ON batches (member, id)",
    "CREATE TABLE IF NOT EXISTS cuts (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS counts (first INTEGER PRIMARY KEY, since INTEGER NOT NULL,"
    " until INTEGER NOT NULL, data BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS checkpoints (piece INTEGER PRIMARY KEY, last INTEGER NOT NULL,"
    " data BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS marked (member TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT"
    " NULL, reason TEXT NOT NULL, PRIMARY KEY (member, kind)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), part INTEGER NOT"
    " NULL, partitions INTEGER NOT NULL, home TEXT NOT NULL) STRICT",
)


@dataclass(frozen=True, slots=True)
class Logged:
    """A batch as it was acknowledged: ``member`` is the id it had then, ``arrived`` when, in
    milliseconds, never less than of an earlier one."""

    id: int
    member: str
    arrived: int
    data: bytes


class Journal:
    """The file ``path`` of partition ``part`` of ``partitions``, owned until ``close``.

    ConflictError where another process has it, or it is of another partition.
    """

    def __init__(
        self, path: Path, *, part: int, partitions: int, bounds: Bounds | None = None
    ) -> None:
        self._lock = _Held(path.with_name(path.name + ".lock"))
        try:
            self._guard = Guard(path, bounds=bounds, schema=_SCHEMA)
            try:
                self._check_place(path, part, partitions)
                (self.last, self._arrived) = self._end()
            except BaseException:
                self._guard.close()
                raise
        except BaseException:
            self._lock.close()
            raise

    @contextmanager
    def turn(self, now: int) -> Iterator[Entry]:
        """A transaction at ``now`` (milliseconds): what it admits is logged durably once the block
        ends, and nothing of it when the block raises."""
        with self._guard.turn(now) as turn:
            entry = Entry(turn, self.last, max(now, self._arrived))
            yield entry
            turn.write("INSERT INTO batches VALUES (?, ?, ?, ?)", entry.rows())
        self.last, self._arrived = entry.last, entry.arrived

    def since(self, last: int, *, until: int) -> Iterator[Logged]:
        """The batches after number ``last``, up to ``until``."""
        while rows := self._guard.read(
            "SELECT id, member, arrived, data FROM batches WHERE id > ? AND id <= ? ORDER BY id"
            " LIMIT ?", last, until, PAGE,
        ):  # fmt: skip
            yield from (_logged(*row) for row in rows)
            last = _whole(rows[-1][0])

    def cuts(self, last: int) -> list[tuple[int, int]]:
        """First and last number of what was worked on together after number ``last``."""
        rows = self._guard.read("SELECT first, last FROM cuts WHERE first > ? ORDER BY 1", last)
        return [(_whole(first), _whole(end)) for first, end in rows]

    def cut(self, first: int, last: int) -> None:
        """Say, durably, that ``first`` to ``last`` are worked on together."""
        with self._guard.turn(self._arrived) as turn:
            turn.write("REPLACE INTO cuts VALUES (?, ?)", [(first, last)])

    def save(self, last: int, state: bytes, counts: Sequence[tuple[int, Counts]]) -> None:
        """Keep the state after number ``last``, and what counts of the cuts since the state kept
        before, by their first number; all or nothing."""
        pieces = [state[at : at + PIECE] for at in range(0, len(state), PIECE)]
        with self._guard.turn(self._arrived) as turn:
            turn.write("DELETE FROM checkpoints", [()])
            turn.write(
                "INSERT INTO checkpoints VALUES (?, ?, ?)",
                [(index, last, piece) for index, piece in enumerate(pieces)],
            )
            turn.write("REPLACE INTO counts VALUES (?, ?, ?, ?)", (_row(*each) for each in counts))
            turn.write("DELETE FROM cuts WHERE last <= ?", [(last,)])

    def state(self) -> tuple[int, bytes]:
        """The state kept last and its number; 0 and nothing before the first."""
        rows = self._guard.read("SELECT last, data FROM checkpoints ORDER BY piece")
        if not rows:
            return 0, b""
        return _whole(rows[0][0]), b"".join(_bytes(data) for _, data in rows)

    def counts(self, since: int, until: int) -> Iterator[Counts]:
        """What counts of batches that arrived from ``since`` to before ``until``, as kept."""
        last = -1
        while rows := self._guard.read(
            "SELECT first, data FROM counts WHERE first > ? AND until >= ? AND since < ?"
            " ORDER BY first LIMIT ?", last, since, until, PAGE,
        ):  # fmt: skip
            for _, data in rows:
                found = np.frombuffer(_bytes(data), COUNT)
                yield found[(found["arrived"] >= since) & (found["arrived"] < until)]
            last = _whole(rows[-1][0])

    def mark(self, member: str, kind: str, at: int, reason: str) -> None:
        """Remember that ``member`` was found lying at ``at``."""
        with self._guard.turn(self._arrived) as turn:
            turn.write("REPLACE INTO marked VALUES (?, ?, ?, ?)", [(member, kind, at, reason)])

    def marked(self, member: str, since: int) -> str:
        """Why ``member`` was marked at ``since`` or later; empty where it was not."""
        rows = self._guard.read(
            "SELECT reason FROM marked WHERE member = ? AND at >= ? ORDER BY at DESC LIMIT 1",
            member, since,
        )  # fmt: skip
        return _text(rows[0][0]) if rows else ""

    def evidence(self, since: int, until: int, member: str) -> Iterator[bytes]:
        """The batches of ``member`` that arrived from ``since`` to before ``until``."""
        last, end = self._first(since) - 1, self._first(until)
        while rows := self._guard.read(
            "SELECT id, data FROM batches WHERE member = ? AND id > ? AND id < ? ORDER BY id"
            " LIMIT ?", member, last, end, PAGE,
        ):  # fmt: skip
            yield from (_bytes(data) for _, data in rows)
            last = _whole(rows[-1][0])

    def forget(self, before: int, *, worked: int) -> None:
        """Delete evidence and counts from before ``before``, of what ``worked`` is past."""
        with self._guard.turn(self._arrived) as turn:
            turn.write("DELETE FROM batches WHERE arrived < ? AND id <= ?", [(before, worked)])
            turn.write("DELETE FROM counts WHERE until < ?", [(before,)])

    def close(self) -> None:
        """Give the file up."""
        self._guard.close()
        self._lock.close()

    def _check_place(self, path: Path, part: int, partitions: int) -> None:
        self._guard.write(
            "INSERT OR IGNORE INTO place VALUES (1, ?, ?, lower(hex(randomblob(16))))",
            [(part, partitions)],
        )
        ((was, of, home),) = self._guard.read("SELECT part, partitions, home FROM place")
        self.home = _text(home)
        if (was, of) != (part, partitions):
            raise ConflictError(
                f"{path} is partition {_whole(was)} of {_whole(of)}, not {part} of {partitions}",
                remedy="Start with the number of partitions that the folder was made with.",
            )

    def _first(self, at: int) -> int:
        """The number of the first batch that arrived at ``at`` or later, or that will."""
        rows = self._guard.read(
            "SELECT id FROM batches WHERE arrived >= ? ORDER BY arrived, id LIMIT 1", at
        )
        return _whole(rows[0][0]) if rows else self.last + 1

    def _end(self) -> tuple[int, int]:
        rows = self._guard.read("SELECT seq FROM sqlite_sequence WHERE name = 'batches'")
        ((arrived,),) = self._guard.read("SELECT max(arrived) FROM batches")
        return (_whole(rows[0][0]) if rows else 0), _whole(arrived or 0)


class Entry:
    """One transaction of a journal."""

    def __init__(self, turn: Turn, last: int, arrived: int) -> None:
        self._turn = turn
        self._rows: list[tuple[Cell, ...]] = []
        self.last = last
        self.arrived = arrived

    def admit(self, batch: Batch, data: bytes, member: str) -> Verdict:
        """Whether a verified ``batch`` counts, in which case it is logged; see ``Turn.admit``."""
        verdict = self._turn.admit(batch)
        if verdict.new:
            self.last += 1
            self._rows.append((self.last, member, self.arrived, data))
        return verdict

    def rows(self) -> list[tuple[Cell, ...]]:
        """What is to be logged."""
        return self._rows


class _Held:
    """An exclusive lock, held until ``close``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConflictError(
                f"another process works in {path.parent}",
                remedy="Stop it, or give this one a folder of its own.",
            ) from error

    def close(self) -> None:
        """Give the lock up."""
        with suppress(OSError):
            self._file.close()


def _logged(number: Cell, member: Cell, arrived: Cell, data: Cell) -> Logged:
    return Logged(_whole(number), _text(member), _whole(arrived), _bytes(data))


def _row(first: int, counts: Counts) -> tuple[Cell, ...]:
    arrived = counts["arrived"]
    return first, int(arrived.min()), int(arrived.max()), counts.tobytes()


def _whole(value: Cell) -> int:
    if not isinstance(value, int):
        raise _damaged()
    return value


def _text(value: Cell) -> str:
    if not isinstance(value, str):
        raise _damaged()
    return value


def _bytes(value: Cell) -> bytes:
    if not isinstance(value, bytes):
        raise _damaged()
    return value


def _damaged() -> IntegrityError:
    return IntegrityError(
        "the journal holds a value of another kind", remedy="Restore it from a backup."
    )

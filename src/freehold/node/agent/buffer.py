"""Sealed batches that wait for their acknowledgement: one SQLite file, oldest first, bounded.

A batch is here, durably, before it is sent, and leaves once it was acknowledged or refused for
good; so a crash sends it twice at most, which receivers count once. When there is no room the
oldest are dropped and counted: an alert needs the newest readings, and the count is reported, so
that a gap is known as one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from freehold.telemetry.records import Cell, Form, Records

FILE = "buffer.sqlite"
VERSION = 1
REFUSED_MAX = 256
"""Refused batches that are kept to look at."""
_ROW = 64
"""Bytes that a row takes beside its batch."""
_SCHEMA = (
    "CREATE TABLE batches (boot INTEGER, sequence INTEGER, data BLOB NOT NULL,"
    " PRIMARY KEY (boot, sequence)) STRICT, WITHOUT ROWID",
    "CREATE TABLE refused (id INTEGER PRIMARY KEY, boot INTEGER, sequence INTEGER,"
    " data BLOB NOT NULL, reason TEXT NOT NULL) STRICT",
    "CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)
_FORM = Form(
    version=VERSION,
    schema=_SCHEMA,
    full="Free some space.",
    busy="See that no other agent uses this folder.",
    damaged="Move it away; the agent begins a new one, and what waited in it is lost.",
    patience=1.0,
    cache=512,
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
        self._room = room
        self._lock = threading.RLock()
        self._records = Records(path, _FORM)
        self._bytes, self._count = self._measured()

    def put(self, batch: Sealed) -> int:
        """Keep a batch durably; how many older ones had to be dropped for it. CapacityError where
        the disk is full: the batch is not kept."""
        with self._turn():
            self._records.run(
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
        rows = self._records.rows(
            "SELECT boot, sequence, data FROM batches ORDER BY boot, sequence LIMIT ?", (most,)
        )
        return [Sealed(*cast("tuple[int, int, bytes]", row)) for row in rows]

    def delivered(self, batches: Sequence[Sealed]) -> None:
        """Forget batches that were acknowledged."""
        with self._turn():
            self._remove(batches)
            self._add("sent", len(batches))

    def refuse(self, batch: Sealed, reason: str) -> None:
        """Set a batch aside that can never be taken."""
        with self._turn():
            self._remove([batch])
            self._records.run(
                "INSERT INTO refused (boot, sequence, data, reason) VALUES (?, ?, ?, ?)",
                (batch.boot, batch.sequence, batch.data, reason[:500]),
            )
            self._records.run(
                "DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?", (REFUSED_MAX,)
            )
            self._add("refused", 1)

    def refusals(self) -> list[tuple[int, int, str]]:
        """Boot, sequence and reason of the batches that were set aside, oldest first."""
        rows = self._records.rows("SELECT boot, sequence, reason FROM refused ORDER BY id")
        return [cast("tuple[int, int, str]", row) for row in rows]

    def count(self, name: str) -> int:
        """How many batches were ever ``sent``, ``refused`` or ``lost``."""
        found = self._records.rows("SELECT value FROM counts WHERE name = ?", (name,))
        return _whole(found[0][0]) if found else 0

    @property
    def waiting(self) -> int:
        """Batches that wait."""
        return self._count

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _measured(self) -> tuple[int, int]:
        ((size, count),) = self._records.rows(
            f"SELECT coalesce(sum(length(data) + {_ROW}), 0), count(*) FROM batches"  # noqa: S608
        )
        return _whole(size), _whole(count)

    def _make_room(self, used: int) -> list[int]:
        """Drop the oldest until ``used`` bytes fit, the newest never; the sizes of what went."""
        dropped: list[int] = []
        while used - sum(dropped) > self._room and self._count - len(dropped) > 0:
            ((boot, sequence, size),) = self._records.rows(
                f"SELECT boot, sequence, length(data) + {_ROW} FROM batches"  # noqa: S608
                " ORDER BY boot, sequence LIMIT 1"
            )
            self._records.run(
                "DELETE FROM batches WHERE boot = ? AND sequence = ?", (boot, sequence)
            )
            dropped.append(_whole(size))
        return dropped

    def _remove(self, batches: Sequence[Sealed]) -> None:
        for batch in batches:
            gone = self._records.run(
                "DELETE FROM batches WHERE boot = ? AND sequence = ?", (batch.boot, batch.sequence)
            )
            self._count -= gone
            self._bytes -= gone * (len(batch.data) + _ROW)

    def _add(self, name: str, count: int) -> None:
        self._records.run(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name)"
            " DO UPDATE SET value = value + excluded.value",
            (name, count),
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            before = self._bytes, self._count
            try:
                with self._records.write():
                    yield
            except BaseException:
                self._bytes, self._count = before
                raise


def _whole(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0

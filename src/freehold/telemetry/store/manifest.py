"""Which files count: the one place that says what the store holds.

A Parquet file counts once its row is committed here, and no longer once the row is gone; so a
merge changes many files in one transaction, and a crash leaves files that nobody counts, which
the next start removes. Segments are listed in the same transaction as their files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from pathlib import Path

from freehold.telemetry.records import Cell, Form, Records
from freehold.telemetry.store.limits import TIME_END

VERSION = 1
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
_FORM = Form(
    version=VERSION,
    schema=_SCHEMA.split(";"),
    full="Free space on the disk, or keep readings for fewer days.",
    busy="Check the disk; if another process uses this store, stop it.",
    damaged="Restore it, with the readings beside it, from a backup.",
)


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
        self._records = Records(path, _FORM)

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
        with self._records.write():
            for entry in drop:
                self._records.run("DELETE FROM files WHERE name = ?", (entry.name,))
            self._records.run_many(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_cells(entry) for entry in add],
            )
            for entry in fold:
                self._records.run("UPDATE files SET folded = 1 WHERE name = ?", (entry.name,))
            if segment is not None:
                self._records.run("INSERT INTO segments VALUES (?, ?)", segment)

    def knows(self, segment: str) -> bool:
        """Whether a segment of this name was kept."""
        return bool(self._records.rows("SELECT 1 FROM segments WHERE segment = ?", (segment,)))

    def forget(self, before: int) -> None:
        """Forget names of segments whose newest reading is from before ``before``."""
        with self._records.write():
            self._records.run("DELETE FROM segments WHERE newest < ?", (before,))

    def entries(
        self, level: Level | None = None, *, since: int = 0, until: int = TIME_END
    ) -> list[Entry]:
        """The files of ``level`` (None: all) with a row from ``since`` to before ``until``, oldest
        first."""
        found = self._records.rows(
            "SELECT * FROM files WHERE level BETWEEN ? AND ? AND last >= ? AND first < ? "
            "ORDER BY first, name",
            (level or 0, max(Level) if level is None else level, since, until),
        )
        return [_entry(cells) for cells in found]

    def names(self) -> set[str]:
        """The names of all files that count."""
        return {str(name) for (name,) in self._records.rows("SELECT name FROM files")}

    def bytes(self) -> int:
        """What all files together take."""
        ((total,),) = self._records.rows("SELECT coalesce(sum(bytes), 0) FROM files")
        return _int(total)

    def floor(self, level: Level) -> int:
        """The time before which files of ``level`` were dropped; 0 where none were."""
        found = self._records.rows("SELECT time FROM floors WHERE level = ?", (level,))
        return _int(found[0][0]) if found else 0

    def raise_floor(self, level: Level, time: int) -> None:
        """Note that files of ``level`` from before ``time`` are dropped."""
        with self._records.write():
            self._records.run(
                "INSERT INTO floors VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET time = max(time, excluded.time)",
                (level, time),
            )

    def close(self) -> None:
        """Close the file."""
        self._records.close()


def _cells(entry: Entry) -> tuple[Cell, ...]:
    cells = list(astuple(entry))
    cells[9] = json.dumps(entry.metrics) if entry.metrics else ""
    cells[10] = int(entry.folded)
    return tuple(cells)


def _entry(cells: Sequence[Cell]) -> Entry:
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


def _int(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0

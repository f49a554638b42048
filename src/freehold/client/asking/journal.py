"""What was seen of nodes when they were asked, for validators' scorers and for people to read.

One row for each attempt at a node: a request of a user, a re-execution of one, a canary, with how
it ended, how long it took, and whether what it said agreed with others or with the truth. Rows are
only added, in batches that are synced: a crash loses those of the last moments and nothing else.
The oldest go when there are more than ``rows``. Inputs and answers are not kept: they are the
users'.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.telemetry.records import Cell, Form, Records

BATCH = 256
"""Rows that are written at once."""
WAITING_MAX = 65_536
"""Rows that wait for a disk that does not take them; later ones are dropped and counted."""
READ_MAX = 10_000
_log = logging.getLogger(__name__)
_FORM = Form(
    version=1,
    schema=(
        "CREATE TABLE seen (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, "
        "subnet TEXT NOT NULL, node TEXT NOT NULL, uid INTEGER NOT NULL, cause TEXT NOT NULL, "
        "failure TEXT NOT NULL, agreed INTEGER, micros INTEGER NOT NULL) STRICT",
        "CREATE INDEX seen_by_subnet ON seen (subnet, id)",
    ),
    full="Free space on the disk; requests go on, what is seen of nodes is lost.",
    busy="Check the disk; if another process uses this file, give this one another.",
    damaged="Move it away; a new one begins.",
    shared=True,
    patience=5.0,
)


class Cause(StrEnum):
    """Why a node was asked; it cannot tell them apart."""

    REQUEST = "request"
    AGAIN = "again"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Seen:
    """One attempt: ``at`` ms since 1970, ``failure`` the kind or empty, ``agreed`` None where
    nothing was compared, ``micros`` microseconds until the answer or the failure."""

    at: int
    subnet: str
    node: Address
    uid: int
    cause: Cause
    failure: str
    agreed: bool | None
    micros: int
    id: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """The rows of one node: attempts, failures (not those of the asker's own purse), comparisons
    that it won and lost, and the mean microseconds of its answers."""

    node: Address
    uid: int
    asked: int
    failed: int
    agreed: int
    differed: int
    micros: int


class Journal(Records):
    """The file ``path``; every method from any thread."""

    def __init__(self, path: Path, *, now: Callable[[], int], rows: int = 1_000_000) -> None:
        """``now`` gives milliseconds since 1970."""
        super().__init__(path, _FORM)
        self._now, self._most = now, rows
        self._waiting: list[Seen] = []
        self._guard = threading.Lock()
        self.dropped = 0

    def add(
        self,
        subnet: str,
        node: Address,
        uid: int,
        *,
        cause: Cause,
        seconds: float,
        failure: str = "",
        agreed: bool | None = None,
    ) -> bool:
        """Note an attempt in memory; whether a batch waits to be written by ``flush``."""
        micros = min(round(seconds * 1e6), 2**40)
        row = Seen(self._now(), subnet, node, uid, cause, failure, agreed, micros)
        with self._guard:
            if len(self._waiting) >= WAITING_MAX:
                self.dropped += 1
            else:
                self._waiting.append(row)
            return len(self._waiting) >= BATCH

    def flush(self) -> int:
        """Write what waits, durably; how many rows. A disk that fails is logged, not raised: who
        asks a model gets an answer all the same, and the rows are tried again."""
        with self._guard:
            taken, self._waiting = self._waiting, []
        if not taken:
            return 0
        try:
            self._append(taken)
        except FreeholdError as error:
            _log.warning("what was seen of nodes could not be written: %s", error.message)
            with self._guard:
                room = max(0, WAITING_MAX - len(self._waiting))
                self.dropped += max(0, len(taken) - room)
                self._waiting = taken[:room] + self._waiting
            return 0
        return len(taken)

    def read(self, subnet: str, *, after: int = 0, limit: int = READ_MAX) -> list[Seen]:
        """Rows of a subnet behind the one with id ``after``, oldest first."""
        rows = self.rows(
            "SELECT at, subnet, node, uid, cause, failure, agreed, micros, id FROM seen "
            "WHERE subnet = ? AND id > ? ORDER BY id LIMIT ?",
            (subnet, after, min(limit, READ_MAX)),
        )
        return [_seen(row) for row in rows]

    def tally(self, subnet: str, *, since: int = 0) -> list[Record]:
        """What was seen of each node since ``since`` (ms), by uid; at most 10,000 nodes."""
        rows = self.rows(
            "SELECT node, uid, count(*), sum(failure NOT IN ('', 'dear')), "
            "sum(coalesce(agreed, 0)), "
            "sum(agreed IS NOT NULL AND NOT agreed), "
            "coalesce(avg(CASE WHEN failure = '' THEN micros END), 0) FROM seen "
            "WHERE subnet = ? AND at >= ? GROUP BY node, uid ORDER BY uid, node LIMIT ?",
            (subnet, since, READ_MAX),
        )
        return [Record(Address(str(row[0])), *(_int(cell) for cell in row[1:])) for row in rows]

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        super().close()

    def _append(self, taken: list[Seen]) -> None:
        with self.write():
            self.run_many(
                "INSERT INTO seen (at, subnet, node, uid, cause, failure, agreed, micros) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [_cells(row) for row in taken],
            )
            self.run("DELETE FROM seen WHERE id <= (SELECT max(id) FROM seen) - ?", (self._most,))


def _cells(row: Seen) -> tuple[Cell, ...]:
    agreed = None if row.agreed is None else int(row.agreed)
    return (row.at, row.subnet, row.node, row.uid, row.cause, row.failure, agreed, row.micros)


def _seen(row: tuple[Cell, ...]) -> Seen:
    return Seen(
        at=_int(row[0]),
        subnet=str(row[1]),
        node=Address(str(row[2])),
        uid=_int(row[3]),
        cause=Cause(str(row[4])),
        failure=str(row[5]),
        agreed=None if row[6] is None else bool(row[6]),
        micros=_int(row[7]),
        id=_int(row[8]),
    )


def _int(cell: Cell) -> int:
    if not isinstance(cell, int | float):
        raise TypeError("a number")
    return int(cell)

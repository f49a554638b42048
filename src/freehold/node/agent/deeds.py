"""The journal of a device's deeds: one SQLite file, written before anything is switched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from freehold.domain.errors import IntegrityError
from freehold.telemetry.records import Cell, Form, Records

FILE = "commands.sqlite"
VERSION = 1
PENDING, DONE, REFUSED, FAILED = 0, 1, 2, 3
"""Outcomes, as receipts carry them."""
KEPT = 1_000
"""Deeds that are over and still remembered; the chain keeps fewer than that open."""
_SCHEMA = (
    "CREATE TABLE deeds (command INTEGER PRIMARY KEY, line TEXT NOT NULL, value TEXT NOT NULL,"
    " rest TEXT NOT NULL, hold INTEGER NOT NULL, ends REAL NOT NULL, outcome INTEGER NOT NULL,"
    " detail TEXT NOT NULL, at INTEGER NOT NULL, live INTEGER NOT NULL) STRICT"
)
_FORM = Form(
    version=VERSION,
    schema=(_SCHEMA,),
    full="Free some space; nothing is switched until then.",
    busy="Free some space, and see that no other agent uses this folder.",
    damaged="Restore it; without it a command could be carried out twice.",
    patience=1.0,
    cache=256,
)
_COLUMNS = "command, line, value, rest, hold, ends, outcome, detail, at, live"

_Row = tuple[int, str, str, str, int, float, int, str, int, int]


@dataclass(frozen=True, slots=True)
class Deed:
    """A command and what became of it.

    ``line`` was set to ``value`` and goes back to ``rest`` at ``ends`` (seconds since 1970);
    ``hold`` in seconds. ``live`` is 1 while the line is held.
    """

    command: int
    line: str
    value: str
    rest: str
    hold: int
    ends: float
    outcome: int = PENDING
    detail: str = ""
    at: int = 0
    live: int = 1


class Deeds:
    """The file ``path``; thread-safe, of one process. Each change is durable on return."""

    def __init__(self, path: Path) -> None:
        self._records = Records(path, _FORM)

    def find(self, command: int) -> Deed | None:
        """What became of a command; None where it was never begun here."""
        found = self._select("command = ?", command)
        return found[0] if found else None

    def live(self) -> list[Deed]:
        """What holds a line, in the order of the commands."""
        return self._select("live = 1")

    def unfinished(self) -> list[Deed]:
        """What was begun and has no outcome: the program ended in the midst."""
        return self._select("outcome = ?", PENDING)

    def rest(self, line: str) -> str | None:
        """What a line that is held goes back to; None where it is not held."""
        found = self._select("live = 1 AND line = ?", line)
        return found[0].rest if found else None

    def begin(self, deed: Deed) -> None:
        """Remember a deed before it is done."""
        self._insert(deed)

    def refuse(self, command: int, outcome: int, detail: str, at: int) -> Deed:
        """Remember a command that nothing is done for."""
        deed = Deed(command, "", "", "", 0, 0.0, outcome, detail, at, live=0)
        self._insert(deed)
        return deed

    def finish(self, command: int, outcome: int, detail: str, at: int) -> Deed:
        """Give a deed its outcome; it holds its line until ``end``. IntegrityError where it was
        never begun."""
        self._run(
            "UPDATE deeds SET outcome = ?, detail = ?, at = ? WHERE command = ?",
            outcome, detail, at, command,
        )  # fmt: skip
        found = self.find(command)
        if found is None:
            raise IntegrityError(
                f"{self._records.path} knows no command {command}",
                remedy="Restore it from a backup.",
            )
        return found

    def end(self, command: int) -> None:
        """A deed holds its line no more."""
        self._run("UPDATE deeds SET live = 0 WHERE command = ?", command)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _insert(self, deed: Deed) -> None:
        self._run(
            f"INSERT INTO deeds ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            deed.command, deed.line, deed.value, deed.rest, deed.hold, deed.ends, deed.outcome,
            deed.detail, deed.at, deed.live,
        )  # fmt: skip
        self._run(
            "DELETE FROM deeds WHERE live = 0 AND command <="
            " (SELECT command FROM deeds ORDER BY command DESC LIMIT 1 OFFSET ?)",
            KEPT,
        )

    def _select(self, where: str, *values: Cell) -> list[Deed]:
        rows = self._records.rows(
            f"SELECT {_COLUMNS} FROM deeds WHERE {where} ORDER BY command",  # noqa: S608
            values,
        )
        return [Deed(*cast(_Row, row)) for row in rows]

    def _run(self, statement: str, *values: Cell) -> None:
        self._records.run(statement, values)

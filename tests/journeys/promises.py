"""What a client was told, and what must therefore still be true: a file of lines, and its fold.

A worker writes a line before an operation and another once it was acknowledged. What began and
was never acknowledged (its process died, or it failed) may have happened or not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

BEGUN, DONE, FAILED = "begun", "done", "failed"
PUT, REMOVE, MOVE, READ, PAY, FLUSH, RESUME, OPEN, WRONG = (
    "put", "rm", "mv", "get", "deposit", "flush", "resume", "open", "wrong",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bytes:
    """What an object holds: bytes that follow from a seed."""

    seed: str
    size: int

    def content(self) -> bytes:
        """The bytes."""
        return hashlib.shake_256(self.seed.encode()).digest(self.size)


@dataclass(frozen=True, slots=True)
class Line:
    """One step of an operation. ``deals`` and ``transaction`` are what it acknowledged."""

    number: int
    phase: str
    what: str
    name: str = ""
    target: str = ""
    value: Bytes | None = None
    deals: tuple[int, ...] = ()
    transaction: str = ""
    note: str = ""


@dataclass(slots=True)
class Ledger:
    """The file of one worker; what is appended is durable when ``append`` returns."""

    path: Path

    def append(self, line: Line) -> None:
        """Write one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(line)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> Iterator[Line]:
        """All whole lines; a last one that a kill cut short is none."""
        if not self.path.exists():
            return
        for text in self.path.read_text().splitlines(keepends=True):
            if text.endswith("\n") and text.strip():
                fields = json.loads(text)
                value = fields.pop("value")
                deals = tuple(fields.pop("deals"))
                yield Line(value=Bytes(**value) if value else None, deals=deals, **fields)


Allowed = frozenset[Bytes | None]
NOTHING: Allowed = frozenset({None})


@dataclass(slots=True)
class Promises:
    """What must hold: the values each name may have, the deals and transactions there must be."""

    names: dict[str, Allowed] = field(default_factory=dict)
    opened: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    transactions: set[str] = field(default_factory=set)
    unfinished: dict[str, Bytes] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    recovered: int = 0
    wrong: list[Line] = field(default_factory=list)
    last: int = 0

    @classmethod
    def of(cls, ledger: Ledger) -> Promises:
        """The fold of a file."""
        found = cls()
        for line in ledger.lines():
            found.take(line)
        return found

    def value(self, name: str) -> Allowed:
        """What a name may mean."""
        return self.names.get(name, NOTHING)

    def take(self, line: Line) -> None:
        """Learn from one line."""
        self.last = max(self.last, line.number)
        if line.what == WRONG:
            self.wrong.append(line)
        if line.phase == BEGUN:
            for name, value in self._effects(line):
                self.names[name] = self.value(name) | {value}
            if line.what == PUT and line.value is not None:
                self.unfinished[line.name] = line.value
        if line.phase == DONE:
            self._done(line)

    def _done(self, line: Line) -> None:
        for name, value in self._effects(line):
            self.names[name] = frozenset({value})
        self.acknowledged[line.what] = self.acknowledged.get(line.what, 0) + 1
        (self.closed if line.what == REMOVE else self.opened).update(line.deals)
        if line.transaction:
            self.transactions.add(line.transaction)
        if line.what == RESUME:
            self.recovered += len(line.deals)
        elif line.note == "again":
            self.recovered += 1
        if line.what == PUT and self.unfinished.get(line.name) == line.value:
            del self.unfinished[line.name]

    def _effects(self, line: Line) -> list[tuple[str, Bytes | None]]:
        if line.what == PUT:
            return [(line.name, line.value)]
        if line.what == REMOVE:
            return [(line.name, None)]
        if line.what == MOVE:
            return [(line.name, None), (line.target, line.value)]
        return []

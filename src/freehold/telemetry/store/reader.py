"""Answering: which files of which level tell what was asked, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from freehold.domain.errors import CapacityError
from freehold.telemetry.store import sql
from freehold.telemetry.store.ask import Answer, Ask
from freehold.telemetry.store.engine import Engine
from freehold.telemetry.store.limits import DAY, HOUR, MINUTE, StoreLimits
from freehold.telemetry.store.manifest import Entry, Level, Manifest
from freehold.telemetry.store.shelf import Shelf
from freehold.telemetry.store.sql import Part


class Reader:
    """Answers from the files that count when a question begins; later changes do not show."""

    def __init__(
        self, *, engine: Engine, manifest: Manifest, shelf: Shelf, limits: StoreLimits
    ) -> None:
        self._engine = engine
        self._manifest = manifest
        self._shelf = shelf
        self._limits = limits

    def answers(self, ask: Ask) -> Iterator[Answer]:
        """The rows asked for by time, a day after another; see ``Store.query``."""
        columns = sql.SPANS if ask.step else sql.READINGS
        left = ask.most
        with self.snapshot(ask) as entries:
            for window in self.windows(ask, entries):
                part = self.statement(window, entries)
                if part is None:
                    continue
                for answer in self.run(columns, sql.ordered(part, left + 1), window, entries):
                    rows = answer.rows[:left]
                    more = len(rows) < len(answer.rows)
                    left -= len(rows)
                    yield Answer(columns, rows, more)
                    if more:
                        return

    @contextmanager
    def snapshot(self, ask: Ask) -> Iterator[list[Entry]]:
        """The files that may hold what is asked, kept on disk while the block runs."""
        with self._shelf.hold(lambda: self._choose(ask)) as entries:
            yield entries

    def _choose(self, ask: Ask) -> list[Entry]:
        entries = self._manifest.entries(since=ask.since, until=ask.until)
        entries = [entry for entry in entries if _may_have(entry, ask)]
        if len(entries) > self._limits.files:
            raise CapacityError(
                f"{len(entries):,} files may have the answer, {self._limits.files:,} may be read",
                remedy="Ask for a shorter time, or merge small files (compact).",
            )
        return entries

    def windows(self, ask: Ask, entries: Sequence[Entry]) -> list[Ask]:
        """The ask in parts that are small to sort, each served by one level."""
        floors = [self._manifest.floor(level) for level in (Level.READINGS, Level.MINUTES)]
        return _windows(ask, entries, floors)

    def statement(self, ask: Ask, entries: Sequence[Entry]) -> Part | None:
        """The question to DuckDB, unordered; None where no file can have an answer."""
        root = self._shelf.root
        if ask.step is None:
            chosen = self._chosen(entries, Level.READINGS, ask)
            parts = sql.readings(root, chosen, ask)
            if not parts:
                return None
            part = sql.union(parts)
            return part if ask.unsound else sql.sound(part)
        spans = self.spans(root, ask, entries)
        if spans is None:
            return None
        return sql.asked(sql.added(spans, ask.step))

    def spans(self, root: Path, ask: Ask, entries: Sequence[Entry]) -> Part | None:
        """The spans of the coarsest level that serves, with what is in finer levels only."""
        level = self._level(ask)
        parts: list[Part] = []
        for each in range(level + 1):
            chosen = self._chosen(entries, Level(each), ask, folded=each == level)
            if each:
                parts += sql.spans(root, chosen, ask)
            elif found := sql.readings(root, chosen, ask):
                width = max(sql.WIDTHS[level], ask.step or 1)
                parts.append(sql.spanned(sql.union(found), width, unsound=ask.unsound))
        return sql.union(parts) if parts else None

    def _chosen(
        self, entries: Sequence[Entry], level: Level, ask: Ask, *, folded: bool = True
    ) -> list[Entry]:
        """Files of ``level`` with rows in the time asked for, that look whole from outside."""
        chosen = [
            entry
            for entry in entries
            if entry.level is level
            and entry.first < ask.until
            and entry.last >= ask.since
            and (folded or not entry.folded)
        ]
        self._shelf.check_sizes(chosen)
        return chosen

    def _level(self, ask: Ask) -> Level:
        if ask.unsound or ask.step is None:
            return Level.READINGS
        if ask.step % HOUR == 0 or ask.since < self._manifest.floor(Level.MINUTES):
            return Level.HOURS
        if ask.step % MINUTE == 0 or ask.since < self._manifest.floor(Level.READINGS):
            return Level.MINUTES
        return Level.READINGS

    def run(
        self, columns: tuple[str, ...], part: Part, ask: Ask, entries: Sequence[Entry]
    ) -> Iterator[Answer]:
        """What DuckDB answers, in batches."""
        try:
            with self._engine.cursor(sql.tables(ask), seconds=self._limits.seconds) as cursor:
                cursor.execute(*part)
                while rows := cursor.fetchmany(self._limits.batch):
                    yield Answer(columns, rows)
        except self._engine.error as error:
            raise self._shelf.failure(error, entries) from error


def _may_have(entry: Entry, ask: Ask) -> bool:
    """By what the manifest knows of a file: its devices and metrics."""
    if ask.metrics and entry.metrics and not set(ask.metrics) & set(entry.metrics):
        return False
    return not ask.devices or any(entry.low <= device <= entry.high for device in ask.devices)


def _windows(ask: Ask, entries: Sequence[Entry], floors: Sequence[int]) -> list[Ask]:
    """The time asked for, cut after each day that has files: what is sorted at once stays small.
    Whole where a span of the answer could lie across a cut."""
    if ask.step is not None and DAY % ask.step:
        return [ask]
    cuts = sorted({*floors, *((entry.day + 1) * DAY for entry in entries)})
    edges = [ask.since, *(cut for cut in cuts if ask.since < cut < ask.until), ask.until]
    return [replace(ask, since=start, until=end) for start, end in pairwise(edges) if start < end]

"""Keeping the store small: merging, coarser levels, and dropping what is too old.

Each step writes a new file and then changes the manifest once, so that at every moment, and after
a crash at any, each reading counts once. A file is folded into the next level once, whole; the
levels' rows add up, so late readings need no special care.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from freehold.domain.errors import UsageError
from freehold.telemetry.store import sql
from freehold.telemetry.store.ask import Ask
from freehold.telemetry.store.engine import Engine
from freehold.telemetry.store.limits import DAY, HOUR, TIME_END, StoreLimits
from freehold.telemetry.store.manifest import Entry, Level, Manifest
from freehold.telemetry.store.shelf import Shelf
from freehold.telemetry.store.sql import Part

_Key = Callable[[Entry], tuple[object, ...]]
_ALL = Ask((), (), 0, TIME_END, None, True, 0)


class Tidy:
    """The chores of a store; the caller runs one at a time."""

    def __init__(
        self, *, engine: Engine, manifest: Manifest, shelf: Shelf, limits: StoreLimits
    ) -> None:
        self._engine = engine
        self._manifest = manifest
        self._shelf = shelf
        self._limits = limits

    def compact(self, now: int) -> int:
        """Merge small files of closed hours, those of a day and kind together; how many fewer
        files there are."""
        before = now - now % HOUR
        closed = [entry for entry in self._manifest.entries() if entry.last < before]
        small = [entry for entry in closed if entry.rows < self._limits.merge_rows // 2]
        fewer = 0
        for group in self._groups(small, key=_kind):
            if len(group) > 1:
                self._merge(group)
                fewer += len(group) - 1
        return fewer

    def _merge(self, group: Sequence[Entry]) -> None:
        head = group[0]
        part = _merged(self._shelf.root, group)
        merged = self._written(part, group, level=head.level, metrics=head.metrics)
        if head.folded:
            self._shelf.settle(add=[merged], drop=group, fold=[merged])
        else:
            self._shelf.settle(add=[merged], drop=group)

    def downsample(self, now: int) -> int:
        """Put what is in finer levels only, up to the last full hour, into the coarser ones; how
        many files were folded."""
        return self._fold(now - now % HOUR)

    def _fold(self, before: int) -> int:
        folded = 0
        for level in (Level.READINGS, Level.MINUTES):
            entries = self._manifest.entries(level)
            ready = [entry for entry in entries if not entry.folded and entry.last < before]
            for group in self._groups(ready, key=lambda entry: (entry.day,)):
                self._fold_group(group, level)
                folded += len(group)
        return folded

    def _fold_group(self, group: Sequence[Entry], level: Level) -> None:
        root, target = self._shelf.root, Level(level + 1)
        if level is Level.READINGS:
            readings = sql.union(sql.readings(root, group, _ALL))
            part = sql.spanned(readings, sql.WIDTHS[target])
        else:
            part = sql.added(sql.union(sql.spans(root, group, _ALL)), sql.WIDTHS[target])
        part = (f"{part[0]} ORDER BY device, metric, time", part[1])
        self._shelf.settle(add=[self._written(part, group, level=target)], fold=group)

    def retain(self, now: int, *, raw_days: int, minute_days: int, hour_days: int) -> int:
        """Drop files all of whose rows are older than so many whole days; how many. What is
        dropped is in the next level before."""
        if not 1 <= raw_days <= minute_days <= hour_days:
            raise UsageError(
                "coarser levels must be kept at least as long as finer ones, and all for a day",
                remedy="Give days for readings <= for minutes <= for hours.",
            )
        today, dropped = now // DAY * DAY, 0
        floors = {
            Level.READINGS: today - raw_days * DAY,
            Level.MINUTES: today - minute_days * DAY,
            Level.HOURS: today - hour_days * DAY,
        }
        self._fold(max(0, floors[Level.READINGS]))
        for level, floor in floors.items():
            # the floor rises first, so that no question between meets a level with a hole
            self._manifest.raise_floor(level, max(0, floor))
            old = [entry for entry in self._manifest.entries(level) if entry.last < floor]
            if level is not Level.HOURS:
                # what came since the fold waits for the next time
                old = [entry for entry in old if entry.folded]
            self._shelf.settle(add=[], drop=old)
            dropped += len(old)
        self._manifest.forget(floors[Level.READINGS])
        self._shelf.tidy_folders()
        return dropped

    def _written(
        self,
        part: Part,
        group: Sequence[Entry],
        *,
        level: Level,
        metrics: tuple[str, ...] = (),
    ) -> Entry:
        """A file made of others, whose damage is named."""
        for entry in group:
            self._shelf.check(entry)
        return self._shelf.write(part, level=level, day=group[0].day, metrics=metrics)

    def _groups(self, entries: Sequence[Entry], *, key: _Key) -> Iterator[list[Entry]]:
        """Files that belong together, so many that a merge stays within its limits."""
        for _, alike in groupby(sorted(entries, key=lambda entry: repr(key(entry))), key=key):
            group: list[Entry] = []
            rows = 0
            for entry in alike:
                cells = entry.rows * max(1, len(entry.metrics))
                full = rows + cells > self._limits.merge_rows
                if group and (full or len(group) == self._limits.merge_files):
                    yield group
                    group, rows = [], 0
                group.append(entry)
                rows += cells
            if group:
                yield group


def _kind(entry: Entry) -> tuple[object, ...]:
    return entry.level, entry.day, entry.folded, entry.metrics


def _merged(root: Path, group: Sequence[Entry]) -> Part:
    paths = sql.files(root, group)
    if group[0].level is not Level.READINGS:
        text, bound = sql.added(sql.union(sql.spans(root, group, _ALL)), sql.WIDTHS[group[0].level])
        return f"{text} ORDER BY device, metric, time", bound
    text = sql.DEVICES_FIRST if group[0].metrics else sql.METRICS_FIRST
    return text, [paths]

"""The store of readings: takes segments once, answers at once, stays small.

A segment becomes one Parquet file for each of its days, under ``readings/day=YYYY-MM-DD/``, and
counts when the manifest says so, all its files at once: the same segment again changes nothing.
Threats: a crash at any moment; a full disk (refused before it is full, and nothing half-written
remains); damaged files (named, the others stay readable); readings of thousands of days in one
segment (those beyond the newest share a file); questions that would answer without end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from freehold.domain.closing import Closing
from freehold.domain.errors import FreeholdError, IntegrityError, UsageError
from freehold.domain.files import sync_folder
from freehold.telemetry.rows import Rows
from freehold.telemetry.store import export, sql
from freehold.telemetry.store.ask import Answer, Ask, ask
from freehold.telemetry.store.engine import Engine, Table, texts
from freehold.telemetry.store.limits import DAY, HOUR, TIME_END, StoreLimits
from freehold.telemetry.store.manifest import FOLDERS, Entry, Level, Manifest
from freehold.telemetry.store.reader import Reader
from freehold.telemetry.store.shelf import Shelf
from freehold.telemetry.store.tidy import Tidy

Format = Literal["parquet", "csv", "json"]
_LATEST = """SELECT device, metric, max(time) AS time, arg_max(value, time) AS value,
arg_max(score, time) AS score
FROM ({}) GROUP BY device, metric ORDER BY device, metric LIMIT {:d}"""
_DEVICES = """SELECT device, min(first) AS first, max(final) AS last,
(sum(count) + sum(unsound))::BIGINT AS readings, sum(unsound)::BIGINT AS unsound
FROM ({}) GROUP BY device ORDER BY device LIMIT {:d}"""
LATEST = ("device", "metric", "time", "value", "score")
DEVICES = ("device", "first", "last", "readings", "unsound")


class Store(Closing):
    """Readings below the folder ``path``, which no other process may use; every method may be
    called from any thread, and chores (``compact``, ``downsample``, ``retain``) wait for each other
    while questions and ``keep`` go on.

    Raises UnavailableError where DuckDB is not installed or another process uses the store.
    """

    def __init__(self, path: Path, *, limits: StoreLimits | None = None) -> None:
        self._limits = limits or StoreLimits()
        for folder in (path, path / "exports", *(path / name for name in FOLDERS.values())):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(path)
        self._keeping, self._chores = threading.Lock(), threading.Lock()
        self._engine = Engine(path.resolve(), limits=self._limits)
        try:
            self._manifest = Manifest(path / "manifest.db")
        except BaseException:
            self._engine.close()
            raise
        self._shelf = Shelf(
            path.resolve(), engine=self._engine, manifest=self._manifest, limits=self._limits
        )
        self._reader = Reader(
            engine=self._engine, manifest=self._manifest, shelf=self._shelf, limits=self._limits
        )
        self._tidy = Tidy(
            engine=self._engine, manifest=self._manifest, shelf=self._shelf, limits=self._limits
        )
        self._shelf.sweep()

    def close(self) -> None:
        """Let go of the files; later calls fail."""
        with self._chores, self._keeping:
            self._engine.close()
            self._manifest.close()

    # --- in ----------------------------------------------------------------------------------

    def keep(self, segment: str, rows: Rows) -> None:
        """Keep the rows of ``segment``, unless one of this name was kept; durable on return.

        Raises CapacityError, and then nothing of the segment is there.
        """
        _check_codes(rows)
        tables = {
            "ids": {"code": np.arange(len(rows.devices)), "text": texts(rows.devices)},
            "names": {"code": np.arange(len(rows.metrics)), "text": texts(rows.metrics)},
        }

        def write(day: int, chosen: slice | NDArray[np.intp]) -> Entry:
            kept: Table = {
                name: np.ascontiguousarray(getattr(rows, name)[chosen])
                for name in ("device", "metric", "time", "value", "marks", "std", "score")
            }
            tables_now = {**tables, "kept": kept}
            return self._shelf.write(
                (sql.KEPT, []), level=Level.READINGS, day=day, tables=tables_now
            )

        self._keep(segment, rows.time, write)

    def keep_block(
        self,
        segment: str,
        devices: Sequence[str] | NDArray[np.object_],
        times: NDArray[np.int64],
        names: Sequence[str],
        values: NDArray[np.float64],
        scores: NDArray[np.float32],
    ) -> None:
        """Keep sound readings of many devices at once, as ``keep`` does: of ``devices`` (n,) at
        ``times`` (n,) the ``values`` (n, m) of the metrics ``names``, NaN where there is none."""
        ids = devices if isinstance(devices, np.ndarray) else texts(tuple(devices))
        n, metrics = len(times), tuple(names)
        if ids.shape != (n,) or values.shape != (n, len(metrics)) or scores.shape != (n,):
            raise _misshapen()
        if not metrics or len(set(metrics)) < len(metrics):
            raise UsageError("the metrics are none, or one comes twice", remedy="Name each once.")

        def write(day: int, chosen: slice | NDArray[np.intp]) -> Entry:
            block: dict[str, NDArray[np.generic]] = {
                "device": ids[chosen],
                "time": times[chosen],
                "score": scores[chosen],
            }
            for at in range(len(metrics)):
                block[f"v{at}"] = np.ascontiguousarray(values[chosen, at])
            return self._shelf.write(
                ("SELECT * FROM block", []),
                level=Level.READINGS,
                day=day,
                tables={"block": block},
                metrics=metrics,
                quick=True,
            )

        self._keep(segment, times, write)

    def _keep(
        self,
        segment: str,
        times: NDArray[np.int64],
        write: Callable[[int, slice | NDArray[np.intp]], Entry],
    ) -> None:
        if not 0 < len(segment) <= 256:
            raise UsageError("a segment needs a name", remedy="Use 1 to 256 characters.")
        if len(times) and not 0 <= times.min() <= times.max() < TIME_END:
            raise UsageError("a reading has no time", remedy="Use milliseconds since 1970.")
        with self._keeping:
            if self._manifest.knows(segment):
                return
            entries: list[Entry] = []
            try:
                for day, chosen in _days(times, self._limits.days):
                    entries.append(write(day, chosen))
            except BaseException:
                self._shelf.discard(entries)
                raise
            newest = int(times.max()) if len(times) else 0
            self._shelf.settle(add=entries, segment=(segment, newest))

    # --- out ---------------------------------------------------------------------------------

    def query(
        self,
        devices: Sequence[str] = (),
        metrics: Sequence[str] = (),
        *,
        since: int,
        until: int,
        step: int | None = None,
        unsound: bool = False,
        most: int | None = None,
    ) -> Iterator[Answer]:
        """Readings by time, or with ``step`` what they did in each span, in batches; see ``Ask``.

        Spans come from the coarsest level on disk that serves, and where finer levels were dropped
        they are as long as what is left. The last batch says whether there is more. The files stay
        on disk until the iterator ends or is closed. Raises UsageError, CapacityError, and
        IntegrityError that names a damaged file.
        """
        return self._reader.answers(self._ask(devices, metrics, since, until, step, unsound, most))

    def export(
        self,
        path: Path,
        *,
        format: Format = "parquet",
        devices: Sequence[str] = (),
        metrics: Sequence[str] = (),
        since: int,
        until: int,
        step: int | None = None,
        unsound: bool = False,
    ) -> int:
        """Write the same to the new file ``path``, in no order, never all in memory; its bytes."""
        asked = self._ask(devices, metrics, since, until, step, unsound, None)
        return export.write(
            path, format, asked, engine=self._engine, reader=self._reader, shelf=self._shelf
        )

    def latest(self, devices: Sequence[str]) -> Answer:
        """The last sound reading of each metric of each device, on the last day it had any."""
        if not devices:
            raise UsageError("whose readings?", remedy="Name the devices.")
        left = self._ask(devices, (), 0, TIME_END, None, False, None)
        rows: list[tuple[str | int | float | None, ...]] = []
        with self._reader.snapshot(left) as entries:
            for window in reversed(self._reader.windows(left, entries)):
                wanted = tuple(set(left.devices) - {str(row[0]) for row in rows})
                if not wanted:
                    break
                asked = replace(window, devices=wanted)
                part = self._reader.statement(asked, entries)
                if part is not None:
                    whole = (_LATEST.format(part[0], self._limits.rows), part[1])
                    for answer in self._reader.run(LATEST, whole, asked, entries):
                        rows += answer.rows
        return Answer(LATEST, sorted(rows, key=lambda row: (str(row[0]), str(row[1]))))

    def devices(self) -> Answer:
        """Of each device the times of its first and last reading, and how many there are."""
        everything = self._ask((), (), 0, TIME_END, HOUR, False, None)
        with self._reader.snapshot(everything) as entries:
            part = self._reader.spans(self._shelf.root, everything, entries)
            if part is None:
                return Answer(DEVICES, [])
            whole = (_DEVICES.format(part[0], self._limits.rows), part[1])
            batches = self._reader.run(DEVICES, whole, everything, entries)
            return Answer(DEVICES, [row for batch in batches for row in batch.rows])

    def _ask(
        self,
        devices: Sequence[str],
        metrics: Sequence[str],
        since: int,
        until: int,
        step: int | None,
        unsound: bool,
        most: int | None,
    ) -> Ask:
        most = self._limits.rows if most is None else max(0, min(most, self._limits.rows))
        return ask(
            devices=devices,
            metrics=metrics,
            since=since,
            until=until,
            step=step,
            unsound=unsound,
            most=most,
            limits=self._limits,
        )

    # --- chores ------------------------------------------------------------------------------

    def compact(self, now: int) -> int:
        """Merge small files of the hours before ``now`` (ms); how many fewer there are."""
        with self._chores:
            return self._tidy.compact(now)

    def downsample(self, now: int) -> int:
        """Bring the levels of minutes and hours up to the last full hour."""
        with self._chores:
            return self._tidy.downsample(now)

    def retain(self, now: int, *, raw_days: int, minute_days: int, hour_days: int) -> int:
        """Drop what is older than so many days; how many files went. Names of segments that old
        are forgotten too."""
        with self._chores:
            return self._tidy.retain(
                now, raw_days=raw_days, minute_days=minute_days, hour_days=hour_days
            )

    def check(self, *, set_aside: bool = False) -> list[str]:
        """Read every file; the names of those that are damaged. ``set_aside`` moves them to
        ``damaged/`` and goes on without them."""
        damaged: list[Entry] = []
        with self._chores:
            for entry in self._manifest.entries():
                try:
                    self._shelf.check(entry)
                except IntegrityError:
                    damaged.append(entry)
            if set_aside and damaged:
                self._shelf.set_aside(damaged)
        return [entry.name for entry in damaged]


def _days(times: NDArray[np.int64], most: int) -> Iterator[tuple[int, slice | NDArray[np.intp]]]:
    """Which rows go to which day's file; beyond the newest ``most`` days the rest goes together."""
    if not len(times):
        return
    days = times // DAY
    if days[0] == days[-1] and (days == days[0]).all():
        yield int(days[0]), slice(None)
        return
    found = np.unique(days)[::-1]
    for day in found[: most - 1]:
        yield int(day), np.flatnonzero(days == day)
    if len(found) >= most:
        yield int(found[most - 1]), np.flatnonzero(days <= found[most - 1])


def _check_codes(rows: Rows) -> None:
    for codes, texts_ in ((rows.device, rows.devices), (rows.metric, rows.metrics)):
        if len(codes) and not 0 <= codes.min() <= codes.max() < len(texts_):
            raise UsageError(
                "a row names no device or metric of its table", remedy="Give codes within it."
            )


def _misshapen() -> FreeholdError:
    return UsageError(
        "the block's columns differ in length",
        remedy="Give devices, times and scores (n,) and values (n, metrics).",
    )

"""The questions to DuckDB, put together from constants, integers and our own column names.

Whatever came from outside (ids, names of metrics, paths) is bound to a question mark.

Readings: device, metric, time, value, marks, std, score. Spans, of which the rows of one span may
be spread over files and add up: device, metric, time (its begin), count, total, low, high, last
and last_at of sound readings; first, final (times) and unsound of all. An estimate is no reading,
neither sound nor unsound.
"""

# ruff: noqa: S608 - see above: nothing from outside is in the text
from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from freehold.telemetry.marks import UNSOUND
from freehold.telemetry.store.ask import Ask
from freehold.telemetry.store.engine import Bound, Table, texts
from freehold.telemetry.store.limits import HOUR, MINUTE
from freehold.telemetry.store.manifest import Entry, Level

BOUND_NAMES = 64
"""So many ids are bound one by one, which lets files be skipped; more come as a table."""
READINGS = ("device", "metric", "time", "value", "marks", "std", "score")
SPANS = ("device", "metric", "time", "count", "mean", "min", "max", "last")
WIDTHS = {Level.READINGS: 1, Level.MINUTES: MINUTE, Level.HOURS: HOUR}
READ = "std = 0"
"""What was read; the others are estimates."""
SOUND = f"isfinite(value) AND marks & {int(UNSOUND)} = 0 AND {READ}"
_PARTS = "device, metric, time, count, total, low, high, last, last_at, first, final, unsound"
KEPT = """SELECT d.text AS device, m.text AS metric, r.time, r.value, r.marks, r.std, r.score
FROM kept r JOIN ids d ON d.code = r.device JOIN names m ON m.code = r.metric"""
METRICS_FIRST = "SELECT * FROM read_parquet(?) ORDER BY device, metric, time"
DEVICES_FIRST = "SELECT * FROM read_parquet(?) ORDER BY device, time"

Part = tuple[str, Bound]
"""A statement and the values of its question marks."""


def files(root: Path, entries: Sequence[Entry]) -> list[str]:
    """What ``read_parquet`` is given."""
    return [str(root / entry.name) for entry in entries]


def tables(ask: Ask) -> dict[str, Table]:
    """The ids asked for, where they are too many to be bound."""
    wanted = {"wanted_devices": ask.devices, "wanted_metrics": ask.metrics}
    return {
        name: {"text": texts(values)}
        for name, values in wanted.items()
        if len(values) > BOUND_NAMES
    }


def _within(ask: Ask, *, metric: bool) -> Part:
    """The conditions of an ask on the rows of a file."""
    text, bound = "time >= ? AND time < ?", [ask.since, ask.until]
    values: Bound = list(bound)
    for column, names in (("device", ask.devices), ("metric", ask.metrics if metric else ())):
        if len(names) > BOUND_NAMES:
            text += f" AND {column} IN (SELECT text FROM wanted_{column}s)"
        elif names:
            text += f" AND {column} IN ({', '.join('?' * len(names))})"
            values += names
    return text, values


def readings(root: Path, entries: Sequence[Entry], ask: Ask) -> list[Part]:
    """The readings of files of either form, one part for each form and metric."""
    parts: list[Part] = []
    for metrics, group in groupby(sorted(entries, key=_form), key=_form):
        paths = files(root, list(group))
        if not metrics:
            where, values = _within(ask, metric=True)
            chosen = f"SELECT {', '.join(READINGS)} FROM read_parquet(?) WHERE {where}"
            parts.append((chosen, [paths, *values]))
            continue
        where, values = _within(ask, metric=False)
        for at, name in enumerate(metrics):
            if not ask.metrics or name in ask.metrics:
                chosen = (
                    f"SELECT device, ?::VARCHAR AS metric, time, v{at} AS value, "
                    "0::UTINYINT AS marks, 0::DOUBLE AS std, score FROM read_parquet(?) "
                    f"WHERE NOT isnan(v{at}) AND {where}"
                )
                parts.append((chosen, [name, paths, *values]))
    return parts


def _form(entry: Entry) -> tuple[str, ...]:
    return entry.metrics


def spans(root: Path, entries: Sequence[Entry], ask: Ask) -> list[Part]:
    """The rows of files that hold spans."""
    where, values = _within(ask, metric=True)
    chosen = f"SELECT {_PARTS} FROM read_parquet(?) WHERE {where}"
    return [(chosen, [files(root, entries), *values])] if entries else []


def union(parts: Sequence[Part]) -> Part:
    """All rows of all parts."""
    bound: Bound = []
    for _, values in parts:
        bound += values
    return " UNION ALL ".join(text for text, _ in parts), bound


def spanned(part: Part, width: int, *, unsound: bool = False) -> Part:
    """Readings as spans of ``width`` milliseconds; with ``unsound`` of all, and of estimates."""
    sound = "isfinite(value)" if unsound else SOUND
    text = f"""SELECT device, metric, time - time % {width:d} AS time,
        count(*) FILTER ({sound}) AS count, sum(value) FILTER ({sound}) AS total,
        min(value) FILTER ({sound}) AS low, max(value) FILTER ({sound}) AS high,
        arg_max(value, time) FILTER ({sound}) AS last, max(time) FILTER ({sound}) AS last_at,
        min(time) AS first, max(time) AS final,
        count(*) FILTER (NOT ({sound}) AND {READ}) AS unsound
        FROM ({part[0]}) GROUP BY ALL"""
    return text, part[1]


def added(part: Part, width: int) -> Part:
    """Spans as longer ones, or those of one span as one row."""
    text = f"""SELECT device, metric, time - time % {width:d} AS time,
        sum(count)::BIGINT AS count, sum(total) AS total, min(low) AS low, max(high) AS high,
        arg_max(last, last_at) AS last, max(last_at) AS last_at, min(first) AS first,
        max(final) AS final, sum(unsound)::BIGINT AS unsound
        FROM ({part[0]}) GROUP BY ALL"""
    return text, part[1]


def asked(part: Part) -> Part:
    """Spans as they are answered."""
    text = f"""SELECT device, metric, time, count, total / count AS mean, low AS min, high AS max,
        last FROM ({part[0]}) WHERE count > 0"""
    return text, part[1]


def sound(part: Part) -> Part:
    """Readings without those that say nothing true, and without estimates."""
    return f"SELECT * FROM ({part[0]}) WHERE {SOUND}", part[1]


def ordered(part: Part, most: int) -> Part:
    """By time, at most ``most``."""
    return f"{part[0]} ORDER BY time, device, metric LIMIT {most:d}", part[1]

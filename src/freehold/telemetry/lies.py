"""Who was found lying: spoofing over the recent readings of a partition, as findings and marks.

Of two devices that move alike at the same time, readings do not show who copied whom; arrivals
do: a copy cannot come before what it copies, so the one whose readings arrive soonest after their
time is named but not marked, unless all have one owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from freehold.telemetry import recent, spoofing
from freehold.telemetry.cleaning import Whole
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.metrics import limits
from freehold.telemetry.pipeline import State
from freehold.telemetry.recent import Recent
from freehold.telemetry.spoofing import Kind

SURE = 0.75
"""Score from which a device is marked and the finding critical."""
GOES_ON = 3_600_000
"""Milliseconds after which the same lie is a new incident."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Every ``every`` milliseconds of arrivals, on ticks of ``tick`` milliseconds or more."""

    every: int = 60_000
    tick: int = 1_000


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a device beside its readings. What is not ``watched`` may be like others:
    nodes of one machine all measure that machine."""

    owner: str = ""
    cell: str = ""
    watched: bool = True


@dataclass(frozen=True, slots=True)
class Lie:
    """A finding about one device, and whether it is to be marked for it."""

    finding: Finding
    marked: bool


Incidents = dict[str, tuple[int, int]]
"""When each lie began and was seen last, by kind, device and metric."""


def watch(
    state: State, known: Callable[[str], Known], incidents: Incidents, *, now: int, tick: int
) -> list[Lie]:
    """All lies that the recent readings show at ``now``; ``incidents`` is kept up."""
    for name in [name for name, (_, at) in incidents.items() if at < now - GOES_ON]:
        del incidents[name]
    labels = state.labels
    count = min(labels.count, len(state.recent.count))
    found: list[Lie] = []
    for metric, series in recent.by_metric(labels.series.metric[:count]):
        known_all = [known(labels.devices[slot]) for slot in labels.series.slot[series]]
        series = series[[each.watched for each in known_all]]
        if not len(series):
            continue
        slots = labels.series.slot[series]
        about = [each for each in known_all if each.watched]
        name, cells = labels.metrics[metric], [each.cell for each in about]
        for each, places in look(state.recent, series, cells, name, tick=tick):
            found += _lies(
                state, each, slots[places], [about[place].owner for place in places], name,
                incidents, now,
            )  # fmt: skip
    return found


def look(
    readings: Recent, series: Whole, cells: Sequence[str], metric: str, *, tick: int
) -> Iterator[tuple[spoofing.Finding, Whole]]:
    """What shows of ``series`` of one metric, and the positions of those it is about; ``cells``
    names each one's neighbourhood, ``tick`` is the shortest that a common tick may be."""
    mine = recent.own(readings, series)
    if mine is not None:
        for found in spoofing.replayed(mine[0]):
            yield found, mine[1][list(found.devices)]
    window = recent.window(readings, series, cells, tick=tick)
    if window is not None:
        for found in spoofing.among(window[0], limits(metric)):
            yield found, window[1][list(found.devices)]


def _lies(
    state: State, seen: spoofing.Finding, slots: Whole,
    owners: Sequence[str], metric: str, incidents: Incidents, now: int,
) -> list[Lie]:  # fmt: skip
    ids = [state.labels.devices[slot] for slot in slots]
    spared = -1
    if seen.kind is Kind.COPIED and len(set(owners)) > 1:
        spared = int(np.argmin(state.pulse.delay[slots]))
    return [
        _lie(seen, ids, row, metric, incidents, now, sure=seen.score >= SURE and row != spared)
        for row in range(len(ids))
    ]


def _lie(
    seen: spoofing.Finding, ids: list[str], row: int, metric: str, incidents: Incidents, now: int,
    *, sure: bool,
) -> Lie:  # fmt: skip
    name = f"{seen.kind.value}/{ids[row]}/{metric}"
    since, _ = incidents.get(name, (seen.since, 0))
    incidents[name] = since, now
    others = ", ".join(each for each in ids[:8] if each != ids[row])
    reason = f"{metric}: {seen.reason}" + (f"; with {others}" if others else "")
    severity = Severity.CRITICAL if sure else Severity.WARNING
    return Lie(
        Finding(
            key=f"{name}/{since}", kind=seen.kind.value, subject=ids[row], metric=metric,
            since=since, at=now, severity=severity, score=seen.score, reason=reason,
        ),
        sure,
    )  # fmt: skip

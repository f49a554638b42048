"""What a device's readings of an epoch are worth, from nothing but the batches that it signed.

Pure: whoever has the batches of the epoch and of the one before comes to the same. Cleaning and
quality begin empty and warm up over the epoch before, so no state of a service matters. Batches
are taken by boot and sequence number, not as they arrived, since nobody can prove an arrival.
Quality is noted in ``STEPS`` steps an epoch. Its last digit may differ between machines, whose
exponentials differ by a rounding; nothing else may.

Threats: batches of others, forged or of another network (left out); the same batch twice (counts
once); two batches signed for one place (neither counts); readings of another time (a reading
counts in the epoch of its own time, so it can count once only); floods (one reading a metric and
second counts, of 256 metrics).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from freehold.domain.did import Did
from freehold.domain.errors import FreeholdError
from freehold.telemetry import cleaning, quality
from freehold.telemetry.cleaning import Cleaned, Floats, Rules, Whole
from freehold.telemetry.columns import Columns, unpack
from freehold.telemetry.labels import METRICS_OF_DEVICE
from freehold.telemetry.marks import UNSOUND
from freehold.telemetry.quality import Record
from freehold.telemetry.reading import Batch, open_batch

STEPS = 64
MILLION = 1_000_000
_SECOND = 1_000


@dataclass(frozen=True, slots=True)
class Worth:
    """Of one device and epoch: all readings, those that count by metric, quality in millionths."""

    readings: int = 0
    metrics: Mapping[str, int] = field(default_factory=dict)
    quality: int = 0

    @property
    def counted(self) -> int:
        """Readings that count."""
        return sum(self.metrics.values())


@dataclass(frozen=True, slots=True)
class Case:
    """A device's key and its batches of an epoch and the one before, in any order."""

    did: Did
    batches: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Span:
    """An epoch: milliseconds from ``since`` to before ``until``."""

    since: int
    until: int

    @property
    def warm(self) -> int:
        """Where the epoch before began."""
        return max(0, 2 * self.since - self.until)


@dataclass(frozen=True, slots=True, eq=False)
class _Flat:
    """Readings of all cases, shape (n,) each; ``series`` indexes ``names`` and ``owners``."""

    names: list[str]
    owners: Whole
    series: Whole
    times: Whole
    values: Floats


def worth(
    before: Iterable[bytes],
    now: Iterable[bytes],
    *,
    network_id: bytes,
    did: Did,
    since: int,
    until: int,
) -> Worth:
    """What a device did from ``since`` to before ``until`` (milliseconds)."""
    (found,) = worths([Case(did, [*before, *now])], Span(since, until), network_id=network_id)
    return found


def worths(cases: Sequence[Case], span: Span, *, network_id: bytes) -> list[Worth]:
    """As ``worth`` of several devices at once, which takes hardly longer than one."""
    flat = _flat([_own(case, network_id) for case in cases], span)
    if not len(flat.series):
        return [Worth() for _ in cases]
    rules, empty = Rules.of(flat.names), cleaning.State.empty(len(flat.names))
    _, cleaned = cleaning.clean(empty, rules, flat.series, flat.times, flat.values)
    qualities = _quality(flat, cleaned, span, len(cases))
    inside = flat.times >= span.since
    readings = np.bincount(flat.owners[flat.series[inside]], minlength=len(cases))
    metrics = _counted(flat, cleaned, inside, len(cases))
    return [
        Worth(count, found, grade) if count else Worth()
        for count, found, grade in zip(readings.tolist(), metrics, qualities, strict=True)
    ]


def _own(case: Case, network_id: bytes) -> list[Columns]:
    """What the device itself signed, once each, in the order of its own count."""
    placed: dict[tuple[int, int], Batch] = {}
    doubted: set[tuple[int, int]] = set()
    for data in case.batches:
        try:
            batch = open_batch(data, network_id=network_id)
        except FreeholdError:
            continue
        if batch.device != case.did:
            continue
        place = batch.boot, batch.sequence
        known = placed.setdefault(place, batch)
        if known.statement() != batch.statement():
            doubted.add(place)
    kept = (placed[place] for place in sorted(placed.keys() - doubted))
    return [columns for batch in kept if (columns := _unpacked(batch)) is not None]


def _unpacked(batch: Batch) -> Columns | None:
    try:
        return unpack(batch)
    except FreeholdError:
        return None


def _flat(owned: Sequence[Sequence[Columns]], span: Span) -> _Flat:
    names: list[str] = []
    owners: list[int] = []
    parts: list[tuple[Whole, Whole, Floats]] = [
        (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    ]
    for owner, batches in enumerate(owned):
        places: dict[str, int] = {}
        for columns in batches:
            for name in columns.table.names:
                if name not in places and len(places) < METRICS_OF_DEVICE:
                    places[name] = len(names)
                    names.append(name)
                    owners.append(owner)
            own = np.array([places.get(name, -1) for name in columns.table.names])[columns.which]
            kept = (own >= 0) & (columns.times >= span.warm) & (columns.times < span.until)
            parts.append((own[kept].astype(np.int64), columns.times[kept], columns.si()[kept]))
    series, times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Flat(names, np.array(owners, np.int64), series, times, values)


def _quality(flat: _Flat, cleaned: Cleaned, span: Span, devices: int) -> list[int]:
    """Millionths at the end of the span."""
    record, length = Record.empty(devices), span.until - span.since
    steps = np.maximum(flat.times - span.since + length, 0) * STEPS // length
    order = np.argsort(steps, kind="stable")
    found, starts = np.unique(steps[order], return_index=True)
    for step, chosen in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
        now = span.since - length + (step + 1) * length // STEPS
        owners = flat.owners[flat.series[chosen]]
        record = quality.note(
            record, owners, cleaned.marks[chosen], cleaned.missing[chosen], now=now
        )
    grades = quality.score(record, now=span.until)
    return [round(grade * MILLION) for grade in grades.tolist()]


def _counted(
    flat: _Flat, cleaned: Cleaned, inside: np.ndarray[tuple[int], np.dtype[np.bool_]], devices: int
) -> list[dict[str, int]]:
    """Of each device, seconds of each metric that have a sound reading."""
    sound = inside & (cleaned.marks & np.uint8(UNSOUND) == 0)
    once = np.unique(np.stack([flat.series[sound], flat.times[sound] // _SECOND]), axis=1)
    counts = np.bincount(once[0], minlength=len(flat.names))
    found: list[dict[str, int]] = [{} for _ in range(devices)]
    for series in np.flatnonzero(counts).tolist():
        found[int(flat.owners[series])][flat.names[series]] = int(counts[series])
    return found

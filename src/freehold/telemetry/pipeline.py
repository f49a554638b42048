"""What is made of batches: cleaned rows, scores and findings, as a pure function of the log.

``step`` takes the state and batches in the order of the log and gives what it would one by one,
however they are cut, so that a state can be made again from the log at any time. The state is
spent: its arrays are written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from freehold.telemetry import cleaning, pulse, quality, recent, states
from freehold.telemetry.cleaning import Cleaned, Flags, Floats, Marks, Whole
from freehold.telemetry.columns import Columns
from freehold.telemetry.drifting import Clocks, drift
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.imputing import Imputed, impute
from freehold.telemetry.journal import COUNT, Counts
from freehold.telemetry.labels import Labels, Series
from freehold.telemetry.marks import UNSOUND, Mark
from freehold.telemetry.metrics import INTERVAL, limits
from freehold.telemetry.pulse import Pulse
from freehold.telemetry.recent import Recent
from freehold.telemetry.rows import Rows
from freehold.telemetry.units import UNITS

COLUMNS = 64
"""Metrics of a device, by first appearance, that the detector sees."""
WATCHED = 32_768
"""Series, by first appearance, that spoofing watches: 4 kB each."""
INTERVAL_MAX = 86_400
"""The longest interval that a device is believed, in seconds."""
STILL = 300_000
"""Milliseconds of a device's clock after which it is told again that a sensor is stuck still."""
_EARLY = 0.5
"""Of the interval told: readings that would have come faster are not missing."""
_UNORDERED = np.uint8(Mark.DUPLICATE | Mark.LATE)
_SCALES: Floats = np.array([unit.scale for unit in UNITS])
_OFFSETS: Floats = np.array([unit.offset for unit in UNITS])


@dataclass(frozen=True, slots=True)
class Alert:
    """What a detector saw in ``row``: the device's metric ``column`` has strayed since ``since``
    (milliseconds), read ``value`` where ``low`` to ``high`` was expected, ``far`` spreads off."""

    row: int
    column: int
    since: int
    value: float
    low: float
    high: float
    score: float
    far: float


class Detector(Protocol):
    """Scores rows by the past of their devices alone."""

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        """Scores (n,), 0 to 1, of rows of ``devices`` (n,), which may repeat and of which new ones
        count on from those before, at ``times`` (n,); ``values`` (n, columns), NaN where a metric
        was not read."""
        ...

    def encode(self) -> bytes:
        """The state, for ``decode`` of a new detector."""
        ...

    def decode(self, data: bytes) -> None:
        """Go on from the state that ``encode`` gave."""
        ...


@runtime_checkable
class Renewing(Protocol):
    """A detector that can begin anew with some devices."""

    def renew(self, devices: Whole) -> None:
        """Take what devices (n,), none twice, will read as that of new ones: they started again,
        and what a start sets back is no anomaly. Devices that it has not seen are left alone."""
        ...


@dataclass(slots=True)
class State:
    """Of a partition's devices and series, in the places that ``labels`` gives."""

    detector: Detector
    labels: Labels
    series: cleaning.State
    recent: Recent
    clocks: Clocks
    record: quality.Record
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch of the log, opened; times in milliseconds. ``boot`` grows with each start of the
    device, and is the same of all where starts do not matter."""

    member: str
    arrived: int
    sealed: int
    columns: Columns
    boot: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What a step gives."""

    rows: Rows
    findings: tuple[Finding, ...]
    counts: Counts


@dataclass(frozen=True, slots=True, eq=False)
class _Flat:
    """Batches (m,): device, times, boot; readings (n,): batch, device, series, time, SI value."""

    slots: Whole
    arrived: Whole
    sealed: Whole
    boots: Whole
    batch: Whole
    slot: Whole
    series: Whole
    times: Whole
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """Of batches (m,): whether the device's clock is wrong and was not before, whether it sealed
    this one wrong, whether this is the first of a start; ``began`` and ``told`` as of ``Pulse``."""

    turned: Flags
    wrong: Flags
    fresh: Flags
    began: Whole
    told: Floats

    @classmethod
    def empty(cls, batches: int) -> _Heard:
        """Of batches that were not looked at yet."""
        flags = np.zeros((3, batches), np.bool_)
        return cls(flags[0], flags[1], flags[2], np.zeros(batches, np.int64), np.zeros(batches))


def start(detector: Detector) -> State:
    """Nothing seen."""
    return State(
        detector, Labels(), cleaning.State.empty(1), Recent.empty(1), Clocks.empty(1),
        quality.Record.empty(1), Pulse.empty(1),
    )  # fmt: skip


def step(state: State, arrivals: Sequence[Arrival]) -> tuple[State, Output]:
    """Take batches, one at least, in the order of the log."""
    flat = _flat(state.labels, arrivals)
    _fit(state)
    cleaned = _clean(state, flat)
    heard = _listen(state, flat)
    marks = cleaned.marks | np.where(heard.wrong[flat.batch], np.uint8(Mark.DRIFT), np.uint8(0))
    noted = _judge(state, flat, marks, cleaned.missing)
    scores, findings = _detect(state, flat, marks, heard.fresh)
    _remember(state, flat, marks)
    made = impute(flat.times, flat.values, _fillable(flat, cleaned, heard))
    rows = _rows(state.labels, flat, made, marks, scores)
    clocks = tuple(_clock(state, flat, batch) for batch in np.flatnonzero(heard.turned).tolist())
    findings += clocks + _stuck(state.labels, flat, cleaned)
    return state, Output(rows, findings, _counts(flat, marks, noted))


def encode(state: State) -> bytes:
    """The state, for ``decode``."""
    labels = state.labels
    devices, series = len(labels.devices), labels.count
    arrays = {
        **states.named("labels", labels.series, series),
        **states.named("series", state.series, series),
        **states.named("recent", state.recent, min(series, WATCHED)),
        **states.named("clocks", state.clocks, devices),
        **states.named("record", state.record, devices),
        **states.named("pulse", state.pulse, devices),
        "detector": np.frombuffer(state.detector.encode(), np.uint8),
    }
    return states.encode(labels.words(), arrays)


def decode(detector: Detector, data: bytes) -> State:
    """The state that ``encode`` gave; IntegrityError for other bytes."""
    words, arrays = states.decode(data)
    detector.decode(arrays.pop("detector").tobytes())
    return State(
        detector,
        Labels.restore(words, states.unnamed("labels", arrays, Series.empty(1))),
        states.unnamed("series", arrays, cleaning.State.empty(1)),
        states.unnamed("recent", arrays, Recent.empty(1)),
        states.unnamed("clocks", arrays, Clocks.empty(1)),
        states.unnamed("record", arrays, quality.Record.empty(1)),
        states.unnamed("pulse", arrays, Pulse.empty(1)),
    )


def _flat(labels: Labels, arrivals: Sequence[Arrival]) -> _Flat:
    slots = np.array([labels.slot(each.member) for each in arrivals], np.int64)
    own = [labels.of(s, each.columns.table) for s, each in zip(slots, arrivals, strict=True)]
    columns = [each.columns for each in arrivals]
    counts = np.array([len(each.times) for each in columns])
    starts = np.cumsum([0, *(len(each) for each in own[:-1])])
    batch = np.repeat(np.arange(len(arrivals)), counts)
    which = np.concatenate([each.which for each in columns]) + starts[batch]
    codes = np.concatenate([each.table.units for each in columns])[which]
    values = np.concatenate([each.values for each in columns])
    return _Flat(
        slots,
        np.array([each.arrived for each in arrivals], np.int64),
        np.array([each.sealed for each in arrivals], np.int64),
        np.array([each.boot for each in arrivals], np.int64),
        batch,
        slots[batch],
        np.concatenate(own)[which],
        np.concatenate([each.times for each in columns]),
        values * _SCALES[codes] + _OFFSETS[codes],
    )


def _fit(state: State) -> None:
    devices, series = len(state.labels.devices), state.labels.count
    state.series = states.fitted(state.series, series, cleaning.State.empty(1))
    state.recent = states.fitted(state.recent, min(series, WATCHED), Recent.empty(1))
    state.clocks = states.fitted(state.clocks, devices, Clocks.empty(1))
    state.record = states.fitted(state.record, devices, quality.Record.empty(1))
    state.pulse = states.fitted(state.pulse, devices, Pulse.empty(1))


def _clean(state: State, flat: _Flat) -> Cleaned:
    touched, at = np.unique(flat.series, return_inverse=True)
    rules = state.labels.rules.at(state.labels.series.metric[touched])
    part, cleaned = cleaning.clean(
        states.take(state.series, touched), rules, at, flat.times, flat.values
    )
    states.put(state.series, touched, part)
    return cleaned


def _listen(state: State, flat: _Flat) -> _Heard:
    """Note when batches came, and what they say of their devices' clocks, starts and intervals."""
    heard, told = _Heard.empty(len(flat.slots)), _told(state.labels, flat)
    first = np.full(len(flat.slots), np.iinfo(np.int64).max)
    np.minimum.at(first, flat.batch, flat.times)
    delays = flat.arrived - np.bincount(flat.batch, flat.times) / np.bincount(flat.batch)
    for chosen in states.rounds(flat.slots):
        slots, arrived = flat.slots[chosen], flat.arrived[chosen]
        places = np.arange(len(slots))
        clocks, heard.wrong[chosen] = drift(
            states.take(state.clocks, slots), places, flat.sealed[chosen], arrived
        )
        states.put(state.clocks, slots, clocks)
        before = states.take(state.pulse, slots)
        wrong, boots = heard.wrong[chosen], flat.boots[chosen]
        heard.turned[chosen] = wrong & ~before.wrong
        heard.fresh[chosen] = (before.boot >= 0) & (boots > before.boot)
        now = pulse.beaten(before, arrived, delays[chosen], wrong, told[chosen])
        now = pulse.begun(now, boots, first[chosen], told[chosen])
        heard.began[chosen], heard.told[chosen] = now.began, now.told
        states.put(state.pulse, slots, now)
    return heard


def _told(labels: Labels, flat: _Flat) -> Floats:
    """The interval of which each batch tells, milliseconds; 0 where it tells of none."""
    told, place = np.zeros(len(flat.slots)), labels.place(INTERVAL)
    if place is not None:
        rows = np.flatnonzero(labels.series.metric[flat.series] == place)
        np.fmax.at(told, flat.batch[rows], flat.values[rows].clip(0, INTERVAL_MAX) * 1_000)
    return told


def _judge(state: State, flat: _Flat, marks: Marks, missing: Whole) -> Floats:
    """Note the quality of devices; what each batch's is then. All that arrived at one time is
    noted at once, as it was acknowledged."""
    noted = np.empty(len(flat.slots))
    cuts = np.flatnonzero(np.diff(flat.arrived)) + 1
    for batches in np.split(np.arange(len(flat.slots)), cuts):
        now = int(flat.arrived[batches[0]])
        first, end = np.searchsorted(flat.batch, (batches[0], batches[-1] + 1))
        touched, at = np.unique(flat.slots[batches], return_inverse=True)
        part = quality.note(
            states.take(state.record, touched),
            at[flat.batch[first:end] - batches[0]], marks[first:end], missing[first:end], now=now,
        )  # fmt: skip
        states.put(state.record, touched, part)
        noted[batches] = quality.score(part, now=now)[at]
    return noted


def _detect(
    state: State, flat: _Flat, marks: Marks, fresh: Flags
) -> tuple[Floats, tuple[Finding, ...]]:
    """Score readings by the row of their time; what the detector alerts to. Rows of a start are
    taken after those of all devices' starts before it, and the detector begins anew between."""
    scores, findings, turns = np.zeros(len(flat.times)), tuple[Finding, ...](), _turns(flat, fresh)
    for turn in range(int(turns.max()) + 1):
        begun = np.unique(flat.slots[fresh & (turns == turn)])
        if len(begun) and isinstance(state.detector, Renewing):
            state.detector.renew(begun)
        findings += _score(state, flat, marks, turns[flat.batch] == turn, scores)
    return scores, findings


def _turns(flat: _Flat, fresh: Flags) -> Whole:
    """How many starts of its device each batch has seen, of those among these batches, (m,)."""
    order = np.argsort(flat.slots, kind="stable")
    ordered, begun = flat.slots[order], fresh[order]
    before: Whole = np.cumsum(begun) - begun
    firsts = np.searchsorted(ordered, ordered)
    turns = np.empty(len(order), np.int64)
    turns[order] = before + begun - before[firsts]
    return turns


def _score(
    state: State, flat: _Flat, marks: Marks, chosen: Flags, scores: Floats
) -> tuple[Finding, ...]:
    """Score the readings ``chosen`` (n,) into ``scores`` (n,); what the detector alerts to."""
    columns = state.labels.series.column[flat.series]
    seen = np.flatnonzero(chosen & (marks & _UNORDERED == 0) & (columns < COLUMNS))
    if not len(seen):
        return ()
    batch, times = flat.batch[seen], flat.times[seen]
    first = np.r_[True, (np.diff(batch) != 0) | (np.diff(times) != 0)]
    row = np.cumsum(first) - 1
    values = np.full((int(row[-1]) + 1, int(columns[seen].max()) + 1), np.nan)
    values[row, columns[seen]] = flat.values[seen]
    slots, when = flat.slot[seen][first], times[first]
    found, alerts = state.detector.step(slots, when, values)
    scores[seen] = found[row]
    return tuple(
        _named(state.labels, int(slots[each.row]), int(when[each.row]), each) for each in alerts
    )


def _named(labels: Labels, slot: int, at: int, alert: Alert) -> Finding:
    return anomaly(labels.devices[slot], labels.name(slot, alert.column), at, alert)


CRITICAL = 12.0
"""Spreads from which an anomaly is critical."""


def anomaly(subject: str, metric: str, at: int, alert: Alert) -> Finding:
    """What an alert says of ``metric`` of the device ``subject``; ``at`` is the row's time. What is
    expected is what can be, as far as the metric's limits say."""
    low, high = limits(metric).within(alert.low, alert.high)
    return Finding(
        key=f"anomaly/{subject}/{metric}/{alert.since}",
        kind="anomaly",
        subject=subject,
        metric=metric,
        since=alert.since,
        at=at,
        severity=Severity.CRITICAL if alert.far >= CRITICAL else Severity.WARNING,
        score=alert.score,
        reason=f"{metric} is {alert.value:g}, expected {low:g} to {high:g}",
        value=alert.value,
        low=low,
        high=high,
    )


def _clock(state: State, flat: _Flat, batch: int) -> Finding:
    subject, at = state.labels.devices[flat.slots[batch]], int(flat.arrived[batch])
    ahead = (int(flat.sealed[batch]) - at) / 1000
    return Finding(
        key=f"clock/{subject}/{at}", kind="clock", subject=subject, metric="", since=at, at=at,
        severity=Severity.WARNING, score=1.0,
        reason=f"its clock is {abs(ahead):.0f} seconds {'ahead' if ahead > 0 else 'behind'}",
    )  # fmt: skip


def _stuck(labels: Labels, flat: _Flat, cleaned: Cleaned) -> tuple[Finding, ...]:
    """Sensors that are stuck, at the first reading that shows it and now and then until they move,
    so that an alert stays open for so long. What rests at a limit, as light does at night, is
    marked alone."""
    metric, rules = labels.series.metric[flat.series], labels.rules
    rests = (flat.values == rules.low[metric]) | (flat.values == rules.high[metric])
    due = ~cleaned.stuck | (flat.times // STILL != cleaned.since // STILL)
    told = np.flatnonzero((cleaned.marks & np.uint8(Mark.STUCK) != 0) & due & ~rests)
    return tuple(_still(labels, flat, row, int(cleaned.moved[row])) for row in told.tolist())


def _still(labels: Labels, flat: _Flat, row: int, since: int) -> Finding:
    subject = labels.devices[flat.slot[row]]
    metric = labels.metrics[labels.series.metric[flat.series[row]]]
    value, at = float(flat.values[row]), int(flat.times[row])
    return Finding(
        key=f"stuck/{subject}/{metric}/{since}", kind="stuck", subject=subject, metric=metric,
        since=since, at=at, severity=Severity.WARNING, score=1.0, value=value,
        reason=f"{metric} has been {value:g} for {(at - since) // 1000:,} seconds",
    )  # fmt: skip


def _remember(state: State, flat: _Flat, marks: Marks) -> None:
    kept = (marks & _UNORDERED == 0) & (flat.series < WATCHED)
    recent.note(state.recent, flat.series[kept], flat.times[kept], flat.values[kept])


def _fillable(flat: _Flat, cleaned: Cleaned, heard: _Heard) -> Cleaned:
    """``cleaned`` without the gaps in which nothing is missing: across a start of the device or a
    change of its interval, or no longer than the interval that it told."""
    across = cleaned.since < heard.began[flat.batch]
    apart = (flat.times - cleaned.since) / (cleaned.missing + 1)
    slower = apart < _EARLY * heard.told[flat.batch]
    return replace(cleaned, missing=np.where(across | slower, 0, cleaned.missing))


def _rows(labels: Labels, flat: _Flat, made: Imputed, marks: Marks, scores: Floats) -> Rows:
    """Readings in the order of arrival, estimates before the reading that ended their gap."""
    size = len(flat.times)
    source = np.concatenate((np.arange(size), made.after))
    order = np.argsort(np.concatenate((2 * np.arange(size) + 1, 2 * made.after)), kind="stable")
    series = flat.series[source]
    slots, device = np.unique(labels.series.slot[series], return_inverse=True)
    places, metric = np.unique(labels.series.metric[series], return_inverse=True)
    none = np.zeros(len(made.after))
    return Rows(
        tuple(labels.devices[slot] for slot in slots),
        tuple(labels.metrics[place] for place in places),
        device.astype(np.int32)[order],
        metric.astype(np.int32)[order],
        np.concatenate((flat.times, made.times))[order],
        np.concatenate((flat.values, made.values))[order],
        np.concatenate((marks, none.astype(np.uint8)))[order],
        np.concatenate((np.zeros(size), made.std))[order],
        np.concatenate((scores, none)).astype(np.float32)[order],
    )


def _counts(flat: _Flat, marks: Marks, noted: Floats) -> Counts:
    counts = np.zeros(len(flat.slots), COUNT)
    sound = marks & np.uint8(UNSOUND) == 0
    counts["slot"] = flat.slots
    counts["sound"] = np.bincount(flat.batch[sound], minlength=len(flat.slots))
    counts["arrived"] = flat.arrived
    counts["quality"] = noted
    return counts

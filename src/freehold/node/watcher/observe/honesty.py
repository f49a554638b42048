"""How honest devices are and what they measure, reckoned from the batches that they signed.

Pure: from the same evidence every watcher comes to the same. Batches that are not the device's
own count for nothing, since whoever handed them out may have made them. Two batches signed for one
place in a device's count can come from nobody but the device, so they are held against it. Who of
two owners copied the other cannot be told from what they signed, or a copy could bring its original
into disrepute: only copies within one owner's devices count here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from freehold.domain.aspects import MICRO, WHOLE
from freehold.domain.did import Did
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.node.logs import fields
from freehold.node.watcher.observe.field import Watched
from freehold.telemetry import pipeline, quality, recent
from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.columns import unpack
from freehold.telemetry.lies import SURE, look
from freehold.telemetry.marks import UNSOUND
from freehold.telemetry.pipeline import Alert, Arrival
from freehold.telemetry.reading import Batch, open_batch
from freehold.telemetry.refusals import ReplayError
from freehold.telemetry.replay import Past, judge
from freehold.telemetry.spoofing import Kind

NEWEST = 9
"""Sound readings of which the median is told: four that are wrong do not move it far."""
TICK = 1_000
"""Milliseconds between two readings at least when series are compared."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """Milliseconds: evidence from ``warm`` on is looked at, ``since`` to before ``until`` is what
    is told of."""

    warm: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one device: ``honest`` of 10^4, and by metric millionths of the SI unit; whether it was
    ``silent``, which says nothing of one that never reported."""

    honest: int = 0
    readings: Mapping[str, int] = field(default_factory=dict)
    silent: bool = False


Measure = Callable[[Mapping[Address, Sequence[bytes]], Mapping[Address, Watched], bytes, Span],
                   dict[Address, Seen]]  # fmt: skip
"""From the batches of devices, who they are, the network id and the span: what is seen of each."""


class _Quiet:
    """A detector that finds nothing: anomalies are no lies."""

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        del times, values
        return np.zeros(len(devices)), ()

    def encode(self) -> bytes:
        return b""

    def decode(self, data: bytes) -> None:
        del data


def measure(
    evidence: Mapping[Address, Sequence[bytes]],
    devices: Mapping[Address, Watched],
    network_id: bytes,
    span: Span,
) -> dict[Address, Seen]:
    """What is seen of the devices of ``evidence``, see ``Measure``: nothing of one that was silent
    in this span and not before it, since one round of silence may be the network's."""
    caught: set[str] = set()
    arrivals: list[Arrival] = []
    heard: set[str] = set()
    for device, batches in evidence.items():
        own, altered = _own(batches, devices[device].did, network_id, span)
        caught.update([device] if altered else [])
        heard.update(device for batch in own if batch.time >= span.since)
        arrivals += _arrivals(device, own)
    arrivals.sort(key=lambda each: (each.sealed, each.member))
    state, rows = _cleaned(arrivals, devices, caught, span)
    return {
        device: _seen(state, device, rows.get(device, {}), caught=device in caught)
        for device in evidence
        if device in heard or device in caught or state.labels.find(device) is None
    }


def _own(
    batches: Iterable[bytes], did: Did, network_id: bytes, span: Span
) -> tuple[list[Batch], bool]:
    """The batches of a device, each once and in its own count, and whether two have one place."""
    found = (genuine(data, did, network_id, span) for data in batches)
    opened = [batch for batch in found if batch is not None]
    opened.sort(key=lambda batch: (batch.boot, batch.sequence))
    past, altered, own = Past(), False, []
    for batch in opened:
        try:
            past, new = judge(past, batch)
        except ReplayError:
            altered = True
            continue
        own += [batch] if new else []
    return own, altered


def genuine(data: bytes, did: Did, network_id: bytes, span: Span) -> Batch | None:
    """The batch that ``data`` is, None where the device did not sign it for this network in the
    time that is looked at."""
    try:
        batch = open_batch(data, network_id=network_id)
    except FreeholdError as error:
        _log.debug("no evidence", extra=fields(did=did.text, reason=error.message))
        return None
    return batch if batch.device == did and span.warm <= batch.time < span.until else None


def _arrivals(device: Address, batches: Sequence[Batch]) -> list[Arrival]:
    found = []
    for batch in batches:
        try:
            found.append(Arrival(device, batch.time, batch.time, unpack(batch), batch.boot))
        except FreeholdError as error:
            _log.debug("malformed", extra=fields(device=device, reason=error.message))
    return found


def _cleaned(
    arrivals: Sequence[Arrival], devices: Mapping[Address, Watched], caught: set[str], span: Span
) -> tuple[pipeline.State, dict[str, dict[str, int]]]:
    """The state after all of it, those caught lying added to ``caught``, and what was measured."""
    state = pipeline.start(_Quiet())
    if not arrivals:
        return state, {}
    state, output = pipeline.step(state, arrivals)
    caught.update(_spoofing(state, devices))
    rows, measured = output.rows, dict[str, dict[str, int]]()
    sound = (rows.marks & np.uint8(UNSOUND) == 0) & (rows.std == 0)
    kept = np.flatnonzero(sound & (rows.time >= span.since) & (rows.time < span.until))
    series = rows.device[kept].astype(np.int64) * len(rows.metrics) + rows.metric[kept]
    for number in np.unique(series).tolist():
        at, place = divmod(number, len(rows.metrics))
        newest = rows.value[kept[series == number]][-NEWEST:]
        measured.setdefault(rows.devices[at], {})[rows.metrics[place]] = _middle(newest)
    return state, measured


def _spoofing(state: pipeline.State, devices: Mapping[Address, Watched]) -> Iterator[str]:
    """Devices whose own readings give them away."""
    labels, latest = state.labels, state.recent
    metrics = labels.series.metric[: min(labels.count, len(latest.count))]
    for metric, series in recent.by_metric(metrics):
        cells = [""] * len(series)
        for found, places in look(latest, series, cells, labels.metrics[metric], tick=TICK):
            slots = labels.series.slot[series[places]]
            names = [labels.devices[slot] for slot in slots]
            owners = {devices[Address(name)].owner for name in names}
            if found.score >= SURE and (found.kind is not Kind.COPIED or len(owners) == 1):
                yield from names


def _middle(values: Floats) -> int:
    """The lower median in millionths."""
    return round(float(np.sort(values)[(len(values) - 1) // 2]) * MICRO)


def _seen(state: pipeline.State, device: str, readings: Mapping[str, int], *, caught: bool) -> Seen:
    slot = state.labels.find(device)
    if caught or slot is None:
        return Seen(0, {}, silent=not caught)
    one = quality.explain(state.record, slot, now=int(state.record.heard[slot]))
    sound = [part for name, part in one.items() if name not in (quality.TRUST, quality.COMPLETE)]
    return Seen(round(float(np.prod(sound)) * WHOLE), readings)

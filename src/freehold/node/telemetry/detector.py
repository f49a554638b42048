"""The fleet and multivariate detectors of ``learning``, for the rows of a partition as they come.

Each device is held against its own past twice: its metrics one by one, and together. What is odd
adds to the evidence against it, and evidence worth an alert, by whichever of the two, opens an
incident; what follows within ``QUIET`` rows of its last odd row is the same incident. A row's
score is how rare its most deviant metric is among the device's own rows.

Relations are followed among a device's first ``multivariate.METRICS`` metrics, in rows that have
two of them, and for the first ``RELATED`` devices of a partition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import IntegrityError, UsageError
from freehold.learning.anomaly import evidence, fleet, incidents, multivariate
from freehold.learning.anomaly.explain import SPREADS
from freehold.telemetry import states
from freehold.telemetry.pipeline import Alert

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

ASKS = evidence.ALERT / evidence.MOST
"""Share of the most evidence that opens an incident."""
QUIET = 64
"""Rows without anything odd after which what comes is a new incident."""
RELATED = 16_384
"""Devices whose metrics are related among themselves, by first appearance: 2 kB each, at most."""
_LEAST = 64
_WITHIN = 1.0
"""Spreads within which all is alike: a constant's record is rounding, and any move beyond it."""


@dataclass(frozen=True, slots=True, eq=False)
class Incidents:
    """Of devices (n,): rows so far, the incident's first row and its latest odd one, and its
    highest score."""

    rows: Whole
    last: Whole
    since: Whole
    level: Floats

    @classmethod
    def empty(cls, devices: int) -> Incidents:
        """Of devices without one."""
        never = np.full(devices, incidents.NEVER, np.int64)
        return cls(np.zeros(devices, np.int64), never, never.copy(), np.zeros(devices))


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Of rows of different devices: the states as stepped; ``alone`` and ``within`` (n,), what
    each detector asks, 0 to 1; ``place`` (n,), a row's place in ``related``, -1 without one."""

    fleet: fleet.State
    related: multivariate.State | None
    alone: Floats
    within: Floats
    place: Whole


class FleetDetector:
    """A ``Detector``; a device's rows are scored after ``warm`` of them."""

    def __init__(self, *, warm: int = 32) -> None:
        self._warm = warm
        self._fleet = fleet.start(1, 1, warm=warm)
        self._nats = evidence.start(1)
        self._related = multivariate.start(1, 1)
        self._incidents = Incidents.empty(1)

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        """See ``Detector``."""
        self._fit(int(devices.max()) + 1, values.shape[1])
        scores, alerts = np.zeros(len(devices)), list[Alert]()
        for chosen in states.rounds(devices):
            told, scores[chosen] = self._judge(devices[chosen], values[chosen])
            alerts += self._merge(devices[chosen], times, values, chosen, told)
        return scores, alerts

    def renew(self, devices: Whole) -> None:
        """See ``Renewing``: their evidence is taken back, and as after their first rows nothing
        is odd until they are known again. Which evidence is usual stays, and so do incidents."""
        seen = devices[devices < len(self._nats.total)]
        fleet.renew(self._fleet, seen)
        self._nats.total[seen] = 0.0
        near = seen[seen < self._related.count.shape[1]]
        self._related.count[:, near] = 0
        self._related.evidence.total[near] = 0.0

    def encode(self) -> bytes:
        """See ``Detector``."""
        held = _named("fleet", fleet.arrays(self._fleet))
        held |= _named("nats", evidence.arrays(self._nats))
        held |= _named("related", multivariate.arrays(self._related))
        return states.encode(
            None, held | states.named("open", self._incidents, len(self._incidents.rows))
        )

    def decode(self, data: bytes) -> None:
        """See ``Detector``; IntegrityError for other bytes."""
        _, arrays = states.decode(data)
        try:
            self._fleet = fleet.restore(_unnamed("fleet", arrays), warm=self._warm)
            self._nats = evidence.restore(_unnamed("nats", arrays))
            self._related = multivariate.restore(_unnamed("related", arrays))
        except (UsageError, KeyError) as error:
            raise IntegrityError("a checkpoint is damaged", remedy="Delete it.") from error
        self._incidents = states.unnamed("open", arrays, Incidents.empty(1))

    def _fit(self, devices: int, columns: int) -> None:
        have, wide = self._fleet.level.shape
        if devices <= have and columns <= wide:
            return
        room = max(_LEAST, 2 * have, devices) if devices > have else have
        columns = max(columns, wide)
        self._fleet = fleet.grow(self._fleet, room, columns)
        self._nats = evidence.grown(self._nats, room)
        self._related = multivariate.grow(
            self._related, min(room, RELATED), min(columns, multivariate.METRICS)
        )
        self._incidents = states.fitted(self._incidents, room, Incidents.empty(1))

    def _judge(self, devices: Whole, values: Floats) -> tuple[_Told, Floats]:
        """What both detectors make of rows of different devices, and the rows' scores."""
        part = fleet.at(self._fleet, devices)
        missing = part.level.shape[1] - values.shape[1]
        whole = np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)
        part, scores = fleet.step(part, whole)
        fleet.put(self._fleet, devices, part)
        nats = self._weigh(devices, part)
        place, related, within = self._relate(devices, values)
        return _Told(part, related, evidence.score(nats), within, place), scores

    def _weigh(self, devices: Whole, stepped: fleet.State) -> Floats:
        far = fleet.settled(stepped)
        far = np.where(far > 0, np.maximum(far, _WITHIN), 0.0)
        part = evidence.at(self._nats, devices)
        part, nats = evidence.step(part, far, far > 0)
        evidence.put(self._nats, devices, part)
        return nats

    def _relate(
        self, devices: Whole, values: Floats
    ) -> tuple[Whole, multivariate.State | None, Floats]:
        """Each row's place among those that are related, their state, and what it asks."""
        place, within = np.full(len(devices), -1), np.zeros(len(devices))
        here = np.isfinite(values[:, : multivariate.METRICS])
        rows = np.flatnonzero((here.sum(axis=1) > 1) & (devices < RELATED))
        if not len(rows):
            return place, None, within
        wide = int(np.flatnonzero(here[rows].any(axis=0))[-1]) + 1
        part = multivariate.at(self._related, devices[rows], wide)
        part, within[rows] = multivariate.step(part, values[rows, :wide])
        multivariate.put(self._related, devices[rows], part)
        place[rows] = np.arange(len(rows))
        return place, part, within

    def _merge(
        self, devices: Whole, times: Whole, values: Floats, chosen: Whole, told: _Told
    ) -> list[Alert]:
        """Alerts of rows that open an incident; rows are counted device by device."""
        before = states.take(self._incidents, devices)
        asked = np.maximum(told.alone, told.within)
        odd = np.where(asked >= ASKS, asked, 0.0)
        if not odd.any():
            self._incidents.rows[devices] += 1
            return []
        opened = incidents.Open(
            0, before.last - before.rows, before.since - before.rows, before.level, before.level
        )
        opened, _ = incidents.step(opened, odd, QUIET)
        states.put(
            self._incidents, devices,
            Incidents(
                before.rows + 1,
                np.where(odd > 0, before.rows, before.last),
                np.where(opened.since == 0, before.rows, before.since),
                opened.level,
            ),
        )  # fmt: skip
        rows = np.flatnonzero(incidents.alerts(opened, ASKS)).tolist()
        return [_alert(told, row, values, times, int(chosen[row])) for row in rows]


def _alert(told: _Told, row: int, values: Floats, times: Whole, at: int) -> Alert:
    """By the detector that asks the more: which metric, what it read and what was expected."""
    if told.related is not None and told.within[row] > told.alone[row]:
        column, far, spread = multivariate.farthest(told.related, int(told.place[row]))
        score = told.within[row]
    else:
        column = int(np.argmax(np.abs(told.fleet.deviation[row])))
        far, spread = told.fleet.deviation[row, column], told.fleet.width[row, column]
        score = told.alone[row]
    value = float(values[at, column])
    expected, margin = value - float(far * spread), float(SPREADS * spread)
    return Alert(
        row=at,
        column=column,
        since=int(times[at]),
        value=value,
        low=expected - margin,
        high=expected + margin,
        score=float(score),
        far=abs(float(far)),
    )


def _named(prefix: str, arrays: Mapping[str, states.Array]) -> dict[str, states.Array]:
    return {f"{prefix}.{name}": each for name, each in arrays.items()}


def _unnamed(prefix: str, arrays: Mapping[str, states.Array]) -> dict[str, states.Array]:
    start = f"{prefix}."
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}

"""The fleet detector of ``learning``, for the rows of a partition as they come.

A row is scored by how rare its most deviant metric is among the device's own rows; it opens an
incident only where that metric is also ``FAR`` spreads off, or every device would have one in so
many rows by chance. What follows an incident within ``QUIET`` rows is the same incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import IntegrityError, UsageError
from freehold.learning.anomaly import fleet, incidents
from freehold.telemetry import states
from freehold.telemetry.pipeline import Alert

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

FAR = 6.0
"""Spreads from the level at which a row can open an incident."""
RARE = 0.9
"""Score from which it does."""
QUIET = 64
_LEAST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Incidents:
    """Of devices (n,): rows so far, row and time of the incident's latest news and of its first,
    and its highest score."""

    rows: Whole
    last: Whole
    since: Whole
    level: Floats

    @classmethod
    def empty(cls, devices: int) -> Incidents:
        """Of devices without one."""
        never = np.full(devices, incidents.NEVER, np.int64)
        return cls(np.zeros(devices, np.int64), never, never.copy(), np.zeros(devices))


class FleetDetector:
    """A ``Detector``; a device scores after ``warm`` rows."""

    def __init__(self, *, warm: int = 32) -> None:
        self._warm = warm
        self._fleet = fleet.start(1, 1, warm=warm)
        self._incidents = Incidents.empty(1)

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        """See ``Detector``."""
        self._fit(int(devices.max()) + 1, values.shape[1])
        scores, alerts = np.zeros(len(devices)), list[Alert]()
        for chosen in states.rounds(devices):
            part = self._score(devices[chosen], values[chosen], scores, chosen)
            alerts += self._merge(devices[chosen], times, values, scores, chosen, part)
        return scores, alerts

    def encode(self) -> bytes:
        """See ``Detector``."""
        size = len(self._incidents.rows)
        held = {f"fleet.{name}": each for name, each in fleet.arrays(self._fleet).items()}
        return states.encode(None, held | states.named("open", self._incidents, size))

    def decode(self, data: bytes) -> None:
        """See ``Detector``; IntegrityError for other bytes."""
        _, arrays = states.decode(data)
        named = {
            name.removeprefix("fleet."): each
            for name, each in arrays.items()
            if name.startswith("fleet.")
        }
        try:
            self._fleet = fleet.restore(named, warm=self._warm)
        except (UsageError, KeyError) as error:
            raise IntegrityError("a checkpoint is damaged", remedy="Delete it.") from error
        self._incidents = states.unnamed("open", arrays, Incidents.empty(1))

    def _fit(self, devices: int, columns: int) -> None:
        have, wide = self._fleet.level.shape
        if devices > have or columns > wide:
            room = max(_LEAST, 2 * have, devices) if devices > have else have
            self._fleet = fleet.grow(self._fleet, room, max(columns, wide))
            self._incidents = states.fitted(self._incidents, room, Incidents.empty(1))

    def _score(self, devices: Whole, values: Floats, scores: Floats, chosen: Whole) -> fleet.State:
        """Score rows of different devices, into their places of ``scores``."""
        part = fleet.at(self._fleet, devices)
        missing = part.level.shape[1] - values.shape[1]
        whole = np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)
        part, found = fleet.step(part, whole)
        fleet.put(self._fleet, devices, part)
        scores[chosen] = found
        return part

    def _merge(
        self, devices: Whole, times: Whole, values: Floats, scores: Floats, chosen: Whole,
        part: fleet.State,
    ) -> list[Alert]:  # fmt: skip
        """Alerts of rows that open an incident; rows are counted device by device."""
        before = states.take(self._incidents, devices)
        far = fleet.deviations(part)
        odd = np.where((far >= FAR) & (scores[chosen] >= RARE), scores[chosen], 0.0)
        if not odd.any() and not before.level.any():
            self._incidents.rows[devices] += 1
            return []
        opened = incidents.Open(
            0, before.last - before.rows, before.since - before.rows, before.level, before.level
        )
        opened, _ = incidents.step(opened, odd, QUIET)
        fresh = opened.last == 0
        states.put(
            self._incidents, devices,
            Incidents(
                before.rows + 1,
                np.where(fresh, before.rows, before.last),
                np.where(opened.since == 0, before.rows, before.since),
                opened.level,
            ),
        )  # fmt: skip
        told = np.flatnonzero(incidents.alerts(opened, RARE)).tolist()
        return [self._alert(part, row, values, times, int(chosen[row]), far[row]) for row in told]

    def _alert(
        self, part: fleet.State, row: int, values: Floats, times: Whole, at: int, far: float
    ) -> Alert:
        column = int(np.argmax(np.abs(part.deviation[row])))
        expected = float(part.expected[row, column])
        margin = fleet.SPREADS * float(part.width[row, column])
        return Alert(
            row=at,
            column=column,
            since=int(times[at]),
            value=float(values[at, column]),
            low=expected - margin,
            high=expected + margin,
            score=min(1.0, 1.0 - (1.0 - RARE) * FAR / max(float(far), FAR)),
            far=float(far),
        )

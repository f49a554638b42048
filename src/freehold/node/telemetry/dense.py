"""The fleet detector of ``learning`` for dense sources: a whole frame at once, in place.

Each device is held against its own past, its metrics one by one. What is odd adds to the evidence
against it (``evidence``), and evidence worth an alert opens an incident; what follows within
``QUIET`` rows of its last odd row is the same incident. A row's score is how rare its most deviant
metric is among the device's own rows. How metrics hang together is not looked at: that is for the
partitions' detector, which is slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import IntegrityError, UsageError
from freehold.learning.anomaly import evidence, fleet
from freehold.learning.anomaly.explain import SPREADS
from freehold.telemetry import states
from freehold.telemetry.pipeline import Alert

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

ASKS = evidence.ALERT / evidence.MOST
"""Share of the most evidence that opens an incident."""
QUIET = 64
"""Rows without anything odd after which what comes is a new incident."""
MEMORY = 128
"""Rows of a device that its evidence is ranked among."""
_NEVER = -QUIET - 1


class DenseDetector:
    """A ``Detector`` of ``devices`` with ``metrics`` each, of which a step has each at most once; a
    device's rows are scored after ``warm`` of them."""

    def __init__(self, devices: int, metrics: int, *, warm: int = 32) -> None:
        self._warm = warm
        self._fleet = fleet.start(devices, metrics, warm=warm)
        self._nats = evidence.start(devices, memory=MEMORY)
        self._rows = np.zeros(devices, np.int64)
        self._odd = np.full(devices, _NEVER, np.int64)
        self._all = np.arange(devices)

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        """See ``Detector``."""
        if values.shape[1] != self._fleet.level.shape[1]:
            raise UsageError("a row has other metrics", remedy="Give all, NaN for what is missing.")
        whole = len(devices) == len(self._all) and bool((devices == self._all).all())
        rows = self._rows[devices]
        part, scores, nats = self._whole(values) if whole else self._some(devices, values)
        self._rows[devices] += 1
        odd = np.flatnonzero(evidence.score(nats) >= ASKS)
        opened = odd[rows[odd] - self._odd[devices[odd]] > QUIET]
        self._odd[devices[odd]] = rows[odd]
        return scores, [self._alert(part, int(row), times, values, nats) for row in opened]

    def encode(self) -> bytes:
        """See ``Detector``."""
        held = {f"fleet.{name}": each for name, each in fleet.arrays(self._fleet).items()}
        held |= {f"nats.{name}": each for name, each in evidence.arrays(self._nats).items()}
        return states.encode(None, {**held, "rows": self._rows, "odd": self._odd})

    def decode(self, data: bytes) -> None:
        """See ``Detector``; IntegrityError for other bytes, or those of another fleet."""
        _, arrays = states.decode(data)
        parts: dict[str, dict[str, states.Array]] = {"fleet": {}, "nats": {}}
        for name, each in arrays.items():
            kind, _, inner = name.partition(".")
            parts.get(kind, {})[inner] = each
        try:
            told, nats = fleet.restore(parts["fleet"], warm=self._warm), parts["nats"]
            found = evidence.restore(nats)
            rows, odd = arrays["rows"].astype(np.int64), arrays["odd"].astype(np.int64)
        except (UsageError, KeyError) as error:
            raise _damaged() from error
        shapes = (told.level.shape, found.total.shape, rows.shape, odd.shape)
        if shapes != (self._fleet.level.shape, *3 * (self._all.shape,)):
            raise _damaged()
        self._fleet, self._nats, self._rows, self._odd = told, found, rows, odd

    def _whole(self, values: Floats) -> tuple[fleet.State, Floats, Floats]:
        self._fleet, scores = fleet.step(self._fleet, values)
        far = fleet.settled(self._fleet)
        self._nats, nats = evidence.step(self._nats, far, far > 0)
        return self._fleet, scores, nats

    def _some(self, devices: Whole, values: Floats) -> tuple[fleet.State, Floats, Floats]:
        part, scores = fleet.step(fleet.at(self._fleet, devices), values)
        fleet.put(self._fleet, devices, part)
        told, far = evidence.at(self._nats, devices), fleet.settled(part)
        told, nats = evidence.step(told, far, far > 0)
        evidence.put(self._nats, devices, told)
        return part, scores, nats

    def _alert(
        self, part: fleet.State, row: int, times: Whole, values: Floats, nats: Floats
    ) -> Alert:
        column = int(np.argmax(np.abs(part.deviation[row])))
        expected = float(part.expected[row, column])
        margin = SPREADS * float(part.width[row, column])
        return Alert(
            row=row,
            column=column,
            since=int(times[row]),
            value=float(values[row, column]),
            low=expected - margin,
            high=expected + margin,
            score=float(evidence.score(nats[row : row + 1])[0]),
            far=abs(float(part.deviation[row, column])),
        )


def _damaged() -> IntegrityError:
    return IntegrityError("a checkpoint is damaged", remedy="Delete it.")

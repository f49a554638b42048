"""Readings become sealed batches: when enough are there, when they wait long, or at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from freehold.domain.did import Did
from freehold.node.agent.buffer import Sealed
from freehold.telemetry.reading import METRICS_MAX, READINGS_MAX, Batch, Reading, pack, seal

WAIT = 10_000
"""Milliseconds that a reading waits for others at most."""


class Rounds:
    """The readings of one boot that are not sealed yet; sequences count from 1."""

    def __init__(
        self, *, network_id: bytes, did: Did, boot: int, sign: Callable[[bytes], bytes]
    ) -> None:
        self._network_id, self._did, self._boot, self._sign = network_id, did, boot, sign
        self._sequence = 0
        self._pending: list[Reading] = []

    def take(
        self, readings: Sequence[Reading], *, now: int, batch: int, urgent: bool = False,
        pause: int = 0,
    ) -> list[Sealed]:  # fmt: skip
        """Take readings of one moment; the batches that are due at ``now`` (milliseconds), sealed
        when ``batch`` readings are there or ``urgent``, or when the first would wait too long until
        the next are taken ``pause`` milliseconds later."""
        sealed: list[Sealed] = []
        if self._pending and readings and readings[0].time < self._pending[-1].time:
            sealed = self.flush(now)  # the clock was set back, and a batch's times never run back
        self._pending += readings
        if not self._pending:
            return sealed
        waits = now + pause - self._pending[0].time
        due = urgent or len(self._pending) >= batch or waits > WAIT
        return sealed + self.flush(now) if due else sealed

    def flush(self, now: int) -> list[Sealed]:
        """Seal all that is pending."""
        pending, self._pending = self._pending, []
        return [self._seal(part, now) for part in _parts(pending)]

    def _seal(self, readings: Sequence[Reading], now: int) -> Sealed:
        self._sequence += 1
        moment = max(now, readings[-1].time)
        batch = Batch(
            self._network_id, self._did, self._boot, self._sequence, moment, pack(readings)
        )
        return Sealed(self._boot, self._sequence, seal(batch, self._sign))


def _parts(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """The readings in pieces that a batch holds."""
    part: list[Reading] = []
    names: set[str] = set()
    for reading in readings:
        more = reading.metric not in names and len(names) == METRICS_MAX
        if more or len(part) == READINGS_MAX:
            yield part
            part, names = [], set()
        part.append(reading)
        names.add(reading.metric)
    if part:
        yield part

"""What came lately: the store as the partitions' sink, with a memory of who was heard of when."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from freehold.telemetry.rows import Rows
from freehold.telemetry.store.store import Store

METRICS_KEPT = 256
"""Metrics of one device that are remembered."""
WINDOW = 60_000
"""Milliseconds over which rates are taken."""


@dataclass(slots=True)
class Heard:
    """Of a device: the time of its latest reading (milliseconds) and the metrics it named."""

    time: int = 0
    metrics: set[str] = field(default_factory=set)


class Lately:
    """A ``Sink`` before ``store``; ``now`` gives milliseconds."""

    def __init__(self, store: Store, *, now: Callable[[], int]) -> None:
        self._store, self._now = store, now
        self._lock = threading.Lock()
        self._heard: dict[str, Heard] = {}
        self._kept: deque[tuple[int, int]] = deque()
        self._lag, self._total = 0, 0
        for device, _, last, *_ in store.devices().rows:
            self._heard[str(device)] = Heard(last if isinstance(last, int) else 0)

    def keep(self, segment: str, rows: Rows) -> None:
        """As ``Store.keep``."""
        self._store.keep(segment, rows)
        if not len(rows):
            return
        series = np.unique(rows.device.astype(np.int64) * len(rows.metrics) + rows.metric)
        latest = np.zeros(len(rows.devices), np.int64)
        np.maximum.at(latest, rows.device, rows.time)
        now = self._now()
        with self._lock:
            for at in np.flatnonzero(latest).tolist():
                heard = self._heard.setdefault(rows.devices[at], Heard())
                heard.time = max(heard.time, int(latest[at]))
            for number in series.tolist():
                device, metric = divmod(number, len(rows.metrics))
                named = self._heard.setdefault(rows.devices[device], Heard()).metrics
                if len(named) < METRICS_KEPT:
                    named.add(rows.metrics[metric])
            self._lag, self._total = now - int(rows.time.max()), self._total + len(rows)
            self._kept.append((now, len(rows)))
            self._drop(now)

    def of(self, device: str) -> tuple[int, tuple[str, ...]]:
        """When a device was heard of last, 0 for never, and the metrics it named since the start
        of this process."""
        with self._lock:
            heard = self._heard.get(device, Heard())
            return heard.time, tuple(sorted(heard.metrics))

    def rates(self) -> dict[str, float]:
        """Readings a second over the last minute, readings since the start, and milliseconds from
        the latest reading to the store."""
        with self._lock:
            self._drop(self._now())
            count = sum(rows for _, rows in self._kept)
            return {
                "readings_per_second": count * 1_000 / WINDOW,
                "readings": self._total,
                "lag_ms": self._lag,
            }

    def _drop(self, now: int) -> None:
        while self._kept and self._kept[0][0] < now - WINDOW:
            self._kept.popleft()

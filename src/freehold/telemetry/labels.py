"""Places of devices, metrics and series in the arrays of a partition, in the order in which the
log first names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from freehold.domain.errors import IntegrityError
from freehold.telemetry.cleaning import Rules, Whole
from freehold.telemetry.columns import Table
from freehold.telemetry.states import fitted, put

METRICS_OF_DEVICE = 256
"""Metrics that one device may ever name."""

_NO_RULES = Rules.of(["any"])


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Of series (n,): the device's place, the metric's, and which of the device's metrics it is."""

    slot: Whole
    metric: Whole
    column: Whole

    @classmethod
    def empty(cls, series: int) -> Series:
        """Of series without a name yet."""
        return cls(*(np.zeros(series, np.int64) for _ in range(3)))


class Labels:
    """``devices`` (ids) and ``metrics`` (names) in the order of their places."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.metrics: list[str] = []
        self.series = Series.empty(1)
        self.count = 0
        self.rules = Rules.of([])
        self._slots: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._own: list[dict[str, int]] = []
        self._latest: list[tuple[Table, Whole] | None] = []

    def slot(self, member: str) -> int:
        """The place of a device; a new one at its first."""
        found = self._slots.setdefault(member, len(self.devices))
        if found == len(self.devices):
            self.devices.append(member)
            self._own.append({})
            self._latest.append(None)
        return found

    def of(self, slot: int, table: Table) -> Whole:
        """The series of a device's metrics, in the order of ``table``."""
        latest = self._latest[slot]
        if latest is not None and latest[0] is table:
            return latest[1]
        series = np.array([self._one(slot, name) for name in table.names], np.int64)
        self._latest[slot] = table, series
        return series

    def place(self, metric: str) -> int | None:
        """The place of a metric that some device has named."""
        return self._places.get(metric)

    def names(self, member: str) -> frozenset[str]:
        """The metrics that a device has named."""
        slot = self._slots.get(member)
        return frozenset() if slot is None else frozenset(self._own[slot])

    def find(self, member: str) -> int | None:
        """The place of a device that has been heard of."""
        return self._slots.get(member)

    def name(self, slot: int, column: int) -> str:
        """The metric in a column of a device."""
        return list(self._own[slot])[column]

    def words(self) -> list[list[str]]:
        """What ``restore`` needs beside the series' arrays."""
        return [self.devices, self.metrics]

    @classmethod
    def restore(cls, words: object, series: Series) -> Labels:
        """The labels of which ``words`` and the first ``count`` series were kept."""
        labels = cls()
        if not isinstance(words, list) or len(words) != 2:
            raise IntegrityError("a checkpoint is damaged", remedy="Delete it.")
        devices, metrics = words
        for device in devices:
            labels.slot(str(device))
        pairs: Sequence[tuple[int, int]] = list(
            zip(series.slot.tolist(), series.metric.tolist(), strict=True)
        )
        for metric in metrics:
            labels._place(str(metric))
        for slot, metric in pairs:
            labels._one(slot, labels.metrics[metric])
        return labels

    def _one(self, slot: int, name: str) -> int:
        own = self._own[slot]
        found = own.get(name)
        if found is None:
            found = own[name] = self.count
            self.count += 1
            self.series = fitted(self.series, self.count, Series.empty(1))
            self.series.slot[found] = slot
            self.series.metric[found] = self._place(name)
            self.series.column[found] = len(own) - 1
        return found

    def _place(self, name: str) -> int:
        found = self._places.setdefault(name, len(self.metrics))
        if found == len(self.metrics):
            self.metrics.append(name)
            self.rules = fitted(self.rules, len(self.metrics), _NO_RULES)
            put(self.rules, np.array([found]), Rules.of([name]))
        return found

"""Rows to keep in tests, and what must come out again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from freehold.telemetry.rows import Rows
from freehold.telemetry.store.limits import TIME_END
from freehold.telemetry.store.store import Store

T0 = 1_767_225_600_000
"""The begin of 2026."""
Told = tuple[str, str, int, float, int]


def rows_of(told: Sequence[Told]) -> Rows:
    """Rows of (device, metric, time, value, marks)."""
    devices = tuple(sorted({each[0] for each in told}))
    metrics = tuple(sorted({each[1] for each in told}))
    return Rows(
        devices=devices,
        metrics=metrics,
        device=np.array([devices.index(each[0]) for each in told], np.int32),
        metric=np.array([metrics.index(each[1]) for each in told], np.int32),
        time=np.array([each[2] for each in told], np.int64),
        value=np.array([each[3] for each in told], np.float64),
        marks=np.array([each[4] for each in told], np.uint8),
        std=np.zeros(len(told)),
        score=np.zeros(len(told), np.float32),
    )


def everything(store: Store) -> list[tuple[object, ...]]:
    """All readings of a store, as (device, metric, time, value, marks), sorted."""
    found = [
        row[:5]
        for answer in store.query(since=0, until=TIME_END, unsound=True)
        for row in answer.rows
    ]
    return sorted(found)

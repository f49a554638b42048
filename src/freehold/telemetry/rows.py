"""Cleaned readings in columns: what workers make of batches and the store keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Readings, shape (n,) each, in the order of arrival.

    ``device`` and ``metric`` are places in ``devices`` (ids as texts) and ``metrics`` (names);
    ``time`` milliseconds since 1970, ``value`` in SI units, ``marks`` the bits of ``Mark``,
    ``std`` the standard deviation of an estimate, 0 of what was read; ``score`` how unusual the
    device was by then, 0 to 1.
    """

    devices: tuple[str, ...]
    metrics: tuple[str, ...]
    device: NDArray[np.int32]
    metric: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    marks: NDArray[np.uint8]
    std: NDArray[np.float64]
    score: NDArray[np.float32]

    def __post_init__(self) -> None:
        columns = (self.device, self.metric, self.value, self.marks, self.std, self.score)
        if any(column.shape != self.time.shape for column in columns):
            raise UsageError("the columns differ in length", remedy="Give (n,) each.")

    def __len__(self) -> int:
        return len(self.time)

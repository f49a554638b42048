"""A series as text: lines of eighths of a block, as high as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def spark(values: Sequence[float | None], *, width: int) -> str:
    """One line of ``values``, at most ``width`` characters; a blank where nothing is known."""
    return plot(values, width=width, height=1)[0]


def plot(values: Sequence[float | None], *, width: int, height: int) -> list[str]:
    """``height`` lines from the top; each column is the mean of its share of ``values``."""
    columns = _columns(values, max(1, min(width, len(values))))
    known = [value for value in columns if value is not None]
    if not known:
        return [" " * len(columns)] * height
    low, high = min(known), max(known)
    # what does not move lies in the middle
    levels = [
        None if value is None
        else height * 4 if high <= low
        else 1 + round((value - low) / (high - low) * (height * 8 - 1))
        for value in columns
    ]  # fmt: skip
    return [
        "".join(_EIGHTHS[0 if level is None else min(8, max(0, level - 8 * row))]
                for level in levels)
        for row in reversed(range(height))
    ]  # fmt: skip


def _columns(values: Sequence[float | None], width: int) -> list[float | None]:
    edges = [round(at * len(values) / width) for at in range(width + 1)]
    return [_mean(values[edges[at] : edges[at + 1]]) for at in range(width)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and isfinite(value)]
    return sum(known) / len(known) if known else None

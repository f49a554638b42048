"""A series as SVG: labelled windows shaded, alerts marked, nothing loaded from anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from bench.nab import Floats, Series
from freehold.economics.simulation.plot import STYLE, short

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 56, 48
COLUMNS = 600
"""Least and most of the readings of a column are drawn, so that no spike is lost."""
TICKS = 5
DAYS = 5
"""Dates on the axis."""


def draw(title: str, series: Series, alerts: Sequence[str]) -> str:
    """The SVG, a file of its own; ``alerts`` are times of the series."""
    rows = [int(np.flatnonzero(series.times == np.datetime64(each, "us"))[0]) for each in alerts]
    return "\n".join(
        [
            f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12"'
            ' xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>',
            *_legend(),
            *_windows(series),
            *_grid(series),
            *_curve(series),
            *_alerts(series, rows),
            "</svg>\n",
        ]
    )


def _legend() -> Iterator[str]:
    x = LEFT
    for mark, name in (
        ('<rect class="b b1" x="{0}" y="34" width="18" height="10"/>', "labelled"),
        ('<path class="l0" d="M{0},39h18"/>', "reading"),
        ('<path class="l3" d="M{0},44l5,-9l5,9z"/>', "alert"),
    ):
        yield mark.format(x)
        yield f'<text class="legend" x="{x + 24}" y="43">{name}</text>'
        x += 100


def _x(series: Series, row: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * row / max(len(series.values) - 1, 1)


def _range(values: Floats) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 1, high + 1)


def _y(series: Series, value: float) -> float:
    low, high = _range(series.values)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)


def _windows(series: Series) -> Iterator[str]:
    for first, last in series.windows:
        left, right = _x(series, first), _x(series, last)
        yield (
            f'<rect class="b b1" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}"'
            f' height="{HEIGHT - TOP - BOTTOM}"/>'
        )


def _grid(series: Series) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    for value in _steps(*_range(series.values)):
        y = _y(series, value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'
    learnt = _x(series, series.probation)
    yield f'<path class="dash l2" d="M{learnt:.1f},{TOP}V{bottom}"/>'
    for row in np.linspace(0, len(series.values) - 1, DAYS).astype(int):
        day = str(series.times[row])[:10]
        anchor = "start" if row == 0 else "end" if row == len(series.values) - 1 else "middle"
        x = _x(series, float(row))
        yield f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{day}</text>'


def _steps(low: float, high: float) -> list[float]:
    """Round values from ``low`` to ``high``, about ``TICKS`` of them."""
    power = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * TICKS >= high - low)
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _curve(series: Series) -> Iterator[str]:
    points = list[str]()
    for part in np.array_split(np.arange(len(series.values)), min(COLUMNS, len(series.values))):
        here = part[np.isfinite(series.values[part])]
        if here.size:
            values = series.values[here]
            for at in sorted({int(here[values.argmin()]), int(here[values.argmax()])}):
                points.append(f"{_x(series, at):.1f},{_y(series, float(series.values[at])):.1f}")
    yield f'<path class="l0" style="stroke-width:1" d="M{"L".join(points)}"/>'


def _alerts(series: Series, rows: Sequence[int]) -> Iterator[str]:
    for row in rows:
        left = _x(series, row) - 5
        yield f'<path class="l3" d="M{left:.1f},{HEIGHT - BOTTOM + 14}l5,-10l5,10z"/>'

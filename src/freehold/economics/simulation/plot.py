"""Plots as inline SVG: a median line with its 10-90 % band, axes that people can read.

Nothing is loaded from anywhere. Colours are classes; ``STYLE`` gives them for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 58, 38
COLOURS = 4
TEXT = 12
"""Size of the letters; more where a plot is shown small."""
_LETTER = 0.54
"""Width of a letter, of its size."""

STYLE = """
.plot{--ink:#1c2330;--soft:#5b6575;--grid:#e3e7ee;--c0:#1f6feb;--c1:#c2410c;--c2:#0f8a5f;--c3:#8250df}
@media (prefers-color-scheme:dark){.plot{--ink:#e6eaf2;--soft:#9aa5b8;--grid:#2b3342;--c0:#6cb0ff;
--c1:#ff9a62;--c2:#4fd1a1;--c3:#c4a1ff}}
@media print{.plot{--ink:#000;--soft:#444;--grid:#ddd;--c0:#1f6feb;--c1:#c2410c;
--c2:#0f8a5f;--c3:#8250df}}
.plot text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--soft)}
.plot .title{font-size:1.25em;font-weight:600;fill:var(--ink)}
.plot .legend{fill:var(--ink)}
.plot .grid{stroke:var(--grid);stroke-width:1}.plot .axis{stroke:var(--soft);stroke-width:1}
.plot path{fill:none;stroke-width:2;stroke-linejoin:round}
.plot .dash{stroke-dasharray:6 4;stroke-width:1.6}
.plot .l0{stroke:var(--c0)}.plot .l1{stroke:var(--c1)}.plot .l2{stroke:var(--c2)}
.plot .l3{stroke:var(--c3)}
.plot .b{stroke:none;opacity:.18}.plot .b0{fill:var(--c0)}.plot .b1{fill:var(--c1)}
.plot .b2{fill:var(--c2)}.plot .b3{fill:var(--c3)}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A named curve by month; ``low`` and ``high`` are its band, where it has one."""

    name: str
    values: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False

    def reach(self) -> Iterator[float]:
        """All values that must be seen."""
        yield from self.values
        yield from self.low
        yield from self.high


@dataclass(frozen=True, slots=True)
class Plot:
    """A title, what the numbers are (``unit``, before the number where it is ``$``), curves.

    ``log``: powers of ten at equal distances; values at or below zero are left out then.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    log: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps months and values to the picture; ``ticks`` on the value axis."""

    months: int
    ticks: tuple[float, ...]
    log: bool

    def x(self, month: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * month / max(self.months - 1, 1)

    def y(self, value: float) -> float:
        turn: Callable[[float], float] = math.log10 if self.log else float
        low, high = turn(self.ticks[0]), turn(self.ticks[-1])
        value = max(value, self.ticks[0])
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (turn(value) - low) / (high - low)


def draw(plot: Plot, *, text: int = TEXT, standalone: bool = False) -> str:
    """The SVG element with letters of size ``text``; ``standalone`` as a file of its own."""
    frame = _frame(plot)
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    style = f"<style>{STYLE}</style>" if standalone else ""
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="{text}"{space}>',
        f"<title>{escape(plot.title)}</title>{style}",
        f'<text class="title" x="{LEFT}" y="18">{escape(plot.title)}</text>',
        *_grid(frame, plot.unit),
        *_curves(frame, plot),
        *_legend(plot, text),
        "</svg>",
    ]
    return "\n".join(parts)


def _frame(plot: Plot) -> _Frame:
    values = [v for line in plot.lines for v in line.reach() if v > 0 or not plot.log]
    months = max(len(line.values) for line in plot.lines)
    if plot.log:
        return _Frame(months, log_ticks(min(values, default=1.0), max(values, default=10.0)), True)
    return _Frame(months, even_ticks(max(values, default=1.0)), False)


def even_ticks(most: float) -> tuple[float, ...]:
    """From zero to at least ``most`` in four to six steps of 1, 2, 2.5 or 5 times a power of 10."""
    if most <= 0.0:
        return (0.0, 1.0)
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * 6 >= most)
    return tuple(step * n for n in range(math.ceil(most / step - 1e-9) + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten around what is shown, at most seven; 1, 2, 5 of each where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first <= 2:
        fine = [10.0**n * m for n in range(first - 1, last + 2) for m in (1, 2, 5)]
        below = max(n for n, tick in enumerate(fine) if tick <= low * 1.000001)
        above = next(n for n, tick in enumerate(fine) if n > below and tick >= high * 0.999999)
        return tuple(fine[below : above + 1])
    stride = -(-(last - first) // 6)
    return tuple(10.0**n for n in range(first, last + stride, stride))


def _grid(frame: _Frame, unit: str) -> Iterator[str]:
    for value in frame.ticks:
        y = frame.y(value)
        kind = "axis" if value == frame.ticks[0] else "grid"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        label = short(value, unit)
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>'
    years = max(frame.months // 12, 1)
    for year in range(0, years + 1, max(1, -(-years // 10))):
        x = frame.x(min(year * 12, frame.months - 1))
        yield (
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{'year ' if year == 0 else ''}{year}</text>"
        )


def _curves(frame: _Frame, plot: Plot) -> Iterator[str]:
    for place, line in enumerate(plot.lines):
        if line.low and line.high:
            there = _points(frame, line.high, plot.log)
            back = _points(frame, line.low, plot.log)[::-1]
            yield f'<path class="b b{place % COLOURS}" d="M{"L".join(there + back)}Z"/>'
    for place, line in enumerate(plot.lines):
        points = _points(frame, line.values, plot.log)
        dash = " dash" if line.dashed else ""
        if points:
            yield f'<path class="l{place % COLOURS}{dash}" d="M{"L".join(points)}"/>'


def _points(frame: _Frame, values: Sequence[float], log: bool) -> list[str]:
    shown = ((month, value) for month, value in enumerate(values) if value > 0 or not log)
    return [f"{frame.x(month):.1f},{frame.y(value):.1f}" for month, value in shown]


def _legend(plot: Plot, text: int) -> Iterator[str]:
    x = float(LEFT)
    for place, line in enumerate(plot.lines):
        dash = " dash" if line.dashed else ""
        yield f'<path class="l{place % COLOURS}{dash}" d="M{x:.0f},38h18"/>'
        yield f'<text class="legend" x="{x + 23:.0f}" y="42">{escape(line.name)}</text>'
        x += 36 + _LETTER * text * len(line.name)


def short(value: float, unit: str = "") -> str:
    """A number for people: 12.5M, 0.003, 40 %."""
    if unit == "%":
        return f"{value * 100:,.0f} %" if value >= 1 else f"{value * 100:.3g} %"
    text = _scaled(value)
    return f"${text}" if unit == "$" else text


def _scaled(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.99995:
            return f"{value / size:.4g}{letter}"
    if value == 0:
        return "0"
    digits = 4 if abs(value) >= 100 else 3
    return f"{value:.{digits}g}" if abs(value) >= 1e-4 else f"{value:.0e}"

"""Measure the tables and the picture of docs/explanation/models.md, and write them into it.

    uv run python docs/misbehaviour.py

The seeds are 0 to 4 (0 to 9 of real models, 0 to 2 in the picture), so the same figures come out;
takes some 80 seconds of one core. ``--table NAME`` measures only one.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import misbehaviour  # noqa: E402
from bench.misbehaviour import HALF_LIVES, Figure, Table  # noqa: E402
from freehold.economics.simulation.plot import STYLE  # noqa: E402

PAGE = ROOT / "docs" / "explanation" / "models.md"
PICTURE = ROOT / "docs" / "assets" / "models-copying.svg"
CURVES = "picture"
FIRST = {
    "templates": "template",
    "copiers": "subnet",
    "rules": "rules",
    "crowds": "copiers' stake",
    "validators": "who does what",
    "nodes": "model node",
}
"""What the rows of a table are."""
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "templates": {
        "consensus": "consensus", "one row": "one row", "mean row": "mean row", "trend": "trend",
        "long mean": "long mean", "foreteller": "foreteller", "half copied": "half copied",
        "between": "epochs differ, %", "within": "validators differ, %",
    },
    "copiers": {name: name for name in misbehaviour.COPIERS},
    "rules": {
        "still": "nothing changes", "consensus": "consensus", "one row": "one row",
        "trend": "trend", "half copied": "half copied", "missed": "a row not revealed, epochs",
        "grown": "newcomer at 9/10 after, epochs",
    },
    "crowds": {"liar": "copiers", "honest": "honest", "moved": "models' pay that moves, %"},
    "validators": {
        "liar": "it, per stake", "with its nodes": "with its nodes",
        "honest": "the honest, per stake", "node": "that node",
        "moved": "models' pay that moves, %",
    },
    "nodes": {str(after): f"+{after}" for after in misbehaviour.AFTER},
}  # fmt: skip
"""Which figures a table shows, and under which words."""
WIDTH, HEIGHT = 640, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 150, 48, 48
LEAST, MOST, STEP = -16, 4, 4
"""Per cent on the upright axis."""


def table(name: str, found: Table) -> str:
    """A table in Markdown."""
    columns = COLUMNS[name]
    return "\n".join(
        [
            f"| {FIRST[name]} | {' | '.join(columns.values())} |",
            "|---" * (len(columns) + 1) + "|",
            *(
                f"| {label} | {' | '.join(cell(cells[key]) for key in columns)} |"
                for label, cells in found.items()
            ),
        ]
    )


def cell(figure: Figure) -> str:
    """A mean and its interval, to one digit; no interval where it is narrower than that."""
    mean = f"{round(figure.mean, 1) + 0.0:.1f}"
    return f"{mean} ± {figure.within:.1f}" if figure.within >= 0.05 else mean


def put(page: str, name: str, text: str) -> str:
    """The page with another table between the two marks of its name."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    replaced, count = marks.subn(lambda match: match[1] + text + match[2], page)
    if count != 1:
        raise ValueError(f"the page has {count} places for {name}")
    return replaced


def draw(curves: Mapping[str, Sequence[Figure]]) -> str:
    """What the best copier earns over the half-life of scores, as SVG, a file of its own."""
    title = "What the best copier earns more than the honest, %"
    return "\n".join(
        [
            f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12"'
            ' xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
            *_grid(),
            *_lines(curves),
            "</svg>\n",
        ]
    )


def _x(place: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * place / (len(HALF_LIVES) - 1)


def _y(value: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (MOST - max(value, LEAST)) / (MOST - LEAST)


def _grid() -> Iterator[str]:
    right = WIDTH - RIGHT
    for value in range(LEAST, MOST + 1, STEP):
        y, kind = _y(value), "axis" if value == 0 else "grid"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
    for place, life in enumerate(HALF_LIVES):
        yield f'<text x="{_x(place):.1f}" y="{HEIGHT - 28}" text-anchor="middle">{life:g}</text>'
    yield f'<text x="{LEFT}" y="{HEIGHT - 8}">half-life of the scores, epochs</text>'


def _lines(curves: Mapping[str, Sequence[Figure]]) -> Iterator[str]:
    for number, (name, figures) in enumerate(curves.items()):
        points = [f"{_x(place):.1f},{_y(each.mean):.1f}" for place, each in enumerate(figures)]
        y = TOP + 16 * number + 8
        yield f'<path class="l{number}" d="M{"L".join(points)}"/>'
        yield f'<path class="l{number}" d="M{WIDTH - RIGHT + 14},{y}h18"/>'
        yield f'<text class="legend" x="{WIDTH - RIGHT + 38}" y="{y + 4}">{escape(name)}</text>'


def main() -> None:
    """Measure, and write page and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [*misbehaviour.TABLES, CURVES]
    parser.add_argument("--table", choices=names, action="append", help="only these")
    for name in parser.parse_args().table or names:
        if name == CURVES:
            PICTURE.write_text(draw(misbehaviour.curves()))
            continue
        text = table(name, misbehaviour.TABLES[name]())
        PAGE.write_text(put(PAGE.read_text(), name, text))


if __name__ == "__main__":
    main()

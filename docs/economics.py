"""Draw the plots of docs/explanation/economics.md: `uv run python docs/economics.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from freehold.economics.simulation.figures import Figures, figures
from freehold.economics.simulation.model import simulate
from freehold.economics.simulation.page import plots
from freehold.economics.simulation.plot import draw
from freehold.economics.simulation.presets import choose
from freehold.economics.simulation.scenario import DEFAULT, parse_scenario

DOCS = Path(__file__).parent
ASSETS = DOCS / "assets"
YEARS, PATHS, SEED = 10, 1_000, 1


def pictures() -> Iterator[tuple[str, str]]:
    """File name and SVG of each plot: two of io.net's model, one where the price crashes."""
    ordinary = _figures("")
    crashed = _figures("price-crash.toml")
    for name, found, title in (
        ("economics-supply", ordinary, "Supply"),
        ("economics-minted", ordinary, "Minted a month"),
        ("economics-income", crashed, "A TiB-month of offered capacity"),
    ):
        drawn = next(each for each in plots(found) if each.title.startswith(title))
        yield f"{name}.svg", draw(drawn, standalone=True) + "\n"


def _figures(file: str) -> Figures:
    scenario = parse_scenario((DOCS / "scenarios" / file).read_text()) if file else DEFAULT
    preset = choose("ionet", scenario)
    return figures(simulate(preset, scenario, years=YEARS, paths=PATHS, seed=SEED))


def main() -> None:
    """Draw all of them."""
    for name, svg in pictures():
        (ASSETS / name).write_text(svg)


if __name__ == "__main__":
    main()

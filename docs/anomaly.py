"""Measure anomaly detection and write docs/reference/anomaly.md with its plots.

    uv run python docs/anomaly.py --data DIR

``DIR`` has the Numenta benchmark's files; nothing of them but pictures is kept. Takes minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import anomaly, anomaly_page, anomaly_plot, fleets, labelled, liars, nab, rates  # noqa: E402

REFERENCE, ASSETS = ROOT / "docs" / "reference", ROOT / "docs" / "assets"
HALVES, FLEETS = 20, 10


def measure(folder: Path) -> dict[str, object]:
    """Everything the page says, as JSON."""
    first = fleets.SEED
    return {
        "nab": asdict(anomaly.measure(folder, HALVES, anomaly.NEIGHBOURS)),
        "rates": asdict(rates.measure(range(first, first + FLEETS))),
        "fleets": {"devices": rates.COHORTS * labelled.COHORT, "days": rates.DAYS},
        "cells": {"devices": f"{rates.CELLS * liars.CELL:,}"},
    }


def draw(folder: Path, alerts: dict[str, list[str]]) -> None:
    """The plots of the files that are there."""
    files = {series.name: series for series in nab.read(folder)}
    for each in anomaly_page.PICTURES:
        if each.file in files:
            svg = anomaly_plot.draw(each.words, files[each.file], alerts[each.file])
            (ASSETS / f"{each.name}.svg").write_text(svg)


def main() -> None:
    """Measure, or take what was measured, and write all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of NAB data")
    parser.add_argument("--again", action="store_true", help="draw what was measured before")
    options = parser.parse_args()
    kept = REFERENCE / "anomaly.json"
    if not options.again:
        kept.write_text(json.dumps(measure(options.data), indent=1) + "\n")
    found = json.loads(kept.read_text())
    (REFERENCE / "anomaly.md").write_text(anomaly_page.render(found))
    draw(options.data, found["nab"]["alerts"])


if __name__ == "__main__":
    main()

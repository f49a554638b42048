"""The page of anomalies: what was measured, and nothing else; plots that show it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from bench import anomaly_page, anomaly_plot, labelled, liars, rates
from bench.anomaly_page import Json
from bench.nab import Series

DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture(scope="module")
def found() -> Json:
    held: Json = json.loads((DOCS / "reference" / "anomaly.json").read_text())
    return held


def test_the_page_is_what_was_measured(found: Json) -> None:
    written = (DOCS / "reference" / "anomaly.md").read_text()
    assert written == anomaly_page.render(found), "run `uv run python docs/anomaly.py`"


def test_the_page_has_every_detector_kind_and_aim(found: Json) -> None:
    page = anomaly_page.render(found)
    rows = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    assert set(anomaly_page.NAMES.values()) <= rows
    assert set(rates.ALERTS) <= rows
    assert {f"missed: {kind}" for kind in liars.SHAPES} <= rows
    assert {"our aim", "still short of it by", "honest devices accused"} <= rows
    assert all(f"missed: {kind}" in page for kind in labelled.SHAPES)
    assert sum("published, on all seven categories" in row for row in rows) == 3


def test_every_picture_is_there_and_marks_each_alert(found: Json) -> None:
    alerts = anomaly_page._dict(anomaly_page._dict(found, "nab"), "alerts")
    page = anomaly_page.render(found)
    for each in anomaly_page.PICTURES:
        assert f"../assets/{each.name}.svg" in page
        svg = (DOCS / "assets" / f"{each.name}.svg").read_text()
        held = alerts[each.file]
        assert isinstance(held, list)
        assert svg.count('class="l3"') == len(held) + 1


def test_a_plot_shades_windows_and_marks_alerts_where_they_are() -> None:
    times = np.datetime64("2026-01-01", "us") + np.arange(1_000) * np.timedelta64(5, "m")
    values = np.sin(np.arange(1_000) / 50)
    values[500], values[10:20] = 9.0, np.nan
    series = Series("one.csv", times, values, ((450, 550),))
    svg = anomaly_plot.draw("A < B", series, [str(times[500])])
    ElementTree.fromstring(svg)
    assert "A &lt; B" in svg
    left = anomaly_plot._x(series, 500)
    assert f"M{left - 5:.1f},{anomaly_plot.HEIGHT - anomaly_plot.BOTTOM + 14}l5" in svg
    assert f",{anomaly_plot._y(series, 9.0):.1f}" in svg
    assert svg.count("<rect") == 2


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_a_flat_series_has_a_plot(value: float) -> None:
    times = np.datetime64("2026-01-01", "us") + np.arange(50) * np.timedelta64(5, "m")
    svg = anomaly_plot.draw("flat", Series("flat", times, np.full(50, value), ()), [])
    ElementTree.fromstring(svg)
    assert "nan" not in svg

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from freehold.economics.simulation import comparison, page
from freehold.economics.simulation.figures import Figures, figures
from freehold.economics.simulation.model import simulate
from freehold.economics.simulation.plot import Line, Plot, draw, even_ticks, log_ticks, short
from freehold.economics.simulation.presets import PRESETS, choose
from freehold.economics.simulation.scenario import (
    DEFAULT,
    Scenario,
    Schedule,
    Shock,
    Token,
    Tranche,
)

DOCS = Path(__file__).parents[3] / "docs"
VOID = {"meta", "line", "br"}


@cache
def found(name: str) -> Figures:
    return figures(simulate(PRESETS[name], DEFAULT, years=3, paths=20, seed=1))


@cache
def pages() -> dict[str, str]:
    return {
        **{name: page.render(found(name)) for name in PRESETS},
        "comparison": comparison.render([found(name) for name in PRESETS]),
    }


class _Reader(HTMLParser):
    """Fails where tags do not close in order; gathers attributes and words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("name", [*PRESETS, "comparison"])
def test_a_page_is_whole_and_loads_nothing(name: str) -> None:
    text = pages()[name]
    reader = read(text)
    loading = {"src", "href", "xlink:href", "data", "action", "srcset", "poster"}
    assert not loading & {attribute for attribute, _ in reader.attributes}
    assert not any(bad in text for bad in ("://", "url(", "@import", "<script", "<link"))
    words = " ".join(reader.words)
    assert all(part in words for part in ("Assumptions", "fees.emission", "exact"))
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text


@pytest.mark.parametrize("name", [*PRESETS, "comparison"])
def test_every_plot_is_well_formed_and_finite(name: str) -> None:
    drawn = re.findall(r"<svg.*?</svg>", pages()[name], flags=re.DOTALL)
    assert len(drawn) == (30 if name == "comparison" else 10)
    for each in drawn:
        ET.fromstring(each)
        assert "nan" not in each
        assert "inf" not in each


def test_the_same_run_gives_the_same_bytes() -> None:
    again = figures(simulate(PRESETS["ionet"], DEFAULT, years=3, paths=20, seed=1))
    assert page.render(again).encode() == pages()["ionet"].encode()


def test_names_of_strangers_are_text() -> None:
    scenario = Scenario(
        token=Token(prices=(1.0, 2.0)),
        genesis=(Tranche("<script>alert(1)</script>", 1_000),),
        schedule=Schedule(first=1),
        shock=(Shock(month=3),),
    )
    run = simulate(choose("own", scenario), scenario, years=1, paths=2, seed=1)
    text = page.render(figures(run))
    read(text)
    assert "<script" not in text
    assert "shock in month 3" in text
    assert "1, 2" in text


def test_a_page_of_a_network_that_never_starts() -> None:
    scenario = Scenario(storage=DEFAULT.storage, genesis=(Tranche("none", 0),))
    run = simulate(choose("bittensor", scenario), scenario, years=1, paths=2, seed=1)
    read(page.render(figures(run)))


def test_years_and_bands_are_those_of_the_months() -> None:
    shown = found("ionet")
    assert [year.year for year in shown.years] == [0, 1, 2, 3]
    assert shown.years[3].values["minted"] == shown.bands["minted"].middle[35]
    assert shown.years[3].schedule == PRESETS["ionet"].issued(36)
    for band in shown.bands.values():
        assert all(a <= b <= c for a, b, c in zip(band.low, band.middle, band.high, strict=True))


def test_the_comparison_has_a_column_for_each() -> None:
    every = [found(name) for name in PRESETS]
    rows = comparison.rows(every)
    assert {len(row) for row in rows} == {1 + len(PRESETS)}
    assert rows[0] == ["cap", "1.7B", "800M", "21M"]
    told = comparison.to_json(every)
    assert set(told) == {"table", "models"}


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0.0, (0.0, 1.0)),
        (1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (731e6, (0.0, 2e8, 4e8, 6e8, 8e8)),
        (22.1, (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)),
    ],
)
def test_ticks_are_round(most: float, ticks: tuple[float, ...]) -> None:
    assert even_ticks(most) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.12, 0.9, (0.1, 0.2, 0.5, 1.0)),
        (1.0, 1.0, (1.0, 2.0)),
        (3.0, 4e6, (1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)),
    ],
)
def test_logarithmic_ticks(low: float, high: float, ticks: tuple[float, ...]) -> None:
    found = log_ticks(low, high)
    assert found[0] <= low * 1.00001
    assert found[-1] >= high * 0.99999
    assert 2 <= len(found) <= 8
    if high < 1e6:
        assert found == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"),
        (12_345_678, "", "12.35M"),
        (999.96, "", "1k"),
        (999.6, "", "999.6"),
        (482.7, "%", "48,270 %"),
        (0.00012, "$", "$0.00012"),
        (0.4114, "%", "41.1 %"),
        (1e-9, "", "1e-09"),
    ],
)
def test_numbers_are_short(value: float, unit: str, text: str) -> None:
    assert short(value, unit) == text


def test_a_plot_of_nothing_is_drawn() -> None:
    for log in (False, True):
        ET.fromstring(draw(Plot("none", "", [Line("zero", [0.0, 0.0])], log=log), standalone=True))


def pictures() -> Iterator[tuple[str, str]]:
    spec = importlib.util.spec_from_file_location("economics", DOCS / "economics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield from module.pictures()


def test_the_pictures_of_the_documentation_are_current() -> None:
    number = re.compile(r"[0-9]+\.[0-9]")
    for name, drawn in pictures():
        kept = (DOCS / "assets" / name).read_text()
        assert number.sub("", kept) == number.sub("", drawn), "run docs/economics.py"
        # Another processor may round the last bit otherwise.
        pairs = zip(number.findall(kept), number.findall(drawn), strict=True)
        assert all(abs(float(a) - float(b)) < 0.25 for a, b in pairs)

"""Token models side by side under one scenario: a table, JSON and one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from freehold.economics.simulation.figures import Figures
from freehold.economics.simulation.findings import findings
from freehold.economics.simulation.page import (
    BANDS,
    EXACT,
    RULE,
    assumed,
    card,
    document,
    plots,
    table,
)
from freehold.economics.simulation.plot import Plot, short

SMALL = 17
"""Size of letters where three plots stand side by side."""
ROWS = (
    ("cap", ""),
    ("genesis", ""),
    ("schedule by the end", ""),
    ("minted by the end", ""),
    ("of these earned", ""),
    ("of these granted", ""),
    ("burned by the end", ""),
    ("supply, of the cap", "%"),
    ("circulating, of the cap", "%"),
    ("staked, of free tokens", "%"),
    ("delegators' yield a year", "%"),
    ("income a TiB-month", "$"),
    ("cost a TiB-month", "$"),
    ("income a GPU-hour", "$"),
    ("cost a GPU-hour", "$"),
    ("capacity, TiB", ""),
    ("capacity, GPUs", ""),
)


def columns() -> list[str]:
    """The names of the rows, in order."""
    return [name for name, _ in ROWS]


def values(found: Figures) -> list[float]:
    """One model's figures at the end of the run, in the order of the rows; tokens in whole ones."""
    preset, last = found.run.preset, found.years[-1]
    v, cap = last.values, preset.cap / 10**18
    return [
        cap,
        preset.initial() / 10**18,
        last.schedule / 10**18,
        v["minted"],
        v["earned"],
        v["granted"],
        v["burned"],
        v["supply"] / cap,
        v["circulating"] / cap,
        v["staking_ratio"],
        v["yield"],
        v["income_tib"],
        v["cost_tib"],
        v["income_gpu_hour"],
        v["cost_gpu_hour"],
        v["capacity_tib"],
        v["capacity_gpus"],
    ]


def rows(all_found: Sequence[Figures]) -> list[list[str]]:
    """The table's lines: a name, then each model's figure."""
    found = [values(each) for each in all_found]
    return [
        [name, *(short(each[n], unit) for each in found)] for n, (name, unit) in enumerate(ROWS)
    ]


def to_json(all_found: Sequence[Figures]) -> dict[str, object]:
    """The table and each model's figures."""
    return {
        "table": {
            each.run.preset.name: dict(zip(columns(), values(each), strict=True))
            for each in all_found
        },
        "models": [each.to_json() | {"findings": findings(each)} for each in all_found],
    }


def render(all_found: Sequence[Figures]) -> str:
    """The page."""
    names = " / ".join(each.run.preset.name for each in all_found)
    return document(f"Token models: {names}", _body(all_found))


def _body(all_found: Sequence[Figures]) -> Iterator[str]:
    run = all_found[0].run
    yield "<h1>Token models side by side</h1>"
    yield (
        f'<p class="faint">{run.months // 12} years, {run.paths:,} paths, seed {run.seed}, the '
        "same demand, costs and draws for all; all that can ever be of each token is "
        "worth the same at launch.</p>"
    )
    yield f'<p class="note">{escape(RULE)}</p>'
    yield table(["at the end", *(each.run.preset.name for each in all_found)], rows(all_found))
    yield f'<p class="faint">{escape(BANDS)} Each plot has a scale of its own.</p>'
    for group in zip(*(plots(each) for each in all_found), strict=True):
        yield f"<h2>{escape(_heading(group[0]))}</h2>"
        yield '<div class="plots three">'
        for each, drawn in zip(all_found, group, strict=True):
            name = each.run.preset.name
            yield card(Plot(name, drawn.unit, drawn.lines, drawn.log), text=SMALL)
        yield "</div>"
    yield "<h2>The models</h2>"
    for each in all_found:
        yield f"<h3>{escape(each.run.preset.name)}</h3><p>{escape(each.run.preset.words)}</p>"
        yield f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in findings(each))}</ul>"
    yield f"<h2>What is exact and what is not</h2><p>{escape(EXACT)}</p>"
    yield "<h2>Assumptions</h2>"
    yield from assumed(run.scenario)


def _heading(drawn: Plot) -> str:
    """The plot's title without the symbol of one of the models."""
    title = drawn.title
    for symbol in ("FIL", "IO", "TAO", "TOKEN"):
        title = title.replace(f", {symbol}", ", tokens").replace(f" of {symbol} ", " of the token ")
    return title

"""The report of one run as one HTML file that loads nothing: plots, key figures, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from freehold.economics.simulation import plot, selfdealing
from freehold.economics.simulation.figures import Band, Figures, Year, tokens_of
from freehold.economics.simulation.findings import findings
from freehold.economics.simulation.plot import Line, Plot, short
from freehold.economics.simulation.scenario import Scenario, assumptions, sections

STYLE = """
:root{color-scheme:light dark;--page:#fff;--card:#f7f9fc;--text:#1c2330;--faint:#5b6575;
--rule:#dde3ec;--warm:#fff6e5;--edge:#d9a441}
@media (prefers-color-scheme:dark){:root{--page:#12161f;--card:#1a202c;--text:#e6eaf2;
--faint:#9aa5b8;--rule:#2b3342;--warm:#2a2416;--edge:#8a6a26}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:1240px;background:var(--page);
color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem}h2{font-size:1.25rem;margin:2.4rem 0 .7rem}
p{max-width:78ch}.faint{color:var(--faint)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:.8rem;
margin:1.4rem 0}
.fact{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:.7rem .9rem}
.fact b{display:block;font-size:1.3rem;line-height:1.3}
.fact span{color:var(--faint);font-size:.85rem}
.note{background:var(--warm);border-left:4px solid var(--edge);padding:.7rem 1rem;max-width:none;
border-radius:0 8px 8px 0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:1rem}
.plots.three{grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr))}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:.8rem;
margin:0;break-inside:avoid}.card svg{display:block;width:100%;height:auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .5rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th{font-weight:600;color:var(--faint);white-space:normal;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
td.words,table.words th:last-child{text-align:left;white-space:normal}
@media print{:root{--page:#fff;--card:#fff;--text:#000;--faint:#444;--rule:#ccc;--warm:#fff}
body{padding:0;max-width:none;font-size:11px}.plots{grid-template-columns:1fr 1fr}}
"""
COLUMNS = (
    ("year", "", ""),
    ("schedule", "schedule so far", ""),
    ("minted", "minted", ""),
    ("burned", "burned", ""),
    ("supply", "supply", ""),
    ("circulating", "circulating", ""),
    ("staking_ratio", "staked of free", "%"),
    ("price_usd", "price", "$"),
    ("income_tib", "income TiB-month", "$"),
    ("cost_tib", "cost TiB-month", "$"),
    ("income_gpu_hour", "income GPU-hour", "$"),
    ("cost_gpu_hour", "cost GPU-hour", "$"),
)
EXACT = (
    "Exact to the base unit: the schedule, the genesis allocation and its vesting. Every path's "
    "books balance to a millionth of a token in every month. All else is an estimate that follows "
    "from the assumptions below: medians of the paths, and bands in which eight of ten paths lie. "
    "The token's price is an assumption, not a result."
)
BANDS = "Lines are medians of the paths; eight of ten paths lie in the shade around them."
RULE = (
    "This network mints less than its schedule. A deal's emission is at most a fraction below one "
    "of the fees that it burned; what is not earned so is never minted. Grants come from capped "
    "budgets within the schedule."
)


def document(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}{plot.STYLE}</style></head><body>",
        *body,
        "</body></html>",
        "",
    ])  # fmt: skip


def render(found: Figures) -> str:
    """The report of one preset."""
    title = f"Token economics: {found.run.preset.name}"
    return document(title, _body(title, found))


def _body(title: str, found: Figures) -> Iterator[str]:
    run = found.run
    yield f"<h1>{escape(title)}</h1>"
    yield (
        f'<p class="faint">{run.months // 12} years, {run.paths:,} paths, seed {run.seed}. '
        f"{escape(run.preset.words)}</p>"
    )
    yield f'<div class="facts">{"".join(facts(found))}</div>'
    yield f'<p class="note">{escape(RULE)}</p>'
    yield from noted(findings(found))
    yield f'<p class="faint">{escape(BANDS)}</p>'
    yield '<div class="plots">'
    yield from (card(each) for each in plots(found))
    yield "</div>"
    yield "<h2>Key figures a year</h2>"
    yield f'<p class="faint">Medians of the last month, {escape(run.preset.symbol)} and USD.</p>'
    yield table([name for _, name, _ in COLUMNS], [row(year) for year in found.years])
    yield "<h2>An owner who is also the client</h2>"
    yield from _selfdealing(found)
    yield "<h2>What is exact and what is not</h2>"
    yield f"<p>{escape(EXACT)}</p>"
    yield "<h2>Assumptions</h2>"
    yield from assumed(run.scenario)
    yield "<h2>Genesis</h2>"
    yield _genesis(found)


def noted(sentences: Sequence[str]) -> Iterator[str]:
    """A list of findings, where there are any."""
    if sentences:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        yield f"<h2>What stands out</h2><ul>{items}</ul>"


def facts(found: Figures) -> Iterator[str]:
    """The end of the run in a few numbers."""
    last, symbol = found.years[-1], found.run.preset.symbol
    scheduled = last.schedule / 10**18
    minted = last.values["minted"]
    yield _fact(
        f"{short(found.run.preset.cap / 10**18)} {symbol}", "cap of all that is ever minted"
    )
    yield _fact(f"{short(scheduled)} {symbol}", "the schedule allows by the end")
    part = minted / scheduled if scheduled else 0.0
    yield _fact(f"{short(minted)} {symbol}", f"are minted, {short(part, '%')} of that")
    yield _fact(f"{short(last.values['burned'])} {symbol}", "are burned by the end")
    yield _fact(short(last.values["staking_ratio"], "%"), "of free tokens are staked at the end")
    yield _fact(
        f"{short(last.values['income_tib'], '$')} / {short(last.values['income_gpu_hour'], '$')}",
        "earns a TiB-month / a GPU-hour offered",
    )


def _fact(value: str, words: str) -> str:
    return f'<div class="fact"><b>{escape(value)}</b><span>{escape(words)}</span></div>'


def card(each: Plot, *, text: int = plot.TEXT) -> str:
    """A plot in its frame."""
    return f'<figure class="card">{plot.draw(each, text=text)}</figure>'


def plots(found: Figures) -> list[Plot]:
    """The ten plots of a run."""
    return [*_token_plots(found), *_market_plots(found)]


def _token_plots(found: Figures) -> Iterator[Plot]:
    b, symbol = found.bands, found.run.preset.symbol
    monthly = tokens_of(found.run.schedule)
    initial = found.run.preset.initial() / 10**18
    ceiling = [initial + amount for amount in tokens_of(found.schedule)]
    most = Line("schedule at most", ceiling, dashed=True)
    schedule = Line("the schedule", monthly, dashed=True)
    places = ("circulating", "staked", "unvested", "treasury")
    supply = [curve("all tokens", b["supply"]), curve("circulating", b["circulating"]), most]
    yield Plot(f"Supply, {symbol}", "", supply)
    yield Plot(
        "Where the tokens are (medians)", "", [Line(name, b[name].middle) for name in places]
    )
    yield Plot(
        f"Minted a month, {symbol} (logarithmic)",
        "",
        [curve("this network", b["emission"]), schedule],
        log=True,
    )
    flows = ("burned", "earned", "granted")
    yield Plot(
        f"Burned, earned and granted so far, {symbol} (logarithmic)",
        "",
        [curve(name, b[name]) for name in flows],
        log=True,
    )
    yield Plot("Staked, of tokens that are free", "%", [curve("staked", b["staking_ratio"])])
    yield Plot(
        f"Price of {symbol} (assumed), USD (logarithmic)",
        "$",
        [curve("price", b["price_usd"])],
        log=True,
    )


def _market_plots(found: Figures) -> Iterator[Plot]:
    b = found.bands
    for title, unit, upper, lower in (
        ("A TiB-month of offered capacity, USD", "$", "income_tib", "cost_tib"),
        ("A GPU-hour of offered capacity, USD", "$", "income_gpu_hour", "cost_gpu_hour"),
        ("Storage, TiB", "", "capacity_tib", "demand_tib"),
        ("Compute, GPUs", "", "capacity_gpus", "demand_gpus"),
    ):
        names = ("income", "cost with stake") if unit else ("capacity", "demand")
        lines = [curve(name, b[key]) for name, key in zip(names, (upper, lower), strict=True)]
        yield Plot(f"{title} (logarithmic)", unit, lines, log=True)


def curve(name: str, band: Band) -> Line:
    """A median with its band."""
    return Line(name, band.middle, band.low, band.high)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False) -> str:
    """A table; with ``words`` its last column is prose."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = [f"<tr>{_cells(row, words)}</tr>" for row in rows]
    body = "".join(lines)
    kind = ' class="words"' if words else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{cells}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _cells(row: Sequence[str], words: bool) -> str:
    last = len(row) - 1
    return "".join(
        f'<td class="words">{escape(cell)}</td>'
        if words and n == last
        else f"<td>{escape(cell)}</td>"
        for n, cell in enumerate(row)
    )


def row(year: Year) -> list[str]:
    """One line of the table of years, in the order of ``COLUMNS``."""

    def cell(key: str, unit: str) -> str:
        if key == "year":
            return "launch" if year.year == 0 else f"year {year.year}"
        value = year.schedule / 10**18 if key == "schedule" else year.values[key]
        return short(value, unit)

    return [cell(key, unit) for key, _, unit in COLUMNS]


def _selfdealing(found: Figures) -> Iterator[str]:
    """What 1,000 tokens paid to oneself in the first month bring, by both rules."""
    fees = found.run.scenario.fees
    rules = selfdealing.Rules(
        *(round(v * 10_000) for v in (fees.network, fees.burned, fees.emission))
    )
    paid, emitted = 1_000 * 10**18, found.run.schedule[0]
    ours = selfdealing.bounded(rules, paid=paid)
    theirs = selfdealing.classical(rules, paid=paid, others=100 * paid, emitted=emitted)
    yield (
        "<p>1,000 tokens paid to one's own node. Where emission is shared by volume (beside a "
        "hundred times as much of others), trading with oneself pays; here it never does.</p>"
    )
    yield table(
        ("rule", "fee lost", "emission got", "the owner's gain"),
        [
            ("schedule shared by volume", *_amounts(theirs)),
            ("bounded by burned fees", *_amounts(ours)),
        ],
    )


def _amounts(outcome: selfdealing.Outcome) -> tuple[str, str, str]:
    fee, emission, gain = (v / 10**18 for v in (outcome.fee, outcome.emission, outcome.gain))
    return f"{fee:,.2f}", f"{emission:,.2f}", f"{gain:+,.2f}"


def assumed(scenario: Scenario) -> Iterator[str]:
    """Every number of the scenario with what it means."""
    rows = [
        (f"{name}.{key}", f"{value:,.12g}", what)
        for name, section in sections(scenario)
        for key, value, what in assumptions(section)
    ]
    rows.append(("baseline", f"{scenario.baseline:,.12g}", "TiB of Filecoin's baseline at launch"))
    rows += [
        (
            f"shock in month {s.month}",
            f"{s.factor:g}",
            f"times demand ({s.market}), {s.months} months",
        )
        for s in scenario.shock
    ]
    if scenario.token.prices:
        path = ", ".join(f"{price:g}" for price in scenario.token.prices)
        rows.append(("token.prices", path, "USD at the end of year 0, 1, 2 ...; replaces growth"))
    yield table(("key", "value", "meaning"), rows, words=True)


def _genesis(found: Figures) -> str:
    tranches = found.run.preset.genesis
    if not tranches:
        return "<p>Nothing exists at launch: all tokens are minted.</p>"
    rows = [
        (t.name, f"{t.tokens:,}", f"{t.cliff} months", f"{t.parts} parts" if t.parts else "at once")
        for t in tranches
    ]
    return table(("for", "tokens", "cliff", "then"), rows)

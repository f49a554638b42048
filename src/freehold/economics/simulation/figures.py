"""What a run comes to: medians and 10-90 % bands by month, key figures by year, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from freehold.domain import money
from freehold.economics.simulation.books import GRAIN, Floats
from freehold.economics.simulation.model import Run
from freehold.economics.simulation.scenario import assumptions, sections

QUANTILES = (0.1, 0.5, 0.9)
DIGITS = 6
"""Significant digits of an estimate in a report."""


@dataclass(frozen=True, slots=True)
class Band:
    """By month: the value that a tenth, half and nine tenths of the paths stay below."""

    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]

    def to_json(self) -> dict[str, list[float]]:
        """Named by percentile."""
        return {"p10": list(self.low), "p50": list(self.middle), "p90": list(self.high)}


@dataclass(frozen=True, slots=True)
class Year:
    """Medians of the last month of a year (year 0: the first month). Tokens in whole ones,
    ``schedule`` exact so far, ratios of 1, incomes and costs in USD a unit."""

    year: int
    schedule: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a report shows of a run."""

    run: Run
    bands: dict[str, Band]
    schedule: tuple[int, ...]
    """Cumulative, base units, exact: what the model would have minted by the end of each month."""
    years: tuple[Year, ...]

    def to_json(self) -> dict[str, object]:
        """Exact amounts as decimal texts of base units, estimates as numbers."""
        run = self.run
        return {
            "preset": run.preset.name,
            "symbol": run.preset.symbol,
            "seed": run.seed,
            "paths": run.paths,
            "months": run.months,
            "exact": {
                "cap": str(run.preset.cap),
                "genesis": str(run.preset.initial()),
                "schedule": [str(amount) for amount in run.schedule],
            },
            "assumptions": {
                name: {key: value for key, value, _ in assumptions(section)}
                for name, section in sections(run.scenario)
            },
            "estimates": {name: band.to_json() for name, band in self.bands.items()},
            "years": [
                {"year": y.year, "schedule": str(y.schedule), **y.values} for y in self.years
            ],
        }


def figures(run: Run) -> Figures:
    """The figures of a run."""
    bands = {name: _band(values) for name, values in series(run).items()}
    schedule = tuple(accumulate(run.schedule))
    months = [0, *range(11, run.months, 12)]
    years = tuple(
        Year(n, schedule[m], {name: band.middle[m] for name, band in bands.items()})
        for n, m in enumerate(months)
    )
    return Figures(run, bands, schedule, years)


def series(run: Run) -> dict[str, Floats]:
    """Every quantity that is reported, (months, paths); tokens in whole ones."""
    h = run.history
    supply = h.unvested + h.circulating + h.staked + h.treasury
    free = np.maximum(h.circulating + h.staked, 1)
    grown = np.maximum(np.diff(h.minted, axis=0, prepend=np.zeros_like(h.minted[:1])), 0)
    return {
        "supply": supply / GRAIN,
        "circulating": h.circulating / GRAIN,
        "staked": h.staked / GRAIN,
        "treasury": h.treasury / GRAIN,
        "unvested": h.unvested / GRAIN,
        "minted": h.minted / GRAIN,
        "earned": h.earned / GRAIN,
        "granted": h.granted / GRAIN,
        "burned": h.burned / GRAIN,
        "emission": grown / GRAIN,
        "staking_ratio": h.staked / free,
        "price_usd": h.price,
        "yield": h.yielded,
        "income_tib": h.income_tib,
        "cost_tib": h.cost_tib,
        "capacity_tib": h.capacity_tib,
        "demand_tib": h.demand_tib,
        "income_gpu_hour": h.income_gpu,
        "cost_gpu_hour": h.cost_gpu,
        "capacity_gpus": h.capacity_gpu,
        "demand_gpus": h.demand_gpu,
    }


def _band(values: Floats) -> Band:
    low, middle, high = np.quantile(values, QUANTILES, axis=1)
    return Band(rounded(low), rounded(middle), rounded(high))


def rounded(values: Floats) -> tuple[float, ...]:
    """Six significant digits: no report hangs on the last bits of a processor."""
    return tuple(float(f"{value:.{DIGITS - 1}e}") for value in values)


def tokens_of(base_units: Sequence[int]) -> tuple[float, ...]:
    """Exact amounts as whole tokens, for a plot."""
    return tuple(amount / money.UNIT for amount in base_units)

"""One service on all paths: demand, price, capacity that follows income with a lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from freehold.domain import money
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.simulation.books import Floats
from freehold.economics.simulation.scenario import Entry, Market, Shock

TIB_UNITS = MONTH_SECONDS / money.MONTH
"""TiB-months of 30 days, as deals are priced, that a TiB gives in a simulated month."""
GPU_UNITS = MONTH_SECONDS / 3600
"""GPU-hours that a GPU gives in a month."""
NEWCOMERS = 0.01
"""Part of demand that owners offer however bad the pay was."""
_PERSISTENCE = 0.9
"""Of demand's deviation, from one month to the next."""


@dataclass(frozen=True, slots=True)
class Sales:
    """A month: ``demand`` and ``served`` in TiB or GPUs, ``units`` of service paid for, and what
    clients paid for them in USD."""

    demand: Floats
    served: Floats
    units: Floats
    paid: Floats


class Service:
    """The market's state: capacity in TiB or GPUs, and the margin that owners remember."""

    def __init__(self, market: Market, *, units: float, stake: float, paths: int) -> None:
        self.market, self.units = market, units
        self.stake = stake
        """Tokens a TiB or GPU must have behind it."""
        self.capacity = np.full(paths, market.capacity)
        self._margin = np.zeros(paths)

    def sell(self, demand: Floats, month: int) -> Sales:
        """What is bought at the month's price, as far as capacity goes."""
        served = np.minimum(demand, self.capacity)
        units = served * self.units
        price = self.market.price * (1.0 + self.market.price_change) ** (month / 12)
        return Sales(demand, served, units, units * price)

    def cost(self, month: int) -> float:
        """USD a unit of capacity costs its owner, without stake."""
        return float(self.market.cost * (1.0 + self.market.cost_change) ** (month / 12))

    def answer(self, income: Floats, cost: Floats, demand: Floats, entry: Entry) -> None:
        """Owners come or go by the margin they remember."""
        margin = income / np.maximum(cost, 1e-12) - 1.0
        self._margin += (np.clip(margin, -1.0, 10.0) - self._margin) / entry.lag
        change = np.clip(entry.speed * self._margin, -entry.most, entry.most)
        self.capacity = np.maximum(self.capacity * (1.0 + change), NEWCOMERS * demand)


def demands(
    market: Market, name: str, shocks: Sequence[Shock], *, months: int, random: Floats
) -> Floats:
    """Demand by month and path: its trend, times persistent noise, times shocks.

    ``random`` holds standard normal draws of the shape (months, paths) that comes back.
    """
    noise = np.zeros_like(random)
    fresh = np.sqrt(1.0 - _PERSISTENCE**2) * market.noise
    held = np.zeros(random.shape[1])
    for month in range(months):
        held = _PERSISTENCE * held + fresh * random[month]
        noise[month] = held
    return _trend(market, months)[:, None] * np.exp(noise) * _shocked(shocks, name, months)[:, None]


def _trend(market: Market, months: int) -> Floats:
    """Geometric, or logistic where there is a limit: dD/dt = r D (1 - D / limit)."""
    grown = (1.0 + market.growth) ** (np.arange(months) / 12)
    if market.limit <= 0.0 or market.start <= 0.0:
        return np.asarray(market.start * grown, dtype=np.float64)
    odds = market.limit / market.start - 1.0
    return np.asarray(market.limit / (1.0 + odds / grown), dtype=np.float64)


def _shocked(shocks: Sequence[Shock], name: str, months: int) -> Floats:
    factor = np.ones(months)
    for shock in shocks:
        if shock.market in (name, "both"):
            factor[shock.month - 1 : shock.month - 1 + shock.months] *= shock.factor
    return factor

"""The token's price in USD on all paths, at the beginning of each month."""

from __future__ import annotations

import numpy as np

from freehold.economics.simulation.books import Floats
from freehold.economics.simulation.scenario import Token

LEAST, MOST = 1e-12, 1e12


def prices(token: Token, *, launch: float, random: Floats) -> Floats:
    """Geometric Brownian motion from ``launch``, or around the scenario's own path.

    ln S(t) = ln S(0) + ln(1 + growth) t + v W(t): the median grows by ``growth`` a year, the mean
    by v^2 / 2 more. A path of your own replaces S(0) and growth. ``random`` holds standard normal
    draws (months, paths); the result, of the same shape, holds USD.
    """
    months, paths = random.shape
    walk = np.zeros((months, paths))
    np.cumsum(random[:-1] * token.volatility / np.sqrt(12.0), axis=0, out=walk[1:])
    years = np.arange(months) / 12
    if token.prices:
        middle = np.interp(years, np.arange(len(token.prices)), np.log(token.prices))
    else:
        middle = np.log(launch) + np.log1p(token.growth) * years
    return np.asarray(np.exp(np.clip(middle[:, None] + walk, np.log(LEAST), np.log(MOST))))


def launch_price(token: Token, cap: float) -> float:
    """USD a token at launch, ``cap`` the tokens that can ever be."""
    return token.prices[0] if token.prices else token.valuation_usd / cap

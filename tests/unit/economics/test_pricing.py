"""The moving price: what holds for any terms."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.domain.money import UNIT
from freehold.economics.pricing import (
    BITTENSOR,
    FACTOR_BPS_MAX,
    HALF_LIFE_MAX,
    PRICE_MAX,
    Price,
    Terms,
    decayed,
    raised,
)

prices = st.one_of(st.integers(1, 2**20), st.integers(1, PRICE_MAX))
half_lives = st.one_of(st.integers(1, 100), st.integers(1, HALF_LIFE_MAX))
factors = st.integers(10_001, FACTOR_BPS_MAX)
waits = st.one_of(st.integers(0, 1_000), st.integers(0, 200 * HALF_LIFE_MAX))


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    lowest, highest = sorted([draw(prices), draw(prices)])
    return Terms(lowest, highest, draw(half_lives), draw(factors))


@st.composite
def moving(draw: st.DrawFn) -> Price:
    found = draw(terms())
    return Price(found, draw(st.integers(found.lowest, found.highest)), 0)


@given(moving(), waits, waits)
def test_waiting_never_raises_it(price: Price, first: int, second: int) -> None:
    early, late = sorted([first, second])
    assert price.terms.lowest <= price.at(late) <= price.at(early) <= price.last


@given(moving(), waits)
def test_using_raises_it_until_the_bound(price: Price, now: int) -> None:
    before, after = price.at(now), price.used(now).at(now)
    assert after > before or after == before == price.terms.highest
    exact = Fraction(before * price.terms.factor_bps, 10_000)
    assert after < exact + 1
    assert after >= exact or after == price.terms.highest


@given(moving(), waits, waits)
def test_how_waits_are_grouped_makes_no_difference_beyond_rounding(
    price: Price, first: int, second: int
) -> None:
    found = price.terms
    half_life, lowest = found.half_life, found.lowest
    part = decayed(price.last, first, half_life=half_life, lowest=lowest)
    twice = decayed(part, second, half_life=half_life, lowest=lowest)
    once = price.at(first + second)
    assert abs(twice - once) <= 2


@given(prices, half_lives, st.integers(0, 130))
def test_a_half_life_halves_exactly(price: int, half_life: int, count: int) -> None:
    found = decayed(price, count * half_life, half_life=half_life, lowest=0)
    assert found == -(-price // 2**count)


@given(st.integers(1, PRICE_MAX), half_lives, st.data())
def test_it_falls_as_the_power_of_two_does(price: int, half_life: int, data: st.DataObject) -> None:
    seconds = data.draw(st.integers(0, half_life))
    found = decayed(price, seconds, half_life=half_life, lowest=0)
    assert found == pytest.approx(max(price * 2.0 ** (-seconds / half_life), 1), rel=1e-9, abs=1)


@given(terms())
def test_it_is_never_stuck(found: Terms) -> None:
    price = Price(found, found.lowest, 0)
    for _ in range(5):
        assert price.used(0).last > price.last or price.last == found.highest
        price = price.used(0)
    assert price.at(97 * found.half_life) == found.lowest


def test_the_figures_of_bittensor() -> None:
    price = Price(BITTENSOR, UNIT, 0)
    assert price.used(0).last == 126 * UNIT // 100
    assert price.at(360 * 12) == UNIT // 2
    assert price.at(10**6) == 5 * UNIT // 10_000
    for _ in range(60):
        price = price.used(0)
    assert price.last == 100 * UNIT


def test_a_price_below_its_bound_counts_as_the_bound() -> None:
    assert decayed(1, 0, half_life=10, lowest=5) == 5
    assert decayed(0, 10, half_life=10, lowest=0) == 0
    assert raised(7, factor_bps=20_000, highest=10) == 10


@pytest.mark.parametrize(
    ("figures", "fault"),
    [
        ((0, 1, 1, 20_000), "lowest"),
        ((2, 1, 1, 20_000), "lowest"),
        ((1, 2**96, 1, 20_000), "lowest"),
        ((1, 1, 0, 20_000), "half-life"),
        ((1, 1, HALF_LIFE_MAX + 1, 20_000), "half-life"),
        ((1, 1, 1, 10_000), "factor"),
        ((1, 1, 1, FACTOR_BPS_MAX + 1), "factor"),
    ],
)
def test_terms_out_of_bounds_are_refused(figures: tuple[int, int, int, int], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        Terms(*figures)

"""The stake that roles ask for."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.money import UNIT
from freehold.economics.stake import COMPUTE, IONET, Rule

multipliers = st.fractions(Fraction(1, 10), 100)


def test_the_figures_of_ionet() -> None:
    rule = IONET[COMPUTE]
    assert rule.weighed
    assert rule.stake(8, 10) == 16_000 * UNIT
    assert rule.stake(1) == 200 * UNIT
    assert rule.stake(3, Fraction(1, 2)) == 600 * UNIT
    assert rule.stake(1, Fraction(5, 2)) == 500 * UNIT
    assert rule.stake(0, 7) == 0


def test_units_are_asked_for_by_the_batch_and_rounded_up() -> None:
    rule = Rule(7, per=100)
    assert [rule.stake(units) for units in (1, 14, 15, 100, 101)] == [1, 1, 2, 7, 8]


@given(st.integers(1, 10**20), st.integers(1, 10**24), st.integers(1, 2**48 - 1), multipliers)
def test_no_less_than_a_unit_asks_and_less_than_one_more(
    units: int, amount: int, per: int, multiplier: Fraction
) -> None:
    exact = Fraction(units * amount, per) * max(Fraction(1), multiplier)
    assert 0 <= Rule(amount, per=per, weighed=True).stake(units, multiplier) - exact < 1

"""The table of exp: its words, its error, its ends."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.markets.models.yuma.exp import FIRST, LN_2, LOG2_E, REACH, SECOND, THIRD, exp, sigmoid
from freehold.markets.models.yuma.values import ONE

ERROR = Decimal("2.2e-9")
"""The largest relative error that the docs state; below 0 one unit comes on top."""


@pytest.mark.parametrize(("table", "steps"), [(FIRST, 32), (SECOND, 1_024), (THIRD, 32_768)])
def test_the_words_are_powers_of_two(table: tuple[int, ...], steps: int) -> None:
    with localcontext(prec=50):
        exact = [Decimal(2) ** (Decimal(i) / steps) * 2**31 for i in range(32)]
        assert [round(each) for each in exact] == list(table)


def test_the_constants_are_logarithms() -> None:
    with localcontext(prec=50):
        assert round(Decimal(2).ln() * ONE) == LN_2
        assert round(1 / Decimal(2).ln() * ONE) == LOG2_E


@settings(max_examples=400, deadline=None)
@given(st.integers(-REACH, REACH))
def test_the_error_is_what_the_docs_say(x: int) -> None:
    with localcontext(prec=50):
        true = (Decimal(x) / ONE).exp() * ONE
        found = int(exp(np.array([x], np.int64))[0])
        assert abs(found - true) <= ERROR * true + (x < 0)


def test_exp_of_nothing_is_one_and_it_never_falls() -> None:
    assert exp(np.zeros(1, np.int64))[0] == ONE
    ordered = exp(np.linspace(-REACH, REACH, 20_001).astype(np.int64))
    assert (np.diff(ordered) >= 0).all()


def test_a_sigmoid_is_half_in_its_middle_and_stays_within_its_ends() -> None:
    middle = ONE // 2
    for slope in (0, 10 * ONE, 100 * ONE):
        assert sigmoid(np.array([middle]), slope=slope, middle=middle)[0] == ONE // 2
        ends = sigmoid(np.array([0, ONE]), slope=slope, middle=middle)
        assert 0 <= ends[0] <= ends[1] <= ONE

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.cli.amounts import brief, size, span
from freehold.domain.money import UNIT, show

SCALES = {"micro": 10**12, "nano": 10**9, "pico": 10**6, "femto": 10**3, "atto": 1}


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (1_000 * UNIT, "1,000"),
        (UNIT // 4, "0.25"),
        (1_000 * UNIT - 1, "999.9999"),
        (UNIT // 1_000, "0.001"),
        (479 * 10**9, "479 nano"),
        (55_599_999, "55.5 pico"),
        (23_984_830_000_000, "23.9 micro"),
        (7, "7 atto"),
        (-479 * 10**9, "-479 nano"),
    ],
)
def test_amounts_are_short_and_never_rounded_up(amount: int, text: str) -> None:
    assert brief(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (297 * UNIT // 10**5, "0.003"),
        (6_988 * UNIT // 10**5, "0.0699"),
        (UNIT, "1"),
        (UNIT + 1, "1.0001"),
        (55_599_999, "55.6 pico"),
        (999_900_000_001, "1 micro"),
        (UNIT // 1_000 - 1, "0.001"),
        (7, "7 atto"),
    ],
)
def test_what_is_to_be_paid_is_rounded_up(amount: int, text: str) -> None:
    assert brief(amount, up=True) == text
    assert show(amount, places=18, up=True) == show(amount, places=18)
    assert show(UNIT + 1, up=True) == "1.000001"


@given(st.integers(1, UNIT // 1_000 - 1))
def test_a_tiny_amount_is_told_to_three_digits(amount: int) -> None:
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ([a-z]+)", brief(amount))
    assert found is not None
    shown = Fraction(found[1]) * SCALES[found[2]]
    assert shown <= amount < shown * Fraction(101, 100) + 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (90, "90 s"), (60, "1 min"), (7_200, "2 h"), (2_592_000, "30 d")],
)
def test_spans_take_the_largest_whole_unit(seconds: int, text: str) -> None:
    assert span(seconds) == text


def test_sizes_have_units() -> None:
    assert size(4_231_960) == "4.2 MB"

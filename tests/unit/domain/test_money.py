from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain import money
from freehold.domain.errors import UsageError

amounts = st.integers(min_value=0, max_value=10**36)


@given(amounts)
def test_parse_reads_what_show_writes(amount: int) -> None:
    assert money.parse(money.show(amount, places=18).replace(",", "")) == amount


@given(amounts, st.integers(min_value=0, max_value=18))
def test_show_never_rounds_up(amount: int, places: int) -> None:
    assert money.parse(money.show(amount, places=places).replace(",", "")) <= amount


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1.", ".5", "1.1234567890123456789", "٣", "nan"])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        money.parse(text)


def test_price_of_a_tib_for_a_month_is_the_price() -> None:
    assert money.cost(price=25 * 10**17, size=money.TIB, seconds=money.MONTH) == 25 * 10**17


@given(st.integers(0, 10**24), st.integers(1, 2**50), st.lists(st.integers(0, 10**7), max_size=6))
def test_parts_never_cost_more_than_the_whole(price: int, size: int, parts: list[int]) -> None:
    pieces = sum(money.cost(price=price, size=size, seconds=s) for s in parts)
    assert pieces <= money.cost(price=price, size=size, seconds=sum(parts))

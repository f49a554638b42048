"""The arithmetic of rewards by work, and forecasts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.economics.earnings import (
    RATE_UNIT,
    UNIT,
    Bounds,
    Stream,
    Taking,
    flow,
    forecast,
)

DAY = 86_400
bounds = st.builds(Bounds, st.integers(1, 2**60), st.integers(1, 9_000))
amounts = st.integers(0, 2**64 - 1)


@given(bounds, st.lists(amounts, min_size=1, max_size=5), st.integers(0, 2**100))
def test_an_epoch_never_pays_more_than_its_budget_or_the_fees_behind_it(
    found: Bounds, works: list[int], drawable: int
) -> None:
    total = sum(works)
    paid = [found.reward(work, total=total, drawable=drawable) for work in works]
    backed = Fraction(total * UNIT, found.work_per_token)
    assert sum(paid) <= min(drawable, found.ceiling(total))
    assert sum(paid) <= backed * found.share_bps / 10_000
    assert all(part <= found.ceiling(work) for part, work in zip(paid, works, strict=True))


@given(bounds, st.integers(0, 2**80))
def test_burned_fees_never_bring_back_more_than_their_share(found: Bounds, fees: int) -> None:
    assert found.worth(fees) <= fees * found.share_bps // 10_000


def test_a_reward_by_hand() -> None:
    found = Bounds(work_per_token=1_000, share_bps=9_000)
    assert found.ceiling(1_000) == 9 * UNIT // 10
    assert found.reward(250, total=1_000, drawable=UNIT) == 225 * UNIT // 1_000
    assert found.reward(250, total=1_000, drawable=5) == 1
    assert found.reward(250, total=1_000, drawable=4) == 0  # the rate rounds down, then its part
    assert found.reward(0, total=0, drawable=UNIT) == 0


def test_live_rails_pay_until_their_term_less_the_fee() -> None:
    whole = Stream(rate=RATE_UNIT, until=10 * DAY, fee_bps=50)  # a base unit a second
    assert flow([whole], now=0, ahead=DAY) == DAY * 9_950 // 10_000
    assert flow([whole, whole], now=9 * DAY, ahead=30 * DAY) == 2 * (DAY * 9_950 // 10_000)
    assert flow([whole], now=11 * DAY, ahead=DAY) == 0


@pytest.mark.parametrize(
    ("takings", "expected"),
    [
        ([], 0),
        ([Taking(95 * DAY, 10)], 10 * 30 // 5),
        ([Taking(10 * DAY, 99), Taking(95 * DAY, 10)], 10),  # of the last thirty days alone
        ([Taking(100 * DAY - 60, 10)], 10 * 30),  # one early amount makes no rate
        ([Taking(10 * DAY, 99)], 0),
        ([Taking(101 * DAY, 99)], 0),
    ],
)
def test_what_goes_on_is_judged_by_its_own_time(takings: list[Taking], expected: int) -> None:
    now = 100 * DAY
    found = forecast(takings, since=70 * DAY, now=now, ahead=30 * DAY, least=DAY)
    assert found == expected

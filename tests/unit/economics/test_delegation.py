"""Net yield and the order of operators."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.domain.ids import checksum
from freehold.economics.delegation import (
    YEAR,
    Operator,
    Reward,
    Slash,
    Yield,
    rank,
    room,
    yearly,
)

rewards = st.lists(
    st.builds(
        lambda time, amount, part, active: Reward(time, amount, amount * part // 10_000, active),
        st.integers(0, 1_000), st.integers(1, 10**24), st.integers(0, 5_000),
        st.integers(0, 10**26),
    ),
    max_size=9,
)  # fmt: skip
slashes = st.lists(
    st.builds(
        lambda time, whole, part: Slash(time, whole * part // 100, whole),
        st.integers(0, 1_000), st.integers(1, 10**24), st.integers(0, 100),
    ),
    max_size=4,
)  # fmt: skip


def operator(number: int) -> Operator:
    address = checksum(bytes([number]) * 20)
    return Operator(address, address, 100, 0, 500, 0, 0, 900, 0, (), Yield(50_000, 2_500, 0))


def test_a_year_of_one_tenth() -> None:
    found = yearly([Reward(5, 100, 10, 1_000)], [], start=0, end=YEAR)
    assert (found.gross, found.commission, found.slashed) == (100_000, 10_000, 0)
    assert found.net == 90_000


def test_a_month_is_brought_to_a_year() -> None:
    month = YEAR // 12
    found = yearly([Reward(0, 10, 0, 1_000)], [Slash(1, 1, 100)], start=0, end=month)
    assert (found.gross, found.slashed) == (120_000, 120_000)
    assert found.net == 0


def test_slashes_can_cost_more_than_rewards_bring() -> None:
    assert yearly([], [Slash(1, 50, 100)], start=0, end=YEAR).net == -500_000


def test_what_is_outside_or_shared_by_nobody_is_left_out() -> None:
    given_ = [Reward(9, 5, 0, 10), Reward(20, 5, 0, 10), Reward(12, 5, 5, 0)]
    found = yearly(given_, [Slash(9, 1, 2), Slash(20, 1, 2), Slash(15, 0, 0)], start=10, end=20)
    assert found == Yield(0, 0, 0)
    assert yearly([Reward(10, 5, 0, 10)], [], start=10, end=20).gross > 0


def test_no_time_has_no_yield() -> None:
    with pytest.raises(UsageError):
        yearly([], [], start=7, end=7)


@given(rewards, slashes)
def test_roundings_never_flatter(given_rewards: list[Reward], given_slashes: list[Slash]) -> None:
    found = yearly(given_rewards, given_slashes, start=0, end=1_001)
    scale = YEAR * 10**6 / 1_001
    shared = [r for r in given_rewards if r.active]
    exact = sum((r.amount - r.commission) / r.active for r in shared) * scale
    exact -= sum(s.amount / s.whole for s in given_slashes) * scale
    assert found.net <= exact + abs(exact) / 10**9 + 1
    assert found.net >= exact - abs(exact) / 10**9 - 4 - len(shared)
    assert found.commission <= found.gross + 1


@given(rewards, st.integers(1, 10**24))
def test_more_stake_beside_changes_no_rate_of_the_past(known: list[Reward], more: int) -> None:
    later = [*known, Reward(2_000, more, 0, more)]
    assert yearly(known, [], start=0, end=1_001) == yearly(later, [], start=0, end=1_001)


def test_room_ends_where_the_own_share_does() -> None:
    assert room(own=100, active=100, least_own_bps=1_000) == 900
    assert room(own=100, active=1_001, least_own_bps=1_000) == 0
    assert room(own=0, active=0, least_own_bps=1_000) == 0


def test_the_order_of_operators() -> None:
    best = operator(1)
    worse = [
        replace(operator(2), own=99),
        replace(operator(3), commission=501),
        replace(operator(4), raised=502, raised_at=9),
        replace(operator(5), slashes=(Slash(1, 1, 10),)),
        replace(operator(6), yearly=Yield(50_000, 2_501, 0)),
        replace(operator(7), room=0, yearly=Yield(90_000, 0, 0)),
        replace(operator(8), shortfall=1),
    ]
    expected = [best, *worse[:5], worse[5], worse[6]]
    assert rank(reversed([best, *worse])) == expected
    assert worse[3].slashed == 1

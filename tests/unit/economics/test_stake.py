"""The stake that roles ask for."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.domain.money import TIB, UNIT
from freehold.economics.stake import COMPUTE, STORAGE, capacity, required, storage

stakes = st.integers(0, 10**30)
multipliers = st.fractions(Fraction(1, 10), 100)


def test_the_figures_of_ionet() -> None:
    assert required(COMPUTE, 8, 10) == 16_000 * UNIT
    assert required(COMPUTE, 1) == 200 * UNIT
    assert required(COMPUTE, 3, Fraction(1, 2)) == 600 * UNIT
    assert required(COMPUTE, 1, Fraction(5, 2)) == 500 * UNIT
    assert required(COMPUTE, 0, 7) == 0


def test_storage_locks_what_the_contract_locks() -> None:
    rules = storage(7)
    assert required(STORAGE, TIB, rules=rules) == 7
    assert required(STORAGE, TIB + 1, rules=rules) == 8
    assert required(STORAGE, 1, rules=rules) == 1


@given(st.integers(1, 10**6), multipliers)
def test_capacity_is_the_most_that_a_stake_covers(units: int, multiplier: Fraction) -> None:
    stake = required(COMPUTE, units, multiplier)
    assert capacity(COMPUTE, stake, multiplier) == units
    assert capacity(COMPUTE, stake - 1, multiplier) == units - 1


@given(st.integers(1, 10**20), st.integers(1, 10**24))
def test_capacity_in_bytes_never_needs_more_than_the_stake(stake: int, per_tib: int) -> None:
    rules = storage(per_tib)
    units = capacity(STORAGE, stake, rules=rules)
    assert required(STORAGE, units, rules=rules) <= stake
    assert required(STORAGE, units + 1, rules=rules) > stake


def test_what_no_rule_covers_is_refused() -> None:
    with pytest.raises(UsageError, match="no stake is asked"):
        required(STORAGE, 1)
    with pytest.raises(UsageError, match="units"):
        required(COMPUTE, -1)
    with pytest.raises(UsageError, match="not weighed"):
        required(STORAGE, 1, 2, rules=storage(1))
    with pytest.raises(UsageError, match="no capacity"):
        capacity(COMPUTE, -1)
    with pytest.raises(UsageError, match="no capacity"):
        capacity(STORAGE, 1, rules=storage(0))

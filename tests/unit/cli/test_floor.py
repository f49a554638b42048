"""A node below the least economic set is refused, and told why."""

from __future__ import annotations

import pytest

from freehold.cli.floor import Floor
from freehold.control.running import Conditions, least_bytes
from freehold.domain.errors import CapacityError
from freehold.domain.money import TIB, UNIT

CONDITIONS = Conditions(period=86_400, challenges=5, fee_bps=50, gas_price=10**9)
LEAST = least_bytes(CONDITIONS.monthly, price=5 * UNIT // 2, fee_bps=50)


def test_below_the_least_set_only_a_yes_goes_on() -> None:
    small = Floor(CONDITIONS, LEAST, LEAST - 1)
    with pytest.raises(CapacityError, match=r"proving costs 0\.0078 tokens a month") as caught:
        small.require(yes=False)
    assert "--yes" in caught.value.remedy
    assert "--coin" in caught.value.remedy
    small.require(yes=True)


def test_from_the_least_set_on_nobody_is_asked() -> None:
    Floor(CONDITIONS, LEAST, LEAST).require(yes=False)


def test_a_node_that_asks_nothing_is_always_below() -> None:
    free = Floor(CONDITIONS, None, TIB)
    assert free.below
    assert "no size is enough" in free.text()


def test_the_sentence_names_gas_price_need_and_offer() -> None:
    text = Floor(CONDITIONS, LEAST, 2 * TIB).text()
    for words in ("at 1 gwei", "5 % of pay", "at least", "2.0 TiB"):
        assert words in text

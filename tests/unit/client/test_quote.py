"""Quotes: what is told before anything is paid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freehold.client.chain import Funds, Terms
from freehold.client.quote import (
    REPAIR_MARGIN,
    Policy,
    Quote,
    make_quote,
    repair_gas,
    together,
)
from freehold.control.placement import Candidate
from freehold.domain.ids import checksum
from freehold.domain.money import MONTH, TIB, UNIT

GWEI = 10**9
GAS = Path(__file__).parents[3] / "docs" / "reference" / "gas.json"


def quote(
    *, size: int = 3_000, column: int = 2_000, gas_price: int = GWEI, policy: Policy | None = None
) -> Quote:
    nodes = [
        Candidate(checksum(bytes([i]) * 20), checksum(bytes([100 + i]) * 20), 3 * UNIT, 0, 0)
        for i in range(6)
    ]
    return make_quote(
        size=size,
        column=column,
        shape=(4, 6),
        term=86_400,
        chosen=nodes,
        terms=Terms(3_600, UNIT, 2),
        funds=Funds(0, 0, 0, 0, 0, gas_price, 0, 0),
        policy=policy or Policy(),
    )


def test_sizes_prices_and_reserve_are_exact() -> None:
    told = quote()
    assert (told.size, told.padded, told.stored) == (3_000, 8_000, 12_000)
    assert told.monthly == 3 * UNIT * 12_000 // TIB
    assert told.price == 6 * (3 * UNIT * 2_000 * 86_400 // (TIB * MONTH))
    assert told.reserve == told.repairs * told.repair_fee
    assert told.deposit == max(told.lockup, told.price) + told.reserve


@pytest.mark.parametrize(
    ("columns", "replace"),
    [
        (6, "replace, 4 of 6"),
        (30, "replace, 20 of 30"),
        (30, "replace a failed node's column, 20 of 30"),
    ],
)
def test_the_fee_covers_a_repairs_receipts_with_a_margin(columns: int, replace: str) -> None:
    measured = {row["kind"]: row["gas"] for row in json.loads(GAS.read_text())["transactions"]}
    taken = sum(measured[k] for k in (replace, "claim a repair", "finish a moved column"))
    assert taken <= repair_gas(columns) <= taken * 1.1
    for price in (1, GWEI, 40 * GWEI):
        assert Policy().fee(columns, price) >= REPAIR_MARGIN * taken * price


def test_a_fee_that_was_named_stands_whatever_gas_costs() -> None:
    assert Policy(repair_fee=7).fee(6, 10**12) == 7
    assert quote(policy=Policy(repair_fee=7)).reserve == 28


def test_a_dearer_coin_makes_a_dearer_repair() -> None:
    assert Policy(coin=3 * UNIT).fee(6, GWEI) == 3 * Policy().fee(6, GWEI)


def test_the_fees_reason_names_gas_and_assumption() -> None:
    reason = quote().why_fee()
    assert f"{repair_gas(6):,} gas" in reason
    assert "--repair-fee" in reason


def test_several_objects_cost_their_sum() -> None:
    both = together([quote(size=10), quote(size=20, column=4_000)])
    assert (both.size, both.stored, both.padded, both.deals) == (30, 36_000, 24_000, 2)
    assert both.reserve == 2 * quote().reserve
    assert len(both.nodes) == 6
    assert together([quote()]) == quote()

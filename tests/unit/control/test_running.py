"""The least set: proving costs at most its share of pay there, and more below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.control.running import PROOF_GAS, SHARE_BPS, Conditions, least_bytes
from freehold.domain.errors import UsageError
from freehold.domain.money import MONTH, TIB, UNIT

GWEI = 10**9
GAS = Path(__file__).parents[3] / "docs" / "reference" / "gas.json"
DAILY = Conditions(period=86_400, challenges=5, fee_bps=50, gas_price=GWEI)

amounts = st.integers(1, 10**24)
fees = st.integers(0, 9_999)


@given(amounts, amounts, fees)
def test_at_the_least_set_and_not_below_it_proving_is_worth_it(
    monthly: int, price: int, fee_bps: int
) -> None:
    least = least_bytes(monthly, price=price, fee_bps=fee_bps)
    assert _worth(least, monthly, price, fee_bps)
    assert not _worth(least - 1, monthly, price, fee_bps)


def _worth(held: int, monthly: int, price: int, fee_bps: int) -> bool:
    """Exactly: monthly <= share of (price x TiB held x (1 - fee))."""
    return monthly * TIB * 10_000**2 <= SHARE_BPS * price * held * (10_000 - fee_bps)


def test_thirty_proofs_a_month_at_five_challenges() -> None:
    assert DAILY.monthly == 30 * 5 * PROOF_GAS * GWEI
    hourly = Conditions(period=3_600, challenges=5, fee_bps=50, gas_price=GWEI)
    assert hourly.monthly == 24 * DAILY.monthly
    assert MONTH // 86_400 == 30


def test_a_dearer_coin_needs_a_larger_set() -> None:
    dear = Conditions(period=86_400, challenges=5, fee_bps=50, gas_price=GWEI, coin=3 * UNIT)
    assert dear.monthly == 3 * DAILY.monthly


def test_where_gas_is_free_any_set_will_do() -> None:
    assert least_bytes(0, price=0, fee_bps=0) == 0


def test_storage_for_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="for nothing"):
        least_bytes(1, price=0, fee_bps=50)


def test_the_gas_of_a_proof_is_what_receipts_say() -> None:
    measured = json.loads(GAS.read_text())
    for name in ("sets", "large_sets"):
        mean = next(row["mean"] for row in measured[name] if row["pieces"] == 1_000)
        assert mean == pytest.approx(5 * PROOF_GAS, rel=0.1)

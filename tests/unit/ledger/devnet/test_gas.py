"""The gas limit of raw transactions of every type; rubbish counts as a full block."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from freehold.ledger.devnet.gas import gas_limit

SECRET = b"\x07" * 32
BASE = {"chainId": 1, "nonce": 5, "to": "0x" + "11" * 20, "value": 10**20, "data": b"x" * 300}
FEES = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**9}


@pytest.mark.parametrize(
    "fields",
    [
        {"gasPrice": 10**10},
        {"type": 1, "gasPrice": 10**10, "accessList": []},
        {"type": 2, **FEES, "accessList": [{"address": "0x" + "22" * 20, "storageKeys": []}]},
    ],
)
@pytest.mark.parametrize("gas", [21_000, 30_000, 16_777_216])
def test_every_type(fields: dict[str, object], gas: int) -> None:
    raw = Account.sign_transaction({**BASE, **fields, "gas": gas}, SECRET).raw_transaction
    assert gas_limit(bytes(raw), otherwise=-1) == gas


@given(st.binary(max_size=200))
def test_rubbish_never_breaks_it(raw: bytes) -> None:
    assert gas_limit(raw, otherwise=7) >= 0


@pytest.mark.parametrize("raw", [b"", b"\x02", b"\x05\xc0", b"\xc0", b"\x02\xc3\x01\x02\x03"])
def test_what_cannot_be_read_counts_as_told(raw: bytes) -> None:
    assert gas_limit(raw, otherwise=7) == 7

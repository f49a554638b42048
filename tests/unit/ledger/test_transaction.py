"""Our transactions are those of eth_account, byte for byte."""

from __future__ import annotations

import rlp  # type: ignore[import-untyped]
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.ledger.book import Draft
from freehold.ledger.transaction import CREATION, created_address, sign
from freehold.ledger.transaction import rlp as our_rlp
from unit.ledger.fake_chain import address

KEY = Key.from_secret(b"\x07" * 32)


@settings(max_examples=30)
@given(
    nonce=st.integers(0, 2**40),
    fee=st.integers(1, 2**70),
    gas=st.integers(21_000, 2**24),
    value=st.integers(0, 2**90),
    data=st.binary(max_size=300),
    target=st.one_of(st.just(CREATION), st.integers(0, 2**160 - 1).map(address)),
)
def test_signed_as_eth_account_signs(
    nonce: int, fee: int, gas: int, value: int, data: bytes, target: Address
) -> None:
    draft = Draft(target, data, value, gas, fee, fee // 2)
    name, raw = sign(draft, chain_id=31_337, nonce=nonce, key=KEY)
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 31_337,
            "nonce": nonce,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": fee // 2,
            "gas": gas,
            "value": value,
            "data": data,
            **({"to": target} if target else {}),
        },
        KEY.secret,
    )
    assert raw == bytes(theirs.raw_transaction)
    assert name == "0x" + bytes(theirs.hash).hex()


items = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=4))


@given(items)
def test_rlp_is_rlp(item: list[bytes] | bytes) -> None:
    assert our_rlp(item) == rlp.encode(item)  # type: ignore[arg-type]


def test_where_a_contract_lands() -> None:
    sender = Address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    assert created_address(sender, 0).lower() == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert created_address(sender, 1).lower() == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"

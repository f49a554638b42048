from __future__ import annotations

import dataclasses

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.ids import checksum, keccak
from freehold.domain.typed import ACCEPTANCE, REQUEST, VOUCHER, Domain, Struct, Value

DOMAIN = Domain("Freehold payments", 31337, checksum(b"\2" * 20), b"\3" * 32)


def reference(struct: Struct, values: list[Value]) -> bytes:
    """The digest by eth-account, an independent implementation."""
    name, _, members = struct.signature.rstrip(")").partition("(")
    fields = [dict(zip(("type", "name"), m.split(" "), strict=True)) for m in members.split(",")]
    signable = encode_typed_data(
        domain_data={
            "name": DOMAIN.name,
            "version": DOMAIN.version,
            "chainId": DOMAIN.chain_id,
            "verifyingContract": DOMAIN.contract,
            "salt": DOMAIN.salt,
        },
        message_types={name: fields},
        message_data={f["name"]: v for f, v in zip(fields, values, strict=True)},
    )
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_numbers_hash_as_eip712_says(rail: int, amount: int) -> None:
    assert VOUCHER.digest(DOMAIN, [rail, amount]) == reference(VOUCHER, [rail, amount])


@given(st.text(max_size=40), st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_text_hashes_as_eip712_says(path: str, body: bytes, expiry: int) -> None:
    values: list[Value] = [checksum(b"\1" * 20), "GET", path, body, expiry, b"\0" * 32]
    assert REQUEST.digest(DOMAIN, values) == reference(REQUEST, values)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Freehold storage"},
        {"chain_id": 1},
        {"contract": checksum(b"\4" * 20)},
        {"salt": b"\5" * 32},
    ],
)
def test_nothing_replays_across_domains(change: dict[str, object]) -> None:
    other = dataclasses.replace(DOMAIN, **change)  # type: ignore[arg-type]
    assert VOUCHER.digest(DOMAIN, [1, 2]) != VOUCHER.digest(other, [1, 2])


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ACCEPTANCE.digest(DOMAIN, [checksum(b"\1" * 20)])

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain import ids
from freehold.domain.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_checksums_of_eip55(text: str) -> None:
    assert ids.address(text.lower()) == text
    assert ids.address(text) == text


def test_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(UsageError, match="checksum"):
        ids.address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD")


@pytest.mark.parametrize(
    "text", ["", "0x12", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x" + "g" * 40]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ids.address(text)


@given(st.binary(min_size=20, max_size=20))
def test_raw_and_text_agree(raw: bytes) -> None:
    assert ids.raw_address(ids.checksum(raw)) == raw


def test_caip_names() -> None:
    account = ids.address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
    assert ids.caip10(1, account) == f"eip155:1:{account}"
    assert ids.parse_caip2("eip155:31337") == 31337


@pytest.mark.parametrize("text", ["eip155:0", "eip155:", "solana:1", "eip155:1:2", "eip155:01"])
def test_other_chains_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ids.parse_caip2(text)

"""ABI coding: structs by name, typed refusals, events."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, NotFoundError, UsageError
from freehold.domain.ids import Address, keccak
from freehold.ledger import abi
from freehold.ledger.abi import Artifact, Parameter, pack_all, reason, topic_of, unpack_all
from freehold.ledger.contracts.base import convert, convert_list
from freehold.ledger.values import Log
from unit.ledger.fake_chain import address

PAIR = Parameter("pair", "tuple", (Parameter("who", "address"), Parameter("amount", "uint256")))
PAIRS = Parameter("pairs", "tuple[]", PAIR.fields)


@dataclass(frozen=True, slots=True)
class Pair:
    """A struct as a dataclass."""

    who: Address
    amount: int


@given(st.lists(st.integers(0, 2**256 - 1), max_size=4), st.binary(max_size=70), st.text())
def test_values_come_back_as_they_went_in(numbers: list[int], data: bytes, text: str) -> None:
    pairs = [Pair(address(n % 2**160), n) for n in numbers]
    kinds = [PAIRS, Parameter("d", "bytes"), Parameter("s", "string"), Parameter("b", "bool")]
    coded = pack_all(kinds, [pairs, data, text, True], "test")
    back = unpack_all(kinds, coded, "test")
    assert convert_list(Pair, back[0]) == pairs
    assert back[1:] == [data, text, True]


def test_structs_may_be_dataclasses_mappings_or_sequences() -> None:
    who = address(7)
    forms = [Pair(who, 1), {"amount": 1, "who": who}, (who, 1)]
    assert len({pack_all([PAIR], [form], "test") for form in forms}) == 1


@pytest.mark.parametrize(
    "value", [(address(1), -1), (address(1), 2**256), ("nobody", 1), (address(1),), 5, None]
)
def test_a_value_that_does_not_fit_is_a_usage_error(value: object) -> None:
    with pytest.raises(UsageError, match="argument of pay does not fit"):
        pack_all([PAIR], [value], "pay")


@pytest.mark.parametrize("data", [b"", b"\xff" * 31, b"\xff" * 64])
def test_an_answer_that_does_not_fit_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="balance"):
        unpack_all([PAIR], data, "balance")


def test_convert_is_strict_about_kinds() -> None:
    with pytest.raises(IntegrityError):
        convert(int, True)
    with pytest.raises(IntegrityError):
        convert(bool, 1)
    with pytest.raises(IntegrityError, match="amount"):
        convert(Pair, {"who": address(1)})
    assert convert(Pair, {"who": address(1), "amount": 2, "more": 3}) == Pair(address(1), 2)


def test_reasons() -> None:
    text = keccak(b"Error(string)")[:4] + encode(["string"], ["pdp: wrong round"])
    panic = keccak(b"Panic(uint256)")[:4] + encode(["uint256"], [17])
    assert reason(text) == "pdp: wrong round"
    assert reason(panic) == "panic 0x11"
    assert reason(b"") == ""
    assert reason(b"\x01\x02") == "0x0102"
    assert reason(text[:20]).startswith("0x08c379a0")


def test_an_event_of_the_wrong_number_of_topics_is_refused() -> None:
    token = abi.artifact("token")
    transfer = token.event("Transfer")
    log = Log(address(1), (transfer.topic,), b"", 1, "0x", "0x", 0)
    with pytest.raises(IntegrityError):
        abi.decode_log("token", token, log)
    stranger = Log(address(1), (b"\x01" * 32,), b"", 1, "0x", "0x", 0)
    assert abi.decode_log("token", token, stranger) is None


def test_a_transfer_decodes() -> None:
    token = abi.artifact("token")
    topics = (token.event("Transfer").topic, bytes(12) + b"\x01" * 20, bytes(12) + b"\x02" * 20)
    log = Log(address(1), topics, (5).to_bytes(32, "big"), 9, "0xb", "0xt", 3)
    event = abi.decode_log("token", token, log)
    assert event is not None
    assert event.number("value") == 5
    assert event.address("sender").lower() == "0x" + "01" * 20
    with pytest.raises(IntegrityError):
        event.number("sender")


def test_topics_of_dynamic_values_are_hashes() -> None:
    assert topic_of(Parameter("name", "string", indexed=True), "x") == keccak(b"x")
    assert topic_of(Parameter("n", "uint256", indexed=True), 3) == (3).to_bytes(32, "big")
    with pytest.raises(UsageError):
        topic_of(Parameter("names", "string[]", indexed=True), ["x"])


def test_unknown_names_are_not_found() -> None:
    with pytest.raises(NotFoundError, match="no function"):
        abi.artifact("token").function("fly", 0)
    with pytest.raises(NotFoundError, match="no event"):
        abi.artifact("token").event("Flown")
    with pytest.raises(NotFoundError, match="ships no contract"):
        abi.artifact("nothing")


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"abi": [{}], "name": "x"})])
def test_a_malformed_artifact_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError, match="artifact is malformed"):
        Artifact.parse(text)

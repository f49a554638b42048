"""The consensus encodings against blocks that anvil 1.7.1 made and against other libraries."""

from __future__ import annotations

import pytest
import rlp as reference  # type: ignore[import-untyped]
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.audit import rlp, trie
from freehold.audit.headers import Header, bloom_of, encode_header, may_contain
from freehold.audit.receipts import Receipt, encode_receipt
from freehold.audit.transactions import Transaction, encode_transaction
from freehold.domain.errors import IntegrityError, UnavailableError

BLOOM = "0x" + "00" * 256
BLOCK: dict[str, object] = {
    "hash": "0xae9c86af0db5abb0e9ead8ee3100227fa59698045ebc6f98444c87fcf5ea1d82",
    "parentHash": "0x2e8b420569beefbad696784cd9f8d8f2aefddb61dffc4d286e967d948493d8ad",
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x0000000000000000000000000000000000000000",
    "stateRoot": "0x28226b98272b5dd9bdceebb9f8ae5a1fe0cf1f238b194bfad15547ab956407dc",
    "transactionsRoot": "0x13f03c635121879dcf4e6fbe870c3b9e0702d57b33d9261db8c2fbc81a699e34",
    "receiptsRoot": "0x422a6af5f86e158046a2e63ac67bb3a0a4be2bc5a706ea18c53276a7064da028",
    "logsBloom": BLOOM,
    "difficulty": "0x0",
    "number": "0x1",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x30000",
    "timestamp": "0x6b02e392",
    "extraData": "0x",
    "mixHash": "0xbf504ae950e2daa28d251bb12f80e1e9b6f99c9b2600bb6028d09a6e3c4aa045",
    "nonce": "0x0000000000000000",
    "baseFeePerGas": "0x3b9aca00",
    "withdrawalsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "blobGasUsed": "0x0",
    "excessBlobGas": "0x0",
    "parentBeaconBlockRoot": "0x" + "00" * 32,
    "requestsHash": "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
RAW = bytes.fromhex(
    "02f867827a6980843b9aca0084773594008303000080808e602a60005260206000a1600080f3c001a01e01b19f"
    "1965fc76fe4f175737c8abae837660dff1dfdee01216fa3c9b15dda0a060ce6508bcb753228525cfc7cbccdfc8"
    "4b56c088dd784dbd9fd8c59e22e5b11f"
)
TRANSACTION: dict[str, object] = {
    "type": "0x2",
    "chainId": "0x7a69",
    "nonce": "0x0",
    "gas": "0x30000",
    "maxFeePerGas": "0x77359400",
    "maxPriorityFeePerGas": "0x3b9aca00",
    "to": None,
    "value": "0x0",
    "accessList": [],
    "input": "0x602a60005260206000a1600080f3",
    "r": "0x1e01b19f1965fc76fe4f175737c8abae837660dff1dfdee01216fa3c9b15dda0",
    "s": "0x60ce6508bcb753228525cfc7cbccdfc84b56c088dd784dbd9fd8c59e22e5b11f",
    "yParity": "0x1",
    "hash": "0xcb53e653f9d315b71d68b5980a0a963645a1d933a452c729225e242d9715a9bf",
}
RECEIPT: dict[str, object] = {
    "type": "0x2",
    "status": "0x0",
    "cumulativeGasUsed": "0x30000",
    "logs": [],
    "logsBloom": BLOOM,
}
KEY = b"\x11" * 32

items = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5))


@settings(deadline=None)
@given(items)
def test_rlp_is_what_another_library_writes_and_reads_back(item: rlp.Item) -> None:
    encoded = rlp.encode(item)
    assert encoded == reference.encode(item)
    assert rlp.decode(encoded) == item


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_what_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except IntegrityError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "text", ["", "8100", "b800", "c1", "c382", "f800", "8180ff", "c28180", "bf" + "ff" * 9]
)
def test_sloppy_rlp_is_refused(text: str) -> None:
    if text == "c28180":  # a list of one byte 0x80: the canonical form
        assert rlp.decode(bytes.fromhex(text)) == [b"\x80"]
        return
    with pytest.raises(IntegrityError):
        rlp.decode(bytes.fromhex(text))


def test_deep_nesting_is_refused() -> None:
    data = b"\xc0"
    for _ in range(40):
        data = (
            rlp.encode([rlp.decode(b"\x01")]) if data == b"" else bytes([0xC0 + len(data)]) + data
        )
        if len(data) > 50:
            break
    with pytest.raises(IntegrityError, match="deeply"):
        rlp.decode(data)


def test_a_block_of_anvil_hashes_to_its_name() -> None:
    header = Header.parse(encode_header(BLOCK))
    assert "0x" + header.hash.hex() == BLOCK["hash"]
    assert (header.number, header.timestamp) == (1, 0x6B02E392)
    assert trie.ordered_root([RAW]) == header.transactions_root
    assert trie.ordered_root([encode_receipt(RECEIPT)]) == header.receipts_root
    assert trie.ordered_root([]).hex() == str(BLOCK["withdrawalsRoot"])[2:]


def test_a_header_that_does_not_hash_to_its_name_is_refused() -> None:
    with pytest.raises(IntegrityError, match="hashes to"):
        encode_header({**BLOCK, "gasUsed": "0x1"})
    with pytest.raises(UnavailableError, match="gasUsed"):
        encode_header({**BLOCK, "gasUsed": "many"})


def test_a_transaction_of_anvil() -> None:
    assert encode_transaction(TRANSACTION) == RAW
    found = Transaction.parse(RAW)
    assert "0x" + found.hash.hex() == TRANSACTION["hash"]
    assert found.sender() == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert found.created() == "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.mark.parametrize(
    "fields",
    [
        {"gasPrice": 7, "chainId": 5},
        {"gasPrice": 7},
        {"type": 1, "gasPrice": 7, "chainId": 5, "accessList": [
            {"address": "0x" + "22" * 20, "storageKeys": ["0x" + "33" * 32]}]},
        {"type": 2, "maxFeePerGas": 9, "maxPriorityFeePerGas": 1, "chainId": 5},
    ],
)  # fmt: skip
def test_every_kind_of_transaction(fields: dict[str, object]) -> None:
    whole = {**fields, "nonce": 3, "gas": 21_000, "value": 4, "data": b"\x01\x02",
             "to": "0x" + "44" * 20}  # fmt: skip
    signed = Account.sign_transaction(whole, KEY)
    raw = bytes(signed.raw_transaction)
    found = Transaction.parse(raw)
    assert found.sender() == Account.from_key(KEY).address
    assert (found.nonce, found.data, found.created()) == (3, b"\x01\x02", None)
    told = {
        "type": hex(raw[0]) if raw[0] < 0x80 else "0x0", "hash": "0x" + keccak(raw).hex(),
        "input": "0x0102", "to": "0x" + "44" * 20, "accessList": fields.get("accessList", []),
        **{name: hex(value) for name, value in whole.items() if isinstance(value, int)},
        **{name: hex(getattr(signed, name)) for name in "vrs"},
    }  # fmt: skip
    told["type"] = hex(raw[0]) if raw[0] < 0x80 else "0x0"
    assert encode_transaction(told) == raw


def test_a_transaction_of_an_unknown_type_is_kept_as_it_is() -> None:
    found = Transaction.parse(b"\x7e" + b"anything")
    assert not found.known
    assert found.sender() is None
    assert found.created() is None
    with pytest.raises(UnavailableError, match="type 126"):
        encode_transaction({"type": "0x7e"})


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=140), st.data())
def test_the_root_names_every_value_and_its_place(values: list[bytes], data: st.DataObject) -> None:
    root = trie.ordered_root(values)
    if not values:
        assert root == trie.EMPTY_ROOT
        return
    at = data.draw(st.integers(0, len(values) - 1))
    changed = [*values[:at], values[at] + b"!", *values[at + 1 :]]
    assert trie.ordered_root(changed) != root
    assert trie.ordered_root(values[:-1]) != root


@settings(deadline=None)
@given(st.lists(st.binary(min_size=20, max_size=32), max_size=20))
def test_the_bloom_never_hides_what_it_holds(entries: list[bytes]) -> None:
    bloom = bloom_of(entries)
    assert all(may_contain(bloom, entry) for entry in entries)
    assert len(bloom) == 256


def test_receipts_and_headers_that_are_malformed() -> None:
    for raw in (b"", b"\x02", rlp.encode([b"\x01"]), rlp.encode([b"\x01", b"", b"", []])):
        with pytest.raises(IntegrityError):
            Receipt.parse(raw)
    with pytest.raises(IntegrityError):
        Header.parse(rlp.encode([b"\x01"] * 15))

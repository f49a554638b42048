"""An export is what the chain holds, goes on after interruptions, and follows reorganisations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from freehold.audit import abi, rlp
from freehold.audit.abi import Values
from freehold.audit.claims import Keys
from freehold.audit.events import Event
from freehold.audit.export import Exporter, Summary, export
from freehold.audit.receipts import Receipt
from freehold.audit.report import Place
from freehold.audit.transactions import Transaction
from freehold.audit.verify import verify_file, verify_live
from freehold.domain.errors import ConflictError, UnavailableError
from freehold.ledger.abi import pack_all
from freehold.ledger.wire import Json
from unit.audit.press import (
    FIRST,
    FOREIGN,
    SENDER,
    SHARES,
    Log,
    Press,
    answers,
    earning,
    small,
)


class Chain:
    """A chain's RPC, played from a press; it may fail after some requests."""

    def __init__(self, press: Press) -> None:
        self.press = press
        self.left: int | None = None
        self.state: dict[tuple[str, str], bytes] = {}
        for (contract, view, arguments), values in answers(press):
            found = abi.interface(contract)
            data = "0x" + found.call_data(view, list(arguments)).hex()
            outputs = found.artifact.function(view, len(arguments)).outputs
            self.state[press.contracts[contract], data] = pack_all(outputs, values, view)

    def request(self, method: str, *params: Json) -> Json:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise UnavailableError("the line is down", remedy="Wait.")
        if method == "eth_blockNumber":
            return hex(FIRST + len(self.press.blocks) - 1)
        if method == "eth_call":
            return self._call(params[0])
        index = int(str(params[0]), 16) - FIRST
        if not 0 <= index < len(self.press.blocks):
            return None
        header, _, content = self.press.blocks[index]
        if method == "eth_getBlockReceipts":
            return [_receipt(raw) for raw in (content[1] if content else [])]
        return _block(header, content[0] if content else [])

    def request_many(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        return [self.request(method, *params) for method, params in calls]

    def _call(self, request: Json) -> Json:
        assert isinstance(request, dict)
        found = self.state.get((str(request["to"]), str(request["data"])))
        return "0x" + (found if found is not None else bytes(32)).hex()


def _block(raw: bytes, bodies: Sequence[bytes]) -> Json:
    fields = rlp.as_list(rlp.decode(raw))
    names = (
        "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot",
        "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData",
        "mixHash", "nonce", "baseFeePerGas",
    )  # fmt: skip
    numbers = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"}
    told: dict[str, Json] = {"hash": "0x" + keccak(raw).hex()}
    for name, item in zip(names, fields, strict=True):
        data = rlp.as_bytes(item)
        told[name] = hex(int.from_bytes(data, "big")) if name in numbers else "0x" + data.hex()
    return {**told, "transactions": [_transaction(each) for each in bodies]}


def _transaction(raw: bytes) -> Json:
    fields = rlp.as_list(rlp.decode(raw[1:]))
    names = (
        "chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input",
        "accessList", "yParity", "r", "s",
    )  # fmt: skip
    told: dict[str, Json] = {"type": "0x2", "hash": "0x" + keccak(raw).hex()}
    for name, item in zip(names, fields, strict=True):
        if name == "accessList":
            told[name] = []
        elif name in ("to", "input"):
            told[name] = "0x" + rlp.as_bytes(item).hex()
        else:
            told[name] = hex(rlp.as_number(item))
    return {**told, "to": told["to"] if Transaction.parse(raw).to else None}


def _receipt(raw: bytes) -> Json:
    found = Receipt.parse(raw)
    logs: list[Json] = [
        {
            "address": "0x" + log.address.hex(),
            "topics": ["0x" + topic.hex() for topic in log.topics],
            "data": "0x" + log.data.hex(),
        }
        for log in found.logs
    ]
    return {
        "type": "0x2", "status": "0x1", "cumulativeGasUsed": hex(found.cumulative_gas),
        "logsBloom": "0x" + found.bloom.hex(), "logs": logs,
    }  # fmt: skip


def run(chain: Chain, path: Path) -> Summary:
    return export(chain, chain.press.network(), path)


def test_an_export_is_verified_and_ends_in_the_head(tmp_path: Path) -> None:
    chain = Chain(small())
    summary = run(chain, tmp_path / "chain.jsonl")
    assert summary.blocks == 6
    assert summary.claims >= 5
    assert summary.head.hash == chain.press.parent
    report = verify_file(summary.path, network=chain.press.network(), head=summary.head.hash)
    assert report.passed, report.difference
    assert list(tmp_path.iterdir()) == [summary.path]


def test_blocks_without_the_network_are_headers_alone(tmp_path: Path) -> None:
    text = run(Chain(small()), tmp_path / "chain.jsonl").path.read_text()
    lines = [line for line in text.splitlines() if line.startswith('{"block"')]
    assert [("transactions" in line) for line in lines] == [True, True, True, False, True, False]


@pytest.mark.parametrize("requests", range(1, 22, 4))
def test_an_interrupted_export_goes_on_to_the_same_bytes(tmp_path: Path, requests: int) -> None:
    chain = Chain(small())
    whole = run(chain, tmp_path / "whole.jsonl").path.read_bytes()
    chain.left = requests
    with pytest.raises(UnavailableError):
        run(chain, tmp_path / "parts.jsonl")
    chain.left = None
    assert run(chain, tmp_path / "parts.jsonl").path.read_bytes() == whole


def test_a_torn_end_is_written_again(tmp_path: Path) -> None:
    chain = Chain(small())
    whole = run(chain, tmp_path / "whole.jsonl").path.read_bytes()
    (tmp_path / "parts.jsonl.partial").write_bytes(whole[: len(whole) * 2 // 3])
    assert run(chain, tmp_path / "parts.jsonl").path.read_bytes() == whole


def test_a_reorganised_chain_is_followed(tmp_path: Path) -> None:
    before, after = small(), small()
    for press in (before, after):
        del press.blocks[-2:]
        press.parent, press.number = keccak(press.blocks[-1][0]), press.number - 2
        press.nonce -= 1
    after.block([], later=3)
    after.call("token", "transfer", [SENDER, 5], [Log("token", "Transfer", [SENDER, SENDER, 5])])
    before.block([], later=9)
    chain = Chain(before)
    chain.left = 9
    with pytest.raises(UnavailableError):
        run(chain, tmp_path / "chain.jsonl")
    chain = Chain(after)
    chain.state = {}
    exporter = Exporter(chain, after.network(), tmp_path / "chain.jsonl", progress=lambda *_: None)
    exporter.run()
    text = (tmp_path / "chain.jsonl").read_text()
    assert after.parent.hex() in text
    assert before.parent.hex() not in text


def test_an_unfinished_export_of_another_network_is_in_the_way(tmp_path: Path) -> None:
    chain = Chain(small())
    chain.left = 12
    with pytest.raises(UnavailableError):
        run(chain, tmp_path / "chain.jsonl")
    other = small()
    other.contracts["registry"] = SENDER
    with pytest.raises(ConflictError, match="another network"):
        run(Chain(other), tmp_path / "chain.jsonl")


def test_an_rpc_that_lies_about_a_receipt_is_named(tmp_path: Path) -> None:
    class Liar(Chain):
        def request(self, method: str, *params: Json) -> Json:
            answer = super().request(method, *params)
            if method == "eth_getBlockReceipts" and int(str(params[0]), 16) == FIRST + 2:
                assert isinstance(answer, list)
                return [{**each, "logs": []} for each in answer if isinstance(each, dict)]
            return answer

    with pytest.raises(UnavailableError, match="receipts"):
        run(Liar(small()), tmp_path / "chain.jsonl")


def test_live_names_an_rpc_with_another_head() -> None:
    one, other = Chain(small()), Chain(small())
    report = verify_live([one, other], one.press.network())
    assert report.passed, report.difference
    header, number, content = other.press.blocks[-1]
    other.press.blocks[-1] = (header[:-1] + bytes([header[-1] ^ 1]), number, content)
    report = verify_live([one, other], one.press.network())
    assert report.difference is not None
    assert report.difference.what == "the head as RPC 2 has it"
    other.left = 0
    report = verify_live([one, other], one.press.network())
    assert report.passed
    assert report.notes == ("RPC 2 could not be asked: the line is down",)


def test_draws_and_waiting_work_are_asked_for_by_market_and_epoch() -> None:
    """The name of a market stands in a claim as text, and in the call as bytes again."""
    keys, press = Keys(), earning()
    market = "0x" + SHARES[0][0].hex()
    place, transaction = Place(), Transaction(b"", b"", 0, None, b"")
    told: list[tuple[str, str, Values]] = [
        ("issuance", "Drawn", {"market": SHARES[0][0], "epoch": 3, "to": SENDER, "amount": 1}),
        ("rewards", "WorkWaits", {"account": 1, "epoch": 3, "weight": 5}),
        ("registry", "NodeRegistered", {"node": SENDER}),
        ("staking", "Staked", {"staker": FOREIGN, "node": SENDER}),
        ("auction", "Arrived", {"token": FOREIGN}),
        ("capacity", "RuleSet", {"role": 4}),
        ("capacity", "Declared", {"node": SENDER, "role": 4}),
        ("payments", "AuctionSet", {"auction": press.contracts["auction"]}),
        ("payments", "TokenSet", {"token": FOREIGN}),
        ("devices", "Enrolled", {"device": FOREIGN}),
        ("status", "Settled", {"subject": FOREIGN, "aspect": SHARES[0][0]}),
        ("automation", "Commanded", {"id": 2, "device": FOREIGN}),
        ("streams", "Bought", {"id": 3, "epoch": 4}),
    ]
    for contract, name, args in told:
        keys.see(Event(contract, name, args, 0, 0, place, transaction))
    asked = list(keys.questions())
    for question in (
        ("issuance", "drawn", (3, market)),
        ("rewards", "waiting", (1, 3)),
        ("rewards", "due", (1,)),
        ("staking", "arrival", (SENDER,)),
        ("staking", "waiting_of", (FOREIGN, SENDER)),
        ("auction", "last_sale", (FOREIGN,)),
        ("capacity", "rule", (4,)),
        ("capacity", "declaration", (SENDER, 4)),
        ("payments", "auction", ()),
        ("payments", "fees", (FOREIGN,)),
        ("devices", "device", (FOREIGN,)),
        ("status", "status_of", (FOREIGN, market)),
        ("automation", "command", (2,)),
        ("automation", "open_of", (FOREIGN,)),
        ("streams", "purchase", (3,)),
        ("streams", "burned_of", (4,)),
    ):
        assert question in asked
    calldata = abi.interface("issuance").call_data("drawn", [3, market])
    assert calldata == abi.interface("issuance").call_data("drawn", [3, SHARES[0][0]])

"""The harness of the contract tests on a real chain: the same calls as signed transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from eth_account import Account
from eth_utils.address import to_checksum_address

from contracts.evm import (
    TRANSACTION_GAS,
    AbiItem,
    Chain,
    Contract,
    Outcome,
    Reverted,
    Signer,
    encode_arguments,
)
from freehold.domain.keys import Key
from freehold.ledger.abi import reason
from freehold.ledger.rpc import Rpc
from freehold.ledger.wire import Json, RpcRefusal

GAS_PRICE = 3 * 10**9
ALLOWANCE = 10**20


@dataclass(frozen=True, slots=True)
class _Log:
    """A log in the shape of the in-process harness."""

    address: str
    topics: list[str]
    data: tuple[list[str], bytes]


class LiveChain(Chain):
    """A devnet (with its admin calls) behind the interface of the in-process chain."""

    def __init__(self, rpc: Rpc, funder: Key, people: Sequence[Signer]) -> None:
        self._rpc = rpc
        self._keys = {person.address.lower(): person.key for person in people}
        self._keys[funder.address.lower()] = funder.secret
        self._funder = funder.address.lower()
        self._events = {}
        self.first_block: int | None = None
        self._refresh()
        for person in people:
            self.give_ether(person.address, ALLOWANCE)

    def _refresh(self) -> None:
        head = self._rpc.header("latest")
        self.now, self.number = head.time, head.number

    def warp(self, seconds: int, *, blocks: int | None = None) -> None:
        if seconds:
            self._rpc.request("evm_increaseTime", hex(seconds))
        self._rpc.request("evm_mine", hex(max(1, blocks or 1)))
        self._refresh()

    def block_hash(self, number: int) -> bytes:
        return bytes.fromhex(self._rpc.header(number).hash[2:])

    def give_ether(self, address: str, amount: int) -> None:
        self._send(self._funder, address, b"", min(amount, ALLOWANCE))

    def deploy_artifact(self, artifact: AbiItem, *arguments: Any, sender: str) -> Contract:
        inputs: list[AbiItem] = next(
            (item["inputs"] for item in artifact["abi"] if item["type"] == "constructor"), []
        )
        code = bytes.fromhex(artifact["bytecode"][2:]) + encode_arguments(inputs, arguments)
        receipt = self._send(sender, None, code, 0)
        self.first_block = self.first_block or int(str(receipt["blockNumber"]), 16)
        address = str(receipt["contractAddress"]).lower()
        return self.attach(str(artifact["name"]), artifact["abi"], address)

    def transact(
        self,
        sender: str,
        to: str,
        data: bytes,
        *,
        value: int = 0,
        static: bool = False,
        gas_price: int = 0,
        gas: int = TRANSACTION_GAS,
    ) -> Outcome:
        output = self._call(sender, to, data, value)
        if static:
            return Outcome(output, (), 0)
        receipt = self._send(sender, to, data, value)
        if receipt["status"] != "0x1":
            raise Reverted("the block came too late")
        logs = receipt["logs"]
        assert isinstance(logs, list)
        events = self._decode_logs(cast(Any, [_log(each) for each in logs]))
        return Outcome(output, events, int(str(receipt["gasUsed"]), 16))

    def _call(self, sender: str, to: str, data: bytes, value: int) -> bytes:
        request: dict[str, Json] = {
            "from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value),
            "gas": hex(TRANSACTION_GAS), "gasPrice": hex(GAS_PRICE),
        }  # fmt: skip
        if sender.lower() not in self._keys:
            request = {"to": to, "data": "0x" + data.hex()}
        try:
            return bytes.fromhex(str(self._rpc.request("eth_call", request, "latest"))[2:])
        except RpcRefusal as refusal:
            raise Reverted(reason(refusal.data)) from None

    def _send(self, sender: str, to: str | None, data: bytes, value: int) -> dict[str, Json]:
        fields: dict[str, object] = {
            "nonce": self._nonce(sender), "gas": TRANSACTION_GAS, "gasPrice": GAS_PRICE,
            "value": value, "data": data, "chainId": self._rpc.chain_id,
        }  # fmt: skip
        if to is not None:
            fields["to"] = to_checksum_address(to)
        signed = Account.sign_transaction(fields, self._keys[sender.lower()])
        hashed = self._rpc.send_raw(bytes(signed.raw_transaction))
        receipt = self._rpc.request("eth_getTransactionReceipt", hashed)
        assert isinstance(receipt, dict), "the devnet mines what it takes"
        self._refresh()
        return receipt

    def _nonce(self, sender: str) -> int:
        return int(str(self._rpc.request("eth_getTransactionCount", sender, "latest")), 16)


def _log(log: Json) -> _Log:
    assert isinstance(log, dict)
    topics = log["topics"]
    assert isinstance(topics, list)
    names = [str(topic) for topic in topics]
    data = bytes.fromhex(str(log["data"])[2:])
    return _Log(str(log["address"]), names, (names, data))

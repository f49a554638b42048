"""A chain with real receipts: the engine of the devnet, run bare, and every account its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.chain import CHAIN_ID, GENESIS, TRANSACTION_GAS, Receipt, Refused, log_of
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address, address
from freehold.ledger.abi import reason
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.ports import free_port
from freehold.ledger.values import Log
from freehold.ledger.wire import Json

_ATTEMPTS = 3_000
"""Polls of a receipt and of the start, a hundredth of a second apart at most."""
_BLOCK_GAS = 60_000_000


@dataclass(slots=True)
class Anvil:
    """A running engine; every transaction is mined at once, at the time of ``now``."""

    url: str
    client: httpx2.Client
    now: int = GENESIS

    def create(self, sender: Address, code: bytes) -> tuple[Address, Receipt]:
        """Deploy init code."""
        sent: dict[str, Json] = {"from": sender, "data": "0x" + code.hex()}
        found = self._send(sent)
        return address(str(found["contractAddress"])), receipt_of(found, code)

    def transact(self, sender: Address, to: Address, data: bytes, *, value: int = 0) -> Receipt:
        """One transaction; Refused when it reverts."""
        sent: dict[str, Json] = {
            "from": sender,
            "to": to,
            "data": "0x" + data.hex(),
            "value": hex(value),
        }
        return receipt_of(self._send(sent), data)

    def view(self, to: Address, data: bytes) -> bytes:
        """Evaluate a call at the present time and forget it."""
        call: dict[str, Json] = {"from": ZERO_ADDRESS, "to": to, "data": "0x" + data.hex()}
        at: dict[str, Json] = {"time": hex(self.now)}
        return bytes.fromhex(str(self.ask("eth_call", call, "latest", {}, at))[2:])

    def warp(self, seconds: int, *, blocks: int = 1) -> None:
        """Move the clock on, with ``blocks`` blocks on the way."""
        self.now += seconds
        for _ in range(blocks):
            self.mine()

    def slot(self, address: Address, key: int) -> int:
        """A word of storage."""
        return int(str(self.ask("eth_getStorageAt", address, hex(key), "latest")), 16)

    def put_slot(self, address: Address, key: int, value: int) -> None:
        """Set a word of storage."""
        self.ask("anvil_setStorageAt", address, hex(key), f"0x{value:064x}")

    def give(self, account: Address, wei: int) -> None:
        """Set an account's native balance."""
        self.ask("anvil_setBalance", account, hex(wei))

    def ask(self, method: str, *params: Json) -> Json:
        """One JSON-RPC call; Refused with the engine's message when it is an error."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.client.post(self.url, json=body).json()
        if "error" in answer:
            raise Refused(_reason(answer["error"]))
        result: Json = answer["result"]
        return result

    def height(self) -> int:
        """The latest block's number."""
        return int(str(self.ask("eth_blockNumber")), 16)

    def block_receipts(self, number: int) -> list[dict[str, Json]]:
        """The receipts of a block, as the engine tells them."""
        found = self.ask("eth_getBlockReceipts", hex(number))
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def mine(self) -> None:
        """An empty block."""
        self.ask("evm_setNextBlockTimestamp", self.now)
        self.ask("evm_mine")

    def _send(self, transaction: dict[str, Json]) -> dict[str, Json]:
        self.ask("evm_setNextBlockTimestamp", self.now)
        fixed: dict[str, Json] = {"gas": hex(TRANSACTION_GAS), "gasPrice": "0x0"}
        name = self.ask("eth_sendTransaction", {**transaction, **fixed})
        for _ in range(_ATTEMPTS):
            found = self.ask("eth_getTransactionReceipt", name)
            if isinstance(found, dict):
                return self._checked(found, transaction)
            time.sleep(0.002)
        raise UnavailableError(f"the engine did not mine {name}", remedy="Try again.")

    def _checked(self, found: dict[str, Json], transaction: dict[str, Json]) -> dict[str, Json]:
        if found["status"] != "0x1":
            self.ask("eth_call", transaction, "latest", {}, {"time": hex(self.now)})
            raise Refused("the transaction failed, a call of it does not")
        return found


@contextmanager
def running(scratch: Path) -> Iterator[Anvil]:
    """A fresh engine in a scratch folder; UnavailableError where it cannot be had."""
    port = free_port()
    arguments = [
        str(engine.install()), "--port", str(port), "--quiet", "--chain-id", str(CHAIN_ID),
        "--accounts", "0", "--gas-limit", str(_BLOCK_GAS), "--gas-price", "0",
        "--block-base-fee-per-gas", "0", "--auto-impersonate", "--timestamp", str(GENESIS),
        "--prune-history", "10",
    ]  # fmt: skip
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(scratch)},
        cwd=scratch,
    )
    try:
        with httpx2.Client(trust_env=False, timeout=60) as client:
            chain = Anvil(f"http://127.0.0.1:{port}", client)
            _await_start(chain, process)
            yield chain
    finally:
        process.terminate()
        process.wait(30)


def _await_start(chain: Anvil, process: subprocess.Popen[bytes]) -> None:
    for _ in range(_ATTEMPTS):
        try:
            chain.ask("eth_chainId")
            return
        except httpx2.TransportError:
            if process.poll() is not None:
                break
            time.sleep(0.01)
    raise UnavailableError("the engine did not start", remedy="Try again.")


def receipt_of(found: dict[str, Json], data: bytes) -> Receipt:
    """A receipt in our form; the engine does not tell the calldata."""
    logs = found["logs"]
    if not isinstance(logs, list):
        raise TypeError("a receipt without logs")
    return Receipt(int(str(found["gasUsed"]), 16), len(data), tuple(map(_log, logs)))


def _log(found: Json) -> Log:
    if not isinstance(found, dict) or not isinstance(found["topics"], list):
        raise TypeError("a log that is none")
    topics = [bytes.fromhex(str(topic)[2:]) for topic in found["topics"]]
    return log_of(address(str(found["address"])), topics, bytes.fromhex(str(found["data"])[2:]))


def _reason(error: Json) -> str:
    if isinstance(error, dict):
        data = error.get("data")
        if isinstance(data, str) and len(data) > 2:
            return reason(bytes.fromhex(data[2:]))
        return str(error.get("message"))
    return json.dumps(error)

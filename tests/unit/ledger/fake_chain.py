"""A chain in memory behind an HTTP transport: mined when told, lying or silent when told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
import rlp  # type: ignore[import-untyped]

from freehold.domain.ids import Address, checksum, keccak
from freehold.domain.keys import recover
from freehold.ledger.transaction import created_address

CHAIN_ID = 31_337
Answer = object


class Refusal(Exception):
    """A JSON-RPC error."""

    def __init__(self, message: str, *, code: int = -32000, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({"data": data} if data else {})


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction taken from its raw bytes."""

    hash: str
    sender: Address
    nonce: int
    tip: int
    fee: int
    gas: int
    to: bytes
    value: int
    data: bytes


@dataclass(slots=True)
class Block:
    """A block with its transactions and logs."""

    number: int
    time: int
    parent: str
    hash: str
    transactions: list[Sent]
    logs: list[dict[str, object]]

    def header(self) -> dict[str, object]:
        """As eth_getBlockByNumber answers."""
        return {
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent,
            "timestamp": hex(self.time),
            "baseFeePerGas": hex(10**9),
            "gasLimit": hex(30_000_000),
        }


@dataclass(slots=True)
class FakeChain:
    """One account's view of a chain. ``automine`` mines each transaction at once."""

    automine: bool = True
    balance: int = 10**24
    least_fee: int = 0
    time: int = 1_700_000_000
    fork: str = ""
    pool: dict[tuple[Address, int], Sent] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    stale: dict[str, Block] = field(default_factory=dict)
    reverts: bytes | None = None
    answers: dict[str, Callable[[list[object]], Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.blocks:
            self.mine()

    # --- moving ----------------------------------------------------------------------------------

    def mine(self, *, logs: list[dict[str, object]] | None = None) -> Block:
        """A block with whatever of the pool is next in line."""
        number = len(self.blocks)
        parent = self.blocks[-1].hash if self.blocks else "0x" + "00" * 32
        taken = self._ready()
        seed = f"{number}{parent}{self.fork}{[each.hash for each in taken]}"
        name = "0x" + keccak(seed.encode()).hex()
        block = Block(number, self.time, parent, name, taken, [])
        for index, entry in enumerate(logs or []):
            block.logs.append(
                {**entry, "blockNumber": hex(number), "blockHash": name, "logIndex": hex(index)}
            )
        self.blocks.append(block)
        self.time += 1
        return block

    def reorganise(self, depth: int) -> None:
        """Drop the newest blocks; their receipts are still answered, as anvil does."""
        for block in self.blocks[-depth:]:
            self.stale.update({each.hash: block for each in block.transactions})
        del self.blocks[-depth:]
        self.fork += "'"

    def _ready(self) -> list[Sent]:
        taken: list[Sent] = []
        for (sender, nonce), sent in sorted(self.pool.items(), key=lambda item: item[0][1]):
            if sent.fee < self.least_fee:
                continue
            if nonce == self.count(sender) + sum(each.sender == sender for each in taken):
                taken.append(sent)
        for sent in taken:
            del self.pool[sent.sender, sent.nonce]
        return taken

    def count(self, sender: Address) -> int:
        """Mined transactions of an account."""
        return sum(each.sender == sender for block in self.blocks for each in block.transactions)

    def transactions(self) -> list[Sent]:
        """All mined transactions."""
        return [each for block in self.blocks for each in block.transactions]

    # --- answering -------------------------------------------------------------------------------

    def transport(self) -> httpx2.MockTransport:
        """A transport that answers from this chain."""
        return httpx2.MockTransport(self.handle)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """One HTTP request."""
        content = json.loads(request.content)
        if isinstance(content, list):
            return httpx2.Response(200, json=[self._one(each) for each in content])
        return httpx2.Response(200, json=self._one(content))

    def _one(self, call: dict[str, object]) -> dict[str, object]:
        method, params = str(call["method"]), call["params"]
        assert isinstance(params, list)
        self.asked.append(method)
        head = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer = self.answers.get(method) or getattr(self, f"_{method}")
            return {**head, "result": answer(params)}
        except Refusal as refusal:
            return {**head, "error": refusal.error}

    def _eth_chainId(self, params: list[object]) -> Answer:
        return hex(CHAIN_ID)

    def _eth_blockNumber(self, params: list[object]) -> Answer:
        return hex(self.blocks[-1].number)

    def _eth_getBlockByNumber(self, params: list[object]) -> Answer:
        tag = str(params[0])
        if tag == "pending":
            head = self.blocks[-1]
            return {**head.header(), "hash": None, "timestamp": hex(max(self.time, head.time + 1))}
        number = len(self.blocks) - 1 if tag == "latest" else int(tag, 16)
        return self.blocks[number].header() if number < len(self.blocks) else None

    def _eth_getBalance(self, params: list[object]) -> Answer:
        return hex(self.balance)

    def _eth_getCode(self, params: list[object]) -> Answer:
        return "0x00"

    def _eth_maxPriorityFeePerGas(self, params: list[object]) -> Answer:
        return hex(10**9)

    def _eth_estimateGas(self, params: list[object]) -> Answer:
        if self.reverts is not None:
            raise Refusal("execution reverted", code=3, data="0x" + self.reverts.hex())
        return hex(50_000)

    def _eth_call(self, params: list[object]) -> Answer:
        if self.reverts is not None:
            raise Refusal("execution reverted", code=3, data="0x" + self.reverts.hex())
        return "0x"

    def _eth_getTransactionCount(self, params: list[object]) -> Answer:
        sender = Address(str(params[0]))
        count = self.count(sender)
        while params[1] == "pending" and (sender, count) in self.pool:
            count += 1
        return hex(count)

    def _eth_sendRawTransaction(self, params: list[object]) -> Answer:
        sent = decode(bytes.fromhex(str(params[0])[2:]))
        if sent.nonce < self.count(sent.sender):
            raise Refusal("nonce too low")
        rival = self.pool.get((sent.sender, sent.nonce))
        if rival is not None and rival.hash == sent.hash:
            raise Refusal("transaction already imported")
        if rival is not None and sent.fee * 10 < rival.fee * 11:
            raise Refusal("replacement transaction underpriced")
        self.pool[sent.sender, sent.nonce] = sent
        if self.automine:
            self.mine()
        return sent.hash

    def _eth_getTransactionReceipt(self, params: list[object]) -> Answer:
        name = str(params[0])
        for block in self.blocks:
            for sent in block.transactions:
                if sent.hash == name:
                    return self._receipt(block, sent)
        if name in self.stale:
            block = self.stale[name]
            return self._receipt(block, next(t for t in block.transactions if t.hash == name))
        return None

    def _receipt(self, block: Block, sent: Sent) -> dict[str, object]:
        made = None if sent.to else created_address(sent.sender, sent.nonce).lower()
        return {
            "transactionHash": sent.hash,
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "gasUsed": hex(21_000),
            "effectiveGasPrice": hex(sent.fee),
            "status": "0x0" if self.reverts is not None else "0x1",
            "contractAddress": made,
            "logs": [],
        }

    def _eth_getLogs(self, params: list[object]) -> Answer:
        query = params[0]
        assert isinstance(query, dict)
        first, last = int(str(query["fromBlock"]), 16), int(str(query["toBlock"]), 16)
        return [entry for block in self.blocks[first : last + 1] for entry in block.logs]


def decode(raw: bytes) -> Sent:
    """A signed EIP-1559 transaction, decoded by another implementation than the one tested."""
    assert raw[0] == 2
    fields = rlp.decode(raw[1:])
    numbers = [int.from_bytes(each, "big") for each in (*fields[:5], fields[6])]
    unsigned = keccak(b"\x02" + rlp.encode(fields[:9]))
    signature = fields[10].rjust(32, b"\0") + fields[11].rjust(32, b"\0")
    parity = int.from_bytes(fields[9], "big")
    return Sent(
        hash="0x" + keccak(raw).hex(),
        sender=recover(unsigned, signature + bytes([27 + parity])),
        nonce=numbers[1],
        tip=numbers[2],
        fee=numbers[3],
        gas=numbers[4],
        to=fields[5],
        value=numbers[5],
        data=fields[7],
    )


def address(number: int) -> Address:
    """A made-up address."""
    return checksum(number.to_bytes(20, "big"))

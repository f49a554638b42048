"""Typed questions to a chain over JSON-RPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import httpx2

from freehold.domain.errors import NotFoundError
from freehold.domain.ids import Address
from freehold.ledger import wire
from freehold.ledger.pool import Endpoint, Pool, nobody
from freehold.ledger.values import Header, Log
from freehold.ledger.wire import Json, RpcRefusal


@dataclass(frozen=True, slots=True)
class RawReceipt:
    """A receipt as the RPC tells it; ``time`` is its block's."""

    hash: str
    block: int
    block_hash: str
    gas_used: int
    gas_price: int
    status: int
    logs: tuple[Log, ...]
    contract: Address | None
    time: int = 0


class Rpc(Pool):
    """A chain as callers ask it; see ``Pool`` for failover, quorum and errors."""

    def block_number(self) -> int:
        """The number of the head; with a quorum, one that a quorum has."""
        if self.quorum > 1:
            return int(self._common_block(), 16)
        return self._read("eth_blockNumber", (), None, wire.quantity)

    def header(self, block: int | str) -> Header:
        """A block by number or tag (latest, pending); NotFoundError when there is none."""
        found = self.find_header(block)
        if found is None:
            raise NotFoundError(
                f"the chain has no block {block}",
                remedy="Wait until the RPC has caught up, or name another one.",
            )
        return found

    def find_header(self, block: int | str, *, rounds: int | None = None) -> Header | None:
        """A block by number or tag, None where the chain has none."""
        name = block if isinstance(block, str) else hex(block)
        return self._read(
            "eth_getBlockByNumber",
            (name, False),
            None,
            _maybe_header,
            rounds=rounds,
        )

    def edge(self) -> tuple[Header | None, Header | None]:
        """The latest and the pending block in one exchange, tried once; None for what the chain
        does not tell."""
        asked = [("eth_getBlockByNumber", (tag, False)) for tag in ("latest", "pending")]

        def ask(endpoint: Endpoint) -> tuple[Header | None, Header | None]:
            latest, pending = map(_maybe_header, self._ask(endpoint, asked))
            return latest, pending

        try:
            return self._first(ask, "eth_getBlockByNumber", rounds=1)
        except RpcRefusal:  # not every chain tells a pending block
            return self.find_header("latest", rounds=1), None

    def headers(self, numbers: Sequence[int]) -> list[Header]:
        """Several blocks by number; NotFoundError when one is missing."""
        answers = self.request_many([("eth_getBlockByNumber", (hex(n), False)) for n in numbers])
        if None in answers:
            raise NotFoundError(
                f"the chain lacks block {numbers[answers.index(None)]}",
                remedy="Wait until the RPC has caught up, or name another one.",
            )
        return [self._shaped("eth_getBlockByNumber", answer, wire.header) for answer in answers]

    def call(
        self, to: Address, calldata: bytes, *, sender: Address | None = None, gas: int = 0
    ) -> bytes:
        """Evaluate a view at the latest block (at a quorum's block where there is a quorum), with
        at most ``gas`` where it is given."""
        request: dict[str, Json] = {"to": to, "data": "0x" + calldata.hex()}
        if gas:
            request["gas"] = hex(gas)
        if sender is not None:
            request["from"] = sender
        return self.agreed("eth_call", request, read=wire.data)

    def call_many(self, calls: Sequence[tuple[Address, bytes]]) -> list[bytes]:
        """As ``call`` for each ``(to, calldata)``, in few exchanges."""
        asked: list[list[Json]] = [[{"to": to, "data": "0x" + data.hex()}] for to, data in calls]
        return self.agreed_many("eth_call", asked, read=wire.data)

    def balance(self, account: Address) -> int:
        """An account's wei."""
        return self.agreed("eth_getBalance", account, read=wire.quantity)

    def purse(self, account: Address) -> tuple[int, int]:
        """The latest block's base fee and an account's wei, in one exchange where there is no
        quorum."""
        if self.quorum > 1:
            return self.header("latest").base_fee, self.balance(account)
        answers = self.request_many(
            [("eth_getBlockByNumber", ("latest", False)), ("eth_getBalance", (account, "latest"))]
        )
        block = self._shaped("eth_getBlockByNumber", answers[0], wire.header)
        return block.base_fee, self._shaped("eth_getBalance", answers[1], wire.quantity)

    def code(self, account: Address) -> bytes:
        """A contract's code, empty where there is none."""
        return self.agreed("eth_getCode", account, read=wire.data)

    def nonce(self, account: Address, *, pending: bool = False) -> int:
        """How many transactions of an account are mined (or also pending)."""
        tag = "pending" if pending else "latest"
        return self._read("eth_getTransactionCount", (account,), tag, wire.quantity)

    def estimate(self, transaction: dict[str, Json]) -> int:
        """Gas that a transaction needs; RpcRefusal when it would revert."""
        return self._read("eth_estimateGas", (transaction,), None, wire.quantity)

    def tip(self) -> int:
        """The priority fee that the chain suggests, wei per gas."""
        return self._read("eth_maxPriorityFeePerGas", (), None, wire.quantity)

    def send_raw(self, raw: bytes) -> str:
        """Hand in a signed transaction; its hash."""
        return self._read("eth_sendRawTransaction", ("0x" + raw.hex(),), None, wire.hash_text)

    def receipt(self, transaction: str) -> RawReceipt | None:
        """A receipt whose block is still in the chain, None while there is none."""
        found = self._read("eth_getTransactionReceipt", (transaction,), None, _receipt)
        if found is None:
            return None
        canonical = self.find_header(found.block)
        # After a reorganisation some engines still return receipts of dropped transactions.
        if canonical is None or canonical.hash != found.block_hash:
            return None
        return replace(found, time=canonical.time)

    def logs(
        self, addresses: Sequence[Address], first: int, last: int, topics: Sequence[Json] = ()
    ) -> list[Log]:
        """The logs of contracts in ``first <= block <= last``, in order."""
        request: dict[str, Json] = {
            "address": list(addresses),
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": list(topics),
        }
        return self._read("eth_getLogs", (request,), None, _logs)

    def client_version(self) -> str:
        """What the node software calls itself."""
        return self._read("web3_clientVersion", (), None, lambda answer: str(answer)[:200])


def find_chain_id(urls: Sequence[str]) -> int:
    """The chain id that the first URL that answers is on; UnavailableError when none does."""
    failures = []
    for url in urls:
        try:
            with httpx2.Client(timeout=10.0, trust_env=False) as client:
                question = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
                return int(client.post(url, json=question).json()["result"], 16)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
            failures.append(f"{url}: {error}")
    raise nobody("eth_chainId", failures)


def _maybe_header(answer: Json) -> Header | None:
    return None if answer is None else wire.header(answer)


def _receipt(answer: Json) -> RawReceipt | None:
    if answer is None:
        return None
    entry = wire.fields(answer)
    if entry.get("blockHash") is None:
        return None
    contract = entry.get("contractAddress")
    return RawReceipt(
        hash=wire.hash_text(entry.get("transactionHash")),
        block=wire.quantity(entry.get("blockNumber")),
        block_hash=wire.hash_text(entry.get("blockHash")),
        gas_used=wire.quantity(entry.get("gasUsed")),
        gas_price=wire.quantity(entry.get("effectiveGasPrice", "0x0")),
        status=wire.quantity(entry.get("status")),
        logs=tuple(wire.log(each) for each in wire.items(entry.get("logs"))),
        contract=None if contract is None else wire.account(contract),
    )


def _logs(answer: Json) -> list[Log]:
    return sorted((wire.log(each) for each in wire.items(answer)), key=lambda g: (g.block, g.index))

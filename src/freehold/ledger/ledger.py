"""The ledger: a network's contracts, its chain's time, its events, and one account's writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2

from freehold.domain.clock import Clock, SystemClock
from freehold.domain.closing import Closing
from freehold.domain.errors import (
    AccessError,
    InsufficientFundsError,
    IntegrityError,
    NotFoundError,
    RefusedError,
)
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import show
from freehold.domain.network import Network
from freehold.ledger import abi, wallets
from freehold.ledger.abi import Artifact
from freehold.ledger.book import FILE, Book
from freehold.ledger.clock import ChainClock
from freehold.ledger.contracts.auction import Auction
from freehold.ledger.contracts.automation import Automation
from freehold.ledger.contracts.beacon import Beacon
from freehold.ledger.contracts.capacity import Capacity
from freehold.ledger.contracts.devices import Devices
from freehold.ledger.contracts.disputes import Disputes
from freehold.ledger.contracts.faults import Faults
from freehold.ledger.contracts.governor import Governor
from freehold.ledger.contracts.issuance import Issuance
from freehold.ledger.contracts.payments import Payments
from freehold.ledger.contracts.pdp import Pdp
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.contracts.rewards import Rewards
from freehold.ledger.contracts.roots import Prizes, Roots
from freehold.ledger.contracts.staking import Staking
from freehold.ledger.contracts.status import Status
from freehold.ledger.contracts.storage import Storage
from freehold.ledger.contracts.streams import Streams
from freehold.ledger.contracts.subnet import Subnets
from freehold.ledger.contracts.token import Token
from freehold.ledger.index import Index
from freehold.ledger.look import Look, look
from freehold.ledger.moments import first_block
from freehold.ledger.rpc import RawReceipt, Rpc
from freehold.ledger.sender import DEFAULT_TIP, Patience, Sender
from freehold.ledger.transaction import GAS_LIMIT
from freehold.ledger.values import Event, Header, Log, Receipt, Value, View
from freehold.ledger.wire import RpcRefusal

_LACKING = ("insufficient", "balance", "funds", "allowance")


class Ledger(Closing):
    """One network as one account sees it; thread-safe. Open it with ``Ledger.open``.

    Reads raise UnavailableError (chain down, RPCs disagree), IntegrityError (wrong chain or
    contracts), RefusedError (a view reverted). Writes also raise AccessError without a key,
    InsufficientFundsError, and RefusedError with the contract's reason.
    """

    def __init__(
        self,
        network: Network,
        *,
        rpc: Rpc,
        index: Index,
        key: Key | None,
        sender: Sender | None,
        clock: ChainClock,
    ) -> None:
        self.network = network
        self.key = key
        self.rpc = rpc
        self.index = index
        self._sender = sender
        self._clock = clock
        self._names = {place: name for name, place in network.contracts.items()}
        self.token = Token(self)
        self.registry = Registry(self)
        self.staking = Staking(self)
        self.payments = Payments(self)
        self.beacon = Beacon(self)
        self.pdp = Pdp(self)
        self.faults = Faults(self)
        self.storage = Storage(self)
        self.governor = Governor(self)
        self.issuance = Issuance(self)
        self.rewards = Rewards(self)
        self.roots = Roots(self)
        self.prizes = Prizes(self)
        self.subnet = Subnets(self)
        self.disputes = Disputes(self)
        self.auction = Auction(self)
        self.capacity = Capacity(self)
        self.devices = Devices(self)
        self.status = Status(self)
        self.automation = Automation(self)
        self.streams = Streams(self)

    @classmethod
    def open(
        cls,
        network: Network,
        *,
        state: Path,
        key: Key | None,
        clock: Clock | None = None,
        quorum: int = 1,
        database: str | None = None,
        patience: Patience | None = None,
        timeout: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> Ledger:
        """Open a network; ``state`` is the folder of the nonce book and the event index.

        ``database`` is an SQLAlchemy URL for the index instead of SQLite in ``state``. Checks
        the chain id and that the governor is there, and hands in again what a crash left unsent.
        Raises UnavailableError while no RPC answers, IntegrityError on another chain.
        """
        wall = clock or SystemClock()
        rpc = Rpc(
            network.rpc_urls,
            chain_id=network.chain_id,
            quorum=quorum,
            timeout=timeout,
            sleep=sleep,
            transport=transport,
        )
        try:
            rpc.check_chain()
            _check_contracts(rpc, network)
            state.mkdir(parents=True, exist_ok=True)
            sender = _sender(rpc, network, key, state, wall, patience, sleep)
            return cls(
                network,
                rpc=rpc,
                index=Index.open(network, rpc=rpc, state=state, database=database),
                key=key,
                sender=sender,
                clock=ChainClock(rpc, wall),
            )
        except BaseException:
            rpc.close()
            raise

    def close(self) -> None:
        """Close connections and files."""
        if self._sender is not None:
            self._sender.close()
        self.index.close()
        self.rpc.close()

    def now(self) -> int:
        """The chain's time in seconds: what the next block would carry."""
        return self._clock.now()

    def head(self) -> Header:
        """The latest block."""
        return self.rpc.header("latest")

    def first_block(self, since: int) -> Header | None:
        """The first block whose time is ``since`` (seconds) or later, None while there is none."""
        return first_block(self.rpc, since, lowest=self.network.deployed_block)

    def balance(self, account: Address) -> int:
        """An account's coins for gas, in wei."""
        return self.rpc.balance(account)

    def gas_price(self) -> int:
        """Wei for a unit of gas, as the chain asks right now."""
        try:
            tip = self.rpc.tip()
        except RpcRefusal:
            tip = DEFAULT_TIP  # as the sender: not every chain suggests one
        return self.head().base_fee + tip

    def calldata(self, transaction: str) -> bytes:
        """What a mined transaction called with; NotFoundError when the chain has none such."""
        found = self.rpc.request("eth_getTransactionByHash", transaction)
        data = found.get("input") if isinstance(found, dict) else None
        if not isinstance(data, str) or not data.startswith("0x"):
            raise NotFoundError(
                f"the chain has no transaction {transaction}",
                remedy="It was reorganised away, or this RPC does not keep history.",
            )
        return bytes.fromhex(data[2:])

    def call(
        self, contract: str, function: str, args: Sequence[object], *, sender: Address | None = None
    ) -> Value:
        """Evaluate a view of a contract; several results come as a list."""
        view = View(contract, function, args)
        to, data = self._question(view)
        try:
            return self._answer(view, self.rpc.call(to, data, sender=sender))
        except RpcRefusal as error:
            raise RefusedError(
                f"{contract}.{function} was refused: {abi.reason(error.data) or error.message}",
                remedy="Check the arguments: the reason says what is wrong with them.",
            ) from error

    def call_many(self, views: Sequence[View]) -> list[Value]:
        """As ``call`` for each, in few exchanges."""
        try:
            answers = self.rpc.call_many([self._question(view) for view in views])
        except RpcRefusal:  # which one it was, asking them one by one tells
            return [self.call(view.contract, view.function, view.args) for view in views]
        return [self._answer(view, data) for view, data in zip(views, answers, strict=True)]

    def look(self, node: Address, account: Address) -> Look:
        """A storage node and a client of it, in one exchange."""
        return look(self, node, account)

    def _question(self, view: View) -> tuple[Address, bytes]:
        found = self._artifact(view.contract)
        return self.network.contracts[view.contract], found.calldata(view.function, view.args)

    def _answer(self, view: View, data: bytes) -> Value:
        kind = self._artifact(view.contract).function(view.function, len(view.args))
        results = abi.unpack_all(kind.outputs, data, f"{view.contract}.{view.function}")
        return results[0] if len(results) == 1 else results

    def wallet_signed(self, account: Address, digest: bytes, signature: bytes) -> bool:
        """Whether ``account`` is a contract that takes ``signature`` for its own (ERC-1271)."""
        return wallets.signed(self.rpc, account, digest, signature)

    def send(
        self,
        contract: str,
        function: str,
        args: Sequence[object],
        *,
        value: int = 0,
        tag: str | None = None,
        least_gas: int = 0,
        most_gas: int = GAS_LIMIT,
    ) -> Receipt:
        """Send a transaction to a contract and wait until it is mined.

        With a ``tag`` a retry waits for the earlier transaction instead of sending another;
        ``least_gas`` raises the gas limit where an estimate may come out too low; CapacityError
        where one comes out above ``most_gas``.
        """
        calldata = self._artifact(contract).calldata(function, args)
        sender = self._require_sender(f"{contract}.{function}")
        try:
            receipt = sender.send(
                self.network.contracts[contract],
                calldata,
                value=value,
                tag=tag,
                least_gas=least_gas,
                most_gas=most_gas,
            )
        except InsufficientFundsError:
            raise
        except RefusedError as error:
            raise self._explain(contract, function, error) from error
        return self.receipt(receipt)

    def transfer(self, to: Address, wei: int, *, tag: str | None = None) -> Receipt:
        """Send the chain's own coin."""
        sender = self._require_sender("a transfer")
        return self.receipt(sender.send(to, b"", value=wei, tag=tag))

    def recover(self) -> int:
        """Settle or hand in again transactions whose fate is open; how many still are."""
        return 0 if self._sender is None else self._sender.recover()

    def receipt(self, raw: RawReceipt) -> Receipt:
        """A receipt with the network's events decoded."""
        logs = tuple(event for log in raw.logs if (event := self.decode(log)) is not None)
        return Receipt(
            hash=raw.hash,
            block=raw.block,
            block_hash=raw.block_hash,
            gas_used=raw.gas_used,
            status=raw.status,
            logs=logs,
            time=raw.time,
            fee=raw.gas_used * raw.gas_price,
        )

    def decode(self, log: Log) -> Event | None:
        """The event of a log; None for logs of strangers and unknown events."""
        name = self._names.get(log.address)
        return None if name is None else abi.decode_log(name, self._artifact(name), log)

    def _artifact(self, contract: str) -> Artifact:
        if contract not in self.network.contracts:
            raise IntegrityError(
                f"network {self.network.name} has no contract {contract!r}",
                remedy="Fetch network.json again from the network's founder.",
            )
        return abi.artifact(contract)

    def _require_sender(self, what: str) -> Sender:
        if self._sender is None:
            raise AccessError(
                f"{what} needs a key, and the ledger was opened without one",
                remedy="Create a wallet with `freehold wallet create`, or pass --key.",
            )
        return self._sender

    def _explain(self, contract: str, function: str, error: RefusedError) -> RefusedError:
        text = f"{contract}.{function} was refused: {error.message}"
        if self.key is None or not any(word in error.message.lower() for word in _LACKING):
            return RefusedError(text, remedy=error.remedy)
        account = self.key.address
        held = self.token.balance_of(account)
        free = self.payments.status(self.token.address, account).available
        return InsufficientFundsError(
            f"{text}; account {account} holds {show(held)} tokens in its wallet and "
            f"{show(free)} free in payments",
            remedy=_how_to_get_tokens(account, held),
        )


def _how_to_get_tokens(account: Address, held: int) -> str:
    if held:
        return (
            "Deals and reads are paid from the deposit: `freehold wallet deposit AMOUNT`. Or ask "
            "for less."
        )
    return (
        "Have tokens sent to it: `freehold wallet send "
        f"{account} AMOUNT`, then `freehold wallet deposit AMOUNT`."
    )


def _sender(
    rpc: Rpc,
    network: Network,
    key: Key | None,
    state: Path,
    clock: Clock,
    patience: Patience | None,
    sleep: Callable[[float], None],
) -> Sender | None:
    if key is None:
        return None
    scope = f"{network.chain_id}:{network.network_id.hex()}:{key.address}"
    book = Book(state / FILE, scope)
    sender = Sender(rpc, key, book, clock, patience=patience, sleep=sleep)
    try:
        sender.recover()
    except BaseException:
        sender.close()
        raise
    return sender


def _check_contracts(rpc: Rpc, network: Network) -> None:
    governor = network.contracts["governor"]
    if not rpc.code(governor):
        raise IntegrityError(
            f"chain {network.chain_id} at {rpc.urls[0]} has no contract at {governor}: "
            f"network {network.name} is not there",
            remedy="Check --rpc and network.json; a devnet of another home answers there.",
        )

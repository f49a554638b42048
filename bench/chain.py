"""What a benchmark needs of a chain: transactions with their gas, and a clock in its hands.

Two chains speak this: ``revm.Revm`` in process and ``anvil.Anvil`` behind JSON-RPC. The same
story told on both gives the same gas, to the unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from freehold.domain.ids import Address, keccak
from freehold.domain.keys import Key
from freehold.ledger.abi import Artifact, decode_log, unpack_all
from freehold.ledger.values import Event, Log, Value

CHAIN_ID = 31_337
GENESIS = 1_800_000_000
"""Time at which every benchmark starts, seconds."""
TRANSACTION_GAS = 16_777_216
"""The cap of EIP-7825."""
BASE_GAS, FLOOR_GAS = 21_000, 10
"""Of EIP-7623: what every transaction costs, and the least that a token of calldata does."""


class Refused(Exception):
    """A contract refused a transaction; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction: gas as a receipt tells it, bytes of calldata, logs."""

    gas: int
    calldata: int
    logs: tuple[Log, ...]


class Chain(Protocol):
    """A chain whose clock moves only by ``warp``."""

    @property
    def now(self) -> int:
        """Time of the next block, seconds."""

    def create(self, sender: Address, code: bytes) -> tuple[Address, Receipt]:
        """Deploy init code."""

    def transact(self, sender: Address, to: Address, data: bytes, *, value: int = 0) -> Receipt:
        """One transaction in a block of its own; Refused when it reverts."""

    def view(self, to: Address, data: bytes) -> bytes:
        """Evaluate a call and forget it."""

    def warp(self, seconds: int, *, blocks: int = 1) -> None:
        """Move the clock on, with some blocks on the way."""

    def slot(self, address: Address, key: int) -> int:
        """A word of storage."""

    def put_slot(self, address: Address, key: int, value: int) -> None:
        """Set a word of storage."""

    def give(self, account: Address, wei: int) -> None:
        """Set an account's native balance."""


def floor_gas(data: bytes) -> int:
    """The least that a transaction with this calldata costs (EIP-7623)."""
    zeros = data.count(0)
    return BASE_GAS + FLOOR_GAS * (zeros + 4 * (len(data) - zeros))


@dataclass(frozen=True, slots=True)
class Contract:
    """One deployed contract."""

    chain: Chain
    artifact: Artifact
    address: Address

    def send(self, function: str, *args: object, by: Address, value: int = 0) -> Receipt:
        """A transaction; Refused when it reverts."""
        data = self.artifact.calldata(function, args)
        return self.chain.transact(by, self.address, data, value=value)

    def read(self, function: str, *args: object) -> list[Value]:
        """The results of a view, in order."""
        data = self.chain.view(self.address, self.artifact.calldata(function, args))
        return unpack_all(self.artifact.function(function, len(args)).outputs, data, function)

    def number(self, function: str, *args: object) -> int:
        """The first result of a view, a number."""
        value = self.read(function, *args)[0]
        if not isinstance(value, int):
            raise TypeError(f"{self.artifact.name}.{function} gives no number")
        return value

    def events(self, receipt: Receipt, name: str) -> list[Event]:
        """The contract's events of a name in a receipt."""
        mine = [log for log in receipt.logs if log.address.lower() == self.address.lower()]
        found = [decode_log(self.artifact.name, self.artifact, log) for log in mine]
        return [event for event in found if event is not None and event.name == name]

    def event(self, receipt: Receipt, name: str) -> Event:
        """The only event of a name in a receipt."""
        (event,) = self.events(receipt, name)
        return event


def log_of(address: Address, topics: Sequence[bytes], data: bytes) -> Log:
    """A log without its place in a block."""
    return Log(address, tuple(topics), data, 0, "", "", 0)


def account(label: str) -> Key:
    """The key of a label, so that runs repeat exactly."""
    return Key.from_secret(keccak(b"freehold benchmark " + label.encode()))

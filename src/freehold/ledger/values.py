"""Values that come back from the chain: headers, receipts, decoded events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address

Value: TypeAlias = "int | str | bytes | list[Value] | dict[str, Value]"
"""A decoded ABI value: ints (and bools), checksummed addresses and strings as ``str``,
fixed and dynamic bytes as ``bytes``, arrays and several results as lists, structs by field."""


@dataclass(frozen=True, slots=True)
class Header:
    """One block: hashes are 0x-hex text, ``time`` is the block's own timestamp in seconds."""

    number: int
    hash: str
    parent: str
    time: int
    base_fee: int = 0
    gas_limit: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A question to a view of a contract."""

    contract: str
    function: str
    args: Sequence[object] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """One undecoded log."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: str
    transaction: str
    index: int


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded log of a network's contract.

    ``contract`` is the name in the descriptor ("storage"), ``name`` the event's ("DealOpened"),
    ``index`` the log's position in its block; ``time`` is the block's timestamp, 0 in a receipt.
    """

    contract: str
    name: str
    args: Mapping[str, Value]
    block: int
    index: int
    transaction: str
    block_hash: str
    time: int = 0

    def number(self, field: str) -> int:
        """An integer argument."""
        value = self.args[field]
        if not isinstance(value, int):
            raise _wrong_kind(self, field, "a number")
        return value

    def text(self, field: str) -> str:
        """A string argument."""
        value = self.args[field]
        if not isinstance(value, str):
            raise _wrong_kind(self, field, "text")
        return value

    def address(self, field: str) -> Address:
        """An address argument."""
        return Address(self.text(field))

    def data(self, field: str) -> bytes:
        """A bytes argument."""
        value = self.args[field]
        if not isinstance(value, bytes):
            raise _wrong_kind(self, field, "bytes")
        return value


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction. ``status`` is 1, since a refused one raises RefusedError.

    ``logs`` holds the decoded events of the network's contracts, in order; ``time`` is the
    timestamp of the block, ``fee`` the wei that the sender paid for gas.
    """

    hash: str
    block: int
    block_hash: str
    gas_used: int
    status: int
    logs: tuple[Event, ...]
    time: int
    fee: int

    def named(self, name: str) -> list[Event]:
        """The events of that name, in order."""
        return [event for event in self.logs if event.name == name]

    def one(self, name: str) -> Event:
        """The only event of that name; IntegrityError when there is none or several."""
        found = self.named(name)
        if len(found) != 1:
            raise IntegrityError(
                f"transaction {self.hash} has {len(found)} events {name}, not one",
                remedy="Check that network.json names the contracts of this release.",
            )
        return found[0]


def _wrong_kind(event: Event, field: str, kind: str) -> IntegrityError:
    return IntegrityError(
        f"{field} of {event.contract}.{event.name} is not {kind}",
        remedy="Install the release of freehold that fits the network's contracts.",
    )

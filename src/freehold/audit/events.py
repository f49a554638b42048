"""The network's events, decoded from the logs of a block and placed in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from freehold.audit import abi
from freehold.audit.abi import Interface, Values
from freehold.audit.blocks import Block
from freehold.audit.receipts import Log
from freehold.audit.report import Place, Spot
from freehold.audit.transactions import Transaction
from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address, raw_address
from freehold.domain.network import Network

CHECK = "events"


@dataclass(frozen=True, slots=True)
class Event:
    """One log of a contract of the network, with the block time and transaction it came in."""

    contract: str
    name: str
    args: Values
    time: int
    block: int
    place: Place
    transaction: Transaction

    def number(self, name: str) -> int:
        """The argument ``name``, a number."""
        value = self.args[name]
        if not isinstance(value, int):
            raise TypeError(f"{self.name}.{name} is no number")
        return value

    def address(self, name: str) -> Address:
        """The argument ``name``, an address."""
        return Address(self.text(name))

    def text(self, name: str) -> str:
        """The argument ``name``, a text."""
        value = self.args[name]
        if not isinstance(value, str):
            raise TypeError(f"{self.name}.{name} is no text")
        return value

    def data(self, name: str) -> bytes:
        """The argument ``name``, bytes."""
        value = self.args[name]
        if not isinstance(value, bytes):
            raise TypeError(f"{self.name}.{name} is no bytes")
        return value

    def spot(self, check: str) -> Spot:
        """Where a check of this event stands."""
        return Spot(check, self.place)

    def same(self, check: str, name: str, expected: object) -> None:
        """Differs unless the argument ``name`` is what was recomputed."""
        spot = self.spot(check).field(f"{self.name}.{name}")
        spot.same(f"{self.contract} {self.name}", expected=expected, found=self.args[name])


class Reader:
    """Decodes the logs of a network's contracts, found by their addresses."""

    def __init__(self, network: Network) -> None:
        self._names = {raw_address(at): name for name, at in network.contracts.items()}

    def interface(self, contract: str) -> Interface:
        """The interface of one of the network's contracts."""
        return abi.interface(contract)

    def read(self, block: Block) -> Iterator[Event]:
        """The network's events of a block, in order."""
        index = 0
        for transaction, receipt in zip(block.transactions, block.receipts, strict=True):
            for log in receipt.logs:
                place = Place(
                    line=block.line,
                    block=block.header.number,
                    transaction="0x" + transaction.hash.hex(),
                    log=index,
                )
                index += 1
                contract = self._names.get(log.address)
                if contract is not None:
                    name, args = self._decode(contract, log, place)
                    yield Event(
                        contract, name, args, block.header.timestamp, block.header.number, place,
                        transaction,
                    )  # fmt: skip

    def _decode(self, contract: str, log: Log, place: Place) -> tuple[str, Values]:
        try:
            return self.interface(contract).read_event(log)
        except IntegrityError as error:
            spot = Spot(CHECK, place)
            raise spot.differs(
                f"a log of {contract}", expected="a declared event", found=error.message
            ) from error

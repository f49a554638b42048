"""How the network's contracts came to be: their creations, and the numbers fixed in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from freehold.audit import abi
from freehold.audit.abi import Values
from freehold.audit.blocks import Block
from freehold.audit.report import Place, Spot
from freehold.audit.transactions import Transaction
from freehold.domain.network import Network

CHECK = "contracts"
FIXED = {
    "period": ("beacon", "period"),
    "grace": ("beacon", "grace"),
    "genesis": ("beacon", "genesis"),
    "challenges": ("pdp", "challenges"),
    "window": ("pdp", "window"),
    "unbonding": ("staking", "unbonding_period"),
    "cap": ("token", "cap"),
}
"""Parameters of the descriptor that nobody can change: by contract and constructor argument."""


class Deployment:
    """Finds each contract's creation and compares its code with this release's artifact."""

    def __init__(self, network: Network, counts: Counter[str]) -> None:
        self._parameters = network.parameters
        self._names = {str(at): name for name, at in network.contracts.items()}
        self._counts = counts
        self._arguments: dict[str, Values] = {}

    def see(self, block: Block) -> None:
        """Note the creations of a block; Differs where one runs other code."""
        for transaction, receipt in zip(block.transactions, block.receipts, strict=True):
            if transaction.to is None and receipt.succeeded:
                self._created(transaction, block)

    @property
    def complete(self) -> bool:
        """Whether every contract of the descriptor was created so far."""
        return len(self._arguments) == len(self._names)

    def arguments(self, contract: str) -> Values:
        """The constructor arguments of a contract; Differs where its creation is not there."""
        if contract not in self._arguments:
            raise Spot(CHECK).differs(
                f"the creation of {contract}", expected="in the export", found="not there"
            )
        return self._arguments[contract]

    def check_all(self) -> None:
        """Differs unless every contract of the descriptor was created in the export."""
        for contract in self._names.values():
            self.arguments(contract)

    def check_parameters(self) -> None:
        """Differs where the descriptor tells other numbers than the contracts were made with."""
        spot = Spot(CHECK).field("network")
        for told, (contract, name) in FIXED.items():
            if told in self._parameters:
                made = integer(self.arguments(contract), name)
                what = f"the parameter {told} of the descriptor"
                spot.same(what, expected=made, found=self._parameters[told])

    def _created(self, transaction: Transaction, block: Block) -> None:
        name = self._names.get(str(transaction.created()))
        if name is None:
            return
        place = Place(
            line=block.line,
            block=block.header.number,
            transaction="0x" + transaction.hash.hex(),
        )
        arguments = abi.interface(name).read_creation(transaction.data)
        if arguments is None:
            raise Spot(CHECK, place).differs(
                f"the code of {name}", expected="this release's", found="other code"
            )
        self._arguments[name] = arguments
        self._counts[CHECK] += 1


def integer(arguments: Mapping[str, object], name: str) -> int:
    """A constructor argument that is a number, with or without a closing underscore."""
    value = arguments.get(name, arguments.get(name + "_"))
    if not isinstance(value, int):
        raise TypeError(f"the constructor has no number {name}")
    return value

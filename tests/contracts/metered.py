"""Gas as a receipt tells it: slots and accounts are cold, as in the first transaction of a block.

pyrevm keeps one journal for ever, in which everything that was ever touched is warm, so that what
a call of `Chain` says is too little. Here the journal is put into the database below it first.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.chain import floor_gas
from bench.revm import Revm
from contracts.evm import Chain, Outcome

BASE = 21_000


@dataclass(frozen=True, slots=True)
class Cost:
    """A transaction's gas beyond what every one costs; `floor` is the least that its data costs
    where EIP-7623 is in force."""

    outcome: Outcome
    calldata: int
    execution: int
    floor: int

    @property
    def whole(self) -> int:
        """By the rules of Cancun."""
        return self.calldata + self.execution


class Meter:
    """Made before anything is deployed on a chain; no anchor of it outlives a transaction here."""

    def __init__(self, chain: Chain) -> None:
        self._chain, self._engine = chain, Revm()
        self._engine._evm = chain.evm
        self._mark = chain.evm.snapshot()

    def transact(self, sender: str, to: str, data: bytes) -> Cost:
        """One transaction after all that was done so far."""
        self._engine._keep(self._mark)
        self._mark = self._chain.evm.snapshot()
        done = self._chain.transact(sender, to, data)
        calldata = sum(16 if byte else 4 for byte in data)
        return Cost(done, calldata, done.gas_used - BASE - calldata, floor_gas(data) - BASE)

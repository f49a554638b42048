"""Stake behind nodes: share pools, locks per committed byte, unbonding, slashing."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Entry:
    """One unbonding entry; ``ready_at`` is when it can be withdrawn."""

    shares: int
    generation: int
    ready_at: int


class Staking(Contract):
    """Stake; amounts in base units of the network's token."""

    name = "staking"

    def stake(self, node: Address, amount: int) -> Receipt:
        """Put tokens (approved before) behind a node."""
        return self._send("stake", node, amount)

    def unbond(self, node: Address, amount: int) -> Receipt:
        """Start taking stake back; the entry's id is in the event Unbonded."""
        return self._send("unbond", node, amount)

    def withdraw(self, node: Address, entry: int) -> Receipt:
        """Take out an entry that is ready."""
        return self._send("withdraw", node, entry)

    def active(self, node: Address) -> int:
        """Stake that counts."""
        return self._view(int, "active", node)

    def unbonding(self, node: Address) -> int:
        """Stake on its way out, still slashable."""
        return self._view(int, "unbonding", node)

    def locked(self, node: Address) -> int:
        """Active stake that commitments hold."""
        return self._view(int, "locked", node)

    def free(self, node: Address) -> int:
        """Active minus locked."""
        return self._view(int, "free", node)

    def stake_of(self, staker: Address, node: Address) -> int:
        """One staker's part of a node's active stake."""
        return self._view(int, "stake_of", staker, node)

    def entry(self, staker: Address, node: Address, entry: int) -> Entry:
        """An unbonding entry."""
        return self._view(Entry, "entry", staker, node, entry)

    def entry_amount(self, staker: Address, node: Address, entry: int) -> int:
        """What an unbonding entry is worth now."""
        return self._view(int, "entry_amount", staker, node, entry)

    def entry_count(self, staker: Address, node: Address) -> int:
        """How many entries a staker ever had with a node; ids run from 0."""
        return self._view(int, "entry_count", staker, node)

    def open_entries(self, staker: Address, node: Address) -> int:
        """How many entries are not withdrawn."""
        return self._view(int, "open_entries", staker, node)

    def total(self) -> int:
        """All stake, active and unbonding."""
        return self._view(int, "total")

    def unbonding_period(self) -> int:
        """Seconds from unbonding to withdrawal."""
        return self._view(int, "unbonding_period")

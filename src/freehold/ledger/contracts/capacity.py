"""What nodes offer of a role: units, the stake locked for them, and what markets hold of them."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Rule:
    """``amount`` base units for every ``per`` units, ``weighed`` by a multiplier; an amount of 0
    where the role has no rule."""

    amount: int
    per: int
    weighed: bool


@dataclass(frozen=True, slots=True)
class Declaration:
    """Units that a node offers and markets hold, and the terms that it was made under;
    ``multiplier`` in basis points."""

    units: int
    held: int
    multiplier: int
    per: int
    amount: int


class Capacity(Contract):
    """Declared capacity; roles are single bits of the registry's mask, amounts base units."""

    name = "capacity"

    def declare(self, node: Address, role: int, units: int, *, multiplier: int) -> Receipt:
        """Say how many units a node offers, by its owner; locks or unlocks the difference."""
        return self._send("declare", node, role, units, multiplier)

    def hold(self, node: Address, role: int, units: int) -> Receipt:
        """Take units into use, by a market."""
        return self._send("hold", node, role, units)

    def release(self, node: Address, role: int, units: int) -> Receipt:
        """Give units back, by the market that holds them."""
        return self._send("release", node, role, units)

    def rule(self, role: int) -> Rule:
        """What a role asks for its units now."""
        return self._view(Rule, "rule", role)

    def declaration(self, node: Address, role: int) -> Declaration:
        """What a node declared; zeros where it did not."""
        return self._view(Declaration, "declaration", node, role)

    def declared(self, node: Address, role: int) -> int:
        """Units that a node offers."""
        return self._view(int, "declared", node, role)

    def held(self, node: Address, role: int) -> int:
        """Units of a node that markets use."""
        return self._view(int, "held", node, role)

    def held_by(self, node: Address, role: int, market: Address) -> int:
        """Units of a node that one market uses."""
        return self._view(int, "held_by", node, role, market)

    def able(self, node: Address, role: int) -> int:
        """Units that a market can still hold; 0 where the node is slashed below its locks, or not
        active in the role."""
        return self._view(int, "able", node, role)

    def locked(self, node: Address, role: int) -> int:
        """Stake that is locked for a node's declaration."""
        return self._view(int, "locked", node, role)

    def required(self, role: int, units: int, *, multiplier: int) -> int:
        """Stake that the present rule asks; RefusedError where it has none."""
        return self._view(int, "required", role, units, multiplier)

    def is_market(self, account: Address) -> bool:
        """Whether an account may hold units."""
        return self._view(bool, "markets", account)

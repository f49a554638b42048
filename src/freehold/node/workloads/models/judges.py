"""Who asks a subnet's models for nothing: those who judge them.

Threats: accounts that are registered as validators or watchers to be answered for nothing, for a
role costs the price of a registration, once (validators need a place in the subnet as well, and
the stake without which their weights do not count; watchers are those that sign the roots).
"""

from __future__ import annotations

from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import VALIDATOR
from freehold.ledger.contracts.subnet import GRAIN
from freehold.ledger.ledger import Ledger
from freehold.node.attesting import is_watcher

PLACE = "prizes"
"""Which roots pay model nodes."""


class Judges:
    """Tells them from others; each call asks the chain."""

    def __init__(self, ledger: Ledger, subnet: str) -> None:
        """``subnet``: a name; empty where the models are in none, which only watchers judge."""
        self._ledger, self._subnet = ledger, subnet

    def __call__(self, account: Address) -> bool:
        """Whether an account judges the subnet's models."""
        validates = self._ledger.registry.active(account, VALIDATOR)
        return (validates and self._counts(account)) or self._signs(account)

    def _signs(self, account: Address) -> bool:
        known = PLACE in self._ledger.network.contracts
        return known and is_watcher(self._ledger, PLACE, account)

    def _counts(self, account: Address) -> bool:
        subnets = self._ledger.subnet
        number = subnets.id_of(self._subnet) if self._subnet else 0
        if not number or subnets.place_of(number, account) is None:
            return False
        least = subnets.rules_at(number, subnets.epoch()).min_stake
        return self._ledger.staking.active(account) >= max(1, least) * GRAIN

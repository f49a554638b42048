"""What of the ledger a validator needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from freehold.domain.network import Network
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.contracts.roots import Prizes
from freehold.ledger.contracts.staking import Staking
from freehold.ledger.contracts.subnet import Subnets
from freehold.ledger.values import Value, View


class Chain(Protocol):
    """The ledger with the validator's key."""

    @property
    def network(self) -> Network: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def staking(self) -> Staking: ...

    @property
    def subnet(self) -> Subnets: ...

    @property
    def prizes(self) -> Prizes: ...

    def now(self) -> int:
        """The chain's time, seconds."""

    def call_many(self, views: Sequence[View]) -> list[Value]:
        """The answers to all ``views``."""

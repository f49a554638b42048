"""What of the ledger a validator needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.contracts.roots import Prizes
from freehold.ledger.contracts.staking import Staking
from freehold.ledger.contracts.subnet import Subnets
from freehold.ledger.values import Header, Receipt, Value, View


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

    def first_block(self, since: int) -> Header | None:
        """The first block of that time (seconds) or later, None while there is none."""

    def transfer(self, to: Address, wei: int, *, tag: str | None = None) -> Receipt:
        """Send the chain's own coin."""

    def call_many(self, views: Sequence[View]) -> list[Value]:
        """The answers to all ``views``."""

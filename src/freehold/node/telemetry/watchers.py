"""Who watches now: nodes in service that the registry lists as watchers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from freehold.domain.clock import Clock
from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import WATCHER
from freehold.ledger.values import Event
from freehold.node.standing import Recent

FRESH_SECONDS = 5
"""How long an answer counts."""


class Index(Protocol):
    """The index of events."""

    def events(
        self, contract: str, name: str, *, where: Mapping[str, object] | None = None,
        limit: int = 1_000,
    ) -> list[Event]: ...  # fmt: skip


class Registry(Protocol):
    """The list of nodes."""

    def active(self, node: Address, role: int) -> bool: ...


class Watchers:
    """Asks the chain, a few seconds apart for each account; answers of a bounded number are
    remembered."""

    def __init__(self, index: Index, registry: Registry, *, clock: Clock) -> None:
        self._index, self._registry = index, registry
        self._recent = Recent(self._ask, seconds=FRESH_SECONDS, clock=clock)

    def has(self, account: Address) -> bool:
        """Whether ``account`` is a watcher in service; UnavailableError."""
        return self._recent.get(account)

    def _ask(self, account: Address) -> bool:
        # Anybody can sign as a new account: of those that never registered the chain is not asked.
        known = self._index.events("registry", "NodeRegistered", where={"node": account}, limit=1)
        return bool(known) and self._registry.active(account, WATCHER)

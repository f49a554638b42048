"""Who the nodes are: owner, endpoint, TLS fingerprint, roles, payout; session keys."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

STORAGE, WATCHER, COMPUTE, MODEL, VALIDATOR, OPERATOR = 1, 2, 4, 8, 16, 32
"""Bits of ``roles``."""
SESSION_READ, SESSION_STORE = 1, 2
"""Bits of a session key's ``scope``: read pieces, store and accept them."""
AMOUNT_MAX = 2**256 - 1
"""No bound on an amount."""


@dataclass(frozen=True, slots=True)
class Node:
    """A registered node. ``tls`` is the SHA-256 of its certificate, ``info`` a 32-byte hash;
    ``owner`` is the zero address where nobody registered it."""

    owner: Address
    payout: Address
    roles: int
    generation: int
    registered_at: int
    retired: bool
    endpoint: str
    tls: bytes
    info: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """A session key of an account: scope bits, cap in base units, expiry in seconds."""

    scope: int
    cap: int
    expiry: int


class Registry(Contract):
    """The list of nodes."""

    name = "registry"

    def register(
        self,
        node: Address,
        *,
        roles: int,
        endpoint: str,
        tls: bytes,
        info: bytes,
        payout: Address,
        deadline: int,
        consent: bytes,
        most: int = AMOUNT_MAX,
    ) -> Receipt:
        """Register a node under the sender; ``consent`` is the node key's signature. A new node
        burns ``price`` of the sender's approved tokens, at ``most`` so many base units."""
        told = (node, roles, endpoint, tls, info, payout, deadline, consent, most)
        return self._send("register", *told)

    def update(
        self,
        node: Address,
        *,
        roles: int,
        endpoint: str,
        tls: bytes,
        info: bytes,
        payout: Address,
    ) -> Receipt:
        """Change a node's entry; its owner only."""
        return self._send("update", node, roles, endpoint, tls, info, payout)

    def announce(self, node: Address, *, endpoint: str, tls: bytes) -> Receipt:
        """Change where a node listens; its owner or the node's own key."""
        return self._send("announce", node, endpoint, tls)

    def retire(self, node: Address) -> Receipt:
        """End a node's registration; its owner only."""
        return self._send("retire", node)

    def node(self, node: Address) -> Node:
        """A node's entry."""
        return self._view(Node, "node", node)

    def owner_of(self, node: Address) -> Address:
        """A node's owner, the zero address where there is none."""
        return self._view(Address, "owner_of", node)

    def payout_of(self, node: Address) -> Address:
        """Where a node's earnings go."""
        return self._view(Address, "payout_of", node)

    def active(self, node: Address, role: int) -> bool:
        """Whether a node is registered, not retired, and has the role."""
        return self._view(bool, "active", node, role)

    def count(self) -> int:
        """How many nodes were ever registered."""
        return self._view(int, "count")

    def at(self, index: int) -> Address:
        """The node at a position below ``count``."""
        return self._view(Address, "at", index)

    def price(self) -> int:
        """Base units that registering a new node burns now; 0 where it is free."""
        return self._view(int, "price")

    def lowest(self) -> int:
        """What registering costs when nobody did for long; 0 where it is free."""
        return self._view(int, "lowest")

    def highest(self) -> int:
        """The most that registering costs."""
        return self._view(int, "highest")

    def half_life(self) -> int:
        """Seconds in which the price halves."""
        return self._view(int, "half_life")

    def factor_bps(self) -> int:
        """What a registration makes of the price, ten-thousandths."""
        return self._view(int, "factor_bps")

    def set_session(self, key: Address, *, scope: int, cap: int, expiry: int) -> Receipt:
        """Allow a session key of the sender."""
        return self._send("set_session", key, scope, cap, expiry)

    def revoke_session(self, key: Address) -> Receipt:
        """Withdraw a session key of the sender."""
        return self._send("revoke_session", key)

    def session(self, account: Address, key: Address) -> Session:
        """A session key's limits; zeros where there is none."""
        return self._view(Session, "session", account, key)

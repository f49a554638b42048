"""A node's way into a network: registered by its owner, backed by stake, joined to the market."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import AccessError, ConflictError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key
from freehold.domain.typed import CONSENT
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.ledger import Ledger

WATCHER = 2
CONSENT_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class Enlistment:
    """What a node enters with: role bits, stake in base units, and who is paid (its owner)."""

    roles: int
    stake: int
    payout: Address | None = None


def enlist(ledger: Ledger, node: Key, terms: Enlistment) -> None:
    """Take every step that is still missing; called again after a crash it goes on.

    The ledger's key is the owner's. A node that is new burns the present price of registering, and
    no more. ConflictError when another account owns the node.
    """
    if ledger.key is None:
        raise AccessError("the owner's key is needed", remedy="Open the owner's wallet.")
    owner = ledger.key.address
    _register(ledger, node, terms, owner)
    lacking = terms.stake - ledger.staking.active(node.address)
    if lacking > 0:
        ledger.token.approve(ledger.network.contracts["staking"], lacking)
        ledger.staking.stake(node.address, lacking)
    if terms.roles & STORAGE and not ledger.faults.set_of(node.address):
        ledger.faults.join(node.address)


def _register(ledger: Ledger, node: Key, terms: Enlistment, owner: Address) -> None:
    entry = ledger.registry.node(node.address)
    if entry.owner not in (ZERO_ADDRESS, owner):
        raise ConflictError(
            f"node {node.address} belongs to {entry.owner}",
            remedy="Use that account, or make another node with `freehold node init`.",
        )
    if entry.owner == owner and not entry.retired:
        return
    price = due(ledger, node.address)
    if price:
        ledger.token.approve(ledger.registry.address, price)
    deadline = ledger.now() + CONSENT_SECONDS
    digest = CONSENT.digest(
        ledger.network.domain("registry"),
        [node.address, owner, entry.generation + 1, deadline],
    )
    ledger.registry.register(
        node.address,
        roles=terms.roles,
        endpoint="",
        tls=bytes(32),
        info=bytes(32),
        payout=terms.payout or owner,
        deadline=deadline,
        consent=node.sign(digest),
        most=price,
    )


def due(ledger: Ledger, node: Address) -> int:
    """Base units that registering a node burns now; 0 where it was registered before, or is free.

    Only other registrations raise it.
    """
    registered = ledger.registry.owner_of(node) != ZERO_ADDRESS
    return 0 if registered else ledger.registry.price()

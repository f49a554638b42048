"""Nodes that the registry lists, for whoever looks for those of one role.

Threat: a registry that anybody fills for the price of a registration. It is read to a bound, those
first that came first.
"""

from __future__ import annotations

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.registry import Node
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View

NODES_MAX = 1_024
"""Of the registry that are looked through: those that were registered first."""


def serving(ledger: Ledger, role: int) -> list[tuple[Address, Node]]:
    """Ids and entries of the nodes in service that have a role and an endpoint, in the order in
    which they came."""
    count = min(ledger.registry.count(), NODES_MAX)
    places = [View("registry", "at", (place,)) for place in range(count)]
    names = [convert(Address, told) for told in ledger.call_many(places)]
    entries = ledger.call_many([View("registry", "node", (name,)) for name in names])
    known = ((name, convert(Node, told)) for name, told in zip(names, entries, strict=True))
    return [
        (name, entry)
        for name, entry in known
        if entry.roles & role and not entry.retired and entry.endpoint
    ]

"""Nodes that the registry lists: all of them, or those of one role that serve; the newest nodes
or devices.

Threat: a registry that anybody fills for the price of a registration. Who looks for a role reads it
to a bound, those first that came first; whoever asks for all gets all.
"""

from __future__ import annotations

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.registry import Node
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View

NODES_MAX = 1_024
"""Of the registry that are looked through: those that were registered first."""


def listed(ledger: Ledger, *, most: int | None = None) -> list[Address]:
    """Ids of the nodes that were ever registered, the first ``most`` of them, in order."""
    count = ledger.registry.count()
    return _at(ledger, "registry", range(count if most is None else min(count, most)))


def newest(ledger: Ledger, contract: str, *, most: int) -> list[Address]:
    """Ids of the last ``most`` that were entered in a contract (``registry``, ``devices``), in
    order; none where the network has no such contract."""
    if contract not in ledger.network.contracts:
        return []
    count = convert(int, ledger.call(contract, "count", ()))
    return _at(ledger, contract, range(max(0, count - most), count))


def _at(ledger: Ledger, contract: str, places: range) -> list[Address]:
    told = ledger.call_many([View(contract, "at", (place,)) for place in places])
    return [convert(Address, each) for each in told]


def serving(ledger: Ledger, role: int) -> list[tuple[Address, Node]]:
    """Ids and entries of the nodes in service that have a role and an endpoint, in the order in
    which they came."""
    names = listed(ledger, most=NODES_MAX)
    entries = ledger.call_many([View("registry", "node", (name,)) for name in names])
    known = ((name, convert(Node, told)) for name, told in zip(names, entries, strict=True))
    return [
        (name, entry)
        for name, entry in known
        if entry.roles & role and not entry.retired and entry.endpoint
    ]

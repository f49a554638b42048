"""What there is to watch: nodes and where they answer, devices and their keys, what rules ask for.

Everything is read from the chain, so that all watchers know the same at the beginning of a round.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from freehold.client.connection import Peer
from freehold.domain import pairing
from freehold.domain.did import Did
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.ledger.contracts.automation import Rule
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.devices import Device
from freehold.ledger.contracts.registry import OPERATOR, Node
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.roster import newest
from freehold.ledger.values import View
from freehold.node.logs import fields

NODES_MAX, DEVICES_MAX, RULES_MAX = 1_024, 4_096, 1_024
"""The newest of each are watched."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """A device, the account that owns it, and the key that its readings are signed with."""

    device: Address
    owner: Address
    did: Did


@dataclass(frozen=True, slots=True)
class Wish:
    """What a live rule, by its number, waits to know."""

    rule: int
    terms: Rule

    @property
    def about(self) -> tuple[Address, bytes]:
        """Subject and aspect."""
        return self.terms.subject, self.terms.aspect

    def fulfilled(self, value: int) -> bool:
        """Whether a value is on the side of the threshold where the rule fires."""
        return value > self.terms.threshold if self.terms.above else value < self.terms.threshold


@dataclass(frozen=True, slots=True)
class Field:
    """Nodes with an endpoint, services where devices report, devices in service, live rules."""

    nodes: tuple[Peer, ...] = ()
    services: tuple[Peer, ...] = ()
    devices: dict[Address, Watched] = field(default_factory=dict)
    wishes: tuple[Wish, ...] = ()


def look(ledger: Ledger, *, now: int) -> Field:
    """As the chain has it now."""
    nodes, services = _nodes(ledger)
    return Field(nodes, services, _devices(ledger), wishes(ledger, now=now))


def ask(ledger: Ledger, kind: type[T], views: Sequence[View]) -> Iterator[T]:
    """The answers to many questions, in order."""
    yield from (convert(kind, answer) for answer in ledger.call_many(views))


def wishes(ledger: Ledger, *, now: int) -> tuple[Wish, ...]:
    """Rules that may fire: neither revoked nor expired, of devices in service."""
    if "automation" not in ledger.network.contracts:
        return ()
    ended = {event.number("rule") for event in every(ledger.index, "automation", "Revoked")}
    live = [
        event.number("rule")
        for event in every(ledger.index, "automation", "Approved")
        if event.number("expiry") > now and event.number("rule") not in ended
    ]
    numbers = live[-RULES_MAX:]
    rules = list(ask(ledger, Rule, [View("automation", "rule", (each,)) for each in numbers]))
    asked = [View("devices", "generation_of", (rule.device,)) for rule in rules]
    generations = ask(ledger, int, asked)
    return tuple(
        Wish(number, rule)
        for number, rule, generation in zip(numbers, rules, generations, strict=True)
        if rule.generation == generation
    )


def _nodes(ledger: Ledger) -> tuple[tuple[Peer, ...], tuple[Peer, ...]]:
    names = newest(ledger, "registry", most=NODES_MAX)
    entries = ask(ledger, Node, [View("registry", "node", (name,)) for name in names])
    known = [
        (Peer(name, entry.endpoint, entry.tls), entry.roles)
        for name, entry in zip(names, entries, strict=True)
        if not entry.retired and entry.endpoint
    ]
    nodes = (
        peer for peer, _ in known if peer.endpoint.startswith("https://") and any(peer.fingerprint)
    )
    return tuple(nodes), tuple(peer for peer, roles in known if roles & OPERATOR)


def _devices(ledger: Ledger) -> dict[Address, Watched]:
    names = newest(ledger, "devices", most=DEVICES_MAX)
    entries = ask(ledger, Device, [View("devices", "device", (name,)) for name in names])
    found = (_watched(ledger, *each) for each in zip(names, entries, strict=True))
    return {each.device: each for each in found if each is not None}


def _watched(ledger: Ledger, name: Address, entry: Device) -> Watched | None:
    """None of a device that is out of service, or whose key never said that it is this device's:
    the contract cannot check that, so everybody else must."""
    if entry.retired:
        return None
    try:
        did = Did.read(entry.key)
        network = ledger.network.network_id
        pairing.check(did, entry.binding, network_id=network, device=name, owner=entry.owner)
    except FreeholdError as error:
        _log.debug("not a device", extra=fields(device=name, reason=error.message))
        return None
    return Watched(name, entry.owner, did)

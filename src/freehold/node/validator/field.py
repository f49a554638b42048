"""Who is in a subnet: its seats, and what the registry says of who sits on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freehold.client.asking.candidate import Candidate
from freehold.domain.ids import Address
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.registry import MODEL, VALIDATOR, Node
from freehold.ledger.contracts.subnet import PAGE, Record, Seat
from freehold.ledger.values import View
from freehold.node.validator.ports import Chain

CHUNK = 256
"""Views in one exchange."""
Key = tuple[int, int]
"""A uid and the generation of who holds it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node on a seat; ``entry`` is the registry's."""

    uid: int
    seat: Seat
    entry: Node

    @property
    def key(self) -> Key:
        """Who it is, whoever had the uid before."""
        return self.uid, self.seat.generation

    @property
    def serves(self) -> bool:
        """Whether it is a model node."""
        return not self.entry.retired and bool(self.entry.roles & MODEL)

    @property
    def validates(self) -> bool:
        """Whether it is a validator."""
        return not self.entry.retired and bool(self.entry.roles & VALIDATOR)

    def candidate(self, *, price: int = 0) -> Candidate:
        """As it is asked, for ``price`` base units of the network's token."""
        return Candidate(
            node=self.seat.node, uid=self.uid, endpoint=self.entry.endpoint,
            fingerprint=self.entry.tls, score=0.0, price=price, payee=self.entry.payout,
            owner=self.entry.owner,
        )  # fmt: skip


def look(chain: Chain, subnet: int) -> tuple[Member, ...]:
    """Everyone in a subnet, by uid."""
    seats = list(_seats(chain, subnet, chain.subnet.subnet_of(subnet).nodes))
    views = [View("registry", "node", (seat.node,)) for seat in seats]
    found = [
        convert(Node, answer)
        for at in range(0, len(views), CHUNK)
        for answer in chain.call_many(views[at : at + CHUNK])
    ]
    return tuple(Member(*each) for each in zip(range(len(seats)), seats, found, strict=True))


def records(chain: Chain, subnet: int, epoch: int, *, nodes: int) -> list[Record]:
    """What was put down in an epoch, by uid."""
    return [
        record
        for first in range(0, nodes, PAGE)
        for record in chain.subnet.records(subnet, epoch, first)
    ]


def stakes(chain: Chain, nodes: Sequence[Address]) -> list[int]:
    """Base units of active stake behind nodes."""
    views = [View("staking", "active", (node,)) for node in nodes]
    return [
        convert(int, answer)
        for at in range(0, len(views), CHUNK)
        for answer in chain.call_many(views[at : at + CHUNK])
    ]


def _seats(chain: Chain, subnet: int, nodes: int) -> Iterator[Seat]:
    for first in range(0, nodes, PAGE):
        yield from chain.subnet.seats(subnet, first)

"""Who may be asked: the nodes of a subnet with their score and price, and what the caller wants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from freehold.client.connection import Peer
from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.markets.models.agree import Quorum, Tolerance
from freehold.markets.models.tensor import Schema

CANDIDATES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model node: where it answers, and what its subnet says of it.

    ``score`` from 0 to 1 (its incentive over the largest of the subnet), ``price`` in base units
    of ``token`` for one request, paid to ``payee``: its payout address in the registry, not what
    the node itself says. ``owner``: of several nodes of one owner only one counts where answers
    are compared.
    """

    node: Address
    uid: int
    endpoint: str
    fingerprint: bytes
    score: float
    price: int = 0
    token: Address = ZERO_ADDRESS
    payee: Address = ZERO_ADDRESS
    owner: Address | None = None

    @property
    def peer(self) -> Peer:
        """Where it answers."""
        return Peer(self.node, self.endpoint, self.fingerprint)

    @property
    def party(self) -> Address:
        """Who stands behind it: its owner, else who is paid, else the node itself."""
        payee = self.payee if self.payee != ZERO_ADDRESS else self.node
        return self.owner or payee


class Ranking(Protocol):
    """What the ledger's last final epoch says of a subnet; answers from memory."""

    def candidates(self, subnet: str) -> Sequence[Candidate]:
        """The nodes of a subnet, at most 4096 are looked at; NotFoundError when there is no such
        subnet. The same object until something changes: it is sorted once."""

    def schema(self, subnet: str) -> Schema | None:
        """What the subnet's models take and give, where it is known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Whom a caller does not want: dearer than ``max_price`` base units a request, scored below
    ``min_score``, or named in ``without``. Each node that answers is paid: those that are compared,
    and now and then one that was overtaken."""

    max_price: int = 0
    min_score: float = 0.0
    without: frozenset[Address] = frozenset()

    def admits(self, candidate: Candidate) -> bool:
        """Whether a node may be asked at all; a score that is no number is none."""
        return (
            0 <= candidate.price <= self.max_price
            and self.min_score <= candidate.score <= 1
            and candidate.node not in self.without
        )


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard one request is tried.

    ``deadline`` in seconds for all of it; ``nodes`` are asked at most, ``spare`` of them at once
    beyond those needed. A node that is silent for suspiciously long is left running while the
    next is asked; with ``hedge`` that begins as soon as it is slower than 95 of 100 of its
    answers, which costs about one request in twenty twice.
    """

    deadline: float = 30.0
    nodes: int = 64
    spare: int = 3
    hedge: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.deadline <= 3_600 and math.isfinite(self.deadline)):
            raise UsageError(
                f"a deadline of {self.deadline} seconds makes no sense",
                remedy="Take more than 0 and at most 3600 seconds.",
            )
        if not (1 <= self.nodes <= CANDIDATES_MAX and 0 <= self.spare <= 16):
            raise UsageError(
                f"{self.nodes} nodes with {self.spare} at once makes no sense",
                remedy=f"Take from 1 to {CANDIDATES_MAX} nodes and from 0 to 16 at once.",
            )


@dataclass(frozen=True, slots=True)
class Agreement:
    """``quorum.k`` of ``quorum.n`` nodes of different owners have to agree within ``tolerance``."""

    quorum: Quorum
    tolerance: Tolerance = field(default_factory=Tolerance)


ONE = Agreement(Quorum(1, 1))
"""No comparison: the first good answer is taken."""

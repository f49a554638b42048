"""The nodes of subnets as the ledger knows them: seats, endpoints, payees, and scores.

A node's score is its incentive in the last final root over the largest of its subnet; who has none
yet has the score 0 and is asked now and then (``choice``). What it costs it says itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from freehold.client.asking.candidate import CANDIDATES_MAX, Candidate
from freehold.client.asking.listing import Listing, listings, schema_of
from freehold.client.connection import Peer
from freehold.domain.errors import NotFoundError
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.registry import MODEL, Node
from freehold.ledger.contracts.subnet import PAGE, Seat
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from freehold.markets.models.tensor import Schema

LISTED, SILENT = 300.0, 30.0
"""Seconds for which a price is kept, and after which a node that gave none is asked again."""
SUBNETS = 256
"""Subnets that are kept at once."""


class Scores(Protocol):
    """What a final root says of a subnet."""

    def incentives(self, subnet: int) -> Mapping[int, tuple[int, float]]:
        """By uid the generation that earned it, and its share of the incentives, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Known:
    """A subnet as it was last read; ``nodes`` may answer, with or without a price."""

    id: int
    hashed: bytes
    schema: Schema | None
    candidates: tuple[Candidate, ...]
    silent: int


class LedgerRanking:
    """``candidate.Ranking`` over a ledger; ``load`` and ``refresh`` read, the rest is memory.

    ``plain`` lets nodes of this machine answer without TLS. Thread-safe.
    """

    def __init__(
        self,
        ledger: Ledger,
        scores: Scores | None = None,
        *,
        plain: bool = False,
        chance: random.Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._scores, self._plain = ledger, scores, plain
        self._chance = chance or random.SystemRandom()
        self._monotonic = monotonic
        self._known: dict[str, Known] = {}
        self._listed: dict[str, dict[Peer, tuple[float, Listing | None]]] = {}
        self._reading = Lock()

    def load(self, subnet: str) -> Known:
        """Read a subnet from the ledger and its nodes; NotFoundError where there is none."""
        with self._reading:
            found = self._read(subnet)
            before = self._known.get(subnet)
            # The router sorts whenever it gets another object.
            if before is not None and before.candidates == found.candidates:
                found = Known(found.id, found.hashed, found.schema, before.candidates, found.silent)
            if subnet not in self._known and len(self._known) >= SUBNETS:
                self._forget(next(iter(self._known)))
            self._known[subnet] = found
            return found

    def refresh(self) -> None:
        """Read anew all that were loaded."""
        for subnet in list(self._known):
            self.load(subnet)

    def candidates(self, subnet: str) -> Sequence[Candidate]:
        """The nodes of a subnet that answered; NotFoundError where it was not loaded."""
        return self._of(subnet).candidates

    def schema(self, subnet: str) -> Schema | None:
        """What the subnet's models take and give, None where nobody showed it."""
        return self._of(subnet).schema

    def _of(self, subnet: str) -> Known:
        found = self._known.get(subnet)
        if found is None:
            raise NotFoundError(
                f"there is no subnet {subnet!r} here",
                remedy="`freehold subnet list` shows those of the network.",
            )
        return found

    def _forget(self, subnet: str) -> None:
        del self._known[subnet]
        self._listed.pop(subnet, None)

    def _read(self, subnet: str) -> Known:
        subnets = self._ledger.subnet
        if not (number := subnets.id_of(subnet)):
            raise NotFoundError(
                f"there is no subnet {subnet!r}",
                remedy="`freehold subnet list` shows those of the network.",
            )
        members = self._members(number)
        prices = self._prices(subnet, [_peer(seat, entry) for _, seat, entry in members])
        candidates = self._candidates(number, members, prices)
        hashed = subnets.task_at(number, subnets.epoch()).schema
        schema = self._schema(subnet, hashed, [each.peer for each in candidates])
        return Known(number, hashed, schema, candidates, len(members) - len(candidates))

    def _members(self, subnet: int) -> list[tuple[int, Seat, Node]]:
        """Uid, seat and entry of those that serve models and say where."""
        seats = seats_of(self._ledger, subnet)
        views = [View("registry", "node", (seat.node,)) for seat in seats]
        entries = [convert(Node, value) for value in self._ledger.call_many(views)]
        return [
            (uid, seat, entry)
            for uid, (seat, entry) in enumerate(zip(seats, entries, strict=True))
            if entry.roles & MODEL and not entry.retired and entry.endpoint
        ]

    def _prices(self, subnet: str, peers: Sequence[Peer]) -> Mapping[Peer, Listing | None]:
        now, kept = self._monotonic(), self._listed.get(subnet, {})
        fresh = {peer: kept[peer] for peer in peers if peer in kept and _holds(kept[peer], now)}
        asked = [peer for peer in dict.fromkeys(peers) if peer not in fresh]
        self._chance.shuffle(asked)  # else those behind many silent ones would never be asked
        told = listings(asked, plain=self._plain)
        fresh |= {peer: (now, found) for peer, found in zip(asked, told, strict=True)}
        self._listed[subnet] = fresh
        return {peer: found for peer, (_, found) in fresh.items()}

    def _candidates(
        self,
        subnet: int,
        members: Sequence[tuple[int, Seat, Node]],
        prices: Mapping[Peer, Listing | None],
    ) -> tuple[Candidate, ...]:
        shares = self._scores.incentives(subnet) if self._scores is not None else {}
        most = max((share for _, share in shares.values()), default=0.0)
        found = []
        for uid, seat, entry in members:
            peer = _peer(seat, entry)
            listing = prices[peer]
            if listing is None:
                continue
            generation, share = shares.get(uid, (0, 0.0))
            earned = share / most if most > 0 and generation == seat.generation else 0.0
            found.append(
                Candidate(
                    seat.node, uid, entry.endpoint, entry.tls, min(earned, 1.0), listing.price,
                    listing.token, entry.payout, entry.owner,
                )
            )  # fmt: skip
        return tuple(found)

    def _schema(self, subnet: str, hashed: bytes, peers: Sequence[Peer]) -> Schema | None:
        before = self._known.get(subnet)
        if before is not None and before.hashed == hashed and before.schema is not None:
            return before.schema
        return schema_of(peers, subnet, hashed=hashed, plain=self._plain) if peers else None


def seats_of(ledger: Ledger, subnet: int) -> list[Seat]:
    """Who holds the uids of a subnet, in their order."""
    found: list[Seat] = []
    while len(found) < CANDIDATES_MAX:
        page = ledger.subnet.seats(subnet, len(found))
        found += page
        if len(page) < PAGE:
            break
    return found


def _peer(seat: Seat, entry: Node) -> Peer:
    return Peer(seat.node, entry.endpoint, entry.tls)


def _holds(listed: tuple[float, Listing | None], now: float) -> bool:
    moment, found = listed
    return now - moment < (LISTED if found is not None else SILENT)

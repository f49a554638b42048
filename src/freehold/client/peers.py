"""Sessions with the nodes of a network, and what they offer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from freehold.client.chain import Chain, NodeRecord
from freehold.client.connection import Peer, Timeouts
from freehold.client.session import Retry, Session
from freehold.client.token import Identity
from freehold.control.placement import Candidate
from freehold.domain.errors import AccessError, FreeholdError, IntegrityError
from freehold.domain.ids import Address
from freehold.domain.keys import recover
from freehold.domain.network import Network
from freehold.domain.typed import OFFER

ASKING = 16
"""How many nodes are asked at a time."""
ASKED_MAX = 256
OFFER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node signed: prices in base units (per TiB-month, per byte), terms in seconds."""

    node: Address
    price: int
    retrieval_price: int
    min_term: int
    max_term: int
    capacity_free: int
    expiry: int


class Peers:
    """One session a node, made when first needed; close it when done."""

    def __init__(
        self,
        chain: Chain,
        identity: Identity,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._offers: dict[Peer, tuple[float, Offer]] = {}
        self._chain, self._identity = chain, identity
        self._timeouts, self._retry = timeouts, retry
        self._sessions: dict[Peer, Session] = {}
        self._lock = Lock()

    def session(self, node: Address) -> Session:
        """The session with ``node`` at the place that the registry names now."""
        return self.session_at(self._chain.peer(node))

    def session_at(self, peer: Peer) -> Session:
        """The session with a peer."""
        with self._lock:
            if peer not in self._sessions:
                self._sessions[peer] = Session(
                    peer, self._identity, timeouts=self._timeouts, retry=self._retry
                )
            return self._sessions[peer]

    def candidates(self, *, fresh: bool = False) -> list[Candidate]:
        """Every storage node with what it offers, or why it cannot be chosen.

        At most a minute old unless ``fresh``. In a large network only nodes that prove well are
        asked, so many that placement still has a choice.
        """
        if fresh:
            with self._lock:
                self._offers.clear()
        records = sorted(
            self._chain.nodes(fresh=fresh),
            key=lambda record: (bool(record.barred), record.missed, -record.proven),
        )
        with ThreadPoolExecutor(ASKING) as pool:
            return list(pool.map(self._candidate, records[:ASKED_MAX]))

    def offer(self, peer: Peer) -> Offer:
        """A node's offer; AccessError when it is not signed by the node for this network."""
        fields = self.session_at(peer).ask("GET", "/offer")
        return parse_offer(fields, peer.node, self._chain.network, now=self._chain.now())

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.close()

    def _recent_offer(self, peer: Peer) -> Offer:
        now = self._monotonic()
        with self._lock:
            known = self._offers.get(peer)
        if known is not None and now - known[0] < OFFER_SECONDS:
            return known[1]
        offer = self.offer(peer)
        with self._lock:
            self._offers[peer] = (now, offer)
        return offer

    def _candidate(self, record: NodeRecord) -> Candidate:
        if record.barred:
            return _candidate(record, None, record.barred)
        try:
            return _candidate(record, self._recent_offer(record.peer), "")
        except FreeholdError as error:
            return _candidate(record, None, f"does not offer: {error.message}"[:200])


def parse_offer(
    fields: Mapping[str, object], node: Address, network: Network, *, now: int
) -> Offer:
    """A signed offer out of a node's answer; IntegrityError or AccessError when it is none."""
    offer = Offer(
        node,
        *(
            number(fields, name, who=node)
            for name in (
                "price", "retrieval_price", "min_term", "max_term", "capacity_free", "expiry"
            )
        ),
    )  # fmt: skip
    signed = OFFER.digest(
        network.domain("registry"),
        [
            node,
            offer.price,
            offer.retrieval_price,
            offer.min_term,
            offer.max_term,
            offer.capacity_free,
            offer.expiry,
        ],
    )
    if recover(signed, signature(fields, who=node)) != node or offer.expiry < now:
        raise AccessError(
            f"the offer of node {node} is not signed by it for this network, or expired",
            remedy="Use other nodes; its owner should check its key and network.json.",
        )
    return offer


def number(fields: Mapping[str, object], name: str, *, who: Address) -> int:
    """A whole number below 2^256 of a node's answer, given as a number or decimal text."""
    value = fields.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**256:
        raise _odd(who, name)
    return value


def signature(fields: Mapping[str, object], *, who: Address) -> bytes:
    """The 65-byte signature of a node's answer."""
    value = fields.get("signature")
    try:
        raw = bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError as error:
        raise _odd(who, "signature") from error
    if len(raw) != 65:
        raise _odd(who, "signature")
    return raw


def _odd(who: Address, name: str) -> IntegrityError:
    return IntegrityError(
        f"node {who} answers without a proper {name}",
        remedy="Use other nodes; its owner should update it.",
    )


def _candidate(record: NodeRecord, offer: Offer | None, barred: str) -> Candidate:
    return Candidate(
        node=record.peer.node,
        owner=record.owner,
        price=offer.price if offer else 0,
        stake_free=record.stake_free,
        capacity_free=offer.capacity_free if offer else 0,
        proven=record.proven,
        missed=record.missed,
        min_term=offer.min_term if offer else 0,
        max_term=offer.max_term if offer else 0,
        barred=barred,
        status=record.status,
    )

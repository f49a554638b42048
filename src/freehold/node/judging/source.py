"""Proposers of roots that pay model nodes, as watchers ask them: bounded, and nothing believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from freehold.client.connection import Peer
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import VALIDATOR, Node
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from freehold.node.watcher.observe.field import NODES_MAX, ask
from freehold.node.watcher.paysource import ANSWER_MAX, LIST_MAX, HttpSource

PROPOSERS_MAX = 64
"""Of the validators that are asked what to sign: those that were registered first."""
FILE_MAX = 2**28
"""Bytes of a served file; what is longer has to be demanded."""


class Source(Protocol):
    """Where roots are offered and served."""

    @property
    def node(self) -> Address:
        """The proposer's id."""

    def waiting(self) -> int | None:
        """The epoch whose root waits for signatures."""

    def trace(self, epoch: int, most: int) -> bytes:
        """The served batch, ``most`` bytes at most; UnavailableError."""

    def leaves(self, epoch: int, most: int) -> bytes:
        """The accounts and grains, as above."""

    def sign(self, epoch: int, signature: bytes) -> None:
        """Hand in a signature."""


class HttpProposer(HttpSource):
    """A proposer at the endpoint that the registry has."""

    def waiting(self) -> int | None:
        """The epoch whose root waits for signatures; IntegrityError for another answer."""
        try:
            told = parse_document(self._get("/traces", LIST_MAX), size=LIST_MAX)
        except MalformedError as error:
            raise self._odd("tells no roots") from error
        waits = told.get("waiting") if isinstance(told, dict) else ""
        if waits is not None and type(waits) is not int:
            raise self._odd("tells no roots")
        return waits

    def trace(self, epoch: int, most: int) -> bytes:
        """The served batch."""
        return self._get(f"/traces/{epoch}", most)

    def leaves(self, epoch: int, most: int) -> bytes:
        """The accounts and grains."""
        return self._get(f"/traces/{epoch}/leaves", most)

    def sign(self, epoch: int, signature: bytes) -> None:
        """Hand in a signature; UnavailableError where it is refused."""
        body = json.dumps({"signature": signature.hex()}).encode()
        self._exchange("POST", f"/traces/{epoch}/signatures", body, ANSWER_MAX)


def proposers(ledger: Ledger) -> Sequence[Source]:
    """The validators that the registry has an endpoint of, the first that came first."""
    return [HttpProposer(peer) for _, peer in _validators(ledger)][:PROPOSERS_MAX]


def proposer(ledger: Ledger, account: Address) -> Source | None:
    """Where who proposed a root serves it: a node, or that of its owner."""
    entry = ledger.registry.node(account)
    if entry.endpoint:
        return HttpProposer(Peer(account, entry.endpoint, entry.tls))
    owned = (peer for owner, peer in _validators(ledger) if owner == account)
    return next((HttpProposer(peer) for peer in owned), None)


def _validators(ledger: Ledger) -> list[tuple[Address, Peer]]:
    """Owner and endpoint of each."""
    count = min(ledger.registry.count(), NODES_MAX)
    names = list(ask(ledger, Address, [View("registry", "at", (at,)) for at in range(count)]))
    entries = ask(ledger, Node, [View("registry", "node", (name,)) for name in names])
    return [
        (entry.owner, Peer(name, entry.endpoint, entry.tls))
        for name, entry in zip(names, entries, strict=True)
        if entry.roles & VALIDATOR and not entry.retired and entry.endpoint
    ]

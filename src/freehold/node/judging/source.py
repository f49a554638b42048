"""Proposers of roots that pay model nodes, as watchers ask them: bounded, and nothing believed.

Threats: one that hangs, trickles or sends without end, for a watcher that waited would neither sign
nor dispute in time (every exchange is bounded in bytes, and as a whole in seconds); one that
announces plain HTTP, which would have watchers talk to machines of their own (only on loopback, and
only where the ledger is on this machine too).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from freehold.client.asking.refusals import AttemptError
from freehold.client.asking.wire import Answer, Line, is_loopback, pinned, question
from freehold.client.connection import SLOWEST, Peer
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import VALIDATOR
from freehold.ledger.ledger import Ledger
from freehold.ledger.roster import serving

PROPOSERS_MAX = 64
"""Of the validators that are asked what to sign: those that were registered first."""
FILE_MAX = 2**28
"""Bytes of a served file; what is longer has to be demanded."""
LIST_MAX, ANSWER_MAX = 2**14, 2**14
"""Bytes of what is told in a few numbers."""
SECONDS, LEAST_SECONDS = 30.0, 5.0
"""That an exchange may take beside those that its bytes do; and that it gets however short the
span is in which several must be done."""
PARTS = 16
"""Exchanges that must find room in such a span."""


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


class HttpProposer:
    """A proposer at the endpoint that the registry has; ``within`` are the seconds in which several
    exchanges must be done, ``plain`` allows http:// on loopback."""

    def __init__(self, peer: Peer, *, within: float, plain: bool) -> None:
        self._peer, self._plain = peer, plain
        self._patience = max(LEAST_SECONDS, within / PARTS)

    @property
    def node(self) -> Address:
        """The proposer's id."""
        return self._peer.node

    def waiting(self) -> int | None:
        """The epoch whose root waits for signatures; IntegrityError for another answer."""
        try:
            told = parse_document(self._exchange("GET", "/traces", LIST_MAX), size=LIST_MAX)
        except MalformedError as error:
            raise self._odd() from error
        waits = told.get("waiting") if isinstance(told, dict) else ""
        if waits is not None and type(waits) is not int:
            raise self._odd()
        return waits

    def trace(self, epoch: int, most: int) -> bytes:
        """The served batch."""
        return self._exchange("GET", f"/traces/{epoch}", most)

    def leaves(self, epoch: int, most: int) -> bytes:
        """The accounts and grains."""
        return self._exchange("GET", f"/traces/{epoch}/leaves", most)

    def sign(self, epoch: int, signature: bytes) -> None:
        """Hand in a signature; UnavailableError where it is refused."""
        body = json.dumps({"signature": signature.hex()}).encode()
        self._exchange("POST", f"/traces/{epoch}/signatures", ANSWER_MAX, body)

    def _exchange(self, method: str, path: str, most: int, body: bytes = b"") -> bytes:
        try:
            answer = asyncio.run(self._answer(method, path, most, body))
        except AttemptError as error:
            raise self._silent(error.message) from error
        except TimeoutError as error:
            raise self._silent("it takes too long") from error
        if answer.status != 200:
            raise self._silent(f"status {answer.status} to {path}")
        return bytes(answer.body)

    async def _answer(self, method: str, path: str, most: int, body: bytes) -> Answer:
        line = Line(self._peer, tls=pinned(), plain=self._plain, most=most)
        asked = question(method, path, authority=line.authority, headers={}, body=body)
        try:
            async with asyncio.timeout(min(SECONDS + most / SLOWEST, self._patience)):
                return await line.ask(asked)
        finally:
            line.close()

    def _silent(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"the proposer {self.node} does not answer ({reason})",
            remedy="It is asked again; its owner should look after it.",
        )

    def _odd(self) -> IntegrityError:
        return IntegrityError(
            f"the proposer {self.node} tells no roots", remedy="Its owner should update it."
        )


def proposers(ledger: Ledger, *, within: float) -> Sequence[Source]:
    """The validators that the registry has an endpoint of, the first that came first; several
    exchanges with one take ``within`` seconds at most."""
    plain = _is_here(ledger.network)
    peers = [peer for _, peer in _validators(ledger)][:PROPOSERS_MAX]
    return [HttpProposer(peer, within=within, plain=plain) for peer in peers]


def proposer(ledger: Ledger, account: Address, *, within: float) -> Source | None:
    """Where who proposed a root serves it: a node, or that of its owner."""
    plain, entry = _is_here(ledger.network), ledger.registry.node(account)
    if entry.endpoint:
        peer = Peer(account, entry.endpoint, entry.tls)
        return HttpProposer(peer, within=within, plain=plain)
    owned = (peer for owner, peer in _validators(ledger) if owner == account)
    return next((HttpProposer(peer, within=within, plain=plain) for peer in owned), None)


def _is_here(network: Network) -> bool:
    """Whether the ledger is on this machine, so that nodes may be, too."""
    return all(is_loopback(urlsplit(url).hostname or "") for url in network.rpc_urls)


def _validators(ledger: Ledger) -> list[tuple[Address, Peer]]:
    """Owner and endpoint of each."""
    return [
        (entry.owner, Peer(name, entry.endpoint, entry.tls))
        for name, entry in serving(ledger, VALIDATOR)
    ]

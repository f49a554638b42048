"""Whether nodes answer, and how fast they serve."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from freehold.client.connection import Peer, PinnedConnection, Timeouts
from freehold.client.reading import Library
from freehold.domain.aspects import WHOLE
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ACTIVE
from freehold.node.logs import fields
from freehold.node.watcher.columns import Columns, Placed

ASKING = 16
"""Nodes that are probed at a time."""
ALONE = 3
"""Nodes of which none answers before a watcher takes itself for the one that is cut off."""
PART = 64 * 2**10
COLUMNS_MAX = 32
"""Columns of a node among which one is drawn."""
_log = logging.getLogger(__name__)

Knock = Callable[[Peer, Timeouts], bool]


class Reach:
    """Counts the answers of nodes in one round."""

    def __init__(self, *, knock: Knock | None = None) -> None:
        self._knock = knock or answers
        self._asked: Counter[Address] = Counter()
        self._answered: Counter[Address] = Counter()
        self.probes = 0

    def begin(self) -> None:
        """Forget the round before."""
        self._asked.clear()
        self._answered.clear()
        self.probes = 0

    def probe(self, nodes: Iterable[Peer], *, seconds: float) -> None:
        """Ask every node once, each for so many seconds at most."""
        timeouts, peers = Timeouts(connect=seconds, idle=seconds), list(nodes)
        with ThreadPoolExecutor(ASKING) as pool:
            found = list(pool.map(lambda peer: self._knock(peer, timeouts), peers))
        self.probes += 1
        for peer, answered in zip(peers, found, strict=True):
            self._asked[peer.node] += 1
            self._answered[peer.node] += answered

    def shares(self) -> dict[Address, int]:
        """Of each node that was asked, the share of probes that it answered, of 10^4; empty where
        nobody answered anything, for then the watcher is likely the one that is cut off."""
        if len(self._asked) >= ALONE and not any(self._answered.values()):
            _log.warning("no node answers", extra=fields(nodes=len(self._asked)))
            return {}
        return {node: self._answered[node] * WHOLE // asked for node, asked in self._asked.items()}


def answers(peer: Peer, timeouts: Timeouts) -> bool:
    """Whether a node answers ``GET /health`` under the certificate that the registry names; one
    that says it is not well answers all the same."""
    try:
        connection = PinnedConnection(peer, timeouts=timeouts)
    except FreeholdError:
        return False
    try:
        connection.limit(0)
        connection.request("GET", "/health")
        return connection.getresponse().status in (200, 503)
    except (OSError, HTTPException, FreeholdError):
        return False
    finally:
        connection.close()


class Speeds:
    """Measures nodes by reading a part of a column, as any client would; reads are paid."""

    def __init__(
        self,
        columns: Columns,
        library: Library,
        *,
        draw: random.Random,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._columns, self._library = columns, library
        self._draw, self._timer = draw, timer

    def measure(self, nodes: Iterable[Address]) -> dict[Address, int]:
        """The speeds of nodes as ``aspects`` says; nodes that hold nothing are left out."""
        found = {}
        for node in nodes:
            if held := self._held(node):
                found[node] = self._one(self._draw.choice(held))
        return found

    def _held(self, node: Address) -> list[Placed]:
        held: list[Placed] = []
        for placed in self._columns.on(node):
            if placed.column.state == ACTIVE and not placed.deal.closed_at:
                held.append(placed)
                if len(held) == COLUMNS_MAX:
                    break
        return held

    def _one(self, placed: Placed) -> int:
        size = min(PART, placed.deal.size)
        try:
            column = self._library.columns(placed.number)[placed.slot]
            begun = self._timer()
            column.fetch(self._draw.randrange(placed.deal.size - size + 1), size)
        except (FreeholdError, KeyError) as error:
            _log.debug("speed", extra=fields(node=placed.column.node, reason=str(error)))
            return 0
        return doublings(size, self._timer() - begun)


def doublings(count: int, seconds: float) -> int:
    """How often 1 KiB a second must be doubled to come to ``count`` bytes in so many seconds."""
    rate = int(count / max(seconds, 1e-6)) >> 10
    return max(rate.bit_length() - 1, 0)

"""Reads what nodes are paid to hold, as a client would, and keeps the record."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from freehold.client.reading import Library, RemoteColumn
from freehold.domain.errors import FreeholdError
from freehold.ledger.contracts.storage import ACTIVE
from freehold.ledger.ledger import Ledger
from freehold.node.logs import fields
from freehold.node.watcher.metrics import Metrics

WHOLE = 8 * 2**20
"""Columns up to this many bytes are read whole and hashed; of larger ones a part is read."""
PART = 64 * 2**10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Probe:
    """One retrieval: what was read where, how long it took, and what went wrong (or nothing)."""

    deal: int
    slot: int
    node: str
    seconds: float
    failure: str


class Prober:
    """Each step reads from one column of one deal, drawn at random."""

    def __init__(
        self,
        ledger: Ledger,
        library: Library,
        metrics: Metrics,
        *,
        draw: random.Random,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._library = library
        self._metrics = metrics
        self._draw = draw
        self._timer = timer

    def step(self) -> None:
        """Probe one column, when there is any."""
        if count := self._ledger.storage.deal_count():
            self.probe(self._draw.randint(1, count))

    def probe(self, deal: int) -> Probe | None:
        """Probe one of a deal's live columns; None when it has none."""
        columns = [c for c in self._library.columns(deal).values() if c.record.state == ACTIVE]
        if not columns:
            return None
        column = self._draw.choice(columns)
        begun = self._timer()
        failure = self._read(column)
        seconds = self._timer() - begun
        probe = Probe(deal, column.slot, column.record.node, seconds, failure)
        self._count(probe)
        return probe

    def _read(self, column: RemoteColumn) -> str:
        size = column.deal.size
        try:
            if size <= WHOLE:
                return "" if column.audit() else "the whole column cannot be read, or hashes wrong"
            column.fetch(self._draw.randrange(size - PART), PART)
        except FreeholdError as error:
            return error.message
        return ""

    def _count(self, probe: Probe) -> None:
        self._metrics.probes.labels("failed" if probe.failure else "served").inc()
        self._metrics.latency.observe(probe.seconds)
        if probe.failure:
            _log.warning(
                "a probe failed",
                extra=fields(
                    deal=probe.deal, slot=probe.slot, node=probe.node, reason=probe.failure
                ),
            )

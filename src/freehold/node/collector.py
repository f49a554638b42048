"""Deletes what nobody pays for any more, and old records with it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from freehold.domain.clock import Clock
from freehold.domain.errors import ConflictError
from freehold.node.acceptance import Acceptor
from freehold.node.logs import fields
from freehold.node.metrics import Metrics
from freehold.node.store import Store
from freehold.node.tokens import Gate
from freehold.node.uploads import Uploads
from freehold.node.vouchers import Till

_log = logging.getLogger(__name__)


class Collector:
    """Frees room: a client that never opens its deals cannot starve the node.

    ``seen_until`` is the block time up to which the chain was followed. Nothing of a deal is
    deleted on the ground of what was not seen yet.
    """

    def __init__(
        self,
        store: Store,
        uploads: Uploads,
        acceptor: Acceptor,
        *,
        gate: Gate,
        till: Till,
        metrics: Metrics,
        clock: Clock,
        seen_until: Callable[[], int],
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._acceptor = acceptor
        self._gate = gate
        self._till = till
        self._metrics = metrics
        self._clock = clock
        self._seen_until = seen_until

    def step(self) -> None:
        """One pass."""
        self._uploads.expire()
        self._gate.forget_expired()
        self._till.forget_days()
        seen = self._seen_until()
        if seen:
            self._acceptor.forget_unopened(seen)
        for cid in self._store.unclaimed(self._clock.now()):
            try:
                self._store.remove(cid)
            except ConflictError:
                continue  # accepted a moment ago
            self._metrics.collected.inc()
            _log.info("deleted a piece that nobody keeps", extra=fields(cid=cid))

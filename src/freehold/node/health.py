"""What a node says about its own state, to its owner's tools and to anyone who asks."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ACTIVE, ENDED
from freehold.node.database import Database
from freehold.node.deals import Deals, Follower
from freehold.node.leaving import Leaver
from freehold.node.metrics import Metrics
from freehold.node.store import Store
from freehold.node.treasury import Treasury

VERSION = 1


class Health:
    """Gathers the state of a node's parts; it never asks the chain, so it answers at once."""

    def __init__(
        self,
        node: Address,
        *,
        store: Store,
        database: Database,
        deals: Deals,
        follower: Follower,
        treasury: Treasury,
        leaver: Leaver,
        metrics: Metrics,
        failing: Callable[[], dict[str, str]],
    ) -> None:
        self._node = node
        self._store = store
        self._database = database
        self._deals = deals
        self._follower = follower
        self._treasury = treasury
        self._leaver = leaver
        self._metrics = metrics
        self._failing = failing

    def report(self) -> dict[str, object]:
        """The JSON of ``GET /health``; ``status`` is ok, or degraded with the reasons."""
        usage, failing = self._store.usage(), self._failing()
        rotten = self._database.number("SELECT count(*) FROM pieces WHERE fault <> ''")
        problems = [f"{name}: {reason}" for name, reason in sorted(failing.items())]
        if rotten:
            problems.append(f"{rotten} pieces are quarantined")
        if self._treasury.low_gas:
            problems.append("gas runs low")
        return {
            "version": VERSION,
            "node": self._node,
            "status": "degraded" if problems else "ok",
            "problems": problems,
            "capacity": usage.capacity,
            "used": usage.used,
            "reserved": usage.reserved,
            "free": usage.free,
            "pieces": self._database.number("SELECT count(*) FROM pieces"),
            "quarantined": rotten,
            "columns": self._deals.counts().get(ACTIVE, 0),
            "chain_seen_until": self._follower.seen_until,
            "leaving": self._leaver.state,
        }

    def measure(self) -> None:
        """Bring the gauges up to date."""
        usage, counts = self._store.usage(), self._deals.counts()
        metrics = self._metrics
        metrics.capacity.set(usage.capacity)
        metrics.held.set(usage.used)
        metrics.reserved.set(usage.reserved)
        metrics.disk_free.set(shutil.disk_usage(self._store.incoming).free)
        metrics.pieces.set(self._database.number("SELECT count(*) FROM pieces"))
        metrics.columns.labels("active").set(counts.get(ACTIVE, 0))
        metrics.columns.labels("ended").set(counts.get(ENDED, 0))

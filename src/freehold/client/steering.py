"""How what watchers agreed on of nodes steers where things are put.

A node that answers fewer than half of the probes is barred for new things; of others the status is
the share that it answers, less a sixteenth for each time that its speed halves from ``FAST`` on. It
is all of it where nothing was agreed, or too long ago, so a network without watchers goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from freehold.client.chain import NodeRecord
from freehold.control.placement import MILLION
from freehold.domain.aspects import REACHABLE, SPEED, WHOLE
from freehold.ledger.contracts.base import convert_list
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View

STALE = 72
"""Rounds after which what was agreed on does not count: watchers tell it again each 24."""
LEAST = WHOLE // 2
"""Reachability below which a node is barred."""
FAST = 13
"""Doublings of 1 KiB a second, so 8 MiB a second, from which a node is fast enough."""
_STEPS = 16


@dataclass(frozen=True, slots=True)
class Known:
    """What is agreed on of a node and not too old: of 10^4, and doublings; None where nothing."""

    reachable: int | None
    speed: int | None

    @property
    def status(self) -> int:
        """Millionths."""
        share = WHOLE if self.reachable is None else max(0, min(self.reachable, WHOLE))
        slower = 0 if self.speed is None else max(0, min(FAST - self.speed, FAST))
        return MILLION * share * (_STEPS - slower) // (WHOLE * _STEPS)

    @property
    def barred(self) -> str:
        """Why it takes nothing new; empty where it may."""
        if self.reachable is None or self.reachable >= LEAST:
            return ""
        return f"watchers reach it {max(self.reachable, 0) * 100 // WHOLE} % of the time"


def steered(ledger: Ledger, records: Sequence[NodeRecord]) -> list[NodeRecord]:
    """Records of nodes with their status, and barred where they are hardly ever reachable."""
    if "status" not in ledger.network.contracts:
        return list(records)
    oldest = ledger.now() - STALE * ledger.status.round_length()
    views = [
        View("status", "value_of", (record.peer.node, aspect))
        for record in records
        for aspect in (REACHABLE, SPEED)
    ]
    answers = [convert_list(int, answer) for answer in ledger.call_many(views)]
    fresh = [value if at >= max(oldest, 1) else None for value, at in answers]
    pairs = zip(fresh[::2], fresh[1::2], strict=True)
    return [_with(record, Known(*pair)) for record, pair in zip(records, pairs, strict=True)]


def _with(record: NodeRecord, known: Known) -> NodeRecord:
    return replace(record, status=known.status, barred=record.barred or known.barred)

"""What this machine's users saw of the nodes: known tasks and requests that were asked again.

The journal of requests (``client.asking.journal``) notes whether an answer agreed. A node that
differed in more than half of ``LEAST`` comparisons or more scores nothing this epoch; otherwise its
score is multiplied by the share in which it agreed. The journal is this validator's own; what
others write into theirs is not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from freehold.client.asking.journal import READ_MAX, Cause, Journal, Seen
from freehold.domain.ids import Address
from freehold.markets.models.task import Judgement
from freehold.node.validator.field import Key, Member

LEAST = 5
"""Comparisons below which nothing is made of them."""
PAGES = 100
"""Of the journal, in an epoch."""
Told = Mapping[Address, tuple[int, int]]
"""Comparisons of a node, and how many of them it agreed in."""


class Witness(Protocol):
    """Tells what was seen of a subnet's nodes."""

    def told(self, subnet: str, *, after: int) -> tuple[Told, int]:
        """Comparisons behind the row ``after``, and the last row that was read."""


class JournalWitness:
    """Reads the journal at ``path`` once it is there."""

    def __init__(self, path: Path, *, now: Callable[[], int]) -> None:
        """``now`` gives milliseconds since 1970."""
        self._path, self._now = path, now

    def told(self, subnet: str, *, after: int) -> tuple[Told, int]:
        """As ``Witness.told``."""
        if not self._path.is_file():
            return {}, after
        compared: Counter[Address] = Counter()
        agreed: Counter[Address] = Counter()
        journal = Journal(self._path, now=self._now)
        try:
            for _ in range(PAGES):
                rows = journal.read(subnet, after=after)
                _count(rows, compared, agreed)
                after = rows[-1].id if rows else after
                if len(rows) < READ_MAX:
                    break
        finally:
            journal.close()
        return {node: (times, agreed[node]) for node, times in compared.items()}, after


def weighed(
    found: Mapping[Key, Judgement], members: Sequence[Member], told: Told
) -> dict[Key, Judgement]:
    """Judgements with what was seen held against them."""
    nodes = {member.key: member.seat.node for member in members}
    return {key: _weighed(each, *told.get(nodes[key], (0, 0))) for key, each in found.items()}


def _weighed(judged: Judgement, compared: int, agreed: int) -> Judgement:
    differed = compared - agreed
    if compared < LEAST or not differed or judged.score is None:
        return judged
    score = 0.0 if 2 * differed > compared else judged.score * agreed / compared
    reasons = {**judged.reasons, "differed when users asked": differed}
    return replace(judged, score=score, reasons=reasons)


def _count(rows: Sequence[Seen], compared: Counter[Address], agreed: Counter[Address]) -> None:
    for row in rows:
        if row.cause is not Cause.REQUEST and row.agreed is not None:
            compared[row.node] += 1
            agreed[row.node] += row.agreed

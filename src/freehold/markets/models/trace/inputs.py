"""An epoch's facts as the inputs of ``yuma``, so that its fast path can check a trace."""

from __future__ import annotations

import numpy as np

from freehold.markets.models.trace.built import Built
from freehold.markets.models.yuma.values import Inputs, Sparse


def inputs_of(built: Built, past: Built | None) -> Inputs:
    """What the reference reckons the same epoch from.

    Whose weights count is settled already: those of members, masked; whoever revealed none is
    inactive. Times are seconds.
    """
    nodes, facts = built.nodes, built.facts
    n, seated = len(nodes), {member.uid for member in built.members}
    active = {member.uid for member in built.members if member.active}
    stale = facts.ended - facts.terms.rules.activity_cutoff - 1
    updated = [facts.ended if uid in active else stale for uid in range(n)]
    weights = [
        (member.uid, uid, weight)
        for uid, column in enumerate(built.weights)
        for member, weight in zip(built.members, column, strict=True)
        if weight
    ]
    return Inputs(
        stake=np.array([node.stake for node in nodes], np.uint64),
        updated=np.array(updated, np.int64),
        registered=np.array([node.registered for node in nodes], np.int64),
        permits=np.array([uid in seated for uid in range(n)], np.bool_),
        weights=Sparse.of(n, weights),
        bonds=Sparse.of(n, _held(built, past)),
        now=facts.ended,
        last_epoch=facts.opened,
    )


def _held(built: Built, past: Built | None) -> list[tuple[int, int, int]]:
    if past is None:
        return []
    return [
        (member.uid, uid, bond.stored[member.was])
        for uid, bond in enumerate(past.bonds[: built.trace.count])
        for member in built.members
        if member.was >= 0 and bond.stored[member.was]
    ]

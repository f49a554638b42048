"""Pieces of a root's traces as they are demanded and answered on the chain."""

from __future__ import annotations

from typing import TypeAlias

from freehold.ledger.contracts.disputes import (
    BATCH,
    LEAF,
    MEMBERS,
    PAY,
    PERMITS,
    TRACE,
    WEIGHTS,
    Opening,
)
from freehold.markets.models.trace.served import Served, ServedTrace
from freehold.markets.models.trace.values import EMPTY, NOBODY, Trace

Part: TypeAlias = tuple[object, ...]
_NO_TRACE: Part = tuple(EMPTY if at in (0, 2, 3, 5, 6) else 0 for at in range(Trace.FIELDS))
_NO_SHOWN: Part = ((EMPTY,) * 4 + (0,) + (EMPTY,) * 3, ())
_NO_PAY: Part = (NOBODY, 0, 0, 0, 0)


def opening(served: Served, kind: int, trace: int, index: int) -> Opening:
    """What answers a demand: the piece, or what shows that there is none such."""
    there = kind not in (BATCH, PAY) and trace < len(served.traces)
    found = served.traces[trace] if there else None
    paid = kind == PAY and index < len(served.pays)
    return (
        _place(served, trace if found else None),
        _shown(found, index) if found and kind in (LEAF, WEIGHTS) else _NO_SHOWN,
        _words(found, kind, index) if found else (),
        served.pays[index].words() if paid else _NO_PAY,
        served.pay_tree.path(index) if paid else (),
    )


def _place(served: Served, trace: int | None) -> Part:
    batch = served.batch.words()
    if trace is None:
        return batch, _NO_TRACE, 0, ()
    words = served.traces[trace].trace.words()
    return batch, words, trace, served.trace_tree.path(trace)


def _shown(found: ServedTrace, uid: int) -> Part:
    if uid >= len(found.leaves):
        return _NO_SHOWN
    return found.leaves[uid].words(), found.tree.path(uid)


def _words(found: ServedTrace, kind: int, index: int) -> tuple[int, ...]:
    if kind == MEMBERS:
        return found.members
    if kind == PERMITS:
        return found.permits
    if kind == WEIGHTS and index < len(found.weights):
        return found.weights[index]
    return ()


__all__ = ["BATCH", "LEAF", "MEMBERS", "PAY", "PERMITS", "TRACE", "WEIGHTS", "opening"]

"""Takes the bonds of void roots: by whoever disproved one, and by everybody who comes after.

Threats: a challenger who stops between the verdict and this (the verdict is on the chain, and the
next one who runs this settles it); two who settle the same one (one of them is refused, and says
so); a verdict that nobody settles (nobody can propose until somebody does, and who wants to does).
"""

from __future__ import annotations

import logging

from freehold.domain.errors import RefusedError
from freehold.ledger.contracts.roots import Roots
from freehold.ledger.ledger import Ledger
from freehold.ledger.verdicts import Verdict, unsettled
from freehold.node.logs import fields

SETTLEMENTS = 32
"""Transactions of one step."""
_log = logging.getLogger(__name__)


def settle(ledger: Ledger, roots: Roots) -> int:
    """Settle the verdicts on the roots at a place that the index knows of; how many were.

    Refuses as ``Ledger`` does, but for a verdict that somebody else has settled meanwhile.
    """
    waiting = unsettled(ledger.index, roots)[:SETTLEMENTS]
    return sum(_settle(roots, verdict) for verdict in waiting)


def _settle(roots: Roots, verdict: Verdict) -> bool:
    told = {"epoch": verdict.header.epoch, "winner": verdict.winner}
    try:
        roots.settle(verdict.header, verdict.winner)
    except RefusedError as error:
        _log.warning("not settled", extra=fields(**told, refused=error.message))
        return False
    _log.info("settled", extra=fields(**told))
    return True

"""Fixes the budgets of ended epochs, without which nobody can reckon them."""

from __future__ import annotations

import logging

from freehold.audit.competing import Court
from freehold.domain.errors import RefusedError
from freehold.ledger.ledger import Ledger
from freehold.node.logs import fields

CLOSINGS = 64
"""Transactions of one step."""
_log = logging.getLogger(__name__)


def close(ledger: Ledger, court: Court, since: int, epoch: int) -> bool:
    """Close what is open of a span; whether all of it is closed now."""
    open_ = court.reader.unclosed(since, epoch)
    done = sum(_close(ledger, each) for each in open_[:CLOSINGS])
    return done == len(open_)


def _close(ledger: Ledger, epoch: int) -> bool:
    try:
        ledger.subnet.close_epoch(epoch)
    except RefusedError as error:
        # Somebody else may have been first; the next step sees it.
        _log.warning("not closed", extra=fields(epoch=epoch, refused=error.message))
        return False
    _log.info("closed", extra=fields(epoch=epoch))
    return True

"""A router over its files: ``models-paid.db`` (what was signed) and ``models-seen.db`` (how nodes
answered, for scorers)."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from freehold.client.asking.caller import Caller
from freehold.client.asking.candidate import Ranking
from freehold.client.asking.journal import Journal
from freehold.client.asking.purse import Cheques, Purse, Rails
from freehold.client.asking.router import Router
from freehold.client.asking.spots import Canaries, Shares
from freehold.client.token import Identity
from freehold.domain.keys import Key

PAID, SEEN = "models-paid.db", "models-seen.db"


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays: rails on the chain, the key that vouchers are signed with, and the base units that
    one run spends at most."""

    rails: Rails
    key: Key = field(repr=False)
    cap: int = 0


def open_router(
    ranking: Ranking,
    state: Path,
    *,
    identity: Identity | None = None,
    payer: Payer | None = None,
    shares: Shares = Shares(),  # noqa: B008 - frozen
    canaries: Canaries | None = None,
    plain: bool = False,
) -> Router:
    """A router whose files lie in the folder ``state``; close it in its event loop.

    The clock of ``identity`` is asked for each request: it must not go to the chain each time.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    journal = Journal(state / SEEN, now=_millis)
    try:
        purse = None
        if payer is not None:
            purse = Purse(payer.rails, Cheques(state / PAID), payer.key, cap=payer.cap)
    except BaseException:
        journal.close()
        raise
    return Router(
        ranking,
        Caller(identity=identity, purse=purse, plain=plain),
        journal=journal,
        purse=purse,
        chance=random.SystemRandom(),
        shares=shares,
        canaries=canaries,
    )


def _millis() -> int:
    return time.time_ns() // 1_000_000

"""A proposer inside the daemon of a validator: its chore, and what it answers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from freehold.audit.competing import Court
from freehold.domain.errors import AccessError, NotFoundError
from freehold.domain.keys import Key
from freehold.ledger.ledger import Ledger
from freehold.node.judging.chores import CONTRACTS, often
from freehold.node.judging.desk import Desk
from freehold.node.judging.proposer import Proposer
from freehold.node.judging.routes import Routes
from freehold.node.judging.shelf import Shelf
from freehold.node.loops import Chore

WORKERS = 4


@dataclass(frozen=True, slots=True)
class Hosted:
    """What a daemon runs, and what puts the routes on its application."""

    chores: Sequence[Chore]
    routes: Callable[[FastAPI], None]


def host(ledger: Ledger, key: Key, folder: Path, *, bond: int) -> Hosted:
    """A proposer that posts at most ``bond`` base units and serves from a folder.

    NotFoundError in a network without a model market, AccessError where the ledger sends with
    another key than that of the node, under whose name the files are looked for.
    """
    if not ledger.network.contracts.keys() >= CONTRACTS:
        raise NotFoundError(
            f"{ledger.network.name} has no model market", remedy="Leave out --propose."
        )
    if ledger.key != key:
        raise AccessError("a proposer sends with its node's key", remedy="Open the ledger with it.")
    desk = Desk(ledger, Shelf(folder))
    proposer = Proposer(ledger, desk, Court(ledger), most_bond=bond)
    routes = Routes(desk, ThreadPoolExecutor(WORKERS, "traces"))
    prizes = ledger.prizes
    # Demands are answered within their window, roots follow on the end of their epoch.
    seconds = often(min(prizes.epoch_length(), prizes.parameters().answer_window))
    return Hosted((Chore("proposer", proposer.step, seconds),), routes.add)

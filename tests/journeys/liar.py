"""A validator whose owner changed its program: what it proposes pays whom it likes, and it serves
that over its own door."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from fastapi import FastAPI

from freehold.audit.competing import Court, Draft
from freehold.economics.trees import GRAIN, Tree
from freehold.markets.models.trace.batch import bundle, grown
from freehold.markets.models.trace.build import Builder
from freehold.markets.models.trace.values import Cell
from freehold.node.judging.desk import Desk, digest
from freehold.node.judging.routes import Routes
from freehold.node.judging.shelf import Offer, Shelf
from freehold.node.service import make_service
from journeys.competition import GOOD, THIEF, Contest, Entrant


@contextmanager
def lie(contest: Contest, *, by: str, signers: Sequence[str]) -> Iterator[None]:
    """Propose that what the last ended epochs paid ``GOOD[-1]`` goes to the thief, and serve that
    while the body runs. Watchers who collude have signed it."""
    entrant = contest.entrants[by]
    with contest.ledger(by, state="liar") as ledger:
        court = Court(ledger)
        court.sync()
        told = _false(contest, court)
        shelf, parent = Shelf(entrant.folder / "proposals"), court.parent(court.state().tip)
        wanted = digest(ledger, told, parent)
        shelf.keep(Offer(told.since, told.epoch, parent, wanted), told)
        keys = sorted((contest.entrants[n].key for n in signers), key=lambda k: k.address.lower())
        with _serving(entrant, Desk(ledger, shelf)):
            signed = [key.sign(wanted) for key in keys]
            ledger.prizes.propose(told.epoch, told.root, told.count, told.data, signed)
            yield


def _false(contest: Contest, court: Court) -> Draft:
    """The next root's draft in which two nodes' cells are swapped, and everything that follows."""
    state = court.state()
    for epoch in court.reader.unclosed(state.next_epoch, court.ended() - 1):
        contest.founder.subnet.close_epoch(epoch)
    draft, past = court.draft(court.ended() - 1), court.root(state.tip)
    assert past is not None
    swap = (contest.entrants[GOOD[-1]].uid, contest.entrants[THIEF].uid)

    class Liar(Builder):
        def cell(self, uid: int) -> Cell:
            return super().cell(swap[1 - swap.index(uid)] if uid in swap else uid)

    facts = court.facts(contest.subnet, draft.since, draft.epoch)
    made = bundle([Liar(facts, past[0].bundle.traces[contest.subnet - 1]).built()])
    earned = grown(past[1].earned, made.pays)
    tree = Tree.of({each: grains * GRAIN for each, grains in earned.items()})
    told = replace(draft, bundle=made, earned=earned, tree=tree)
    assert (told.total, told.root != draft.root) == (draft.total, True)
    return told


@contextmanager
def _serving(entrant: Entrant, desk: Desk) -> Iterator[None]:
    """What the desk has, at the endpoint that the registry knows."""
    app = FastAPI()
    with ThreadPoolExecutor(2) as workers:
        Routes(desk, workers).add(app)
        service = make_service(app, host="localhost", port=entrant.port, home=entrant.folder)
        serve = service.server.serve(sockets=[service.socket])
        thread = threading.Thread(target=lambda: asyncio.run(serve), name="liar", daemon=True)
        thread.start()
        try:
            yield
        finally:
            service.server.should_exit = True
            thread.join()
            service.socket.close()

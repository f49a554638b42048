"""Judging as it is deployed: ledgers with index and sender on a devnet, files over HTTP; an honest
root is paid, and a false one, which the watcher had signed and whose files are kept back, falls."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from freehold.audit.competing import Draft
from freehold.cli.enlist import Enlistment, enlist
from freehold.domain.clock import SystemClock
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.economics.trees import GRAIN, Tree
from freehold.ledger.contracts.registry import MODEL, VALIDATOR
from freehold.ledger.contracts.subnet import Entry, Rules, Task
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, DeployPlan
from freehold.markets.models.trace.batch import bundle
from freehold.markets.models.trace.build import Builder, prune_word
from freehold.node.judging import chores, hosting
from freehold.node.judging.cosigner import Cosigner
from freehold.node.judging.desk import digest
from freehold.node.judging.shelf import Offer, Shelf
from freehold.node.loops import Chore
from journeys.seasons import pass_time
from unit.ledger.founding import installed_engine

PROPOSER, WATCHER, DOUBTER, NODE = (Key.draw(secrets.token_bytes) for _ in range(4))
EPOCH, BOND = 3_600, 10 * UNIT
TASK = Task(b"\x01" * 32, b"\x02" * 32)


@dataclass
class Town:
    """The founder, the proposer's daemon behind its door, and two watchers' chores."""

    founder: Ledger
    proposer: Ledger
    watcher: list[Chore]
    doubter: list[Chore]
    proposing: Chore
    shelf: Shelf
    genesis: int

    def step(self, *chores: Chore) -> None:
        for each in chores:
            each.step()

    def enter(self, epoch: int, after: int = 1) -> None:
        pass_time(self.founder, self.genesis + epoch * EPOCH + after)
        for ledger in (self.founder, self.proposer):
            ledger._clock.forget()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    installed_engine()
    with ExitStack() as stack:
        devnet = stack.enter_context(Devnet.start(tmp_path / "devnet", admin=True))
        terms = replace(economy("filecoin", 60), epoch=EPOCH, bond=BOND, root_window=600)
        network = deploy(
            DeployPlan(
                "judged", replace(JOURNEY, unbonding=2 * EPOCH),
                {devnet.funder.address: 10**6 * UNIT}, model="filecoin", economy=terms,
                watchers=(WATCHER.address,),
            ),
            rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder,
            state=tmp_path / "deploy", random=secrets.token_bytes, clock=SystemClock(),
        )  # fmt: skip
        ledgers = [
            stack.enter_context(Ledger.open(network, state=tmp_path / key.address, key=key))
            for key in (devnet.funder, PROPOSER, WATCHER, DOUBTER)
        ]
        founder = ledgers[0]
        for key in (PROPOSER, WATCHER, DOUBTER):
            founder.transfer(key.address, UNIT)
        founder.token.transfer(PROPOSER.address, 2 * BOND)
        hosted = hosting.host(ledgers[1], PROPOSER, tmp_path / "traces", bond=2 * BOND)
        app = FastAPI()
        hosted.routes(app)
        url = stack.enter_context(served(app))
        enlist(founder, PROPOSER, Enlistment(VALIDATOR, 100 * UNIT))
        enlist(founder, NODE, Enlistment(MODEL, 0))
        ledgers[1].registry.announce(PROPOSER.address, endpoint=url, tls=bytes(32))
        yield Town(
            founder, ledgers[1], chores.chores(ledgers[2], WATCHER),
            chores.chores(ledgers[3], DOUBTER), hosted.chores[0], Shelf(tmp_path / "traces"),
            founder.prizes.genesis(),
        )  # fmt: skip


class served:
    """An application on a port of this machine; its address."""

    def __init__(self, app: FastAPI) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve([self._door]))
        )

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._door.close()


def compete(founder: Ledger) -> None:
    """A subnet of a validator and a model."""
    subnet = founder.subnet
    founder.token.approve(subnet.address, 10**5 * UNIT)
    entry = Entry(UNIT, 10 * UNIT, EPOCH, 15_000)
    subnet.create(
        "digits", max_nodes=4, rules=Rules(), entry=entry, task=TASK, uri="", most=10**5 * UNIT
    )
    for key in (PROPOSER, NODE):
        subnet.register(1, key.address, max_price=10 * UNIT)
    subnet.record(1, 0)


@pytest.mark.parametrize("part", ["accounts", "batch"])
def test_an_honest_root_is_paid_and_a_false_one_falls(town: Town, part: str) -> None:
    founder, proposer = town.founder, town.proposer
    compete(founder)
    epoch = founder.subnet.epoch()
    town.enter(epoch + 1)
    town.step(town.proposing, *town.watcher, town.proposing)
    state = proposer.prizes.state()
    assert (state.tip, state.next_epoch, state.tip_total > 0) == (2, epoch + 1, True)
    town.step(*town.doubter)
    pass_time(founder, founder.head().time + 601)
    proposer._clock.forget()
    town.step(town.proposing, town.proposing)
    assert proposer.prizes.state().final == 2
    assert proposer.prizes.claimed(PROPOSER.address) == state.tip_total  # it alone has stake
    assert proposer.prizes.bond_of(PROPOSER.address).amount == BOND

    founder.token.approve(founder.subnet.address, UNIT)
    founder.subnet.grant(1, UNIT, epochs=1)
    founder.subnet.record(1, 0)
    town.enter(epoch + 2)
    town.step(town.proposing)
    lie(town, epoch + 1, part)
    proposer.registry.announce(PROPOSER.address, endpoint="", tls=bytes(32))
    for _ in range(12):
        town.step(*town.doubter)
        if proposer.prizes.state().tip == 2:
            break
        town.step(town.proposing)
    assert proposer.prizes.state().tip == 2
    assert proposer.prizes.bond_of(PROPOSER.address).amount == 0
    assert founder.token.balance_of(DOUBTER.address) == BOND * 3_000 // 10_000


class Liar(Builder):
    """Lets somebody go who need not."""

    @property
    def prune(self) -> int:
        return prune_word([0, 1])


def lie(town: Town, epoch: int, part: str) -> None:
    """The proposer's program and the watcher's key, in bad hands."""
    cosigner = town.watcher[0].step.__self__  # type: ignore[attr-defined]
    assert isinstance(cosigner, Cosigner)
    court = cosigner._court
    court.sync()
    draft, before = court.draft(epoch), court.root(2)
    assert before is not None
    if part == "batch":
        facts = court.facts(1, draft.since, epoch)
        told = bundle([Liar(facts, before[0].bundle.traces[0]).built()])
        draft = replace(draft, bundle=told)
    else:
        moved = dict(draft.earned)
        moved[PROPOSER.address] -= 7
        moved[DOUBTER.address] = 7
        tree = Tree.of({each: grains * GRAIN for each, grains in moved.items()})
        draft = replace(draft, earned=moved, tree=tree)
    put_down(town, draft, court.parent(2))


def put_down(town: Town, draft: Draft, parent: bytes) -> None:
    ledger = town.proposer
    wanted = digest(ledger, draft, parent)
    town.shelf.keep(Offer(draft.since, draft.epoch, parent, wanted), draft)
    signed = [WATCHER.sign(wanted)]
    ledger.prizes.propose(draft.epoch, draft.root, draft.count, draft.data, signed)

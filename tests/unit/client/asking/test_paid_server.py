"""Asking and paying the model server that nodes run, over the chain in memory."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.client.asking.candidate import Candidate, Effort, Limits
from freehold.client.asking.journal import Journal
from freehold.client.asking.opening import PAID, SEEN, Payer, open_router
from freehold.client.asking.purse import Cheques
from freehold.client.asking.refusals import AllFailedError, Kind, TooDearError
from freehold.client.asking.router import Router
from freehold.client.chain import Cheque
from freehold.client.token import Identity
from freehold.domain.clock import SystemClock
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.markets.models.tensor import Schema
from unit.client.asking.fakes import Listed
from unit.client.asking.test_asking import run
from unit.node.workloads.models import naughty, paid
from unit.node.workloads.models.paid import FREE, PRICE, RAIL
from unit.node.workloads.models.served import until
from unit.node.world import NODE, PAYOUT, STRANGER, WATCHER, network

pytestmark = pytest.mark.xdist_group("model-paying")
ROOT = Path(__file__).parents[4]
MODEL = ROOT / "tests/unit/node/workloads/models/naughty.py"
COLLATERAL = 10 * PRICE


class Rails:
    """The rail that the server's chain has; no more collateral is to be had."""

    def __init__(self) -> None:
        self.network: Network = network()

    def open_cheque(self, node: Address, collateral: int) -> int:
        return RAIL

    def add_collateral(self, rail: int, amount: int) -> None:
        raise TooDearError("the account is empty", remedy="Deposit.")

    def cheque(self, rail: int) -> Cheque:
        return Cheque(rail, PAYOUT, COLLATERAL, 0, closing=False)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Candidate]:
    home = tmp_path_factory.mktemp("paid-server")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    with (home / "log").open("wb") as log:
        command = [sys.executable, "-m", paid.__name__, str(home), str(MODEL)]
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
    try:
        until(lambda: (home / "ready.json").exists() or running.poll() is not None)
        assert running.poll() is None, (home / "log").read_text()
        state = json.loads((home / "ready.json").read_text())
        yield Candidate(
            node=NODE.address,
            uid=1,
            endpoint=state["url"],
            fingerprint=bytes.fromhex(state["tls"].removeprefix("0x")),
            score=1.0,
            price=PRICE,
            payee=PAYOUT,
        )
    finally:
        running.kill()
        running.wait(30)


def router(candidate: Candidate, state: Path, key: Key, cap: int = 0) -> Router:
    identity = Identity(key, network().domain("registry"), SystemClock(), secrets.token_bytes)
    ranking = Listed(candidate, schema=Schema.of(naughty.schema))
    payer = Payer(Rails(), key, cap) if cap else None
    return open_router(ranking, state, identity=identity, payer=payer, plain=True)


def signed(state: Path) -> int:
    cheques = Cheques(state / PAID)
    known = cheques.read(PAYOUT)
    cheques.close()
    return known[2] if known is not None else 0


def test_a_stranger_pays_for_what_is_answered_and_no_more(node: Candidate, tmp_path: Path) -> None:
    async def work() -> None:
        asked = router(node, tmp_path, STRANGER, 10**9)
        limits, effort = Limits(max_price=PRICE), Effort(deadline=20.0)

        async def ask(value: float) -> float:
            reply = await asked.ask("naughty", {"x": [[value]]}, limits=limits, effort=effort)
            return float(reply.arrays["y"][0, 0])

        assert await ask(2.0) == 4.0
        with pytest.raises(AllFailedError) as caught:
            await ask(float(naughty.RAISE))
        assert caught.value.failures[0].kind is Kind.BROKEN
        assert [await ask(value) for value in (1.0, 3.0, 5.0)] == [2.0, 6.0, 10.0]
        await asked.close()
        # The server gave the failed request's price back, and it paid for the next one.
        assert signed(tmp_path) == 4 * PRICE
        asked = router(node, tmp_path, STRANGER, 10**9)
        for _ in range(5, 11):
            assert await ask(1.0) == 2.0
        with pytest.raises(TooDearError, match="the account is empty"):
            await ask(1.0)
        await asked.close()
        assert signed(tmp_path) == COLLATERAL
        journal = Journal(tmp_path / SEEN, now=lambda: 0)
        (record,) = journal.tally("naughty")
        assert (record.asked, record.failed) == (12, 1)
        journal.close()

    run(work())


def test_a_validator_asks_for_nothing_so_often_a_day(node: Candidate, tmp_path: Path) -> None:
    async def work() -> None:
        free = Candidate(node.node, 1, node.endpoint, node.fingerprint, 1.0)
        asked = router(free, tmp_path, WATCHER)
        for _ in range(FREE):
            await asked.ask("naughty", {"x": [[1.0]]})
        with pytest.raises(AllFailedError) as caught:
            await asked.ask("naughty", {"x": [[1.0]]})
        assert caught.value.failures[0].kind is Kind.UNPAID
        await asked.close()

    run(work())

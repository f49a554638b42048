"""Observers on a chain of their own: real ledgers, nodes probed over TLS, and what clients make of
what they agreed on."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from freehold.cli.enlist import Enlistment, enlist
from freehold.client.ledger_chain import LedgerChain
from freehold.client.reading import Library
from freehold.domain.aspects import REACHABLE, WHOLE
from freehold.domain.clock import SystemClock
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger.contracts.registry import STORAGE, WATCHER
from freehold.ledger.deploy import TOLERANCES, deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import DeployPlan, devnet
from freehold.node.loops import Chore
from freehold.node.watcher import observing
from unit.client.fakes import FakeNode, network
from unit.ledger.founding import installed_engine

TOLERATED = dict(TOLERANCES)[REACHABLE]
STEPS = 15
"""Steps of the observers in a round."""


@dataclass
class Post:
    """A storage node, its owner's ledger, and observers with theirs."""

    node: FakeNode
    owner: Ledger
    watchers: list[tuple[Ledger, Chore]]

    def until(self, least: int, most: int) -> None:
        """Let time pass until a share within these is agreed on: what differs from it by less
        than the tolerance is not told again."""
        length = self.owner.status.round_length()
        for _ in range(5 * STEPS):
            self.owner.rpc.request("evm_increaseTime", length // STEPS)
            self.owner.rpc.request("evm_mine")
            for ledger in (self.owner, *(each for each, _ in self.watchers)):
                ledger._clock.forget()
            for _, chore in self.watchers:
                chore.step()
            value, at = self.owner.status.value_of(self.node.key.address, REACHABLE)
            if at and least <= value <= most:
                return
        pytest.fail(f"the watchers did not agree on {least} to {most}")


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    installed_engine()
    with ExitStack() as stack:
        chain = stack.enter_context(Devnet.start(tmp_path / "devnet", admin=True))
        made = deploy(
            DeployPlan("watched", devnet(30), {chain.funder.address: 10**6 * UNIT}),
            rpc_urls=[chain.url], chain_id=chain.chain_id, key=chain.funder,
            state=tmp_path / "deploy", random=secrets.token_bytes, clock=SystemClock(),
        )  # fmt: skip
        owner = stack.enter_context(Ledger.open(made, state=tmp_path / "owner", key=chain.funder))
        key = Key.from_secret(b"\x31" * 32)
        node = FakeNode(key, chain.funder.address, network(), tmp_path)
        node.refuse = lambda method, path: (200, "")
        node.start()
        stack.callback(node.stop)
        enlist(owner, key, Enlistment(roles=STORAGE, stake=100 * UNIT))
        peer = node.peer()
        owner.registry.announce(key.address, endpoint=peer.endpoint, tls=peer.fingerprint)
        watchers = []
        for number in range(3):
            hot = Key.from_secret(bytes([50 + number]) * 32)
            owner.transfer(hot.address, 10**18)
            enlist(owner, hot, Enlistment(roles=WATCHER, stake=10 * UNIT))
            state = tmp_path / hot.address
            ledger = stack.enter_context(Ledger.open(made, state=state, key=hot))
            chores = observing.chores(state, ledger, hot.address, cast("Library", None))
            watchers.append((ledger, chores[0]))
        yield Post(node, owner, watchers)


def test_a_node_that_went_away_is_barred_once_the_watchers_agree(post: Post) -> None:
    post.until(WHOLE, WHOLE)
    client = LedgerChain(post.owner)
    assert [(each.status, each.barred) for each in client.nodes()] == [(1_000_000, "")]
    post.node.stop()
    post.until(0, TOLERATED)
    (found,) = client.nodes(fresh=True)
    assert re.fullmatch(r"watchers reach it \d+ % of the time", found.barred)

"""Nodes enter a network for the price of registering, and for nothing once they are in it."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from freehold.cli import network as networks
from freehold.cli import nodes
from freehold.cli.enlist import WATCHER, Enlistment, due, enlist
from freehold.cli.home import Home
from freehold.cli.wallets import WalletFolder
from freehold.domain.clock import SystemClock
from freehold.domain.errors import InsufficientFundsError, RefusedError
from freehold.domain.keys import Key, new_phrase
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import Registry
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, DeployPlan

COINS = 10**18
LOWEST = UNIT // 10
WATCHING = Enlistment(roles=WATCHER, stake=0)


def hot(number: int) -> Key:
    return Key.from_secret(bytes([number]) * 32)


@pytest.fixture
def home(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of the network with a wallet that holds nothing."""
    monkeypatch.setenv("FREEHOLD_PASSWORD", "only for tests")
    made = Home(tmp_path / "home")
    made.claim()
    made.descriptor.write_text(network.render())
    WalletFolder(made.wallet).create(new_phrase(), "only for tests", cost=2)
    return made


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_node_joins_for_the_price_and_is_told_it(
    founder: Ledger, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    account = WalletFolder(home.wallet).address()
    founder.transfer(account, 5 * COINS)
    founder.send("token", "transfer", (account, 101 * UNIT))
    nodes.init("attic", home=home.root)
    capsys.readouterr()
    before = founder.token.burned()
    nodes.join("attic", home=home.root, yes=True, as_json=True)
    price = told(capsys)["registering"]
    burned = founder.token.burned() - before
    assert LOWEST <= burned <= price
    assert founder.token.balance_of(account) == UNIT - burned
    nodes.join("attic", home=home.root, yes=True, as_json=True)
    assert told(capsys)["registering"] == 0
    assert founder.token.burned() - before == burned
    networks.show_network(None, home=home.root, as_json=True)
    now = told(capsys)["registration"]
    assert LOWEST <= now["price"] <= -(-price * now["factor_bps"] // 10_000)
    nodes.init("cellar", home=home.root)
    with pytest.raises((InsufficientFundsError, RefusedError)):
        nodes.join("cellar", home=home.root, yes=True, stake="1000")
    words = " ".join(capsys.readouterr().out.split())
    assert "registering burns at most 0.1" in words
    assert "tokens, besides the stake" in words


def test_a_price_that_rose_meanwhile_is_not_paid(
    founder: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody registers a node between the question and the answer."""
    whole = Registry.register

    def overtaken(registry: Registry, *args: Any, **named: Any) -> Any:
        monkeypatch.undo()
        enlist(founder, hot(91), WATCHING)
        founder.token.approve(registry.address, UNIT)
        return whole(registry, *args, **named)

    monkeypatch.setattr(Registry, "register", overtaken)
    with pytest.raises(RefusedError, match="registry: the price is higher"):
        enlist(founder, hot(92), WATCHING)
    assert due(founder, hot(91).address) == 0
    enlist(founder, hot(92), WATCHING)


def test_a_node_that_returns_burns_nothing(founder: Ledger) -> None:
    enlist(founder, hot(93), WATCHING)
    founder.registry.retire(hot(93).address)
    before = founder.token.burned()
    assert due(founder, hot(93).address) == 0
    enlist(founder, hot(93), WATCHING)
    assert founder.registry.node(hot(93).address).generation == 2
    assert founder.token.burned() == before


def test_a_network_can_let_everybody_in_for_nothing(
    chain: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = replace(economy("filecoin", JOURNEY.period), entry_least=0)
    plan = DeployPlan("free", JOURNEY, economy=free)
    made = deploy(
        plan, rpc_urls=[chain.url], chain_id=chain.chain_id, key=chain.funder,
        state=tmp_path / "founding", random=secrets.token_bytes, clock=SystemClock(),
    )  # fmt: skip
    with Ledger.open(made, state=tmp_path / "ledger", key=chain.funder) as ledger:
        enlist(ledger, hot(94), WATCHING)
        assert ledger.registry.active(hot(94).address, WATCHER)
        assert ledger.token.burned() == ledger.registry.price() == 0
    (tmp_path / "network.json").write_text(made.render())
    networks.show_network(tmp_path / "network.json")
    assert "nothing" in capsys.readouterr().out

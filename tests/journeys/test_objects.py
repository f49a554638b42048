"""Objects on a network of real processes: stored, moved, shared for pay, recovered, resumed."""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.cli.home import Home
from freehold.cli.recovery import recover_home
from freehold.cli.wallets import WalletFolder
from freehold.client.client import Client
from freehold.client.wallet import Wallet
from freehold.domain.errors import NotFoundError
from freehold.domain.ids import Address, address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import DEVNET
from freehold.markets.storage.kit import RecoveryKit
from freehold.markets.storage.locator import Locator
from journeys.town import Town

pytestmark = pytest.mark.journey

MIB = 2**20
SHAPE = (4, 6)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Six nodes and periods of a minute, so that a busy machine misses no proof."""
    found = Town.found(tmp_path_factory.mktemp("objects") / "town", parameters=DEVNET)
    yield found
    found.stop()


def read(client: Client, name: str) -> bytes:
    out = io.BytesIO()
    client.get(name, out)
    return out.getvalue()


def kill_nodes(town: Town, client: Client, name: str, count: int) -> list[str]:
    """Kill -9 the nodes of an object's first columns; their names."""
    info = client.info(name)
    assert info.deal is not None
    wanted = [column.record.node for column in info.deal.columns[:count]]
    names = [
        folder.name
        for folder in town.home.nodes()
        if json.loads((folder / "ready.json").read_text())["node"] in wanted
    ]
    for node in names:
        town.kill(node)
    return names


def revive(town: Town, names: list[str]) -> None:
    for name in names:
        town.local.await_ready(town.local.start_node(name))


def test_whole_and_small_objects_outlive_two_killed_nodes(town: Town, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(9 * MIB + 12_345))
    with town.client() as client:
        stored = client.put(source, "first/whole")
        assert stored.deal
        assert stored.gas_used
        assert client.put(b"small", "first/small").pending
        client.flush()
        killed = kill_nodes(town, client, "first/whole", 2)
        try:
            delivery = client.get("first/whole", tmp_path / "target")
            assert delivery.lost == (0, 1)
            assert (tmp_path / "target").read_bytes() == source.read_bytes()
            assert read(client, "first/small") == b"small"
        finally:
            revive(town, killed)


def test_names_are_listed_moved_and_removed(town: Town) -> None:
    data = secrets.token_bytes(MIB)
    with town.client() as client:
        client.put(data, "second/a", preset=SHAPE)
        client.mv("second/a", "second/b")
        client.flush()
        assert [named.name for named in client.ls("second")] == ["second/b"]
    with town.client() as again:
        assert read(again, "second/b") == data
        again.rm("second/b")
        again.flush()
        assert again.ls("second") == []
        with pytest.raises(NotFoundError):
            read(again, "second/b")


def second_account(town: Town, folder: Path) -> tuple[Wallet, Path]:
    """A funded stranger with a wallet and a state folder of its own."""
    key = Key.draw(secrets.token_bytes)
    with Ledger.open(town.network, state=folder / "giver", key=town.key()) as giver:
        giver.transfer(key.address, UNIT)
        giver.token.transfer(key.address, 10 * UNIT)
    wallet = Wallet.create(key, network_id=town.network.network_id, random=secrets.token_bytes)
    return wallet, folder / "stranger"


def test_a_stranger_pays_for_what_was_shared_with_them(town: Town, tmp_path: Path) -> None:
    data = secrets.token_bytes(2 * MIB)
    wallet, state = second_account(town, tmp_path)
    with town.client() as owner, Client.open(town.network, wallet, state) as stranger:
        stranger.deposit(5 * UNIT)
        owner.put(data, "third/shared", preset=SHAPE)
        [shared] = stranger.open_share(owner.share("third/shared", stranger.recipient())).objects
        out = io.BytesIO()
        stranger.get_shared(shared, out)
        assert out.getvalue() == data
        left = stranger.chain.funds().available
        assert left < 5 * UNIT


def test_an_empty_home_recovers_everything_from_the_kit(town: Town, tmp_path: Path) -> None:
    data = secrets.token_bytes(MIB)
    with town.client() as client:
        client.put(data, "fourth/x", preset=SHAPE)
        listed = [(named.name, named.size) for named in client.ls()]
    phrase = town.wallet.phrase(town.home.password())
    kit = RecoveryKit(phrase, Locator.of(town.network))
    home = Home(tmp_path / "empty")
    home.claim()
    recovered = recover_home(home, kit.render(), "password", None)
    assert recovered.unread == ()
    folder = WalletFolder(home.wallet)
    wallet = folder.unlock("password", network_id=town.network.network_id)
    with Client.open(home.network(), wallet, folder.state) as client:
        assert [(named.name, named.size) for named in client.ls()] == listed
        assert read(client, "fourth/x") == data


def test_a_put_killed_in_the_middle_is_finished_by_the_next(town: Town, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(24 * MIB))
    with town.ledger() as ledger:
        ledger.index.sync()
        before = ledger.index.count("storage", "DealOpened")
    command = [sys.executable, "-m", "journeys.putter", str(town.home.root), str(source)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.kill()
    with town.client() as client:
        kept = [client.peers.session(node) for node in _uploading(client)]
        assert len(kept) == 6
        client.put(source, "fifth/large")
        client.get("fifth/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    with town.ledger() as ledger:
        ledger.index.sync()
        assert ledger.index.count("storage", "DealOpened") == before + 1


def _uploading(client: Client) -> list[Address]:
    journal = client._journal
    return [
        address(leg.node)
        for intent in journal.intents()
        for leg in journal.legs(intent.object_id).values()
        if leg.upload
    ]

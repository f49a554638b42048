"""Fixtures of the ledger's tests: a devnet and a network on it, one a test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from unit.ledger.founding import found, installed_engine


@pytest.fixture(scope="session")
def anvil() -> Path:
    """The devnet's engine, fetched where it is missing."""
    return installed_engine()


@pytest.fixture(scope="session")
def devnet(anvil: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A devnet shared by the tests of one process; its time only moves on."""
    with Devnet.start(tmp_path_factory.mktemp("devnet"), admin=True) as running:
        yield running


@pytest.fixture(scope="session")
def network(devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A network whose tokens the devnet's funder owns."""
    return found(devnet, tmp_path_factory.mktemp("deploy"))


@pytest.fixture
def ledger(network: Network, devnet: Devnet, tmp_path: Path) -> Iterator[Ledger]:
    """The network as its founder sees it."""
    with Ledger.open(network, state=tmp_path / "founder", key=devnet.funder) as opened:
        yield opened


@pytest.fixture
def key() -> Key:
    """Some account."""
    return Key.from_secret(bytes(range(1, 33)))

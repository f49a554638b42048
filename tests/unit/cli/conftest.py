"""A network on a devnet that the tests of a module share, and whoever founded it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from freehold.domain.network import Network
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from unit.ledger.founding import found, installed_engine


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    installed_engine()
    with Devnet.start(tmp_path_factory.mktemp("chain")) as running_chain:
        yield running_chain


@pytest.fixture(scope="module")
def network(chain: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return found(chain, tmp_path_factory.mktemp("founding"))


@pytest.fixture(scope="module")
def founder(
    network: Network, chain: Devnet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    state = tmp_path_factory.mktemp("founder")
    with Ledger.open(network, state=state, key=chain.funder) as opened:
        yield opened

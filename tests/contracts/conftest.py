"""Fixtures of the contract tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the harness skips on import where pyrevm is missing
    from contracts.evm import Chain
    from contracts.market import Market
    from contracts.world import World


@pytest.fixture
def chain() -> Chain:
    """A fresh chain."""
    from contracts.evm import Chain

    return Chain()


@pytest.fixture
def world(chain: Chain) -> World:
    """Governor, token, registry, staking and payments, setup not finished."""
    from contracts.world import deploy_world

    return deploy_world(chain)


@pytest.fixture
def market(chain: Chain) -> Market:
    """Everything that storage needs, the client funded, the beacon in its second period."""
    from contracts.market import deploy_market

    made = deploy_market(chain)
    made.fund_client()
    return made

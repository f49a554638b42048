"""A devnet and a network on it, for fixtures of several folders."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from freehold.domain.clock import SystemClock
from freehold.domain.errors import UnavailableError
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet import engine
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.plan import JOURNEY, DeployPlan


def installed_engine() -> Path:
    """The devnet's engine, fetched where it is missing; skips where it cannot be."""
    try:
        return engine.install()
    except UnavailableError as error:
        pytest.skip(f"no engine for a devnet: {error.message}")


def found(devnet: Devnet, state: Path) -> Network:
    """A network whose tokens the devnet's funder owns."""
    return deploy(
        DeployPlan("test", JOURNEY, {devnet.funder.address: 10**6 * UNIT}),
        rpc_urls=[devnet.url],
        chain_id=devnet.chain_id,
        key=devnet.funder,
        state=state,
        random=secrets.token_bytes,
        clock=SystemClock(),
    )

"""A network founded on a chain that is there already."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from freehold.cli.home import Home
from freehold.cli.screen import Screen
from freehold.domain.clock import SystemClock
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.deploy import deploy
from freehold.ledger.plan import DAY, PRODUCTION, DeployPlan, devnet
from freehold.ledger.rpc import find_chain_id


def found(
    home: Home,
    key: Key,
    *,
    urls: Sequence[str],
    name: str,
    period: int,
    genesis: int,
    screen: Screen,
) -> Network:
    """Deploy and wire the contracts; called again after a crash it resumes."""
    plan = DeployPlan(
        name=name,
        parameters=PRODUCTION if period == DAY else devnet(period),
        allocation={key.address: genesis},
    )
    return deploy(
        plan,
        rpc_urls=tuple(urls),
        chain_id=find_chain_id(urls),
        key=key,
        state=home.root / "founding",
        random=secrets.token_bytes,
        clock=SystemClock(),
        progress=lambda text: screen.say(f"[dim]·[/] {text}"),
    )

"""A model server over the chain in memory: ``python -m …paid HOME MODEL``.

STRANGER has opened rail 7 to its owner; WATCHER judges models.
"""

from __future__ import annotations

import sys
from pathlib import Path

from freehold.domain.clock import SystemClock
from freehold.domain.ids import Address
from freehold.ledger.contracts.registry import MODEL
from freehold.ledger.contracts.registry import Node as Entry
from freehold.node import logs
from freehold.node.workloads.models.daemon import Member, run
from freehold.node.workloads.models.settings import Settings
from unit.node.world import CLIENT, NODE, NOW, PAYOUT, STRANGER, WATCHER, FakeChain, network

PRICE = 1_000
FREE = 3
RAIL = 7


def chain() -> FakeChain:
    made = FakeChain(network(), SystemClock())
    made.registry.entries[NODE.address] = Entry(
        CLIENT.address, PAYOUT, MODEL, 1, NOW, False, "", bytes(32), bytes(32)
    )
    made.payments.open_voucher(RAIL, STRANGER.address, collateral=10 * PRICE)
    return made


def judges(account: Address) -> bool:
    """Whether somebody judges models."""
    return account == WATCHER.address


def settings(home: Path, model: str) -> Settings:
    return Settings(home, home, home, home, model=model, port=0, price=PRICE, free=FREE)


if __name__ == "__main__":
    logs.setup("info")
    member = Member(network(), NODE, chain(), judges)
    run(settings(Path(sys.argv[1]), sys.argv[2]), member, clock=SystemClock())

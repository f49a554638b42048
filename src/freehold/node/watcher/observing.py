"""Wires the part of a watcher that agrees with others on the status of nodes and devices."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable
from pathlib import Path

from freehold.client.connection import Timeouts
from freehold.client.reading import Library
from freehold.client.token import Identity
from freehold.domain.errors import AccessError
from freehold.domain.ids import Address
from freehold.ledger.ledger import Ledger
from freehold.node.loops import Chore
from freehold.node.watcher.columns import Columns
from freehold.node.watcher.observe.evidence import Epochs, Evidence
from freehold.node.watcher.observe.reach import Reach, Speeds
from freehold.node.watcher.observe.vault import Vault
from freehold.node.watcher.observer import Eyes, Observer

STEPS = 40
"""Steps in a round."""
SLOWEST = 5.0
"""Seconds between two steps at most."""
_TIMEOUTS = Timeouts(connect=5.0, idle=10.0)
_log = logging.getLogger(__name__)


def chores(state: Path, ledger: Ledger, watcher: Address, library: Library) -> list[Chore]:
    """The observer's chore; none in a network without the contract ``status``."""
    if "status" not in ledger.network.contracts:
        return []
    seconds = min(SLOWEST, ledger.status.round_length() / STEPS)
    return [Chore("observer", _step(state, ledger, watcher, library), seconds)]


def _step(state: Path, ledger: Ledger, watcher: Address, library: Library) -> Callable[[], None]:
    draw = random.Random(secrets.randbits(64))
    epochs = Epochs(ledger.roots.genesis(), ledger.roots.epoch_length())
    identity = _identity(ledger)
    eyes = Eyes(
        reach=Reach(),
        speeds=Speeds(Columns(ledger), library, draw=draw).measure,
        evidence=Evidence(ledger.network.network_id, epochs, _TIMEOUTS, identity=identity),
    )
    observer = Observer(ledger, watcher, eyes=eyes, vault=Vault(state), random=secrets.token_bytes)
    return observer.step


def _identity(ledger: Ledger) -> Identity:
    if ledger.key is None:
        raise AccessError(
            "a watcher needs a key, and the ledger was opened without one",
            remedy="Open it with the key of the registered watcher.",
        )
    return Identity(ledger.key, ledger.network.domain("registry"), ledger, secrets.token_bytes)

"""A network that was switched off for an hour comes back and punishes nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freehold.cli import snapshot
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.roster import listed
from journeys.test_story import wait_for
from journeys.town import Town

pytestmark = pytest.mark.journey
HOUR = 3_600
NAME = "rest/letter.bin"


def balances(ledger: Ledger) -> dict[str, int]:
    """What every owner staked and the supply: what must not move while nobody is there."""
    seen = snapshot.take(ledger)
    staked = {str(node.node): node.stake for node in seen.nodes}
    return {**staked, "deals": seen.deals, "minted": ledger.token.minted()}


def rounds_proven(ledger: Ledger) -> int:
    return sum(node.proven for node in snapshot.take(ledger).nodes)


def test_an_hour_off_faults_nobody(tmp_path: Path) -> None:
    data = os.urandom(200_000)
    town = Town.found(tmp_path / "home", admin=True)
    try:
        with town.ledger() as ledger:
            nodes = listed(ledger)
            entries = [ledger.registry.node(node) for node in nodes]
        assert all(entry.endpoint for entry in entries if entry.roles & STORAGE), "not to be found"
        with town.client() as client:
            client.put(data, NAME, preset=(4, 6))
        with town.ledger() as ledger:
            wait_for(lambda: rounds_proven(ledger) >= 6, town, "a proven round of every node")
            before = balances(ledger)
        town.stop()
        _pass_an_hour(town)
        town.start()
        with town.ledger() as ledger:
            rounds = ledger.beacon.round_count()
            proven = rounds_proven(ledger)
            wait_for(
                lambda: (
                    ledger.beacon.round_count() > rounds and rounds_proven(ledger) >= proven + 6
                ),
                town,
                "a round after the rest",
            )
            assert balances(ledger) == before
            seen = snapshot.take(ledger)
            assert [node.missed for node in seen.nodes if node.columns] == [0] * 6
            assert {node.state for node in seen.nodes} == {"good"}
        with town.client() as client:
            assert [named.name for named in client.ls()] == [NAME]
            client.get(NAME, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data
    finally:
        town.stop()


def _pass_an_hour(town: Town) -> None:
    """Let block time run on while only the ledger is up."""
    devnet = Devnet.start(town.home.root, admin=True, detached=True)
    with town.ledger() as ledger:
        then = ledger.head().time
        ledger.rpc.request("evm_increaseTime", HOUR)
        ledger.rpc.request("evm_mine")
        assert ledger.head().time >= then + HOUR
    devnet.stop()

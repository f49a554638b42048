"""A subnet on a devnet: found from the registry alone, and verified with all that it moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.audit.verify import verify_live
from freehold.cli.enlist import Enlistment, enlist
from freehold.domain.clock import SystemClock
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.economics.trees import GRAIN
from freehold.ledger.contracts.subnet import Entry, Rules, Task
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.locate import locate
from freehold.ledger.modeling import CHECKERS, MODELING
from freehold.ledger.plan import JOURNEY, DeployPlan
from freehold.ledger.rpc import Rpc
from journeys.seasons import pass_time
from unit.ledger.founding import installed_engine

NODE = Key.from_secret(b"\x15" * 32)
MODEL, VALIDATOR = 8, 16
ROW, SALT = bytes.fromhex("00000005"), b"\x07" * 32


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    installed_engine()
    folder = tmp_path_factory.mktemp("modeled")
    with Devnet.start(folder / "devnet", admin=True) as devnet:
        made = deploy(
            DeployPlan("modeled", JOURNEY, {devnet.funder.address: 10**6 * UNIT}),
            rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder,
            state=folder / "founding", random=lambda length: b"\x01" * length,
            clock=SystemClock(),
        )  # fmt: skip
        with Ledger.open(made, state=folder / "state", key=devnet.funder) as opened:
            yield opened


def compete(ledger: Ledger) -> int:
    """A subnet in which one node judges itself, whose registration backs emission; the epoch."""
    subnets, roles = ledger.subnet, MODEL | VALIDATOR
    owner = ledger.key
    assert owner is not None
    ledger.token.approve(subnets.address, 10**5 * UNIT)
    enlist(ledger, NODE, Enlistment(roles=roles, stake=1_000 * UNIT, payout=owner.address))
    entry = Entry(lowest=UNIT, highest=100 * UNIT, half_life=60, factor_bps=15_000)
    task = Task(b"\x01" * 32, b"\x02" * 32)
    subnets.create(
        "digits", max_nodes=9, rules=Rules(), entry=entry, task=task, uri="", most=1_000 * UNIT
    )
    pass_time(ledger, start_of(ledger, subnets.epoch() + 1))
    epoch = subnets.epoch()
    subnets.register(1, NODE.address, max_price=UNIT)
    subnets.grant(1, GRAIN, epochs=1)
    told = subnets.commitment(1, 0, generation=1, epoch=epoch, row=ROW, salt=SALT)
    subnets.commit(1, 0, told)
    pass_time(ledger, start_of(ledger, epoch + 1))
    subnets.reveal(1, 0, ROW, SALT)
    subnets.close_epoch(epoch)
    return epoch


def start_of(ledger: Ledger, epoch: int) -> int:
    """When an epoch begins, seconds."""
    return ledger.prizes.genesis() + epoch * ledger.prizes.epoch_length()


def test_a_subnet_is_located_and_verified(ledger: Ledger, tmp_path: Path) -> None:
    network, epoch = ledger.network, compete(ledger)
    emitted = ledger.subnet.emitted(epoch)
    assert 0 < emitted <= 9 * UNIT // 10
    assert ledger.prizes.funded() == emitted + GRAIN
    ledger.index.sync()
    funded = ledger.index.last("prizes", "Funded")
    assert funded is not None
    assert (funded.contract, funded.number("total")) == ("prizes", emitted + GRAIN)
    assert ledger.index.last("roots", "Funded") is None
    found = locate(
        network.contracts["registry"], network_id=network.network_id, chain_id=network.chain_id,
        rpc_urls=network.rpc_urls, deployed_block=network.deployed_block,
    )  # fmt: skip
    assert found.contracts == network.contracts
    assert {*MODELING, *CHECKERS} <= set(found.contracts)
    with Rpc(network.rpc_urls, chain_id=network.chain_id) as rpc:
        report = verify_live([rpc], replace(found, name=network.name), keep=tmp_path / "chain")
    assert report.passed, report.difference
    assert report.notes == ()
    assert report.figures["subnets"] == 1
    assert report.figures["burned by subnets"] == 101 * UNIT
    assert report.counts["weights"] == 2
    asked = (tmp_path / "chain").read_text()
    for view in ("subnet_of", "uid_at", "emitted", "judge"):
        assert f'"view":"{view}"' in asked

"""Devices, orders and purchases on a devnet: found from the registry alone, and verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.audit.verify import verify_live
from freehold.domain import pairing
from freehold.domain.clock import SystemClock
from freehold.domain.did import Did
from freehold.domain.ids import keccak
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.domain.typed import ENROLMENT, RECEIPT
from freehold.ledger.contracts.automation import DONE
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.locate import locate
from freehold.ledger.plan import JOURNEY, DeployPlan
from freehold.ledger.rpc import Rpc
from freehold.ledger.sensing import SENSING
from unit.ledger.founding import installed_engine

AGENT = Key.from_secret(b"\x05" * 32)
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x06" * 32)
FAR, DETAIL = 2**40, b"\x09" * 32


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    installed_engine()
    folder = tmp_path_factory.mktemp("sensed")
    with Devnet.start(folder / "devnet", admin=True) as devnet:
        made = deploy(
            DeployPlan("sensed", JOURNEY, {devnet.funder.address: 10**6 * UNIT}),
            rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder,
            state=folder / "founding", random=lambda length: b"\x01" * length,
            clock=SystemClock(),
        )  # fmt: skip
        with Ledger.open(made, state=folder / "state", key=devnet.funder) as opened:
            yield opened


def enroll(ledger: Ledger, owner: Key) -> None:
    network, key = ledger.network, Did.of(PRIVATE.public_key()).raw
    names = (AGENT.address, owner.address, keccak(key), 1, FAR)
    names_of = {"device": AGENT.address, "owner": owner.address}
    ledger.devices.enroll(
        AGENT.address, key=key, place=b"\x07" * 32, firmware="fw 1.0", deadline=FAR,
        binding=pairing.seal(PRIVATE, network_id=network.network_id, **names_of),
        payout=owner.address,
        consent=AGENT.sign(ENROLMENT.digest(network.domain("devices"), names)),
    )  # fmt: skip


def test_what_was_sensed_is_located_and_verified(ledger: Ledger, tmp_path: Path) -> None:
    network, owner = ledger.network, ledger.key
    assert owner is not None
    for name in ("devices", "streams"):
        ledger.token.approve(network.contracts[name], 100 * UNIT)
    enroll(ledger, owner)
    ledger.automation.order(AGENT.address, "relay.1 open", hold=60)
    told = (1, AGENT.address, DONE, DETAIL, 1_234)
    signed = AGENT.sign(RECEIPT.digest(network.domain("automation"), told))
    ledger.automation.acknowledge(1, outcome=DONE, detail=DETAIL, at=1_234, signature=signed)
    ledger.automation.order(AGENT.address, "relay.2 open", hold=60)
    ledger.streams.buy("metric=roof.temperature", ledger.streams.epoch(), 3, UNIT)

    found = locate(
        network.contracts["registry"], network_id=network.network_id, chain_id=network.chain_id,
        rpc_urls=network.rpc_urls, deployed_block=network.deployed_block,
    )  # fmt: skip
    assert found.contracts == network.contracts
    for name in ("round_length", "stream_fee_bps"):
        assert found.parameters[name] == network.parameters[name]

    with Rpc(network.rpc_urls, chain_id=network.chain_id) as rpc:
        report = verify_live([rpc], replace(found, name=network.name), keep=tmp_path / "chain")
    assert report.passed, report.difference
    assert report.notes == ()
    assert {name: report.counts[name] for name in ("enrolments", "receipts of devices")} == {
        "enrolments": 1, "receipts of devices": 1,
    }  # fmt: skip
    assert report.figures["devices"] == 1
    assert report.figures["paid for readings"] == 3 * UNIT
    assert set(SENSING) <= set(found.contracts)
    asked = (tmp_path / "chain").read_text()
    for view in ("device", "rules_of", "open_of", "purchase", "burned_of", "parameters"):
        assert f'"view":"{view}"' in asked

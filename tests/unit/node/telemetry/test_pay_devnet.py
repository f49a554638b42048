"""Pay as it is deployed: the ledger, its index and its sender on a devnet."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.evm import signer
from freehold.domain import pairing
from freehold.domain.clock import SystemClock
from freehold.domain.did import Did
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.economics.trees import GRAIN
from freehold.ledger.deploy import deploy
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.economy import economy
from freehold.ledger.ledger import Ledger
from freehold.ledger.plan import JOURNEY, DeployPlan
from freehold.node.telemetry.epochs import Books, Epochs
from freehold.node.telemetry.facts import Facts
from freehold.node.telemetry.pay import SLACK, Pay
from freehold.node.watcher.cosigner import Cosigner
from journeys.seasons import pass_time
from unit.ledger.founding import installed_engine
from unit.node.telemetry.payhouse import LocalSource, Log, Sensor

OWNER, SERVICE, WATCHER = (Key.draw(secrets.token_bytes) for _ in range(3))
MODEL, EPOCH = "filecoin", 3_600


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[list[Ledger]]:
    """Of the founder, who buys; an owner; the service; the watcher of the roots."""
    installed_engine()
    with ExitStack() as stack:
        devnet = stack.enter_context(Devnet.start(tmp_path / "devnet", admin=True))
        terms = replace(economy(MODEL, 60), epoch=EPOCH, bond=10 * UNIT, root_window=600)
        network = deploy(
            DeployPlan(
                "pay", replace(JOURNEY, unbonding=2 * EPOCH),
                {devnet.funder.address: 10**6 * UNIT}, model=MODEL, economy=terms,
                watchers=(WATCHER.address,),
            ),
            rpc_urls=[devnet.url], chain_id=devnet.chain_id, key=devnet.funder,
            state=tmp_path / "deploy", random=secrets.token_bytes, clock=SystemClock(),
        )  # fmt: skip
        made = [
            stack.enter_context(Ledger.open(network, state=tmp_path / key.address, key=key))
            for key in (devnet.funder, OWNER, SERVICE, WATCHER)
        ]
        for ledger in made[1:]:
            assert ledger.key is not None
            made[0].transfer(ledger.key.address, UNIT)
            made[0].token.transfer(ledger.key.address, 20 * UNIT)
        yield made


def enroll(ledger: Ledger, sensor: Sensor) -> Address:
    did, owner = Did.of(sensor.key.public_key()), OWNER.address
    code = pairing.PairingCode.make(
        ledger.network.domain("devices"), agent=Key.from_secret(signer("sensor 1").key),
        key=sensor.key, did=did, owner=owner, generation=1, deadline=ledger.now() + 600,
        firmware="1",
    )  # fmt: skip
    ledger.token.approve(ledger.devices.address, ledger.devices.fee())
    ledger.devices.enroll(
        sensor.id, key=did.raw, binding=code.binding, place=b"\x06" * 32, firmware="1",
        payout=owner, deadline=code.deadline, consent=code.consent,
    )  # fmt: skip
    return sensor.id


def test_a_purchase_becomes_tokens_of_the_owner(ledgers: list[Ledger], tmp_path: Path) -> None:
    founder, owner, service, watcher = ledgers
    log, facts = Log(), Facts(service)
    sensor = Sensor(1, signer("owner"), network_id=founder.network.network_id)
    device = enroll(owner, sensor)
    bought = founder.streams.epoch() + 1
    founder.token.approve(founder.streams.address, 5 * UNIT)
    founder.streams.buy("metric=roof.*", bought, 1, 5 * UNIT)
    begin = 1_000 * facts.calendar.begin(bought)
    times = [begin + 30_000 * place for place in range(100)]
    log.batches[device] = [(times[-1], sensor.batch(times))]
    epochs = Epochs(service, facts.calendar, Books(tmp_path / "epochs"), of=lambda _: log)
    cosigner = Cosigner(
        watcher, WATCHER, services=lambda: [LocalSource(epochs)], draw=random.Random(1)
    )

    def pay() -> Pay:
        return Pay(service, epochs, now=lambda: 1_000 * (founder.head().time + SLACK))

    pass_time(founder, facts.calendar.cut(bought) + 1)
    pay().step()
    cosigner.step()
    pay().step()
    pass_time(founder, founder.head().time + 601)
    pay().step()
    before = owner.token.balance_of(OWNER.address)
    pay().step()
    got = owner.token.balance_of(OWNER.address) - before
    statement = epochs.books.read(bought)
    assert got == statement.past.accounts[OWNER.address] // GRAIN * GRAIN
    net = 5 * UNIT - founder.streams.burned_of(bought)
    assert statement.frame.terms.drawn > 0
    assert net < got <= net + statement.frame.terms.drawn
    assert service.roots.state().final == 2

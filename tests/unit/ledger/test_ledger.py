"""The whole door on a devnet: writes, reads, refusals, chain time, events, reorganisations."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.domain.clock import SystemClock
from freehold.domain.errors import (
    AccessError,
    CapacityError,
    InsufficientFundsError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.domain.network import Network
from freehold.domain.typed import CONSENT, VOUCHER
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.roster import listed, newest
from freehold.ledger.values import Receipt, View
from unit.ledger.devnet.waiting import until
from unit.ledger.fake_chain import address

NUMBERS = itertools.count(0x7000)


def test_a_deposit_by_permit(ledger: Ledger, devnet: Devnet) -> None:
    payments, token = ledger.payments, ledger.token.address
    me = devnet.funder.address
    before = payments.status(token, me).funds
    permit = ledger.token.sign_permit(
        devnet.funder, payments.address, amount=7 * UNIT, deadline=ledger.now() + 600
    )
    receipt = payments.deposit_with_permit(token, me, permit)
    assert receipt.one("Deposited").number("amount") == 7 * UNIT
    assert receipt.time == ledger.rpc.header(receipt.block).time
    assert 0 < receipt.fee < 10**18
    assert payments.status(token, me).available == before + 7 * UNIT
    with pytest.raises(IntegrityError, match="0 events Withdrawn"):
        receipt.one("Withdrawn")


def test_a_node_registers_with_its_consent(ledger: Ledger, devnet: Devnet) -> None:
    node = Key.from_secret(bytes(31) + b"\x21")
    deadline = ledger.now() + 600
    digest = CONSENT.digest(
        ledger.network.domain("registry"), (node.address, devnet.funder.address, 1, deadline)
    )
    registry, before = ledger.registry, ledger.token.balance_of(devnet.funder.address)
    price = registry.price()

    def register(most: int) -> Receipt:
        return registry.register(
            node.address,
            roles=STORAGE,
            endpoint="https://127.0.0.1:9",
            tls=b"\x01" * 32,
            info=b"\x02" * 32,
            payout=devnet.funder.address,
            deadline=deadline,
            consent=node.sign(digest),
            most=most,
        )

    with pytest.raises(RefusedError, match="registry: the price is higher"):
        register(registry.lowest() - 1)
    with pytest.raises(RefusedError, match="token: allowance too low"):
        register(price)
    ledger.token.approve(registry.address, price)
    event = register(price).one("NodeRegistered")
    assert event.address("node") == node.address
    assert registry.lowest() <= event.number("burned") <= price <= registry.highest()
    assert ledger.token.balance_of(devnet.funder.address) == before - event.number("burned")
    found = ledger.registry.node(node.address)
    assert (found.endpoint, found.roles, found.generation) == ("https://127.0.0.1:9", 1, 1)
    assert ledger.registry.active(node.address, STORAGE)
    count = ledger.registry.count()
    assert listed(ledger) == [ledger.registry.at(index) for index in range(count)]
    assert listed(ledger)[-1] == node.address
    assert listed(ledger, most=count - 1) == listed(ledger)[:-1]
    assert newest(ledger, "registry", most=count - 1) == listed(ledger)[1:]
    assert newest(ledger, "registry", most=count + 1) == listed(ledger)


def test_a_look_says_what_the_single_questions_do(ledger: Ledger, devnet: Devnet) -> None:
    nodes = listed(ledger)
    for node in (*nodes, address(7)):
        found = ledger.look(node, devnet.funder.address)
        assert found.registered == ledger.registry.active(node, STORAGE)
        assert found.state == ledger.faults.node_state(node)
        assert found.free_stake == ledger.staking.free(node)
        status = ledger.payments.status(ledger.token.address, devnet.funder.address)
        assert found.money == status.available + ledger.token.balance_of(devnet.funder.address)
        assert found.money > 0


def test_of_several_questions_the_refused_one_is_named(ledger: Ledger) -> None:
    views = [View("registry", "count"), View("payments", "rail", (10**6,))]
    with pytest.raises(RefusedError, match=r"^payments\.rail was refused: payments: no such rail"):
        ledger.call_many(views)
    assert ledger.call_many(views[:1]) == [ledger.registry.count()]


def test_neither_an_account_without_code_nor_any_contract_has_signed(
    ledger: Ledger, devnet: Devnet
) -> None:
    signature = devnet.funder.sign(bytes(32))
    for account in (devnet.funder.address, ledger.token.address):
        assert not ledger.wallet_signed(account, bytes(32), signature)


def test_the_price_of_gas_is_what_the_chain_asks(ledger: Ledger) -> None:
    before, price, after = ledger.head(), ledger.gas_price(), ledger.head()
    tip = ledger.rpc.tip()
    # A block may come in between, and the fee change with it.
    assert price in {before.base_fee + tip, after.base_fee + tip}
    assert price > 0


def test_a_voucher_is_redeemed_for_no_more_gas_than_its_payee_allows(
    ledger: Ledger, devnet: Devnet
) -> None:
    token, payments, me = ledger.token.address, ledger.payments, devnet.funder
    ledger.token.approve(payments.address, UNIT)
    payments.deposit(token, me.address, UNIT)
    rail = payments.open_voucher(token, me.address, UNIT).one("VoucherOpened").number("rail")
    signature = me.sign(VOUCHER.digest(ledger.network.domain("payments"), [rail, 4]))
    with pytest.raises(CapacityError, match="more than its sender allows, 50000"):
        payments.redeem(rail, 4, signature, most_gas=50_000)
    payments.redeem(rail, 4, signature, most_gas=500_000)
    assert payments.rail(rail).paid == 4


def test_refusals_are_typed_and_name_the_call(ledger: Ledger) -> None:
    with pytest.raises(RefusedError, match=r"payments\.rail was refused: payments: no such rail"):
        ledger.payments.rail(10**6)
    with pytest.raises(RefusedError, match=r"storage\.close was refused: storage: "):
        ledger.storage.close(10**6)
    with pytest.raises(InsufficientFundsError, match=r"holds [\d,.]+ tokens") as caught:
        ledger.payments.withdraw(ledger.token.address, address(5), 10**40)
    assert "deposit" in caught.value.remedy
    with pytest.raises(NotFoundError, match="no function fly"):
        ledger.call("token", "fly", ())
    with pytest.raises(IntegrityError, match="no contract 'mailbox'"):
        ledger.call("mailbox", "count", ())


def test_writing_needs_a_key_and_coins(network: Network, tmp_path: Path, key: Key) -> None:
    with (
        Ledger.open(network, state=tmp_path, key=None) as reader,
        pytest.raises(AccessError, match=r"token\.burn needs a key"),
    ):
        reader.token.burn(1)
    with (
        Ledger.open(network, state=tmp_path, key=key) as poor,
        pytest.raises(InsufficientFundsError, match="has 0 coins"),
    ):
        poor.token.approve(address(1), 1)


def test_a_tag_makes_a_write_happen_once(ledger: Ledger) -> None:
    payee = address(next(NUMBERS))
    first = ledger.transfer(payee, 5, tag="rent")
    assert ledger.transfer(payee, 5, tag="rent") == first
    assert ledger.balance(payee) == 5
    assert ledger.recover() == 0


def test_time_follows_a_moved_chain_and_an_idle_one(ledger: Ledger) -> None:
    wall = SystemClock()
    before = ledger.now() - wall.now()
    ledger.rpc.request("evm_increaseTime", 900)
    ledger._clock.forget()
    assert 895 <= ledger.now() - wall.now() - before <= 905
    block = ledger.transfer(address(next(NUMBERS)), 1)
    assert abs(block.time - ledger.now()) <= 3
    assert ledger.head().number >= block.block


def test_a_beacon_round_needs_no_other_traffic(ledger: Ledger) -> None:
    beacon = ledger.beacon
    start = beacon.period_start(beacon.period_of(ledger.now()) + 1)
    ledger.rpc.request("evm_increaseTime", start - ledger.now())
    ledger._clock.forget()
    period = beacon.period_of(ledger.now())
    beacon.fix(period)
    target = beacon.fixed_block(period)
    until(lambda: ledger.head().number >= target, "the chain rests before the block of the beacon")
    round_index = beacon.store(period).one("Stored").number("round")
    assert beacon.round(round_index).period == period
    assert beacon.round_of(period) == round_index
    assert beacon.round_of(period + 1) is None


def test_the_index_follows_a_real_reorganisation(ledger: Ledger) -> None:
    payee = address(next(NUMBERS))
    ledger.token.transfer(payee, 1)
    kept = ledger.head().number
    ledger.token.transfer(payee, 2)
    ledger.index.sync()
    arrived = {"receiver": payee}
    assert ledger.index.count("token", "Transfer", where=arrived) == 2
    ledger.rpc.request("anvil_reorg", ledger.head().number - kept)
    ledger.index.sync()
    (event,) = ledger.index.events("token", "Transfer", where=arrived)
    assert (event.number("value"), event.block) == (1, kept)
    assert event.time == ledger.rpc.header(kept).time
    assert ledger.index.rollbacks() == 1
    assert ledger.token.balance_of(payee) == 1


def test_opening_elsewhere_is_refused(network: Network, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="on chain 31337, the network on 5"):
        Ledger.open(replace(network, chain_id=5), state=tmp_path, key=None)
    missing = {**network.contracts, "governor": address(0x404)}
    with pytest.raises(IntegrityError, match="has no contract at"):
        Ledger.open(replace(network, contracts=missing), state=tmp_path, key=None)
    with pytest.raises(UnavailableError, match="no RPC answered"):
        Ledger.open(
            replace(network, rpc_urls=("http://127.0.0.1:9",)),
            state=tmp_path,
            key=None,
            sleep=lambda _: None,
        )

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from freehold.domain.errors import RefusedError, UsageError
from freehold.domain.ids import checksum
from freehold.domain.money import UNIT
from freehold.ledger.values import Receipt
from freehold.node.refusals import PaymentRequiredError
from freehold.node.store import Held
from freehold.node.vouchers import (
    GAS_WORTH,
    PREPAID,
    RAIL_SECONDS,
    REDEEM_GAS,
    SHUNNED,
    USUAL_GAS,
    Till,
    parse_voucher,
)
from unit.node.test_store import put
from unit.node.world import CLIENT, NODE, STRANGER, WATCHER, World, make, network, sign_voucher

DATA = bytes(range(200)) * 5


@pytest.fixture
def held(world: World) -> Held:
    return world.node.store.find(put(world, DATA).cid)


def price(world: World) -> int:
    return world.node.settings.retrieval_price


def cheque(world: World, amount: int, *, rail: int = 7) -> str:
    return sign_voucher(world.network, STRANGER, rail, amount)


def read(world: World, held: Held, length: int, voucher: str | None) -> None:
    world.node.till.admit(STRANGER.address, held, length=length, voucher=voucher)


def test_a_cheque_pays_for_as_many_bytes_as_it_is_worth(world: World, held: Held) -> None:
    world.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    read(world, held, 60, cheque(world, price(world) * 100))
    read(world, held, 40, cheque(world, price(world) * 100))
    with pytest.raises(PaymentRequiredError) as caught:
        read(world, held, 1, cheque(world, price(world) * 100))
    assert caught.value.terms["due"] == str(price(world) * 101)
    assert caught.value.terms["signed"] == str(price(world) * 100)
    assert caught.value.terms["signature"] == cheque(world, price(world) * 100).split(":")[2]
    read(world, held, 1, cheque(world, price(world) * 101))
    read(world, held, 1, cheque(world, price(world) * 102))


def test_an_old_cheque_never_lowers_what_is_kept(world: World, held: Held) -> None:
    world.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    read(world, held, 10, cheque(world, price(world) * 100))
    read(world, held, 10, cheque(world, price(world) * 20))
    assert [d.voucher.amount for d in world.node.till.dues()] == [price(world) * 100]


def test_what_was_kept_survives_a_restart(tmp_path: Path) -> None:
    world = make(tmp_path / "home")
    held = world.node.store.find(put(world, DATA).cid)
    world.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    read(world, held, 10, cheque(world, price(world) * 10))
    world.node.close()
    again = make(tmp_path / "home")
    again.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    with pytest.raises(PaymentRequiredError):
        read(again, held, 10, cheque(again, price(world) * 10))
    again.node.treasury.redeem(everything=True)
    assert again.chain.payments.redeemed == [(7, price(world) * 10)]
    assert again.node.till.dues() == []
    again.node.close()


def test_bytes_not_taken_are_given_back(world: World, held: Held) -> None:
    world.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    ticket = world.node.till.admit(
        STRANGER.address, held, length=100, voucher=cheque(world, price(world) * 100)
    )
    world.node.till.give_back(ticket, 30)
    read(world, held, 30, cheque(world, price(world) * 100))
    with pytest.raises(PaymentRequiredError):
        read(world, held, 1, cheque(world, price(world) * 100))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"payer": CLIENT.address}, "paid by"),
        ({"payee": NODE.address}, "pays"),
        ({"market": checksum(b"\x05" * 20)}, "voucher rail"),
        ({"token": checksum(b"\x05" * 20)}, "voucher rail"),
        ({"end_at": 1}, "closed"),
        ({"fixed": 1}, "collateral"),
    ],
)
def test_a_rail_that_cannot_pay_is_named(
    world: World, held: Held, change: dict[str, object], word: str
) -> None:
    rails = world.chain.payments
    rails.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    rails.rails[7] = replace(rails.rails[7], **change)  # type: ignore[arg-type]
    with pytest.raises(PaymentRequiredError, match=word):
        read(world, held, 10, cheque(world, price(world) * 10))
    assert world.node.till.dues() == []


def test_a_foreign_or_forged_signature_does_not_pay(world: World, held: Held) -> None:
    world.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    amount = price(world) * 10
    foreign = sign_voucher(network(network_id=b"\x08" * 32), STRANGER, 7, amount)
    forged = sign_voucher(world.network, CLIENT, 7, amount)
    for voucher in (foreign, forged):
        with pytest.raises(PaymentRequiredError, match="not signed by"):
            read(world, held, 10, voucher)
    with pytest.raises(RefusedError):
        read(world, held, 10, cheque(world, amount, rail=8))


def test_paid_collateral_counts(world: World, held: Held) -> None:
    rails = world.chain.payments
    rails.open_voucher(7, STRANGER.address, collateral=price(world) * 10)
    rails.rails[7] = replace(rails.rails[7], paid=price(world) * 90)
    with pytest.raises(PaymentRequiredError):  # what was paid before was for other bytes
        read(world, held, 10, cheque(world, price(world) * 90))
    read(world, held, 10, cheque(world, price(world) * 100))
    with pytest.raises(PaymentRequiredError, match="collateral"):
        read(world, held, 1, cheque(world, price(world) * 101))


def test_the_gas_of_redeeming_is_that_of_the_table() -> None:
    table = json.loads((Path(__file__).parents[3] / "docs/reference/gas.json").read_text())
    assert f'"redeem, first", "gas": {USUAL_GAS},' in json.dumps(table)


def test_a_voucher_worth_less_than_its_gas_waits(world: World, held: Held) -> None:
    """Nobody drains a node's gas by signing one unit more each time."""
    rails, treasury, till = world.chain.payments, world.node.treasury, world.node.till
    world.chain.wei_per_gas = 10**9
    rails.open_voucher(7, STRANGER.address, collateral=10**18)
    read(world, held, 10, cheque(world, price(world) * 10))
    treasury.redeem(everything=False)  # it is the usual time
    assert rails.redeemed == []
    enough = next(n for n in range(10**13, 10**16, 10**13) if till.pays_its_gas(n))
    read(world, held, 10, cheque(world, enough))
    treasury.redeem(everything=False)
    assert rails.redeemed == [(7, enough)]


def test_a_closing_rail_is_redeemed_at_once(world: World, held: Held) -> None:
    rails, treasury = world.chain.payments, world.node.treasury
    rails.open_voucher(7, STRANGER.address, collateral=price(world) * 1000)
    treasury.settle()  # the usual time is far off
    read(world, held, 10, cheque(world, price(world) * 10))
    treasury.redeem(everything=False)
    assert rails.redeemed == []
    rails.rails[7] = replace(rails.rails[7], end_at=world.clock.now() + 100)
    treasury.redeem(everything=False)
    assert rails.redeemed == [(7, price(world) * 10)]
    world.clock.time += RAIL_SECONDS
    with pytest.raises(PaymentRequiredError, match="closed"):
        read(world, held, 10, cheque(world, price(world) * 20))


def test_a_watchers_allowance_is_bounded(tmp_path: Path) -> None:
    world = make(tmp_path / "home", watcher_allowance=1500)
    held = world.node.store.find(put(world, DATA).cid)
    till: Till = world.node.till
    ticket = till.admit(WATCHER.address, held, length=1000, voucher=None)
    with pytest.raises(PaymentRequiredError):
        till.admit(WATCHER.address, held, length=1000, voucher=None)
    till.give_back(ticket, 600)
    till.admit(WATCHER.address, held, length=1000, voucher=None)
    world.node.close()


def test_a_free_node_asks_nothing(tmp_path: Path) -> None:
    world = make(tmp_path / "home", retrieval_price=0)
    held = world.node.store.find(put(world, DATA).cid)
    assert world.node.till.admit(STRANGER.address, held, length=1000, voucher=None).rail == 0
    world.node.close()


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 400)), max_size=12))
@hypothesis_settings(max_examples=25, deadline=None)
def test_nobody_reads_more_than_was_signed_for(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int]]
) -> None:
    world = make(tmp_path_factory.mktemp("till") / "home")
    held = world.node.store.find(put(world, DATA).cid)
    world.chain.payments.open_voucher(7, STRANGER.address, collateral=price(world) * 300)
    got = best = 0
    for length, worth in requests:
        try:
            read(world, held, length, cheque(world, price(world) * worth))
        except PaymentRequiredError:
            continue
        got, best = got + length, max(best, worth)
    assert got <= best <= 300
    world.node.close()


@pytest.mark.parametrize("header", ["", "1:2", "1:2:0x00", "a:1:0x" + "0" * 130, "1:-2:0x"])
def test_a_malformed_voucher_is_refused(header: str) -> None:
    with pytest.raises(UsageError):
        parse_voucher(header)


# --- contract wallets ----------------------------------------------------------------------------

WALLET = checksum(b"\x99" * 20)


def wallet_read(world: World, held: Held, length: int, amount: int) -> None:
    voucher = sign_voucher(world.network, CLIENT, 7, amount)
    world.node.till.admit(WALLET, held, length=length, voucher=voucher)


def least(world: World) -> int:
    """What a contract wallet must pay at once."""
    gas = GAS_WORTH * REDEEM_GAS * world.chain.wei_per_gas * world.node.settings.coin // UNIT
    return max(PREPAID * price(world), gas)


def wallet_rail(world: World, *, collateral: int) -> None:
    world.chain.wallets[WALLET] = CLIENT.address
    world.chain.payments.open_voucher(7, WALLET, collateral=collateral)


def test_a_contract_wallets_voucher_is_redeemed_before_it_counts(world: World, held: Held) -> None:
    ahead = least(world) * 5 // 4
    wallet_rail(world, collateral=3 * ahead)
    with pytest.raises(PaymentRequiredError) as caught:
        wallet_read(world, held, 100, 100 * price(world))
    assert caught.value.terms["due"] == str(ahead)
    assert world.chain.payments.redeemed == []
    wallet_read(world, held, 100, ahead)
    assert world.chain.payments.redeemed == [(7, ahead)]
    wallet_read(world, held, 100, ahead)
    assert world.chain.payments.redeemed == [(7, ahead)], "paid ahead: nothing new to redeem"
    assert world.node.till.dues() == []


def test_what_a_wallet_paid_is_read_and_not_more(world: World, held: Held) -> None:
    length = least(world) // price(world) + 1
    wallet_rail(world, collateral=5 * length * price(world))
    for _ in range(5):
        wallet_read(world, held, length, 5 * length * price(world))
    with pytest.raises(PaymentRequiredError):
        wallet_read(world, held, 1, 5 * length * price(world))
    assert world.chain.payments.redeemed == [(7, 5 * length * price(world))]


def test_a_voucher_that_the_wallet_does_not_take_pays_nothing(world: World, held: Held) -> None:
    wallet_rail(world, collateral=PREPAID * price(world))
    world.chain.wallets[WALLET] = STRANGER.address
    with pytest.raises(PaymentRequiredError, match="was not signed by"):
        wallet_read(world, held, 1, PREPAID * price(world))
    assert world.chain.payments.redeemed == []


def test_a_wallet_that_takes_its_signature_back_reads_nothing(world: World, held: Held) -> None:
    wallet_rail(world, collateral=9 * least(world))
    asked = []

    def refuse(rail: int, amount: int, signature: bytes, *, most_gas: int = 0) -> Receipt:
        asked.append(amount)
        raise RefusedError("payments: wrong voucher", remedy="-")

    world.chain.payments.redeem = refuse  # type: ignore[method-assign]
    for amount in (least(world), 2 * least(world)):
        with pytest.raises(PaymentRequiredError, match="could not be redeemed"):
            wallet_read(world, held, 1, amount)
    assert asked == [least(world)], "a failure costs this node gas: not again for a while"
    world.clock.time += SHUNNED
    with pytest.raises(PaymentRequiredError, match="wrong voucher"):
        wallet_read(world, held, 1, 2 * least(world))
    assert world.node.till.dues() == []


def test_a_wallet_with_little_collateral_costs_no_gas(world: World, held: Held) -> None:
    pay = world.chain.payments
    wallet_rail(world, collateral=price(world))
    for amount in range(1, 5):
        with pytest.raises(PaymentRequiredError, match="for the gas") as caught:
            wallet_read(world, held, 1, amount * price(world))
        assert "collateral" in caught.value.remedy
        pay.rails[7] = replace(pay.rails[7], fixed=pay.rails[7].fixed + price(world))
        world.clock.time += RAIL_SECONDS + 1
    assert pay.redeemed == []


def test_what_a_wallet_pays_at_once_follows_the_price_of_gas_and_of_a_coin(tmp_path: Path) -> None:
    world = make(tmp_path / "home", coin=3 * UNIT)
    held = world.node.store.find(put(world, DATA).cid)
    world.chain.wei_per_gas = 10**10
    need = GAS_WORTH * REDEEM_GAS * 10**10 * 3
    assert least(world) == need > PREPAID * price(world)
    wallet_rail(world, collateral=2 * need)
    with pytest.raises(PaymentRequiredError):
        wallet_read(world, held, 1, need - 1)
    wallet_read(world, held, 1, need)
    world.chain.wei_per_gas = 0
    world.clock.time += RAIL_SECONDS
    free = need + PREPAID * price(world)
    wallet_read(world, held, need // price(world), free)
    assert world.chain.payments.redeemed == [(7, need), (7, free)]
    world.node.close()


def test_a_redemption_that_takes_too_much_gas_is_not_sent(world: World, held: Held) -> None:
    wallet_rail(world, collateral=least(world))
    world.chain.payments.redeem_gas = REDEEM_GAS + 1
    with pytest.raises(PaymentRequiredError, match="needs 500001 gas") as caught:
        wallet_read(world, held, 1, least(world))
    assert "own key" in caught.value.remedy
    assert world.chain.payments.redeemed == []


def test_a_voucher_that_cannot_pay_for_the_read_is_not_redeemed(world: World, held: Held) -> None:
    length = least(world) // price(world) + 2
    wallet_rail(world, collateral=9 * least(world))
    with pytest.raises(PaymentRequiredError) as caught:
        wallet_read(world, held, length, least(world))
    assert world.chain.payments.redeemed == []
    wallet_read(world, held, length, int(caught.value.terms["due"]))


def test_what_was_paid_before_a_crash_is_read_after_it(world: World, held: Held) -> None:
    wallet_rail(world, collateral=least(world))
    redeem, pay = world.chain.payments.redeem, world.chain.payments

    def crash(rail: int, amount: int, signature: bytes, *, most_gas: int = 0) -> Receipt:
        redeem(rail, amount, signature, most_gas=most_gas)
        raise KeyboardInterrupt

    pay.redeem = crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        wallet_read(world, held, 1, least(world))
    world.clock.time += RAIL_SECONDS
    wallet_read(world, held, least(world) // price(world), least(world))
    assert world.node.till.dues() == []


def test_an_account_that_becomes_a_wallet_still_owes_what_its_key_signed(
    world: World, held: Held
) -> None:
    pay, more = world.chain.payments, 2 * least(world)
    pay.open_voucher(7, STRANGER.address, collateral=more)
    read(world, held, 1, cheque(world, more))
    world.chain.wallets[STRANGER.address] = CLIENT.address
    read(world, held, 1, sign_voucher(world.network, CLIENT, 7, least(world)))
    assert [due.voucher.amount for due in world.node.till.dues()] == [more]

"""Vouchers: cumulative signed amounts against collateral, with a delay before it goes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account import Account as EthAccount

from contracts.evm import NETWORK_ID, ZERO, Outcome, Signer, typed_data
from contracts.world import (
    RATE_UNIT,
    VOUCHER,
    Puppet,
    World,
    alice,
    bob,
    carol,
    mallory,
    refused,
)

HELD = 10_000
DELAY = 86_400
MAGIC = bytes.fromhex("1626ba7e")


@pytest.fixture
def rich(world: World) -> World:
    """Alice has HELD in her account."""
    world.deposit(alice, HELD)
    return world


@pytest.fixture
def rail(rich: World) -> int:
    """Alice's voucher rail to Bob with 1,000 of collateral."""
    return open_voucher(rich, 1_000)


def open_voucher(world: World, collateral: int) -> int:
    opened = world.payments.send(
        "open_voucher", world.token.address, bob.address, collateral, sender=alice.address
    )
    return int(opened.value)


def sign(
    world: World, rail: int, amount: int, by: Signer = alice, network_id: bytes = NETWORK_ID
) -> bytes:
    domain = world.payments.domain(network_id=network_id)
    return by.sign(domain, VOUCHER, {"rail": rail, "amount": amount})


def redeem(world: World, rail: int, amount: int, signature: bytes | None = None) -> Outcome:
    signed = sign(world, rail, amount) if signature is None else signature
    return world.payments.send("redeem", rail, amount, signed, sender=mallory.address)


def nothing_works(world: World, rail: int, reason: str) -> None:
    """Whatever is done with a voucher is refused for that reason."""
    acts: list[Callable[[], object]] = [
        lambda: redeem(world, rail, 200),
        lambda: world.payments.send("finish_voucher", rail, sender=alice.address),
        lambda: world.payments.send("close_voucher", rail, sender=alice.address),
        lambda: world.payments.send("add_collateral", rail, 1, sender=alice.address),
    ]
    for act in acts:
        with refused(reason):
            act()


def lockup(world: World) -> int:
    return int(world.payments.call("account", world.token.address, alice.address).lockup)


def test_opening_locks_the_collateral(rich: World) -> None:
    done = rich.payments.send(
        "open_voucher", rich.token.address, bob.address, 1_000, sender=alice.address
    )
    assert dict(done.one("VoucherOpened").args) == {
        "rail": 1,
        "payer": alice.address,
        "payee": bob.address,
        "token": rich.token.address,
        "collateral": 1_000,
    }
    stored = rich.payments.call("rail", 1)
    assert (stored.market, stored.rate, stored.fixed) == (ZERO, 0, 1_000)
    assert stored.lockup_period == DELAY
    assert lockup(rich) == 1_000 * RATE_UNIT
    with refused("payments: too little free funds"):
        rich.payments.send(
            "open_voucher", rich.token.address, bob.address, HELD - 999, sender=alice.address
        )
    with refused("payments: no collateral"):
        open_voucher(rich, 0)
    with refused("payments: terms out of bounds"):
        open_voucher(rich, 2**120 + 1)
    with refused("payments: wrong recipient"):
        rich.payments.send("open_voucher", rich.token.address, ZERO, 1, sender=alice.address)


def test_redeeming_is_cumulative_and_bears_the_cumulative_fee(rich: World, rail: int) -> None:
    event = redeem(rich, rail, 300).one("VoucherRedeemed")
    assert (event.rail, event.amount, event.paid, event.fee) == (rail, 300, 300, 1)
    assert rich.funds(bob.address) == 299
    done = redeem(rich, rail, 400)
    assert done.value == 100
    event = done.one("VoucherRedeemed")
    assert (event.amount, event.paid, event.fee) == (400, 100, 1)
    stored = rich.payments.call("rail", rail)
    assert (stored.paid, stored.fee, stored.fixed) == (400, 2, 600)
    assert lockup(rich) == 600 * RATE_UNIT
    assert rich.funds(alice.address) == HELD - 400
    for amount in (400, 399):
        with refused("payments: nothing new"):
            redeem(rich, rail, amount)
    assert redeem(rich, rail, 401).value == 1


def test_a_voucher_beyond_the_collateral_pays_what_is_there(rich: World, rail: int) -> None:
    assert redeem(rich, rail, 5_000).value == 1_000
    with refused("payments: no collateral left"):
        redeem(rich, rail, 5_000)
    with refused("payments: not the payer"):
        rich.payments.send("add_collateral", rail, 500, sender=bob.address)
    with refused("payments: no collateral"):
        rich.payments.send("add_collateral", rail, 0, sender=alice.address)
    with refused("payments: too little free funds"):
        rich.payments.send("add_collateral", rail, HELD - 999, sender=alice.address)
    done = rich.payments.send("add_collateral", rail, 500, sender=alice.address)
    assert done.one("VoucherOpened").collateral == 500
    assert lockup(rich) == 500 * RATE_UNIT
    assert redeem(rich, rail, 5_000).value == 500
    assert lockup(rich) == 0


def test_signatures_are_the_payers_for_this_rail_and_network(rich: World, rail: int) -> None:
    other = open_voucher(rich, 1_000)
    good = sign(rich, rail, 300)
    for signature in (
        sign(rich, rail, 300, by=bob),
        sign(rich, other, 300),
        sign(rich, rail, 301),
        sign(rich, rail, 300, network_id=b"\5" * 32),
        good[:64],
        good + b"\0",
        b"",
    ):
        with refused("payments: wrong signature"):
            redeem(rich, rail, 300, signature)
    assert redeem(rich, rail, 300, good).value == 300


def test_a_contract_payer_answers_by_erc1271(rich: World) -> None:
    wallet = rich.puppet()
    rich.payments.send("send", rich.token.address, wallet.address, 1_000, 3, sender=alice.address)
    rail = wallet.act(rich.payments, "open_voucher", rich.token.address, bob.address, 1_000).value
    for answer in (b"\0\0\0\0", MAGIC[:3] + b"\0"):
        wallet.contract.send("set_signature", answer, sender=alice.address)
        with refused("payments: wrong voucher"):
            redeem(rich, rail, 10, b"\1" * 200)
    wallet.contract.send("set_signature", MAGIC, sender=alice.address)
    assert redeem(rich, rail, 10, b"\1" * 200).value == 10
    assert redeem(rich, rail, 20, b"").value == 10


def test_the_collateral_goes_back_after_the_delay(rich: World, rail: int) -> None:
    with refused("payments: voucher is open"):
        rich.payments.send("finish_voucher", rail, sender=mallory.address)
    with refused("payments: not the payer"):
        rich.payments.send("close_voucher", rail, sender=bob.address)
    event = rich.payments.send("close_voucher", rail, sender=alice.address).one("VoucherClosing")
    assert (event.rail, event.ready_at) == (rail, rich.chain.now + DELAY)
    assert rich.payments.call("rail", rail).end_at == event.ready_at
    with refused("payments: voucher is closing"):
        rich.payments.send("close_voucher", rail, sender=alice.address)
    with refused("payments: voucher is closing"):
        rich.payments.send("add_collateral", rail, 1, sender=alice.address)
    rich.chain.warp(DELAY - 1)
    redeem(rich, rail, 100)
    with refused("payments: too early"):
        rich.payments.send("finish_voucher", rail, sender=mallory.address)
    rich.chain.warp(1)
    redeem(rich, rail, 150)
    done = rich.payments.send("finish_voucher", rail, sender=mallory.address)
    assert (done.one("VoucherClosed").rail, done.one("VoucherClosed").refund) == (rail, 850)
    assert done.one("RailClosed").rail == rail
    assert lockup(rich) == 0
    rich.payments.send(
        "withdraw", rich.token.address, alice.address, HELD - 150, sender=alice.address
    )
    nothing_works(rich, rail, "payments: voucher is closed")


def test_a_voucher_keeps_the_delay_of_its_opening(rich: World, rail: int) -> None:
    rich.setup(rich.payments, "set_delays", 60, 60)
    event = rich.payments.send("close_voucher", rail, sender=alice.address).one("VoucherClosing")
    assert event.ready_at == rich.chain.now + DELAY


def test_a_voucher_is_no_rail_of_a_market(rich: World, rail: int) -> None:
    market: Puppet = rich.market()
    acts: list[Callable[[], object]] = [
        lambda: rich.payments.send("settle", rail, sender=alice.address),
        lambda: rich.payments.send("end_rail", rail, sender=alice.address),
        lambda: rich.payments.send("force_close", rail, sender=alice.address),
        lambda: market.act(rich.payments, "stop_rail", rail, 0),
        lambda: market.act(rich.payments, "modify_rail", rail, 0, 0),
        lambda: market.act(rich.payments, "pay_fixed", rail, carol.address, 1, 3),
    ]
    for act in acts:
        with refused("payments: a voucher"):
            act()


def test_a_rail_of_a_market_is_no_voucher(rich: World) -> None:
    market = rich.market()
    rich.payments.send(
        "approve_market", rich.token.address, market.address, 0, 100, sender=alice.address
    )
    rail = market.act(
        rich.payments, "open_rail", rich.token.address, alice.address, bob.address, 0, 0, 100
    ).value
    nothing_works(rich, rail, "payments: not a voucher")


def test_collateral_can_be_added_while_rails_run(rich: World, rail: int) -> None:
    market = rich.market()
    rich.payments.send(
        "approve_market", rich.token.address, market.address, RATE_UNIT, 0, sender=alice.address
    )
    market.act(
        rich.payments,
        "open_rail",
        rich.token.address,
        alice.address,
        bob.address,
        RATE_UNIT,
        10,
        0,
    )
    rich.chain.warp(100)
    rich.payments.send("add_collateral", rail, HELD - 1_000 - 110, sender=alice.address)
    rich.chain.warp(1)
    with refused("payments: account in arrears"):
        rich.payments.send("add_collateral", rail, 1, sender=alice.address)
    assert redeem(rich, rail, 900).value == 900


@pytest.mark.parametrize("extra", [0, 1])
def test_the_upper_half_of_s_is_refused(rich: World, extra: int) -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = b"\1" * 32 + (order // 2 + extra).to_bytes(32, "big") + bytes([27])
    signable = typed_data(rich.payments.domain(), VOUCHER, {"rail": 1, "amount": 5})
    # Whoever this signature belongs to; nobody knows the key, and the chain here asks for none.
    payer = str(EthAccount.recover_message(signable, signature=signature)).lower()
    rich.payments.send("send", rich.token.address, payer, 10, 3, sender=alice.address)
    rail = rich.payments.send(
        "open_voucher", rich.token.address, bob.address, 10, sender=payer
    ).value
    assert rail == 1
    if extra:
        with refused("payments: wrong signature"):
            redeem(rich, rail, 5, signature)
    else:
        assert redeem(rich, rail, 5, signature).value == 5

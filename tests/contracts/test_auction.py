"""The auction of fees in foreign tokens: what it asks, what it burns, and tokens that misbehave."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.evm import ZERO, Chain, Contract, Outcome, Struct
from contracts.world import (
    MAX,
    TOKEN,
    World,
    alice,
    bob,
    carol,
    deploy_world,
    mallory,
    refused,
)
from freehold.economics.pricing import FACTOR_BPS_MAX, HALF_LIFE_MAX, PRICE_MAX

LEAST = TOKEN
OPENING = 1_000 * TOKEN
HALF_LIFE = 3_600
FACTOR_BPS = 20_000
TERMS = (LEAST, OPENING, HALF_LIFE, FACTOR_BPS)
RICH = 10**6 * TOKEN


def deploy(world: World, *terms: int) -> Contract:
    """An auction of those terms, with two rich buyers who approved it."""
    made = world.chain.deploy(
        "auction", world.token.address, *(terms or TERMS), sender=alice.address
    )
    for buyer in (alice, bob):
        world.fund(buyer.address, RICH)
        world.token.send("approve", made.address, MAX, sender=buyer.address)
    return made


def buy(auction: Contract, token: Contract, amount: int, **changed: Any) -> Outcome:
    """Alice buys for carol, at any price, unless it is said otherwise."""
    wanted = {
        "to": carol.address,
        "max_price": MAX,
        "min_received": 0,
        "deadline": auction.chain.now,
        "sender": alice.address,
        **changed,
    }
    sender = wanted.pop("sender")
    return auction.send("buy", token.address, amount, *wanted.values(), sender=sender)


def bring(auction: Contract, token: Contract, amount: int) -> None:
    """Goods arrive and are put on offer."""
    token.send("mint", auction.address, amount, sender=alice.address)
    auction.send("take_in", token.address, sender=mallory.address)


def lot(auction: Contract, token: Contract) -> Struct:
    found: Struct = auction.call("lot", token.address)
    return found


@pytest.fixture
def auction(world: World) -> Contract:
    return deploy(world)


@pytest.fixture
def goods(world: World) -> Contract:
    return world.foreign()


# The price


def test_a_first_lot_asks_the_opening_and_half_of_it_a_half_life_later(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 640)
    assert (lot(auction, goods).held, lot(auction, goods).ask) == (640, OPENING)
    assert auction.call("price_of", goods.address, 64) == OPENING // 10
    auction.chain.warp(HALF_LIFE)
    assert auction.call("price_of", goods.address, 64) == OPENING // 20
    auction.chain.warp(HALF_LIFE // 2)
    root = OPENING * 2**-1.5
    assert lot(auction, goods).ask == pytest.approx(root, rel=1e-12)


def test_a_sale_burns_what_it_costs_and_hands_over_the_goods(
    world: World, auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 640)
    supply = world.token.call("totalSupply")
    done = buy(auction, goods, 64)
    assert done.value == OPENING // 10
    assert world.token.call("totalSupply") == supply - done.value
    assert world.balance(alice.address) == RICH - done.value
    assert world.balance(auction.address) == 0
    assert goods.call("balanceOf", carol.address) == 64
    sold = done.one("Sold")
    assert (sold.token, sold.buyer, sold.to) == (goods.address, alice.address, carol.address)
    assert (sold.amount, sold.paid, sold.received) == (64, done.value, 64)
    assert (sold.held, sold.ask) == (576, lot(auction, goods).ask)
    burned, out = done.named("Movement")
    assert (burned.token, burned.sender, burned.amount, burned.purpose) == (
        world.token.address,
        alice.address,
        done.value,
        6,
    )
    assert (out.token, out.sender, out.recipient, out.amount, out.purpose) == (
        goods.address,
        auction.address,
        carol.address,
        64,
        5,
    )


def test_a_sale_raises_the_unit_price_of_the_rest_by_its_share(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 1_000)
    auction.chain.warp(HALF_LIFE)
    before = auction.call("price_of", goods.address, 100)
    buy(auction, goods, 500)
    assert auction.call("price_of", goods.address, 100) == before * 3 // 2
    buy(auction, goods, 100)
    assert auction.call("price_of", goods.address, 100) == before * 3 // 2 * 6 // 5


def test_repeated_buys_in_a_block_each_pay_more(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 1_000)
    auction.chain.warp(HALF_LIFE)
    one = auction.call("price_of", goods.address, 1_000)
    paid = [buy(auction, goods, 100).value for _ in range(10)]
    assert paid == sorted(set(paid))
    assert sum(paid) > one
    assert lot(auction, goods) == {"held": 0, "ask": 0, "since": auction.chain.now}


def test_what_comes_next_enters_at_a_multiple_of_the_last_sale(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 1_000)
    auction.chain.warp(4 * HALF_LIFE)
    buy(auction, goods, 1_000)
    assert auction.call("last_sale", goods.address) == {"amount": 1_000, "price": OPENING // 16}
    auction.chain.warp(100 * HALF_LIFE)
    bring(auction, goods, 3_000)
    assert lot(auction, goods).ask == 2 * 3 * OPENING // 16


def test_a_large_fee_is_not_sold_for_what_a_rest_had_fallen_to(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 1_000)
    auction.chain.warp(4 * HALF_LIFE)
    buy(auction, goods, 999)
    auction.chain.warp(50 * HALF_LIFE)
    assert lot(auction, goods).ask == LEAST
    goods.send("mint", auction.address, 1_000, sender=mallory.address)
    # A unit was sold for OPENING / 16 / 1,000 and new ones enter at twice that.
    assert buy(auction, goods, 1_000).value >= OPENING // 8 * 1_000 // 1_001


def test_a_crumb_that_arrives_hardly_moves_the_price(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 10**6)
    auction.chain.warp(6 * HALF_LIFE)
    before = lot(auction, goods).ask
    bring(auction, goods, 1)
    assert 0 < lot(auction, goods).ask - before <= OPENING // 10**6 + 2


def test_crumbs_do_not_hold_a_price_up_whatever_was_paid_for_one(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 1)
    buy(auction, goods, 1)
    assert auction.call("last_sale", goods.address) == {"amount": 1, "price": OPENING}
    bring(auction, goods, 10**18)
    for number in range(1, 10):
        auction.chain.warp(HALF_LIFE)
        bring(auction, goods, 1)
        assert lot(auction, goods).ask == pytest.approx(OPENING / 2**number)


def test_a_contract_buys_for_itself(world: World, auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 10)
    puppet = world.puppet()
    world.fund(puppet.address, OPENING)
    puppet.act(world.token, "approve", auction.address, OPENING)
    done = puppet.act(auction, "buy", goods.address, 10, puppet.address, OPENING, 10, MAX)
    assert done.one("Sold").buyer == puppet.address
    assert goods.call("balanceOf", puppet.address) == 10
    assert world.balance(puppet.address) == 0
    assert world.balance(alice.address) == RICH


def test_a_lot_falls_to_the_least_and_no_further(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 7)
    auction.chain.warp(1_000 * HALF_LIFE)
    assert lot(auction, goods).ask == LEAST
    with refused("auction: less than the least sale"):
        buy(auction, goods, 6)
    assert buy(auction, goods, 7).value == LEAST


def test_no_lot_asks_more_than_the_opening(auction: Contract, goods: Contract) -> None:
    for amount in (1, 10**18, 5, 10**30):
        bring(auction, goods, amount)
        assert lot(auction, goods).ask <= OPENING
    buy(auction, goods, 10**30)
    bring(auction, goods, 10**33)
    assert lot(auction, goods).ask == OPENING


def test_no_rest_asks_more_than_the_opening(world: World) -> None:
    auction, goods = deploy(world, LEAST, OPENING, HALF_LIFE, 100_000), world.foreign()
    bring(auction, goods, 100)
    buy(auction, goods, 10)
    assert lot(auction, goods).ask == OPENING
    assert auction.call("price_of", goods.address, 9) == OPENING // 10


def test_a_dust_lot_tells_the_next_price_no_more_than_goods_enter_at(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 10**6)
    auction.chain.warp(3 * HALF_LIFE)
    buy(auction, goods, 10**6)
    bring(auction, goods, 1)
    assert buy(auction, goods, 1).value == LEAST
    sale = auction.call("last_sale", goods.address)
    assert sale == {"amount": 1, "price": 2 * OPENING // 8 // 10**6}


def test_what_comes_next_is_dearer_by_a_base_unit_at_least(world: World) -> None:
    auction, goods = deploy(world, 1, OPENING, HALF_LIFE, 10_001), world.foreign()
    bring(auction, goods, 1)
    auction.chain.warp(200 * HALF_LIFE)
    assert buy(auction, goods, 1).value == 1
    bring(auction, goods, 1)
    assert lot(auction, goods).ask == 2


def test_a_sale_of_one_base_unit_tells_the_next_price(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 1)
    auction.chain.warp(100 * HALF_LIFE)
    assert buy(auction, goods, 1).value == LEAST
    bring(auction, goods, 3)
    assert lot(auction, goods).ask == 2 * 3 * LEAST


def test_a_price_that_the_least_made_is_taken_where_it_is_lower(
    auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 10)
    buy(auction, goods, 10)
    bring(auction, goods, 10)
    auction.chain.warp(100 * HALF_LIFE)
    assert buy(auction, goods, 10).value == LEAST
    assert auction.call("last_sale", goods.address) == {"amount": 10, "price": LEAST}


def test_a_first_sale_at_the_least_counts_as_it_is(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 10)
    auction.chain.warp(100 * HALF_LIFE)
    buy(auction, goods, 10)
    assert auction.call("last_sale", goods.address) == {"amount": 10, "price": LEAST}


def test_lots_of_two_tokens_know_nothing_of_each_other(
    world: World, auction: Contract, goods: Contract
) -> None:
    other = world.foreign()
    bring(auction, goods, 10)
    bring(auction, other, 10)
    auction.chain.warp(HALF_LIFE)
    buy(auction, goods, 10)
    assert lot(auction, other) == {
        "held": 10,
        "ask": OPENING // 2,
        "since": auction.chain.now,
    }


@pytest.mark.parametrize("decimals", [0, 6, 18, 24])
def test_decimals_make_no_difference(auction: Contract, goods: Contract, decimals: int) -> None:
    unit = 10**decimals
    bring(auction, goods, 100 * unit)
    auction.chain.warp(HALF_LIFE + 1_234)
    paid = buy(auction, goods, 30 * unit).value
    assert paid == pytest.approx(0.3 * OPENING * 2 ** -(1 + 1_234 / HALF_LIFE), rel=1e-12)
    assert lot(auction, goods).ask == pytest.approx(paid * 7 / 3 * 1.3, rel=1e-12)


def test_looking_and_taking_nothing_in_do_not_hold_a_price_up(world: World) -> None:
    auction, goods = deploy(world, 1, 10**6, HALF_LIFE_MAX, FACTOR_BPS), world.foreign()
    bring(auction, goods, 10)
    for _ in range(1_000):
        auction.chain.warp(HALF_LIFE_MAX // 1_000)
        auction.send("take_in", goods.address, sender=mallory.address)
    assert lot(auction, goods).ask == pytest.approx(10**6 // 2, abs=2)


# Refusals


def test_a_buyer_states_limits(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 10)
    price = auction.call("price_of", goods.address, 5)
    with refused("auction: the price is higher"):
        buy(auction, goods, 5, max_price=price - 1)
    with refused("auction: too late"):
        buy(auction, goods, 5, deadline=auction.chain.now - 1)
    with refused("auction: too little received"):
        buy(auction, goods, 5, min_received=6)
    assert buy(auction, goods, 5, max_price=price, min_received=5).value == price


def test_there_must_be_something_to_buy(auction: Contract, goods: Contract) -> None:
    with refused("auction: nothing to buy"):
        buy(auction, goods, 0)
    with refused("auction: more than is held"):
        buy(auction, goods, 1)
    assert auction.send("take_in", goods.address, sender=alice.address).value == 0
    assert lot(auction, goods) == {"held": 0, "ask": 0, "since": auction.chain.now}
    bring(auction, goods, 10)
    with refused("auction: nothing to buy"):
        buy(auction, goods, 0)
    with refused("auction: more than is held"):
        buy(auction, goods, 11)
    with refused("auction: more than is held"):
        auction.call("price_of", goods.address, MAX)


def test_goods_go_to_somebody(auction: Contract, goods: Contract) -> None:
    bring(auction, goods, 10)
    for to in (ZERO, auction.address):
        with refused("auction: wrong recipient"):
            buy(auction, goods, 1, to=to)


def test_a_buyer_without_money_or_consent_gets_nothing(
    world: World, auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 10)
    with refused("token: allowance too low"):
        buy(auction, goods, 1, sender=mallory.address)
    world.token.send("approve", auction.address, MAX, sender=mallory.address)
    with refused("token: balance too low"):
        buy(auction, goods, 1, sender=mallory.address)
    assert lot(auction, goods).held == 10


def test_the_networks_token_is_not_sold(world: World, auction: Contract) -> None:
    world.fund(auction.address, 10)
    for function in ("take_in", "lot"):
        with refused("auction: the network's own token"):
            auction.send(function, world.token.address, sender=alice.address)
    with refused("auction: the network's own token"):
        buy(auction, world.token, 10)
    assert world.balance(auction.address) == 10


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ((0, 1, 1, 20_000), "pricing: lowest out of bounds"),
        ((2, 1, 1, 20_000), "pricing: lowest out of bounds"),
        ((1, PRICE_MAX + 1, 1, 20_000), "pricing: highest out of bounds"),
        ((1, 1, 0, 20_000), "pricing: half-life out of bounds"),
        ((1, 1, HALF_LIFE_MAX + 1, 20_000), "pricing: half-life out of bounds"),
        ((1, 1, 1, FACTOR_BPS_MAX + 1), "pricing: factor out of bounds"),
        ((1, 1, 1, 10_000), "pricing: factor out of bounds"),
    ],
)
def test_terms_out_of_bounds_are_refused(world: World, terms: tuple[int, ...], reason: str) -> None:
    with refused(reason):
        world.chain.deploy("auction", world.token.address, *terms, sender=alice.address)


def test_a_network_token_has_code(chain: Chain) -> None:
    with refused("auction: token has no code"):
        chain.deploy("auction", alice.address, *TERMS, sender=alice.address)


# Bad tokens


def test_a_token_that_answers_nothing_is_sold(world: World, auction: Contract) -> None:
    quiet = world.foreign("quiet")
    bring(auction, quiet, 10)
    assert buy(auction, quiet, 10, min_received=10).one("Sold").received == 10


def test_a_token_that_answers_false_is_not(world: World, auction: Contract) -> None:
    goods = world.foreign()
    bring(auction, goods, 10)
    goods.send("set_mode", 1, sender=alice.address)
    with refused("auction: transfer failed"):
        buy(auction, goods, 10)
    assert world.balance(alice.address) == RICH
    goods.send("set_mode", 0, sender=alice.address)
    buy(auction, goods, 10)


def test_a_token_that_reverts_stops_its_own_sale_alone(
    world: World, auction: Contract, goods: Contract
) -> None:
    shifty = world.foreign("shifty")
    shifty.send("set_balance", auction.address, 10, sender=alice.address)
    shifty.send("set_mode", 1, sender=alice.address)
    with refused("shifty: refused"):
        buy(auction, shifty, 10)
    assert world.balance(alice.address) == RICH
    bring(auction, goods, 10)
    buy(auction, goods, 10)


def test_a_fee_on_transfer_is_the_buyers_and_is_told(world: World, auction: Contract) -> None:
    shifty = world.foreign("shifty")
    shifty.send("set_balance", auction.address, 100, sender=alice.address)
    shifty.send("set_mode", 3, sender=alice.address)
    with refused("auction: too little received"):
        buy(auction, shifty, 50, min_received=46)
    done = buy(auction, shifty, 50, min_received=45)
    assert (done.one("Sold").amount, done.one("Sold").received) == (50, 45)
    assert lot(auction, shifty).held == 50
    shifty.send("set_mode", 2, sender=alice.address)
    with refused("auction: too little received"):
        buy(auction, shifty, 50, min_received=1)


def test_a_fee_on_arrival_leaves_what_arrived(world: World, auction: Contract) -> None:
    goods = world.foreign()
    goods.send("mint", mallory.address, 100, sender=alice.address)
    goods.send("set_mode", 2, sender=alice.address)
    goods.send("transfer", auction.address, 100, sender=mallory.address)
    assert auction.send("take_in", goods.address, sender=alice.address).value == 99


def test_goods_that_vanish_take_their_share_of_the_ask_along(
    world: World, auction: Contract
) -> None:
    shifty = world.foreign("shifty")
    shifty.send("set_balance", auction.address, 100, sender=alice.address)
    done = auction.send("take_in", shifty.address, sender=alice.address)
    arrived = done.one("Arrived")
    assert (arrived.token, arrived.amount, arrived.held, arrived.ask) == (
        shifty.address,
        100,
        100,
        OPENING,
    )
    shifty.send("set_balance", auction.address, 25, sender=alice.address)
    with refused("auction: more than is held"):
        buy(auction, shifty, 26)
    done = auction.send("take_in", shifty.address, sender=alice.address)
    missing = done.one("Missing")
    assert (missing.amount, missing.held, missing.ask) == (75, 25, OPENING // 4)
    assert (done.value, done.named("Arrived")) == (25, [])
    shifty.send("set_balance", auction.address, 0, sender=alice.address)
    auction.send("take_in", shifty.address, sender=alice.address)
    assert lot(auction, shifty) == {"held": 0, "ask": 0, "since": auction.chain.now}
    assert not auction.send("take_in", shifty.address, sender=alice.address).events


def test_a_monstrous_balance_is_sold_in_portions(world: World, auction: Contract) -> None:
    shifty = world.foreign("shifty")
    shifty.send("set_balance", auction.address, MAX, sender=alice.address)
    most = 2**120 - 1
    assert auction.send("take_in", shifty.address, sender=alice.address).value == most
    assert buy(auction, shifty, most).value == OPENING
    assert lot(auction, shifty) == {"held": most, "ask": OPENING, "since": auction.chain.now}


@pytest.mark.parametrize("function", ["take_in", "buy"])
def test_a_token_cannot_call_back(
    world: World, auction: Contract, goods: Contract, function: str
) -> None:
    bring(auction, goods, 10)
    full = (1, carol.address, MAX, 0, MAX) if function == "buy" else ()
    data = auction.data(function, goods.address, *full)
    goods.send("set_callback", auction.address, data, sender=alice.address)
    goods.send("set_mode", 3, sender=alice.address)
    with refused(""):
        buy(auction, goods, 1)


def test_a_token_that_calls_back_sees_the_lot_after_the_sale(
    world: World, auction: Contract, goods: Contract
) -> None:
    bring(auction, goods, 10)
    data = auction.data("price_of", goods.address, 6)
    goods.send("set_callback", auction.address, data, sender=alice.address)
    goods.send("set_mode", 3, sender=alice.address)
    with refused("auction: more than is held"):
        buy(auction, goods, 5)
    buy(auction, goods, 4)


# Numbers at their bounds


def test_the_largest_numbers_do_not_overflow(chain: Chain) -> None:
    world = deploy_world(chain)
    auction = deploy(world, 1, PRICE_MAX, HALF_LIFE_MAX, 10**6)
    shifty = world.foreign("shifty")
    shifty.send("set_balance", auction.address, 1, sender=alice.address)
    chain.warp(70 * HALF_LIFE_MAX)
    auction.send("take_in", shifty.address, sender=alice.address)
    chain.warp(70 * HALF_LIFE_MAX)
    buy(auction, shifty, 1)
    shifty.send("set_balance", auction.address, MAX, sender=alice.address)
    assert auction.send("take_in", shifty.address, sender=alice.address).value == 2**120 - 1
    assert lot(auction, shifty).ask == PRICE_MAX
    chain.warp(30 * HALF_LIFE_MAX)
    assert buy(auction, shifty, 2**119).value == 2**65 + 1
    assert lot(auction, shifty).ask <= PRICE_MAX


def test_fees_of_the_payments_are_sold_and_burned(world: World, auction: Contract) -> None:
    goods = world.foreign()
    world.setup(world.payments, "set_token", goods.address, True)
    goods.send("mint", bob.address, 10**9, sender=bob.address)
    goods.send("approve", world.payments.address, 10**9, sender=bob.address)
    world.payments.send("deposit", goods.address, bob.address, 10**9, sender=bob.address)
    market = world.market()
    world.payments.send(
        "approve_market", goods.address, market.address, 0, 10**9, sender=bob.address
    )
    terms = (goods.address, bob.address, carol.address, 0, 0, 10**9)
    rail = market.act(world.payments, "open_rail", *terms).value
    market.act(world.payments, "pay_fixed", rail, carol.address, 10**9, 3)
    fee = world.payments.call("fees", goods.address)
    world.setup(world.payments, "set_auction", auction.address)
    world.payments.send("push_fees", goods.address, sender=mallory.address)
    auction.chain.warp(5 * HALF_LIFE)
    assert buy(auction, goods, fee).value == OPENING
    assert goods.call("balanceOf", carol.address) == fee == 10**9 // 200
    assert world.payments.call("fees", goods.address) == 0

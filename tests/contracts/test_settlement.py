"""Rails: lockup, settlement by an arbiter, endings, arrears, fees, a failing arbiter."""

from __future__ import annotations

import pytest

from contracts.evm import TRANSACTION_GAS, ZERO, Contract, Outcome
from contracts.world import (
    MAX,
    RATE_UNIT,
    Puppet,
    World,
    alice,
    bob,
    carol,
    mallory,
    refused,
    treasury,
)

HELD = 100_000
TIMEOUT = 7 * 86_400


@pytest.fixture
def rich(world: World) -> World:
    """Alice has HELD in her account."""
    world.deposit(alice, HELD)
    return world


@pytest.fixture
def market(rich: World) -> Puppet:
    """A market that Alice trusts; as an arbiter it accepts everything."""
    puppet = rich.market()
    rich.payments.send(
        "approve_market", rich.token.address, puppet.address, MAX, MAX, sender=alice.address
    )
    accept_all(rich, puppet)
    return puppet


def accept_all(world: World, market: Puppet) -> None:
    """Accept every second from now on."""
    market.answer(mode=5, seconds=world.chain.now)


def open_rail(
    world: World,
    market: Puppet,
    rate: int = 3 * RATE_UNIT,
    period: int = 8,
    fixed: int = 7,
    **people: str,
) -> int:
    opened = market.act(
        world.payments,
        "open_rail",
        world.token.address,
        people.get("payer", alice.address),
        people.get("payee", bob.address),
        rate,
        period,
        fixed,
    )
    return int(opened.value)


def settle(world: World, rail: int) -> Outcome:
    return world.payments.send("settle", rail, sender=mallory.address)


def lockup(world: World) -> int:
    return int(world.payments.call("account", world.token.address, alice.address).lockup)


def net(amount: int, bps: int = 50) -> int:
    return amount - amount * bps // 10_000


def test_opening_locks_the_guarantee(rich: World, market: Puppet) -> None:
    done = market.act(
        rich.payments,
        "open_rail",
        rich.token.address,
        alice.address,
        bob.address,
        3 * RATE_UNIT,
        8,
        7,
    )
    assert dict(done.one("RailOpened").args) == {
        "rail": 1,
        "payer": alice.address,
        "payee": bob.address,
        "token": rich.token.address,
        "market": market.address,
        "rate": 3 * RATE_UNIT,
        "lockup_period": 8,
        "fixed": 7,
    }
    now = rich.chain.now
    assert rich.payments.call("rail", 1) == {
        "token": rich.token.address,
        "payer": alice.address,
        "payee": bob.address,
        "market": market.address,
        "rate": 3 * RATE_UNIT,
        "lockup_period": 8,
        "fixed": 7,
        "opened_at": now,
        "settled_at": now,
        "end_at": 0,
        "accepted": 0,
        "paid": 0,
        "fee": 0,
        "fee_bps": 50,
        "dust": 0,
        "closed": False,
    }
    account = rich.payments.call("account", rich.token.address, alice.address)
    assert account == {
        "funds": HELD,
        "lockup": 31 * RATE_UNIT,
        "lockup_rate": 3 * RATE_UNIT,
        "settled_at": now,
    }
    assert rich.payments.call("rail_count") == 1
    assert open_rail(rich, market) == 2


def test_opening_is_bounded(rich: World, market: Puppet) -> None:
    with refused("payments: lockup too long"):
        open_rail(rich, market, rate=0, period=366 * 86_400 + 1)
    open_rail(rich, market, rate=0, period=366 * 86_400)
    with refused("payments: over the rate cap"):
        open_rail(rich, market, rate=2**128, period=0)
    open_rail(rich, market, rate=2**128 - 1, period=0)
    with refused("payments: over the lockup cap"):
        open_rail(rich, market, rate=0, fixed=2**120 + 1)
    with refused("payments: wrong recipient"):
        open_rail(rich, market, payee=ZERO)


def test_opening_needs_free_funds_to_the_last_unit(rich: World, market: Puppet) -> None:
    with refused("payments: too little free funds"):
        open_rail(rich, market, rate=RATE_UNIT, period=HELD - 6, fixed=7)
    open_rail(rich, market, rate=RATE_UNIT, period=HELD - 7, fixed=7)


def test_an_unlisted_token_opens_no_rail(rich: World, market: Puppet) -> None:
    rich.setup(rich.payments, "set_token", rich.token.address, False)
    with refused("payments: token not allowed"):
        open_rail(rich, market)


def test_settling_pays_accepted_seconds(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(1_000)
    market.answer(seconds=600, decided=start + 900)
    done = settle(rich, rail)
    assert done.value == (1_800, start + 900)
    event = done.one("RailSettled")
    assert (event.rail, event.seconds, event.paid, event.fee, event.until) == (
        rail,
        600,
        1_800,
        9,
        start + 900,
    )
    stored = rich.payments.call("rail", rail)
    assert (stored.accepted, stored.paid, stored.fee) == (600, 1_800, 9)
    assert (stored.settled_at, stored.closed) == (start + 900, False)
    assert rich.funds(bob.address) == 1_791
    assert rich.funds(alice.address) == HELD - 1_800
    assert lockup(rich) == (31 + 3 * 100) * RATE_UNIT
    assert settle(rich, rail).value == (0, start + 900)
    assert not settle(rich, rail).named("RailSettled")


def test_an_arbiter_can_only_lower(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(100)
    market.answer(seconds=10**9, decided=10**12)
    assert settle(rich, rail).value == (300, start + 100)
    rich.chain.warp(100)
    market.answer(seconds=50, decided=start + 150)
    assert settle(rich, rail).value == (0, start + 150)
    assert rich.payments.call("rail", rail).accepted == 100
    market.answer(seconds=101, decided=start + 200)
    assert settle(rich, rail).value == (3, start + 200)
    market.answer(seconds=200, decided=start + 100)
    assert settle(rich, rail).value == (0, start + 200)


def test_accepting_exactly_what_was_accepted_pays_nothing(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(100)
    market.answer(seconds=40, decided=start + 50)
    settle(rich, rail)
    market.answer(seconds=40, decided=start + 51)
    assert settle(rich, rail).value == (0, start + 51)
    market.answer(seconds=41, decided=start + 52)
    assert settle(rich, rail).value == (3, start + 52)


def test_settling_often_loses_and_gains_nothing(rich: World, market: Puppet) -> None:
    rate = RATE_UNIT // 3 + 1
    often, once = open_rail(rich, market, rate=rate), open_rail(rich, market, rate=rate)
    for _ in range(100):
        rich.chain.warp(7)
        settle(rich, often)
    settle(rich, once)
    first, second = (rich.payments.call("rail", rail) for rail in (often, once))
    assert first.paid == second.paid == 700 * rate // RATE_UNIT
    assert first.fee == second.fee == first.paid * 50 // 10_000
    assert first.dust == second.dust == 700 * rate % RATE_UNIT
    guarantee = 2 * (rate * 8 + 7 * RATE_UNIT)
    assert lockup(rich) == guarantee + 2 * first.dust


def test_a_payer_in_arrears_pays_to_the_last_solvent_second(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market, rate=100 * RATE_UNIT, period=10, fixed=0)
    start = rich.chain.now
    rich.chain.warp(2_000)
    assert settle(rich, rail).value == (99_000, start + 990)
    assert rich.funds(alice.address) == 1_000
    assert settle(rich, rail).value == (0, start + 990)
    rich.deposit(alice, 50_050)
    assert settle(rich, rail).value == (50_000, start + 1_490)


def test_a_rail_of_an_account_in_arrears_still_ends_paid(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market, rate=100 * RATE_UNIT, period=10, fixed=0)
    start = rich.chain.now
    rich.chain.warp(2_000)
    event = market.act(rich.payments, "end_rail", rail).one("RailEnded")
    assert (event.rail, event.end_at) == (rail, start + 1_000)
    done = settle(rich, rail)
    assert done.value == (100_000, start + 1_000)
    assert done.one("RailClosed").rail == rail
    assert rich.funds(alice.address) == 0
    assert lockup(rich) == 0


def test_ending_keeps_the_guarantee_until_the_end(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(100)
    assert market.act(rich.payments, "end_rail", rail).value == start + 108
    account = rich.payments.call("account", rich.token.address, alice.address)
    assert (account.lockup_rate, account.lockup) == (0, 331 * RATE_UNIT)
    assert rich.payments.call("rail", rail).end_at == start + 108
    rich.chain.warp(50)
    again = market.act(rich.payments, "end_rail", rail)
    assert again.value == start + 108
    assert not again.named("RailEnded")
    done = settle(rich, rail)
    assert done.value == (324, start + 108)
    assert done.one("RailClosed").rail == rail
    stored = rich.payments.call("rail", rail)
    assert (stored.closed, stored.fixed, stored.dust) == (True, 0, 0)
    assert lockup(rich) == 0
    assert rich.funds(alice.address) == HELD - 324
    used = rich.payments.call("approval", rich.token.address, alice.address, market.address)
    assert (used.rate_used, used.lockup_used) == (0, 0)


def test_an_ended_rail_settles_before_its_end(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(100)
    market.act(rich.payments, "end_rail", rail)
    rich.chain.warp(4)
    done = settle(rich, rail)
    assert done.value == (312, start + 104)
    assert not done.named("RailClosed")


def test_a_closed_rail_answers_and_does_nothing(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    market.act(rich.payments, "end_rail", rail)
    rich.chain.warp(8)
    end = rich.chain.now
    settle(rich, rail)
    rich.chain.warp(8)
    assert settle(rich, rail).value == (0, end)
    assert market.act(rich.payments, "stop_rail", rail, end - 3).value == end
    assert market.act(rich.payments, "end_rail", rail).value == end
    with refused("payments: rail has ended"):
        market.act(rich.payments, "modify_rail", rail, 0, 0)
    with refused("payments: rail is closed"):
        rich.payments.send("force_close", rail, sender=mallory.address)
    with refused("payments: more than the fixed lockup"):
        market.act(rich.payments, "pay_fixed", rail, bob.address, 1, 3)


@pytest.mark.parametrize(
    ("agreed", "end"), [(40, 60), (80, 80), (105, 105), (108, 108), (109, 108)]
)
def test_stopping_ends_at_an_agreed_moment(
    rich: World, market: Puppet, agreed: int, end: int
) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(60)
    settle(rich, rail)
    rich.chain.warp(40)
    done = market.act(rich.payments, "stop_rail", rail, start + agreed)
    assert done.value == done.one("RailEnded").end_at == start + end
    assert lockup(rich) == (3 * (end - 60) + 7) * RATE_UNIT
    rich.chain.warp(20)
    assert settle(rich, rail).value == (3 * (end - 60), start + end)
    assert lockup(rich) == 0
    assert rich.payments.call("rail", rail).closed


def test_stopping_shortens_an_ended_rail_and_never_lengthens_it(
    rich: World, market: Puppet
) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    market.act(rich.payments, "end_rail", rail)
    assert market.act(rich.payments, "stop_rail", rail, start + 5).value == start + 5
    assert lockup(rich) == (15 + 7) * RATE_UNIT
    assert market.act(rich.payments, "stop_rail", rail, start + 8).value == start + 5
    account = rich.payments.call("account", rich.token.address, alice.address)
    assert account.lockup_rate == 0


def test_only_the_market_governs_its_rail(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    other = rich.market()
    payments = rich.payments
    calls: list[tuple[str, tuple[object, ...]]] = [
        ("modify_rail", (rail, 0, 0)),
        ("stop_rail", (rail, 0)),
        ("pay_fixed", (rail, mallory.address, 1, 3)),
    ]
    for function, arguments in calls:
        with refused("payments: not the rail's market"):
            other.act(payments, function, *arguments)
        with refused("payments: not the rail's market"):
            payments.send(function, *arguments, sender=alice.address)
    with refused("payments: not the market or the payer"):
        other.act(payments, "end_rail", rail)
    with refused("payments: not the market or the payer"):
        payments.send("end_rail", rail, sender=bob.address)
    with refused("payments: end it through its market"):
        payments.send("end_rail", rail, sender=alice.address)


def test_unknown_rails_are_refused(rich: World, market: Puppet) -> None:
    for rail in (0, 1):
        with refused("payments: no such rail"):
            settle(rich, rail)
        with refused("payments: no such rail"):
            rich.payments.call("rail", rail)


def test_fixed_lockup_is_paid_out_by_the_market(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market, fixed=1_000)
    done = market.act(rich.payments, "pay_fixed", rail, carol.address, 400, 3)
    event = done.one("FixedPaid")
    assert (event.rail, event.to, event.amount, event.purpose) == (rail, carol.address, 400, 3)
    assert rich.funds(carol.address) == 398
    assert rich.funds(alice.address) == HELD - 400
    assert rich.payments.call("rail", rail).fixed == 600
    assert lockup(rich) == (24 + 600) * RATE_UNIT
    market.act(rich.payments, "pay_fixed", rail, carol.address, 600, 14)
    assert rich.funds(carol.address) == 998
    stored = rich.payments.call("rail", rail)
    assert (stored.fixed, stored.paid, stored.fee) == (0, 400, 2)
    assert lockup(rich) == 24 * RATE_UNIT
    with refused("payments: more than the fixed lockup"):
        market.act(rich.payments, "pay_fixed", rail, carol.address, 1, 3)
    with refused("payments: wrong recipient"):
        market.act(rich.payments, "pay_fixed", rail, ZERO, 0, 3)
    for purpose in (0, 18):
        with refused("payments: unknown purpose"):
            market.act(rich.payments, "pay_fixed", rail, carol.address, 0, purpose)
    used = rich.payments.call("approval", rich.token.address, alice.address, market.address)
    assert used.lockup_used == 1_000


def test_a_rail_to_oneself_conserves_funds(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market, payee=alice.address)
    rich.chain.warp(1_000)
    assert settle(rich, rail).value[0] == 3_000
    assert rich.funds(alice.address) == HELD - 15
    market.act(rich.payments, "pay_fixed", rail, alice.address, 7, 14)
    assert rich.funds(alice.address) == HELD - 15


def test_modifying_moves_lockups_and_caps(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    event = market.act(rich.payments, "modify_rail", rail, 5 * RATE_UNIT, 9).one("RailModified")
    assert (event.rail, event.rate, event.fixed) == (rail, 5 * RATE_UNIT, 9)
    account = rich.payments.call("account", rich.token.address, alice.address)
    assert (account.lockup, account.lockup_rate) == (49 * RATE_UNIT, 5 * RATE_UNIT)
    used = rich.payments.call("approval", rich.token.address, alice.address, market.address)
    assert (used.rate_used, used.lockup_used) == (5 * RATE_UNIT, 9)
    market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 2, 4)
    account = rich.payments.call("account", rich.token.address, alice.address)
    assert (account.lockup, account.lockup_rate) == (6 * RATE_UNIT, RATE_UNIT)
    used = rich.payments.call("approval", rich.token.address, alice.address, market.address)
    assert (used.rate_used, used.lockup_used) == (RATE_UNIT, 2)
    stored = rich.payments.call("rail", rail)
    assert (stored.rate, stored.fixed, stored.lockup_period) == (RATE_UNIT, 2, 4)
    rich.chain.warp(10)
    assert settle(rich, rail).value[0] == 10


def test_a_new_rate_needs_a_settled_rail(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    rich.chain.warp(10)
    with refused("payments: settle the rail first"):
        market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 7)
    market.act(rich.payments, "modify_rail", rail, 3 * RATE_UNIT, 1)
    assert lockup(rich) == (30 + 24 + 1) * RATE_UNIT
    settle(rich, rail)
    market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 1)


def test_modifying_needs_funds_and_bounds(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    with refused("payments: too little free funds"):
        market.act(rich.payments, "modify_rail", rail, 3 * RATE_UNIT, HELD - 23)
    market.act(rich.payments, "modify_rail", rail, 3 * RATE_UNIT, HELD - 24)
    with refused("payments: lockup too long"):
        market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 0, 366 * 86_400 + 1)
    with refused("payments: terms out of bounds"):
        market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 2**120 + 1)
    with refused("payments: terms out of bounds"):
        market.act(rich.payments, "modify_rail", rail, 2**128, 0)
    with refused("payments: too little free funds"):
        market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 2**120)
    market.act(rich.payments, "modify_rail", rail, 2**128 - 1, 0, 0)
    market.act(rich.payments, "modify_rail", rail, 0, 0, 366 * 86_400)
    with refused("payments: over the rate cap"):
        rich.payments.send(
            "approve_market",
            rich.token.address,
            market.address,
            RATE_UNIT,
            MAX,
            sender=alice.address,
        )
        market.act(rich.payments, "modify_rail", rail, RATE_UNIT + 1, 0, 0)
    market.act(rich.payments, "modify_rail", rail, RATE_UNIT, 0, 0)


def test_a_former_market_cannot_take_more(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    rich.setup(rich.payments, "set_market", market.address, False)
    for rate, fixed in ((4, 7), (3, 8)):
        with refused("payments: not a market"):
            market.act(rich.payments, "modify_rail", rail, rate * RATE_UNIT, fixed)
    market.act(rich.payments, "modify_rail", rail, 3 * RATE_UNIT, 6)
    market.act(rich.payments, "modify_rail", rail, 2 * RATE_UNIT, 6)
    market.act(rich.payments, "end_rail", rail)
    rich.chain.warp(8)
    assert settle(rich, rail).value[0] == 16


def test_less_can_be_locked_in_arrears(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market, rate=100 * RATE_UNIT, period=10, fixed=500)
    rich.chain.warp(2_000)
    with refused("payments: account in arrears"):
        market.act(rich.payments, "modify_rail", rail, 100 * RATE_UNIT, 501)
    market.act(rich.payments, "modify_rail", rail, 100 * RATE_UNIT, 500)
    market.act(rich.payments, "modify_rail", rail, 100 * RATE_UNIT, 100)


def test_the_fee_is_split_between_burn_and_treasury(rich: World, market: Puppet) -> None:
    rich.setup(rich.payments, "set_fees", 500, 7_500)
    rail = open_rail(rich, market)
    rich.chain.warp(1_000)
    done = settle(rich, rail)
    moves = [(m.sender, m.recipient, m.amount, m.purpose) for m in done.named("Movement")]
    assert moves == [
        (alice.address, treasury.address, 38, 5),
        (rich.payments.address, ZERO, 112, 6),
    ]
    assert rich.funds(bob.address) == 2_850
    assert rich.funds(treasury.address) == 38
    assert rich.token.call("burned") == 112
    total = rich.payments.call("total_funds", rich.token.address)
    assert total == HELD - 112 == rich.balance(rich.payments.address)


@pytest.mark.parametrize(("burn", "kept", "burned"), [(0, 15, 0), (10_000, 0, 15)])
def test_the_fee_can_go_one_way(
    rich: World, market: Puppet, burn: int, kept: int, burned: int
) -> None:
    rich.setup(rich.payments, "set_fees", 50, burn)
    rail = open_rail(rich, market)
    rich.chain.warp(1_000)
    assert len(settle(rich, rail).named("Movement")) == 1
    assert rich.funds(treasury.address) == kept
    assert rich.token.call("burned") == burned


def test_a_rail_keeps_the_fee_of_its_opening(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    rich.setup(rich.payments, "set_fees", 500, 0)
    rich.chain.warp(1_000)
    assert settle(rich, rail).one("RailSettled").fee == 15
    rich.setup(rich.payments, "set_fees", 0, 0)
    free = open_rail(rich, market)
    accept_all(rich, market)
    rich.chain.warp(1_000)
    done = settle(rich, free)
    assert (done.one("RailSettled").paid, done.one("RailSettled").fee) == (3_000, 0)
    assert not done.named("Movement")


def test_the_least_rate_stops_an_account_too(rich: World, market: Puppet) -> None:
    rich.deposit(carol, 1)
    token, payments = rich.token.address, rich.payments
    payments.send("approve_market", token, market.address, MAX, MAX, sender=carol.address)
    ended = open_rail(rich, market, RATE_UNIT - 20, 1, 0, payer=carol.address)
    market.act(payments, "end_rail", ended)
    open_rail(rich, market, 1, 8, 0, payer=carol.address)
    until = rich.chain.now + 12
    rich.chain.warp(100)
    assert payments.call("status", token, carol.address) == (1, 0, until)


def pay_in(world: World, market: Puppet, token: Contract) -> int:
    """Alice lets a rail to bob run in a foreign token, 3 a second; its id."""
    payments = world.payments
    world.setup(payments, "set_token", token.address, True)
    token.send("mint", alice.address, HELD, sender=alice.address)
    token.send("approve", payments.address, HELD, sender=alice.address)
    payments.send("deposit", token.address, alice.address, HELD, sender=alice.address)
    payments.send("approve_market", token.address, market.address, MAX, MAX, sender=alice.address)
    terms = (token.address, alice.address, bob.address, 3 * RATE_UNIT, 8, 7)
    return int(market.act(payments, "open_rail", *terms).value)


def test_fees_in_a_foreign_token_are_held_for_the_auction(rich: World, market: Puppet) -> None:
    token, payments = rich.foreign(), rich.payments
    rail = pay_in(rich, market, token)
    rich.chain.warp(1_000)
    moved = settle(rich, rail).one("Movement")
    assert (moved.token, moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        token.address,
        alice.address,
        payments.address,
        15,
        5,
    )
    rich.chain.warp(1)
    done = settle(rich, rail)
    assert (done.one("RailSettled").paid, done.named("Movement")) == (3, [])
    assert payments.call("fees", token.address) == 15
    assert payments.call("total_funds", token.address) == HELD - 15


def test_anyone_pushes_the_fees_of_a_token_to_the_auction(rich: World, market: Puppet) -> None:
    token, payments, auction = rich.foreign(), rich.payments, rich.puppet().address
    rail = pay_in(rich, market, token)
    rich.chain.warp(1_000)
    settle(rich, rail)
    with refused("payments: no auction"):
        payments.send("push_fees", token.address, sender=mallory.address)
    rich.setup(payments, "set_auction", auction)
    token.send("set_mode", 1, sender=alice.address)
    with refused("payments: transfer failed"):
        payments.send("push_fees", token.address, sender=mallory.address)
    assert payments.call("fees", token.address) == 15
    token.send("set_mode", 0, sender=alice.address)
    done = payments.send("push_fees", token.address, sender=mallory.address)
    assert done.value == 15
    moved = done.one("Movement")
    assert (moved.token, moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        token.address,
        payments.address,
        auction,
        15,
        5,
    )
    assert token.call("balanceOf", auction) == 15
    assert token.call("balanceOf", payments.address) == HELD - 15
    assert payments.call("fees", token.address) == 0
    assert payments.call("total_funds", token.address) == HELD - 15
    with refused("payments: no fees"):
        payments.send("push_fees", token.address, sender=mallory.address)


def test_one_base_unit_of_a_token_that_answers_nothing_is_pushed(
    rich: World, market: Puppet
) -> None:
    quiet, payments = rich.foreign("quiet"), rich.payments
    rail = pay_in(rich, market, quiet)
    rich.chain.warp(67)
    settle(rich, rail)
    rich.setup(payments, "set_auction", rich.puppet().address)
    assert payments.send("push_fees", quiet.address, sender=mallory.address).value == 1


def test_a_token_that_is_pushed_cannot_call_back(rich: World, market: Puppet) -> None:
    token, payments = rich.foreign(), rich.payments
    rail = pay_in(rich, market, token)
    rich.chain.warp(1_000)
    settle(rich, rail)
    rich.setup(payments, "set_auction", rich.puppet().address)
    for function, arguments in (("push_fees", (token.address,)), ("settle_many", ([],))):
        data = payments.data(function, *arguments)
        token.send("set_callback", payments.address, data, sender=alice.address)
        token.send("set_mode", 3, sender=alice.address)
        with refused(""):
            payments.send("push_fees", token.address, sender=mallory.address)
    assert payments.call("fees", token.address) == 15


def test_the_networks_own_fees_never_wait_for_an_auction(rich: World, market: Puppet) -> None:
    token, payments = rich.token.address, rich.payments
    rich.setup(payments, "set_auction", rich.puppet().address)
    rail = open_rail(rich, market)
    for _ in range(3):
        rich.chain.warp(1_000)
        assert settle(rich, rail).one("RailSettled").fee > 0
        assert payments.call("fees", token) == 0
    with refused("payments: no fees"):
        payments.send("push_fees", token, sender=mallory.address)


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_a_failing_arbiter_stops_pay_and_frees_the_payer(
    rich: World, market: Puppet, mode: int
) -> None:
    rail = open_rail(rich, market)
    rich.chain.warp(100)
    settle(rich, rail)
    market.answer(mode=mode)
    rich.chain.warp(100)
    with refused("payments: arbiter failed"):
        settle(rich, rail)
    end = rich.chain.now + 8
    assert rich.payments.send("end_rail", rail, sender=alice.address).value == end
    rich.chain.warp(8 + TIMEOUT - 1)
    with refused("payments: too early"):
        rich.payments.send("force_close", rail, sender=mallory.address)
    rich.chain.warp(1)
    done = rich.payments.send("force_close", rail, sender=mallory.address)
    assert done.one("RailClosed").rail == rail
    stored = rich.payments.call("rail", rail)
    assert (stored.closed, stored.paid, stored.settled_at) == (True, 300, end)
    assert lockup(rich) == 0
    assert rich.funds(alice.address) == HELD - 300
    assert rich.funds(bob.address) == net(300)


def test_a_longer_answer_is_read_as_far_as_it_is_known(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    rich.chain.warp(100)
    market.answer(mode=4, seconds=20, decided=start + 60)
    assert settle(rich, rail).value == (60, start + 60)


def test_force_closing_pays_what_a_working_arbiter_accepts(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    with refused("payments: rail has not ended"):
        rich.payments.send("force_close", rail, sender=mallory.address)
    market.act(rich.payments, "end_rail", rail)
    rich.chain.warp(8 + TIMEOUT)
    with rich.chain.anchor():
        done = rich.payments.send("force_close", rail, sender=mallory.address)
        assert done.one("RailSettled").paid == 24
        assert rich.payments.call("rail", rail).closed
        assert lockup(rich) == 0
    market.answer(seconds=2, decided=start + 5)
    done = rich.payments.send("force_close", rail, sender=mallory.address)
    assert (done.one("RailSettled").paid, done.one("RailSettled").until) == (6, start + 5)
    assert rich.payments.call("rail", rail).paid == 6
    assert lockup(rich) == 0


def test_an_undecided_rail_waits_for_the_timeout(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    start = rich.chain.now
    market.act(rich.payments, "end_rail", rail)
    rich.chain.warp(100)
    market.answer(seconds=2, decided=start + 5)
    assert settle(rich, rail).value == (6, start + 5)
    assert not rich.payments.call("rail", rail).closed
    rich.chain.warp(TIMEOUT)
    rich.payments.send("force_close", rail, sender=mallory.address)
    assert rich.payments.call("rail", rail).closed


def test_a_failure_cannot_be_staged_with_little_gas(rich: World, market: Puppet) -> None:
    rail = open_rail(rich, market)
    rich.chain.warp(100)
    data = rich.payments.data("end_rail", rail)
    with refused("payments: bring more gas"):
        rich.chain.transact(alice.address, rich.payments.address, data, gas=380_000)
    with refused("payments: end it through its market"):
        rich.chain.transact(alice.address, rich.payments.address, data, gas=450_000)


def test_settling_many_is_the_sum_and_bounded(rich: World, market: Puppet) -> None:
    rails = [open_rail(rich, market, period=1) for _ in range(32)]
    rich.chain.warp(100)
    assert rich.payments.send("settle_many", [], sender=bob.address).value == 0
    assert rich.payments.send("settle_many", rails[:2], sender=bob.address).value == 600
    done = rich.payments.send("settle_many", rails, sender=bob.address)
    assert done.value == 30 * 300
    assert done.gas_used < TRANSACTION_GAS // 2
    with refused(""):
        rich.payments.send("settle_many", [*rails, 1], sender=bob.address)


def test_one_account_carries_many_rails(rich: World, market: Puppet) -> None:
    first = open_rail(rich, market, rate=2 * RATE_UNIT, period=10, fixed=0)
    rich.chain.warp(50)
    second = open_rail(rich, market, rate=5 * RATE_UNIT, period=4, fixed=3, payee=carol.address)
    rich.chain.warp(50)
    account = rich.payments.call("status", rich.token.address, alice.address)
    assert account[1] == HELD - (200 + 20) - (250 + 20 + 3)
    assert market.act(rich.payments, "end_rail", first).value == rich.chain.now + 10
    settle(rich, second)
    assert rich.funds(carol.address) == net(250)
    assert lockup(rich) == (200 + 20 + 23) * RATE_UNIT
    rich.chain.warp(10)
    assert settle(rich, first).value[0] == 220
    assert rich.payments.call("account", rich.token.address, alice.address).lockup_rate == (
        5 * RATE_UNIT
    )

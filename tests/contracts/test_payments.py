"""Accounts, deposits in sound and unsound tokens, escrow, the market's caps, parameters."""

from __future__ import annotations

import pytest

from contracts.evm import NETWORK_ID, ZERO, Chain, Contract
from contracts.world import (
    MAX,
    RATE_UNIT,
    Puppet,
    World,
    alice,
    bob,
    carol,
    guardian,
    mallory,
    permit_of,
    refused,
    treasury,
)

HELD = 1_000


@pytest.fixture
def rich(world: World) -> World:
    """Alice has HELD in her account."""
    world.deposit(alice, HELD)
    return world


@pytest.fixture
def market(rich: World) -> Puppet:
    """A market that Alice lets do much."""
    puppet = rich.market()
    approve(rich, puppet.address, MAX, MAX)
    return puppet


def approve(world: World, market: str, rate_cap: int, lockup_cap: int) -> None:
    world.payments.send(
        "approve_market", world.token.address, market, rate_cap, lockup_cap, sender=alice.address
    )


def open_rail(world: World, market: Puppet, rate: int = 3, period: int = 8, fixed: int = 7) -> int:
    """A rail of Alice to Bob; the rate is whole base units a second."""
    opened = market.act(
        world.payments,
        "open_rail",
        world.token.address,
        alice.address,
        bob.address,
        rate * RATE_UNIT,
        period,
        fixed,
    )
    return int(opened.value)


def withdraw(world: World, amount: int, to: str = alice.address) -> None:
    world.payments.send("withdraw", world.token.address, to, amount, sender=alice.address)


def allow_foreign(world: World, name: str = "foreign") -> Contract:
    token = world.foreign(name)
    world.setup(world.payments, "set_token", token.address, True)
    token.send("mint", alice.address, 1_000, sender=alice.address)
    if name == "foreign":
        token.send("approve", world.payments.address, 1_000, sender=alice.address)
    return token


def test_is_deployed_with_its_defaults(chain: Chain, world: World) -> None:
    payments = world.payments
    assert payments.call("RATE_UNIT") == RATE_UNIT
    assert payments.call("fee_bps") == 50
    assert payments.call("burn_bps") == 5_000
    assert payments.call("arbiter_timeout") == 7 * 86_400
    assert payments.call("voucher_delay") == 86_400
    assert payments.call("treasury") == treasury.address
    assert payments.call("network_token") == world.token.address
    assert payments.call("network_id") == NETWORK_ID
    assert payments.call("tokens", world.token.address)
    for governor, holder, reason in (
        (ZERO, treasury.address, "payments: no governor"),
        (world.governor.address, ZERO, "payments: no treasury"),
    ):
        with refused(reason):
            chain.deploy(
                "payments", world.token.address, NETWORK_ID, governor, holder, sender=alice.address
            )
    with refused("payments: token has no code"):
        chain.deploy(
            "payments", bob.address, NETWORK_ID, bob.address, bob.address, sender=alice.address
        )


def test_deposit_credits_the_named_account(world: World) -> None:
    world.fund(alice.address, 100)
    world.token.send("approve", world.payments.address, 100, sender=alice.address)
    done = world.payments.send(
        "deposit", world.token.address, bob.address, 60, sender=alice.address
    )
    event = done.one("Deposited")
    assert (event.token, event.owner, event.amount) == (world.token.address, bob.address, 60)
    moved = done.one("Movement")
    assert (moved.token, moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        world.token.address,
        alice.address,
        world.payments.address,
        60,
        1,
    )
    assert world.funds(bob.address) == 60
    assert world.funds(alice.address) == 0
    assert world.payments.call("total_funds", world.token.address) == 60
    with refused("token: allowance too low"):
        world.payments.send("deposit", world.token.address, bob.address, 41, sender=alice.address)
    with refused("payments: wrong recipient"):
        world.payments.send("deposit", world.token.address, ZERO, 1, sender=alice.address)


def test_deposits_are_bounded(world: World) -> None:
    token = allow_foreign(world)
    token.send("mint", alice.address, 2**121, sender=alice.address)
    token.send("approve", world.payments.address, 2**121, sender=alice.address)
    with refused("payments: too much"):
        world.payments.send(
            "deposit", token.address, alice.address, 2**120 + 1, sender=alice.address
        )
    world.payments.send("deposit", token.address, alice.address, 2**120, sender=alice.address)
    with refused("payments: too much"):
        world.payments.send("deposit", token.address, bob.address, 1, sender=alice.address)
    world.payments.send("withdraw", token.address, bob.address, 2**120, sender=alice.address)
    assert token.call("balanceOf", bob.address) == 2**120


def test_withdraw_pays_out_and_no_more(rich: World) -> None:
    with refused("payments: too little free funds"):
        withdraw(rich, HELD + 1)
    for to in (ZERO, rich.payments.address):
        with refused("payments: wrong recipient"):
            withdraw(rich, 1, to)
    done = rich.payments.send(
        "withdraw", rich.token.address, carol.address, 400, sender=alice.address
    )
    event = done.one("Withdrawn")
    assert (event.token, event.owner, event.to, event.amount) == (
        rich.token.address,
        alice.address,
        carol.address,
        400,
    )
    moved = done.one("Movement")
    assert (moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        rich.payments.address,
        carol.address,
        400,
        2,
    )
    assert rich.balance(carol.address) == 400
    assert rich.funds(alice.address) == HELD - 400
    withdraw(rich, HELD - 400)
    assert rich.payments.call("total_funds", rich.token.address) == 0


def test_what_is_locked_cannot_leave(rich: World, market: Puppet) -> None:
    open_rail(rich, market)
    payments, token = rich.payments, rich.token.address
    with refused("payments: too little free funds"):
        withdraw(rich, HELD - 31 + 1)
    with refused("payments: too little free funds"):
        payments.send("send", token, bob.address, HELD - 31 + 1, 3, sender=alice.address)
    with refused("payments: too little free funds"):
        market.act(payments, "collect", token, alice.address, HELD - 31 + 1)
    assert payments.call("status", token, alice.address) == (
        HELD,
        HELD - 31,
        rich.chain.now + (HELD - 31) // 3,
    )
    with rich.chain.anchor():
        withdraw(rich, HELD - 31)
    rich.chain.warp(10)
    assert payments.call("status", token, alice.address)[1] == HELD - 61
    with refused("payments: too little free funds"):
        withdraw(rich, HELD - 61 + 1)
    withdraw(rich, HELD - 61)


def test_a_fraction_of_a_unit_cannot_leave(rich: World, market: Puppet) -> None:
    market.act(
        rich.payments,
        "open_rail",
        rich.token.address,
        alice.address,
        bob.address,
        1,
        1,
        0,
    )
    with refused("payments: too little free funds"):
        withdraw(rich, HELD)
    status = rich.payments.call("status", rich.token.address, alice.address)
    assert status[1:] == (HELD - 1, rich.chain.now + HELD * RATE_UNIT - 1)
    withdraw(rich, HELD - 1)


def test_an_account_in_arrears_cannot_be_emptied(rich: World, market: Puppet) -> None:
    open_rail(rich, market, rate=300, period=3, fixed=0)
    opened = rich.chain.now
    assert rich.payments.call("status", rich.token.address, alice.address) == (
        HELD,
        100,
        opened,
    )
    withdraw(rich, 50)
    rich.chain.warp(1)
    assert rich.payments.call("status", rich.token.address, alice.address) == (
        HELD - 50,
        0,
        opened,
    )
    for amount in (0, 1):
        with refused("payments: account in arrears"):
            withdraw(rich, amount)
    with refused("payments: account in arrears"):
        open_rail(rich, market, rate=0, period=0, fixed=0)
    rich.deposit(alice, 250)
    assert rich.payments.call("status", rich.token.address, alice.address) == (
        HELD + 200,
        0,
        opened + 1,
    )
    withdraw(rich, 0)


def test_status_of_an_idle_account(rich: World) -> None:
    rich.chain.warp(1_000)
    assert rich.payments.call("status", rich.token.address, alice.address) == (HELD, HELD, MAX)
    assert rich.payments.call("status", rich.token.address, bob.address) == (0, 0, MAX)


def test_send_moves_between_accounts(rich: World) -> None:
    done = rich.payments.send("send", rich.token.address, bob.address, 300, 3, sender=alice.address)
    assert dict(done.one("Sent").args) == {
        "token": rich.token.address,
        "sender": alice.address,
        "recipient": bob.address,
        "amount": 300,
        "purpose": 3,
    }
    assert (rich.funds(alice.address), rich.funds(bob.address)) == (700, 300)
    rich.payments.send("send", rich.token.address, alice.address, 700, 3, sender=alice.address)
    assert rich.funds(alice.address) == 700
    with refused("payments: wrong recipient"):
        rich.payments.send("send", rich.token.address, ZERO, 1, 3, sender=alice.address)
    for purpose in (0, 18):
        with refused("payments: unknown purpose"):
            rich.payments.send(
                "send", rich.token.address, bob.address, 1, purpose, sender=alice.address
            )


def test_only_markets_name_another_purpose(rich: World, market: Puppet) -> None:
    """Nobody makes a refund or a repair of money that they send; a former market still may."""
    token, payments = rich.token.address, rich.payments
    for purpose in (1, 2, 4, 8, 17):
        with refused("payments: not a market"):
            payments.send("send", token, bob.address, 1, purpose, sender=alice.address)
        with refused("payments: not a market"):
            rich.puppet().act(payments, "send", token, bob.address, 1, purpose)
    payments.send("send", token, market.address, 5, 3, sender=alice.address)
    for purpose in (1, 8, 17):
        sent = market.act(payments, "send", token, bob.address, 1, purpose).one("Sent")
        assert (sent.sender, sent.purpose) == (market.address, purpose)
    rich.setup(payments, "set_market", market.address, False)
    assert market.act(payments, "send", token, bob.address, 1, 8).one("Sent").purpose == 8


def test_permit_and_deposit_in_one_transaction(world: World) -> None:
    world.fund(alice.address, 100)
    deadline = world.chain.now + 10
    signature = permit_of(world.token, alice, world.payments.address, 80, deadline)
    arguments = (world.token.address, bob.address, 80, deadline, *signature)
    world.payments.send("deposit_with_permit", *arguments, sender=alice.address)
    assert world.funds(bob.address) == 80
    with refused("token: allowance too low"):
        world.payments.send("deposit_with_permit", *arguments, sender=alice.address)


def test_a_permit_that_was_submitted_first_does_no_harm(world: World) -> None:
    world.fund(alice.address, 100)
    deadline = world.chain.now + 10
    signature = permit_of(world.token, alice, world.payments.address, 80, deadline)
    world.token.send(
        "permit",
        alice.address,
        world.payments.address,
        80,
        deadline,
        *signature,
        sender=mallory.address,
    )
    world.payments.send(
        "deposit_with_permit",
        world.token.address,
        alice.address,
        80,
        deadline,
        *signature,
        sender=alice.address,
    )
    assert world.funds(alice.address) == 80


def test_permit_deposit_and_approve_in_one_transaction(world: World) -> None:
    market = world.market()
    world.fund(alice.address, 100)
    deadline = world.chain.now + 10
    signature = permit_of(world.token, alice, world.payments.address, 100, deadline)
    done = world.payments.send(
        "deposit_with_permit_and_approve",
        world.token.address,
        100,
        deadline,
        *signature,
        market.address,
        5,
        6,
        sender=alice.address,
    )
    event = done.one("MarketApproved")
    assert dict(event.args) == {
        "token": world.token.address,
        "owner": alice.address,
        "market": market.address,
        "rate_cap": 5,
        "lockup_cap": 6,
    }
    assert world.funds(alice.address) == 100
    assert world.payments.call("approval", world.token.address, alice.address, market.address) == {
        "rate_cap": 5,
        "rate_used": 0,
        "lockup_cap": 6,
        "lockup_used": 0,
    }


def test_only_listed_tokens_come_in(world: World) -> None:
    token = world.foreign()
    signature = (27, b"\1" * 32, b"\1" * 32)
    with refused("payments: token not allowed"):
        world.payments.send("deposit", token.address, bob.address, 1, sender=alice.address)
    with refused("payments: token not allowed"):
        world.payments.send(
            "deposit_with_permit",
            token.address,
            bob.address,
            1,
            MAX,
            *signature,
            sender=alice.address,
        )
    with refused("payments: token not allowed"):
        world.payments.send("open_voucher", token.address, bob.address, 1, sender=alice.address)


def test_a_delisted_token_still_goes_out(world: World) -> None:
    token = allow_foreign(world)
    world.payments.send("deposit", token.address, alice.address, 10, sender=alice.address)
    done = world.setup(world.payments, "set_token", token.address, False)
    assert (done.one("TokenSet").token, done.one("TokenSet").allowed) == (token.address, False)
    with refused("payments: token not allowed"):
        world.payments.send("deposit", token.address, alice.address, 1, sender=alice.address)
    world.payments.send("withdraw", token.address, alice.address, 10, sender=alice.address)
    assert token.call("balanceOf", alice.address) == 1_000


def test_a_token_that_answers_false_is_refused(world: World) -> None:
    token = allow_foreign(world)
    world.payments.send("deposit", token.address, alice.address, 10, sender=alice.address)
    token.send("set_mode", 1, sender=alice.address)
    with refused("payments: transfer failed"):
        world.payments.send("deposit", token.address, alice.address, 1, sender=alice.address)
    with refused("payments: transfer failed"):
        world.payments.send("withdraw", token.address, alice.address, 1, sender=alice.address)


def test_a_token_that_takes_a_fee_is_refused(world: World) -> None:
    token = allow_foreign(world)
    token.send("set_mode", 2, sender=alice.address)
    with refused("payments: token takes a fee"):
        world.payments.send("deposit", token.address, alice.address, 10, sender=alice.address)


def test_a_token_that_answers_nothing_is_accepted(world: World) -> None:
    token = allow_foreign(world, "quiet")
    world.payments.send("deposit", token.address, alice.address, 10, sender=alice.address)
    world.payments.send("withdraw", token.address, bob.address, 4, sender=alice.address)
    assert token.call("balanceOf", bob.address) == 4


CALLS: dict[str, tuple[object, ...]] = {
    "deposit": ("token", "bob", 0),
    "deposit_with_permit": ("token", "bob", 0, 0, 27, b"", b""),
    "deposit_with_permit_and_approve": ("token", 0, 0, 27, b"", b"", "bob", 0, 0),
    "withdraw": ("token", "bob", 0),
    "send": ("token", "bob", 0, 3),
    "approve_market": ("token", "bob", 0, 0),
    "collect": ("token", "bob", 0),
    "open_rail": ("token", "bob", "bob", 0, 0, 0),
    "modify_rail": (1, 0, 0),
    "pay_fixed": (1, "bob", 0, 3),
    "end_rail": (1,),
    "stop_rail": (1, 0),
    "settle": (1,),
    "settle_many": ([],),
    "force_close": (1,),
    "open_voucher": ("token", "bob", 1),
    "add_collateral": (1, 1),
    "redeem": (1, 1, b""),
    "close_voucher": (1,),
    "finish_voucher": (1,),
    "push_fees": ("token",),
}


def call_back(world: World, token: Contract, function: str) -> None:
    """Let the token call a function of payments whenever it moves."""
    names: dict[object, object] = {"token": token.address, "bob": bob.address}
    values = [names.get(a, a) if isinstance(a, str) else a for a in CALLS[function]]
    data = world.payments.data(function, *values)
    token.send("set_callback", world.payments.address, data, sender=alice.address)
    token.send("set_mode", 3, sender=alice.address)


@pytest.mark.parametrize("function", CALLS)
def test_a_token_cannot_call_back(world: World, function: str) -> None:
    token = allow_foreign(world)
    call_back(world, token, function)
    with refused(""):
        world.payments.send("deposit", token.address, alice.address, 10, sender=alice.address)


def test_a_token_that_goes_out_cannot_call_back(world: World) -> None:
    token, payments = allow_foreign(world), world.payments
    payments.send("deposit", token.address, alice.address, 10, sender=alice.address)
    call_back(world, token, "settle_many")
    with refused(""):
        payments.send("withdraw", token.address, alice.address, 1, sender=alice.address)
    with refused(""):
        payments.send(
            "deposit_with_permit",
            *(token.address, bob.address, 1, 0, 27, b"", b""),
            sender=alice.address,
        )
    market = world.market().address
    with refused(""):
        payments.send(
            "deposit_with_permit_and_approve",
            *(token.address, 1, 0, 27, b"", b"", market, 0, 0),
            sender=alice.address,
        )


def test_escrow_is_collected_within_the_clients_consent(rich: World, market: Puppet) -> None:
    payments, token = rich.payments, rich.token.address
    approve(rich, market.address, 0, 500)
    done = market.act(payments, "collect", token, alice.address, 300)
    assert dict(done.one("Collected").args) == {
        "token": token,
        "payer": alice.address,
        "market": market.address,
        "amount": 300,
    }
    assert (rich.funds(alice.address), rich.funds(market.address)) == (HELD - 300, 300)
    with refused("payments: over the lockup cap"):
        market.act(payments, "collect", token, alice.address, 201)
    market.act(payments, "collect", token, alice.address, 200)
    used = payments.call("approval", token, alice.address, market.address)
    assert (used.lockup_used, used.lockup_cap) == (500, 500)
    market.act(payments, "send", token, alice.address, 500, 8)
    assert rich.funds(alice.address) == HELD
    with refused("payments: over the lockup cap"):
        market.act(payments, "collect", token, alice.address, 1)


def test_a_market_needs_the_governor_and_the_client(rich: World, market: Puppet) -> None:
    payments, token = rich.payments, rich.token.address
    stranger = rich.puppet()
    with refused("payments: not a market"):
        approve(rich, stranger.address, 1, 1)
    for caps in ((0, 1), (1, 0), (MAX, MAX)):
        with refused("payments: not a market"):
            approve(rich, stranger.address, *caps)
    with refused("payments: not a market"):
        stranger.act(payments, "collect", token, alice.address, 0)
    with refused("payments: not a market"):
        stranger.act(payments, "open_rail", token, alice.address, bob.address, 0, 0, 0)
    other = rich.market()
    with refused("payments: over the lockup cap"):
        other.act(payments, "collect", token, alice.address, 1)
    with refused("payments: over the rate cap"):
        other.act(payments, "open_rail", token, alice.address, bob.address, 1, 0, 0)
    with refused("payments: over the lockup cap"):
        other.act(payments, "open_rail", token, alice.address, bob.address, 0, 0, 1)
    with refused("payments: not a market"):
        rich.setup(payments, "set_market", market.address, False)
        market.act(payments, "collect", token, alice.address, 1)


def test_consent_to_a_former_market_can_be_taken_back(rich: World, market: Puppet) -> None:
    rich.setup(rich.payments, "set_market", market.address, False)
    approve(rich, market.address, 0, 0)
    rich.setup(rich.payments, "set_market", market.address, True)
    with refused("payments: over the lockup cap"):
        market.act(rich.payments, "collect", rich.token.address, alice.address, 1)


def test_rates_are_capped_and_their_use_is_shown(rich: World, market: Puppet) -> None:
    approve(rich, market.address, 5 * RATE_UNIT, 10)
    rail = open_rail(rich, market, rate=3, fixed=7)
    with refused("payments: over the rate cap"):
        open_rail(rich, market, rate=3, fixed=0)
    with refused("payments: over the lockup cap"):
        open_rail(rich, market, rate=2, fixed=4)
    open_rail(rich, market, rate=2, fixed=3)
    token = rich.token.address
    used = rich.payments.call("approval", token, alice.address, market.address)
    assert (used.rate_used, used.lockup_used) == (5 * RATE_UNIT, 10)
    market.act(rich.payments, "end_rail", rail)
    used = rich.payments.call("approval", token, alice.address, market.address)
    assert (used.rate_used, used.lockup_used) == (2 * RATE_UNIT, 10)


def test_fees_are_bounded_and_the_governors(world: World) -> None:
    payments = world.payments
    for function, arguments in (
        ("set_fees", (1, 1)),
        ("set_delays", (60, 60)),
        ("set_treasury", (bob.address,)),
        ("set_token", (world.token.address, True)),
        ("set_market", (world.token.address, True)),
        ("set_auction", (world.token.address,)),
    ):
        with refused("payments: not the governor"):
            payments.send(function, *arguments, sender=mallory.address)
    done = world.setup(payments, "set_fees", 500, 10_000)
    assert (done.one("FeesSet").fee_bps, done.one("FeesSet").burn_bps) == (500, 10_000)
    assert (payments.call("fee_bps"), payments.call("burn_bps")) == (500, 10_000)
    with refused("payments: fee out of bounds"):
        world.setup(payments, "set_fees", 501, 0)
    with refused("payments: burn out of bounds"):
        world.setup(payments, "set_fees", 0, 10_001)


def test_delays_treasury_and_markets_are_bounded(world: World) -> None:
    payments = world.payments
    for timeout, delay in ((60, 60), (90 * 86_400, 30 * 86_400)):
        event = world.setup(payments, "set_delays", timeout, delay).one("DelaysSet")
        assert (event.arbiter_timeout, event.voucher_delay) == (timeout, delay)
        assert payments.call("arbiter_timeout") == timeout
        assert payments.call("voucher_delay") == delay
    for timeout in (59, 90 * 86_400 + 1):
        with refused("payments: timeout out of bounds"):
            world.setup(payments, "set_delays", timeout, 60)
    for delay in (59, 30 * 86_400 + 1):
        with refused("payments: delay out of bounds"):
            world.setup(payments, "set_delays", 60, delay)
    with refused("payments: no treasury"):
        world.setup(payments, "set_treasury", ZERO)
    done = world.setup(payments, "set_treasury", bob.address)
    assert done.one("TreasurySet").treasury == payments.call("treasury") == bob.address
    with refused("payments: market has no code"):
        world.setup(payments, "set_market", bob.address, True)
    with refused("payments: token has no code"):
        world.setup(payments, "set_token", bob.address, True)
    puppet = world.puppet()
    event = world.setup(payments, "set_market", puppet.address, True).one("MarketSet")
    assert (event.market, event.allowed) == (puppet.address, True)
    assert payments.call("markets", puppet.address)


def test_the_auction_is_named_once_for_ever(world: World) -> None:
    payments, auction = world.payments, world.puppet().address
    assert payments.call("auction") == ZERO
    with refused("payments: auction has no code"):
        world.setup(payments, "set_auction", bob.address)
    with refused("payments: no auction"):
        payments.send("push_fees", world.foreign().address, sender=alice.address)
    done = world.setup(payments, "set_auction", auction)
    assert done.one("AuctionSet").auction == payments.call("auction") == auction
    for other in (auction, world.puppet().address, ZERO):
        with refused("payments: auction is set"):
            world.setup(payments, "set_auction", other)
    assert payments.call("auction") == auction


def test_nobody_else_moves_an_account(rich: World) -> None:
    for sender in (mallory.address, guardian.address, treasury.address):
        with refused("payments: too little free funds"):
            rich.payments.send("withdraw", rich.token.address, sender, 1, sender=sender)
        with refused("payments: too little free funds"):
            rich.payments.send("send", rich.token.address, sender, 1, 3, sender=sender)


def test_a_contract_acts_in_its_own_name(world: World) -> None:
    payments, token, puppet = world.payments, world.token.address, world.puppet()
    market = world.market()
    world.fund(puppet.address, 100)
    puppet.act(world.token, "approve", payments.address, 100)
    puppet.act(payments, "deposit", token, puppet.address, 100)
    assert world.funds(puppet.address) == 100
    assert puppet.act(payments, "withdraw", token, bob.address, 10).one("Withdrawn").owner == (
        puppet.address
    )
    assert puppet.act(payments, "send", token, bob.address, 10, 3).one("Sent").sender == (
        puppet.address
    )
    puppet.act(payments, "approve_market", token, market.address, MAX, MAX)
    assert payments.call("approval", token, puppet.address, market.address).rate_cap == MAX
    market.act(payments, "collect", token, puppet.address, 10)
    assert world.funds(market.address) == 10
    rail = market.act(
        payments, "open_rail", token, puppet.address, bob.address, RATE_UNIT, 5, 5
    ).value
    market.answer(mode=1)
    assert puppet.act(payments, "end_rail", rail).value == world.chain.now + 5
    voucher = puppet.act(payments, "open_voucher", token, bob.address, 10).value
    assert payments.call("rail", voucher).payer == puppet.address
    puppet.act(payments, "add_collateral", voucher, 1)
    puppet.act(payments, "close_voucher", voucher)
    with refused("payments: not the payer"):
        market.act(payments, "close_voucher", voucher)
    with refused("payments: not the governor"):
        puppet.act(payments, "set_fees", 0, 0)


def test_a_permit_of_the_sender_is_used_whoever_started_it(world: World) -> None:
    puppet = world.puppet()
    world.fund(puppet.address, 10)
    puppet.act(world.token, "approve", world.payments.address, 10)
    signature = permit_of(world.token, alice, world.payments.address, 10, world.chain.now)
    puppet.act(
        world.payments,
        "deposit_with_permit_and_approve",
        world.token.address,
        10,
        world.chain.now,
        *signature,
        world.market().address,
        1,
        1,
    )
    assert world.funds(puppet.address) == 10
    assert world.token.call("nonces", alice.address) == 0

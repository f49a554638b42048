"""Streams: purchases, what burns and what goes to the roots, refusals, the governor's fee."""

from __future__ import annotations

import pytest

from contracts.evm import ZERO, Chain
from contracts.streams import FEE_BPS, QUERY, Stall, deploy_stall, deploy_streams
from contracts.world import alice, guardian, mallory, refused


@pytest.fixture
def stall(chain: Chain) -> Stall:
    """Alice has tokens and approved them; the third epoch runs."""
    made = deploy_stall(chain)
    made.enter(2)
    made.fund(alice, 10**9)
    return made


def test_is_deployed_within_bounds(stall: Stall) -> None:
    world, roots = stall.world, stall.roots.address
    places = (world.token.address, roots, world.governor.address)
    assert tuple(stall.streams.call(n) for n in ("token", "roots", "governor")) == places
    for name in ("genesis", "epoch_length"):
        assert stall.streams.call(name) == stall.roots.call(name)
    for index in range(3):
        with refused("streams: zero address"):
            deploy_streams(world, *places[:index], ZERO, *places[index + 1 :], FEE_BPS)
    for wrong in (99, 2_001):
        with refused("streams: fee out of bounds"):
            deploy_streams(world, *places, wrong)
    for good in (100, 2_000):
        deploy_streams(world, *places, good)


def test_a_purchase_burns_its_fee_and_funds_the_roots(stall: Stall) -> None:
    token = stall.world.token
    supply, funded = token.call("totalSupply"), stall.roots.call("funded")
    done = stall.buy(alice, epoch=3, count=4, amount=1_001)
    burned = 101  # a tenth, rounded up
    assert done.value == 1
    event = done.one("Bought")
    assert (event.id, event.buyer, event.query) == (1, alice.address, QUERY)
    assert (event.epoch, event.args["count"], event.amount, event.burned) == (3, 4, 1_001, burned)
    assert supply - token.call("totalSupply") == 4 * burned
    assert stall.roots.call("funded") - funded == 4 * 900
    assert stall.world.balance(alice.address) == 10**9 - 4_004
    assert stall.world.balance(stall.streams.address) == 0
    assert token.call("allowance", stall.streams.address, stall.roots.address) == 0
    assert [(e.epoch, e.amount) for e in done.named("Funded")] == [(e, 900) for e in range(3, 7)]
    moved = [(m.sender, m.amount, m.purpose) for m in done.named("Movement")]
    mine = stall.streams.address
    assert moved == [(alice.address, 4_004, 3), (mine, 404, 6), *[(mine, 900, 1)] * 4]
    for epoch in range(2, 8):
        inside = 3 <= epoch < 7
        assert stall.streams.call("bought_of", epoch) == 1_001 * inside
        assert stall.streams.call("burned_of", epoch) == burned * inside
    assert stall.streams.call("purchase", 1) == {
        "buyer": alice.address, "query": QUERY, "epoch": 3, "count": 4, "amount": 1_001,
        "burned": burned,
    }  # fmt: skip
    assert stall.buy(alice, amount=10).value == stall.streams.call("count") == 2


def test_epochs_that_are_over_or_far_are_refused(stall: Stall) -> None:
    assert stall.streams.call("epoch") == 2
    with refused("streams: epoch is over"):
        stall.buy(alice, epoch=1)
    with refused("streams: epoch too far ahead"):
        stall.buy(alice, epoch=523)
    for epoch in (2, 522):
        stall.buy(alice, epoch=epoch)


def test_amounts_and_counts_have_bounds(stall: Stall) -> None:
    for count in (0, 53, 2**256 - 1):
        with refused("streams: count out of bounds"):
            stall.buy(alice, count=count)
    for amount in (0, 2**96 + 1, 2**256 - 1):
        with refused("streams: amount out of bounds"):
            stall.buy(alice, amount=amount)
    with refused("token: allowance too low"):
        stall.buy(alice, amount=2**96)
    with refused("streams: nothing left to pay"):
        stall.buy(alice, amount=1)
    stall.buy(alice, amount=2)
    stall.buy(alice, count=52, amount=2)
    with refused("streams: no query"):
        stall.buy(alice, query="")
    stall.buy(alice, query="q" * 160)


def test_nobody_buys_with_what_they_lack(stall: Stall) -> None:
    with refused("token: allowance too low"):
        stall.buy(mallory, amount=100)
    stall.fund(mallory, 99)
    stall.world.token.send("approve", stall.streams.address, 2**255, sender=mallory.address)
    with refused("token: balance too low"):
        stall.buy(mallory, amount=100)


def test_unknown_purchases_are_refused(stall: Stall) -> None:
    for number in (0, 1):
        with refused("streams: no such purchase"):
            stall.streams.call("purchase", number)


def test_the_governor_moves_the_fee_within_bounds(stall: Stall) -> None:
    for sender in (guardian, alice):
        with refused("streams: not the governor"):
            stall.streams.send("set_fee", 200, sender=sender.address)
    for wrong in (99, 2_001):
        with refused("streams: fee out of bounds"):
            stall.world.setup(stall.streams, "set_fee", wrong)
    stall.buy(alice, amount=1_000)
    assert stall.world.setup(stall.streams, "set_fee", 2_000).one("FeeSet").fee_bps == 2_000
    assert stall.streams.call("fee_bps") == 2_000
    assert stall.buy(alice, amount=1_000).one("Bought").burned == 200
    assert stall.streams.call("burned_of", 2) == 300

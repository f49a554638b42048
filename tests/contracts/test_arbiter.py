"""The arbiter: which periods a column is paid for, and when that is final."""

from __future__ import annotations

import pytest

from contracts.market import PERIOD, PRICE, Deal, Market, Node, client, watcher
from contracts.world import RATE_UNIT, TOKEN

FOREVER = 2**256 - 1
RATE = PRICE * 300


@pytest.fixture
def node(market: Market) -> Node:
    return market.node("one")


def accepted(market: Market, rail: int = 1, until: int = -1) -> tuple[int, int]:
    moment = market.chain.now if until < 0 else until
    seconds, decided = market.storage.call("accepted", rail, moment)
    return int(seconds), int(decided)


def pay_of(periods: int) -> int:
    return RATE * periods * PERIOD // RATE_UNIT


def test_pay_starts_with_the_first_whole_period(market: Market, node: Node) -> None:
    market.round()
    market.open([node])
    assert accepted(market) == (0, market.start(1))
    market.live_periods(1, [node])
    assert accepted(market) == (0, market.start(2))
    market.to_period(3)
    assert accepted(market) == (PERIOD, market.start(3))
    assert market.column(Deal(1, [], 0, {})).first_round == 1


def test_the_round_of_the_opening_period_never_counts(market: Market, node: Node) -> None:
    """Also when it is stored after the opening, and the node proves it for older pieces."""
    market.open([node])
    market.next_round()
    market.prove_all([node])
    market.to_period(3)
    deal = market.open([node], seed=2)
    rail = market.column(deal).rail
    assert market.column(deal).first_round == 1
    market.round()
    assert market.column(deal).first_round == 2
    market.prove_all([node])
    market.to_period(4)
    assert accepted(market, 1) == (2 * PERIOD, market.start(4))
    assert accepted(market, rail) == (0, market.start(4))
    market.round()
    market.prove_all([node])
    market.to_period(5)
    assert accepted(market, rail) == (PERIOD, market.start(5))


def test_only_rounds_answered_in_time_count(market: Market, node: Node) -> None:
    market.open([node])
    market.live_periods(2, [node])
    market.next_round()
    market.late()
    assert accepted(market) == (2 * PERIOD, market.start(4))
    market.to_period(5)
    assert accepted(market) == (2 * PERIOD, market.start(4))
    market.prove_all([node])
    assert accepted(market) == (2 * PERIOD, market.start(5))
    market.live_periods(1, [node])
    market.to_period(7)
    assert accepted(market) == (3 * PERIOD, market.start(7))


def test_void_periods_are_not_paid(market: Market, node: Node) -> None:
    market.open([node])
    market.live_periods(1, [node])
    market.to_period(20)
    assert accepted(market) == (PERIOD, market.start(20))
    before = market.world.funds(node.owner.address)
    market.settle(1)
    paid = pay_of(1)
    assert market.world.funds(node.owner.address) - before == paid - paid * 50 // 10**4


def test_what_is_asked_for_earlier_moments(market: Market, node: Node) -> None:
    market.open([node])
    market.live_periods(4, [node])
    market.to_period(6)
    for period in range(1, 7):
        good = max(period - 2, 0) * PERIOD
        for offset in (0, 1, PERIOD - 1):
            moment = market.start(period) + offset
            assert accepted(market, until=moment) == (good, market.start(period))


def test_settling_often_pays_what_settling_once_pays(market: Market, node: Node) -> None:
    """Nobody can lower a node's pay by settling its rail in the middle of periods."""
    deal = market.open([node], periods=6)
    twin = market.open([node], seed=2, periods=6)
    often, once = market.column(deal).rail, market.column(twin).rail
    for _ in range(5):
        market.next_round()
        market.settle(often)
        market.prove_all([node])
        market.chain.warp(333)
        market.settle(often)
    market.chain.warp_to(deal.term_end)
    market.pass_by()
    for each in (deal, twin):
        market.finish(each)
    assert market.rail(often).accepted == market.rail(once).accepted == 5 * PERIOD
    assert market.rail(often).paid == market.rail(once).paid == pay_of(5)


def test_a_period_that_the_end_cuts_is_not_paid(market: Market, node: Node) -> None:
    market.open([node])
    market.live_periods(2, [node])
    market.next_round()
    market.prove_all([node])
    market.storage.send("close", 1, sender=client.address)
    end = market.column(Deal(1, [], 0, {})).ended_at
    assert end == market.chain.now + 10 * PERIOD
    market.live_periods(10, [node])
    market.to_period(15)
    seconds, decided = accepted(market, until=end)
    assert (seconds, decided) == (12 * PERIOD, FOREVER)
    assert accepted(market) == (12 * PERIOD, FOREVER)


def test_an_end_is_final_when_its_rounds_are(market: Market, node: Node) -> None:
    deal = market.open([node], periods=3)
    market.live_periods(1, [node])
    market.next_round()
    market.to_period(4)
    assert deal.term_end == market.chain.now
    assert accepted(market) == (PERIOD, market.start(3))
    assert accepted(market, until=deal.term_end - 1) == (PERIOD, market.start(3))
    market.prove_all([node])
    assert accepted(market) == (PERIOD, FOREVER)
    assert accepted(market, until=deal.term_end - 1) == (PERIOD, market.start(3))


def test_a_failed_node_is_paid_up_to_its_first_owed_round(market: Market, node: Node) -> None:
    market.open([node])
    market.live_periods(2, [node])
    for _ in range(3):
        market.next_round()
        market.late()
    market.evaluate(node)
    assert accepted(market) == (2 * PERIOD, FOREVER)
    market.settle(1)
    assert market.rail(1).paid == pay_of(2)
    market.live_periods(3, [])
    assert accepted(market) == (2 * PERIOD, FOREVER)


def test_pay_waits_where_the_payer_ran_dry(market: Market, node: Node) -> None:
    """A rail settles up to the last solvent moment, and goes on with the next deposit."""
    market.open([node], mandate={"repairs": 0})
    token, payments = market.world.token.address, market.world.payments
    _, free, _ = payments.call("status", token, client.address)
    keep = RATE * 5 * PERIOD // (2 * RATE_UNIT)
    payments.send("withdraw", token, client.address, free - keep, sender=client.address)
    market.live_periods(6, [node])
    market.to_period(8)
    market.settle(1)
    rail = market.rail(1)
    assert (rail.accepted, rail.settled_at) == (PERIOD, market.start(3))
    market.world.deposit(client, 10 * TOKEN)
    market.settle(1)
    rail = market.rail(1)
    assert (rail.accepted, rail.settled_at) == (6 * PERIOD, market.start(8))


def test_the_answer_is_cheap_after_many_rounds(market: Market, node: Node) -> None:
    market.open([node], periods=500)
    for i in range(40):
        market.next_round()
        if i % 3:
            market.prove_all([node])
        else:
            market.late()
            market.prove_all([node])
    market.to_period(market.period + 9)
    data = market.storage.data("accepted", 1, market.start(17))
    outcome = market.chain.transact(watcher.address, market.storage.address, data)
    assert outcome.gas_used < 200_000
    assert market.settle(1) == pay_of(26)


def test_prices_are_exact(market: Market, node: Node) -> None:
    """The pay of a month of one TiB at the price, scaled to the column."""
    market.open([node], periods=30)
    market.live_periods(7, [node])
    market.to_period(market.period + 1)
    paid = market.settle(1)
    assert paid == PRICE * 300 * 7 * PERIOD // (2**40 * 30 * 86400)

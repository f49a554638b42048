"""Between the verdict on a root and its settlement nothing is lost, and nobody gets away."""

from __future__ import annotations

import pytest

from contracts.evm import Outcome, Signer, Struct
from contracts.roots import (
    ANSWER_WINDOW,
    BOND,
    LENGTH,
    PREPAID,
    REWARD_BPS,
    RULES,
    WINDOW,
    Forged,
    Market,
    deploy_market,
    deploy_roots,
    honest,
    proposer,
    watchers,
)
from contracts.test_roots import mint_source
from contracts.world import (
    NETWORK_ID,
    ZERO,
    Puppet,
    World,
    alice,
    bob,
    carol,
    guardian,
    mallory,
    refused,
)
from freehold.economics.trees import GRAIN

LOW, HIGH = sorted((alice.address, bob.address), key=lambda each: int(each, 16))
LIE = Forged([(HIGH, 1), (LOW, 1)])
TRUE = honest({LOW: 10, HIGH: 20})
MORE = honest({LOW: 30, HIGH: 20})
REWARD = BOND * REWARD_BPS // 10_000


@pytest.fixture
def market(world: World) -> Market:
    return deploy_market(world)


def dispute(market: Market, header: Struct, *, by: Signer = carol) -> Outcome:
    return market.roots.send("dispute_order", header, LIE.proof(0), LIE.proof(1), sender=by.address)


def lie(market: Market, epoch: int, *, by: Signer = proposer) -> Struct:
    return market.propose(epoch, LIE, by=by)


# Who would get away


def test_a_bond_stays_until_the_verdict_is_settled(market: Market) -> None:
    """The liar takes nothing back; nor does anybody else, who can settle and then does."""
    market.post(by=bob)
    header = lie(market, 0)
    dispute(market, header)
    market.world.chain.warp(100 * WINDOW)
    for who in (proposer, bob):
        with refused("roots: a verdict is not settled"):
            market.roots.send("withdraw_bond", sender=who.address)
    market.take_bond(header)
    with refused("roots: no bond"):
        market.roots.send("withdraw_bond", sender=proposer.address)
    market.roots.send("withdraw_bond", sender=bob.address)
    assert market.world.balance(bob.address) == BOND


def test_nobody_proposes_over_a_verdict(market: Market) -> None:
    """The liar least of all: the bond of the root before would stand for the next one as well."""
    market.post(by=bob)
    header = lie(market, 0)
    dispute(market, header)
    for who in (proposer, bob):
        with refused("roots: a verdict is not settled"):
            market.propose(0, TRUE, by=who)
    market.take_bond(header)
    with refused("roots: no bond"):
        market.propose(0, TRUE)
    again = market.propose(0, TRUE, by=bob)
    assert (again.position, again.since) == (header.position, 0)
    market.finalize(again)
    assert market.claim(0, TRUE, 0).value == 10 * GRAIN


def test_nobody_draws_by_a_lost_bond(world: World) -> None:
    source = world.chain.deploy_artifact(
        mint_source(), world.token.address, sender=guardian.address
    )
    world.setup(world.token, "set_minter", source.address, True)
    places = (world.token.address, world.payments.address, source.address, ZERO, ZERO)
    rest = (world.governor.address, NETWORK_ID, world.chain.now, LENGTH, RULES)
    market = Market(world, deploy_roots(world, *places, *rest))
    world.setup(market.roots, "set_watchers", [each.address for each in watchers], 3)
    market.post()
    market.roots.send("draw", 0, 100 * GRAIN, sender=proposer.address)
    header = lie(market, 0)
    dispute(market, header)
    with refused("roots: a verdict is not settled"):
        market.roots.send("draw", 1, GRAIN, sender=proposer.address)
    market.take_bond(header)
    with refused("roots: no bond"):
        market.roots.send("draw", 1, GRAIN, sender=proposer.address)


# Who settles, and what


def test_only_what_was_disproved_is_settled_and_once(market: Market) -> None:
    header = lie(market, 0)
    for winner in (carol, mallory):
        with refused("roots: no such verdict"):
            market.take_bond(header, winner=winner)
    dispute(market, header)
    for winner in (mallory, proposer):
        with refused("roots: no such verdict"):
            market.take_bond(header, winner=winner)
    for name, value in (("bond", 1), ("proposer", bob.address), ("position", 3)):
        with refused("roots: no such verdict"):
            market.take_bond(Struct({**header, name: value}))
    market.take_bond(header)
    assert market.world.balance(carol.address) == REWARD
    with refused("roots: no such verdict"):
        market.take_bond(header)


def test_a_header_is_remembered_again_once_its_verdict_is_settled(market: Market) -> None:
    header = lie(market, 0)
    before = market.roots.call("headers", header.position)
    dispute(market, header)
    assert market.roots.call("headers", header.position) != before
    market.take_bond(header)
    assert market.roots.call("headers", header.position) == before
    assert not market.roots.call("pending", header)


def test_the_same_root_put_down_in_the_same_second_is_another_one(market: Market) -> None:
    """Its header is the same to the last bit; it is open, and a second verdict costs once more."""
    market.post(BOND)
    header = lie(market, 0)
    dispute(market, header)
    market.take_bond(header)
    again = lie(market, 0)
    assert again == header
    assert market.roots.call("pending", again)
    with refused("roots: no such verdict"):
        market.take_bond(again)
    dispute(market, again, by=mallory)
    market.take_bond(again, winner=mallory)
    assert market.bond() == 0
    assert market.world.balance(mallory.address) == REWARD == market.world.balance(carol.address)


def test_no_more_is_taken_than_is_there(market: Market) -> None:
    """A bond that an earlier verdict took, and one that was added to meanwhile."""
    first, second = lie(market, 0), lie(market, 1)
    dispute(market, second)
    dispute(market, first, by=mallory)
    market.take_bond(first, winner=mallory)
    market.post(9)
    lost = market.take_bond(second).one("BondLost")
    assert lost.reward + lost.burned == 9
    assert market.bond() == 0
    assert market.world.funds(market.roots.address) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_verdicts_on_the_roots_of_two_are_settled_in_any_order(
    market: Market, order: tuple[int, int]
) -> None:
    """An earlier root falls while the verdict on a later one waits: both bonds are lost."""
    market.post(by=bob)
    verdicts = [(lie(market, 0), mallory), (lie(market, 1, by=bob), carol)]
    dispute(market, verdicts[1][0], by=carol)
    assert market.state.tip == verdicts[0][0].position
    dispute(market, verdicts[0][0], by=mallory)
    assert (market.state.tip, market.state.unsettled) == (1, 2)
    for left, place in enumerate(reversed(order)):
        header, winner = verdicts[order[left]]
        market.take_bond(header, winner=winner)
        assert market.state.unsettled == 1 - left
        if not left:
            with refused("roots: a verdict is not settled"):
                market.propose(0, TRUE, by=bob)
        assert place in order
    assert (market.bond(), market.bond(bob)) == (0, 0)
    assert market.world.balance(mallory.address) == REWARD == market.world.balance(carol.address)
    assert market.state == {
        "final": 1, "tip": 1, "next_epoch": 0, "tip_total": 0, "final_total": 0, "unsettled": 0,
    }  # fmt: skip


def test_who_built_on_a_lie_is_not_settled_with(market: Market) -> None:
    market.post(by=bob)
    header, later = lie(market, 0), market.propose(1, MORE, by=bob)
    dispute(market, header)
    for winner in (carol, mallory):
        with refused("roots: no such verdict"):
            market.take_bond(later, winner=winner)
    with refused("roots: no open root"):
        dispute(market, later)
    market.take_bond(header)
    assert market.bond(bob) == BOND


def test_roots_before_a_void_one_become_final_meanwhile(market: Market) -> None:
    first = market.propose(0, TRUE)
    header = market.propose(1, Forged([(HIGH, 30), (LOW, 30)]))
    told = Forged([(HIGH, 30), (LOW, 30)])
    market.roots.send("dispute_order", header, told.proof(0), told.proof(1), sender=carol.address)
    market.finalize(first)
    assert market.claim(0, TRUE, 1).value == 20 * GRAIN
    market.take_bond(header)
    assert market.state == {
        "final": 2, "tip": 2, "next_epoch": 1, "tip_total": 30, "final_total": 30, "unsettled": 0,
    }  # fmt: skip


# Demands and the judge


@pytest.mark.parametrize("settled", [False, True])
def test_a_demand_for_a_void_root_costs_nobody_anything(market: Market, settled: bool) -> None:
    header = lie(market, 0)
    asked = market.demand(header, 0)
    dispute(market, header)
    if settled:
        market.take_bond(header)
    market.world.chain.warp(ANSWER_WINDOW + 1)
    done = market.roots.send("expire", asked, header, sender=mallory.address)
    assert done.named("Voided") == [] == done.named("BondLost")
    assert market.world.chain.ether(carol.address) == PREPAID
    assert market.state.unsettled == (0 if settled else 1)
    if not settled:
        market.take_bond(header)
    assert market.world.balance(carol.address) == REWARD


def test_silence_is_settled_in_favour_of_who_asked(market: Market) -> None:
    header = market.propose(0, TRUE)
    asked = market.demand(header, 0)
    market.world.chain.warp(ANSWER_WINDOW + 1)
    done = market.roots.send("expire", asked, header, sender=mallory.address)
    assert done.one("Voided").winner == carol.address
    with refused("roots: no such verdict"):
        market.take_bond(header, winner=mallory)
    market.take_bond(header)
    assert market.world.balance(carol.address) == REWARD


def test_what_a_judge_holds_is_settled_all_the_same(market: Market) -> None:
    judge: Puppet = market.world.puppet()
    market.world.setup(market.roots, "set_judge", judge.address)
    header = market.propose(0, TRUE)
    hashed = market.roots.call("headers", header.position)
    judge.act(market.roots, "hold", hashed)
    judge.act(market.roots, "void", header, carol.address, "column")
    with refused("roots: no open root"):
        judge.act(market.roots, "void", header, mallory.address, "column")
    market.take_bond(header)
    judge.act(market.roots, "release", hashed)
    assert (market.bond(), market.world.balance(carol.address)) == (0, REWARD)


def test_a_winner_that_is_a_contract_is_paid(market: Market) -> None:
    puppet, header = market.world.puppet(), lie(market, 0)
    puppet.act(market.roots, "dispute_order", header, LIE.proof(0), LIE.proof(1))
    market.take_bond(header, winner=puppet.address)
    assert market.world.balance(puppet.address) == REWARD

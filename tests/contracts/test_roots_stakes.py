"""What a node earns by roots goes to its stake where others staked for it, and is split there."""

from __future__ import annotations

import pytest

from contracts.evm import Outcome, Signer
from contracts.roots import (
    GROWTH,
    LENGTH,
    RULES,
    Forged,
    Market,
    deploy_market,
    deploy_roots,
    honest,
    watchers,
)
from contracts.world import (
    NETWORK_ID,
    ZERO,
    Puppet,
    World,
    alice,
    bob,
    carol,
    mallory,
    node,
    refused,
)
from freehold.economics.trees import GRAIN

OWN, OTHERS, BPS = 10**6, 3 * 10**6, 1_000
EARNED = 1_000
TREE = honest({node.address: EARNED, carol.address: 40})


@pytest.fixture
def market(world: World) -> Market:
    """Alice owns the node and has OWN behind it, with a commission of a tenth."""
    places = (world.token.address, world.payments.address, ZERO, world.registry.address)
    known = (*places, world.staking.address, world.governor.address, NETWORK_ID)
    market = Market(world, deploy_roots(world, *known, world.chain.now, LENGTH, RULES))
    world.setup(market.roots, "set_watchers", [each.address for each in watchers], 3)
    world.register()
    for who in (alice, bob):
        world.fund(who.address, OTHERS)
        world.token.send("approve", world.staking.address, 2**128, sender=who.address)
    world.staking.send("set_commission", node.address, BPS, sender=alice.address)
    world.staking.send("stake", node.address, OWN, sender=alice.address)
    world.chain.warp(30 * 86_400)
    market.post()
    market.fund(GROWTH)
    return market


def delegate(market: Market, amount: int = OTHERS) -> None:
    market.world.staking.send("delegate", node.address, amount, sender=bob.address)


def claim(market: Market, epoch: int, tree: Forged, who: Signer) -> Outcome:
    index = [account for account, _ in tree.leaves].index(who.address)
    return market.claim(epoch, tree, index)


def claimable(market: Market, who: Signer) -> int:
    return int(market.world.staking.call("claimable", who.address, node.address))


def test_a_delegator_gets_its_part_and_the_owner_the_commission(market: Market) -> None:
    delegate(market)
    market.settle(0, TREE)
    done = claim(market, 0, TREE, node)
    earned = EARNED * GRAIN
    assert done.value == earned
    told, given = done.one("PaidElsewhere"), done.one("Rewarded")
    staking = market.world.staking.address
    assert (told.account, told.payout, told.grains) == (node.address, staking, EARNED)
    assert (given.node, given.payer, given.amount) == (node.address, market.roots.address, earned)
    moved = done.one("Movement")
    assert (moved.sender, moved.recipient) == (market.roots.address, staking)
    assert (moved.amount, moved.purpose) == (earned, 4)
    commission = earned * BPS // 10_000
    split = earned - commission
    assert claimable(market, alice) == commission + split * OWN // (OWN + OTHERS)
    assert claimable(market, bob) == split * OTHERS // (OWN + OTHERS)
    for who in (alice, bob):
        before, due = market.world.balance(who.address), claimable(market, who)
        market.world.staking.send("claim_rewards", node.address, sender=who.address)
        assert market.world.balance(who.address) == before + due
    assert market.roots.call("claimed", node.address) == EARNED
    with refused("roots: nothing to claim"):
        claim(market, 0, TREE, node)


def test_many_claims_go_to_stakes_and_payouts(market: Market) -> None:
    delegate(market)
    market.settle(0, TREE)
    done = market.roots.send("claim_many", 0, 0, list(TREE.leaves), 1, [], sender=mallory.address)
    assert done.value == (EARNED + 40) * GRAIN
    assert done.one("Rewarded").amount == EARNED * GRAIN
    assert market.world.balance(carol.address) == 40 * GRAIN


def test_where_nobody_delegates_the_payout_is_paid(market: Market) -> None:
    market.roots.send("set_payout", node.address, mallory.address, sender=alice.address)
    market.settle(0, TREE)
    done = claim(market, 0, TREE, node)
    assert done.named("Rewarded") == []
    assert market.world.balance(mallory.address) == EARNED * GRAIN
    assert done.one("PaidElsewhere").payout == mallory.address


def test_the_payout_is_kept_while_the_stake_is_paid(market: Market) -> None:
    """Named or asked of the registry, it is paid again once nobody delegates any more."""
    market.roots.send("set_payout", node.address, mallory.address, sender=alice.address)
    delegate(market)
    market.settle(0, TREE)
    claim(market, 0, TREE, node)
    assert market.roots.call("payout_of", node.address) == mallory.address
    staking = market.world.staking
    amount = staking.call("stake_of", bob.address, node.address)
    staking.send("unbond", node.address, amount, sender=bob.address)
    more = honest({node.address: EARNED + 7, carol.address: 40})
    market.settle(1, more)
    assert claim(market, 1, more, node).named("Rewarded") == []
    assert market.world.balance(mallory.address) == 7 * GRAIN


@pytest.mark.parametrize("part", [1, 2])
def test_a_slashed_stake_holds_up_no_claim(market: Market, part: int) -> None:
    """Half of it gone, or all: then there is no stake, and the payout is paid."""
    delegate(market)
    slasher: Puppet = market.world.puppet()
    for role in ("slasher", "locker"):
        market.world.setup(market.world.staking, f"set_{role}", slasher.address, True)
    taken = (OWN + OTHERS) * part // 2
    slasher.act(market.world.staking, "slash", node.address, taken, ZERO, 0, ZERO, 0)
    market.settle(0, TREE)
    before = market.world.balance(alice.address)
    done = claim(market, 0, TREE, node)
    assert len(done.named("Rewarded")) == 2 - part
    if part == 2:
        payout = market.roots.call("payout_of", node.address)
        assert market.world.balance(payout) - (before if payout == alice.address else 0) == (
            EARNED * GRAIN
        )


def test_a_payout_that_is_the_staking_contract_splits_nothing(market: Market) -> None:
    """It is paid as any other account: only a shared stake is rewarded."""
    staking = market.world.staking.address
    market.roots.send("set_payout", carol.address, staking, sender=carol.address)
    market.settle(0, TREE)
    done = claim(market, 0, TREE, carol)
    assert done.named("Rewarded") == []
    assert done.one("Movement").recipient == staking


def test_roots_without_a_staking_pay_the_payout(world: World) -> None:
    """As those that pay devices: an account there is no node with a stake."""
    market = deploy_market(world)
    assert market.roots.call("staking") == ZERO
    world.register()
    for who in (alice, bob):
        world.fund(who.address, OTHERS)
        world.token.send("approve", world.staking.address, 2**128, sender=who.address)
    world.staking.send("stake", node.address, OWN, sender=alice.address)
    world.staking.send("delegate", node.address, OWN, sender=bob.address)
    market.settle(0, TREE)
    assert claim(market, 0, TREE, node).named("Rewarded") == []

"""Stake of others: delegation, the least own share, notices, commission, rewards."""

from __future__ import annotations

import pytest

from contracts.evm import ZERO, Signer
from contracts.world import (
    CONSENT,
    UNBONDING,
    Puppet,
    World,
    alice,
    bob,
    carol,
    guardian,
    mallory,
    node,
    refused,
)

OWN = 1_000
HELD = 10**6
TERM = UNBONDING


def ready(world: World, who: Signer, amount: int = HELD) -> None:
    """Tokens and an allowance for the stake."""
    world.fund(who.address, amount)
    world.token.send("approve", world.staking.address, 2**128, sender=who.address)


def delegate(world: World, who: Signer, amount: int, *most: int) -> int:
    return int(
        world.staking.send("delegate", node.address, amount, *most, sender=who.address)
        .one("Staked")
        .shares
    )


def unbond(world: World, who: Signer, amount: int) -> int:
    return int(world.staking.send("unbond", node.address, amount, sender=who.address).value)


def reward(world: World, amount: int) -> int:
    """A reward by the guardian; the commission that the owner took of it."""
    done = world.staking.send("reward", node.address, amount, sender=guardian.address)
    return int(done.one("Rewarded").commission)


def claimable(world: World, who: Signer) -> int:
    return int(world.staking.call("claimable", who.address, node.address))


def stake_of(world: World, who: Signer) -> int:
    return int(world.staking.call("stake_of", who.address, node.address))


def notice(world: World, who: Signer, amount: int) -> None:
    world.staking.send("give_notice", node.address, amount, sender=who.address)


def commission(world: World, bps: int) -> None:
    world.staking.send("set_commission", node.address, bps, sender=alice.address)


@pytest.fixture
def staked(world: World) -> World:
    """Alice owns the node and has OWN on it; everybody has tokens."""
    world.register()
    for who in (alice, bob, carol, guardian):
        ready(world, who)
    world.staking.send("stake", node.address, OWN, sender=alice.address)
    return world


@pytest.fixture
def market(staked: World) -> Puppet:
    """A contract that may lock and slash."""
    puppet = staked.puppet()
    staked.setup(staked.staking, "set_slasher", puppet.address, True)
    staked.setup(staked.staking, "set_locker", puppet.address, True)
    return puppet


def lock(world: World, market: Puppet, amount: int) -> None:
    market.act(world.staking, "lock", node.address, amount)


def slash(world: World, market: Puppet, amount: int) -> int:
    return int(market.act(world.staking, "slash", node.address, amount, ZERO, 0, ZERO, 0).value)


# Joining


def test_anyone_delegates_and_the_owner_does_not(staked: World) -> None:
    done = staked.staking.send("delegate", node.address, 500, sender=bob.address)
    event, moved = done.one("Staked"), done.one("Movement")
    assert (event.node, event.staker, event.amount) == (node.address, bob.address, 500)
    assert (moved.sender, moved.recipient) == (bob.address, staked.staking.address)
    assert (moved.amount, moved.purpose) == (500, 11)
    assert staked.staking.call("active", node.address) == 1_500
    assert staked.staking.call("own", node.address) == OWN
    assert staked.staking.call("delegated", node.address).shares == event.shares
    assert stake_of(staked, bob) == 500
    assert staked.staking.call("total") == staked.balance(staked.staking.address) == 1_500
    with refused("staking: the owner stakes"):
        delegate(staked, alice, 1)
    with refused("staking: not the owner"):
        staked.staking.send("stake", node.address, 1, sender=bob.address)
    with refused("staking: unknown node"):
        staked.staking.send("delegate", mallory.address, 1, sender=bob.address)
    with refused("staking: nothing to stake"):
        delegate(staked, bob, 0)


def test_a_delegator_may_be_a_contract(staked: World) -> None:
    staking, puppet = staked.staking, staked.puppet()
    staked.fund(puppet.address, 500)
    puppet.act(staked.token, "approve", staking.address, 500)
    puppet.act(staking, "delegate", node.address, 500)
    whole = staking.call("delegated", node.address).shares
    reward(staked, 300)
    earned = staking.call("claimable", puppet.address, node.address)
    puppet.act(staking, "claim_rewards", node.address)
    assert staked.balance(puppet.address) == earned > 0
    puppet.act(staking, "give_notice", node.address, 200)
    assert staking.call("delegated", node.address).noticed == whole * 2 // 5
    entry = puppet.act(staking, "unbond", node.address, 200).value
    left = staking.call("delegated", node.address)
    assert (left.shares, left.noticed) == (whole * 3 // 5, 0)
    staked.chain.warp(UNBONDING)
    puppet.act(staking, "withdraw", node.address, entry)
    assert staked.balance(puppet.address) == earned + 200
    assert staking.call("stake_of", puppet.address, node.address) == 300


def test_a_stake_of_one_base_unit_is_rewarded_as_any(world: World) -> None:
    world.register()
    for who in (alice, guardian):
        ready(world, who)
    world.staking.send("stake", node.address, 1, sender=alice.address)
    assert reward(world, 10**6) == 0
    assert claimable(world, alice) > 0


def test_the_owners_own_share_has_a_least(staked: World) -> None:
    with refused("staking: own share too small"):
        delegate(staked, bob, 9 * OWN + 1)
    delegate(staked, bob, 9 * OWN)
    assert staked.staking.call("free", node.address) == 10 * OWN
    with refused("staking: own share too small"):
        delegate(staked, carol, 1)
    staked.staking.send("stake", node.address, 1, sender=alice.address)
    delegate(staked, carol, 9)


def test_nobody_delegates_to_a_node_without_own_stake(staked: World) -> None:
    unbond(staked, alice, OWN)
    with refused("staking: own share too small"):
        delegate(staked, bob, 1)


def test_only_backed_stake_counts_for_locks(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 9 * OWN)
    unbond(staked, alice, OWN // 2)
    assert staked.staking.call("free", node.address) == 5 * OWN
    with refused("staking: too little free stake"):
        lock(staked, market, 5 * OWN + 1)
    lock(staked, market, 5 * OWN)
    with refused("staking: locked"):
        unbond(staked, alice, 1)
    unbond(staked, bob, 4 * OWN + OWN // 2)  # what nothing counted on was free to leave
    with refused("staking: locked"):
        unbond(staked, bob, 1)


def test_the_owner_keeps_the_least_share_of_what_is_locked(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 4 * OWN)
    lock(staked, market, 2_001)
    with refused("staking: locked"):
        unbond(staked, alice, 800)
    unbond(staked, alice, 799)
    assert staked.staking.call("own", node.address) == 201
    with refused("staking: locked"):
        unbond(staked, alice, 1)


def test_due_faults_are_charged_before_somebody_joins(staked: World, market: Puppet) -> None:
    staked.setup(staked.staking, "set_evaluator", market.address, True)
    market.evaluation(staked.staking, "slash", node.address, OWN // 2, ZERO, 0, ZERO, 0)
    done = staked.staking.send("delegate", node.address, 500, sender=bob.address)
    assert done.one("Evaluated").node == node.address
    assert stake_of(staked, bob) == 499  # rounded down, and the slash is not his
    assert stake_of(staked, alice) == OWN // 2


def test_a_slash_falls_on_owner_and_delegators_pro_rata(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 3 * OWN)
    unbond(staked, bob, OWN)
    done = market.act(
        staked.staking, "slash", node.address, 400, carol.address, 100, mallory.address, 20
    )
    event = done.one("Slashed")
    assert (event.amount, event.victim_amount, event.bounty, event.burned) == (400, 100, 20, 280)
    assert stake_of(staked, alice) == 900
    assert stake_of(staked, bob) == 1_800
    assert staked.staking.call("entry_amount", bob.address, node.address, 0) == 900
    staked.chain.warp(UNBONDING)
    before = staked.balance(bob.address)
    staked.staking.send("withdraw", node.address, 0, sender=bob.address)
    assert staked.balance(bob.address) == before + 900


# Leaving


def test_a_delegator_leaves_freely_what_nothing_holds(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 4 * OWN)
    lock(staked, market, 3 * OWN)
    with refused("staking: locked"):
        unbond(staked, bob, 2 * OWN + 1)
    unbond(staked, bob, 2 * OWN)
    assert staked.staking.call("delegated", node.address).shares == 2 * OWN * 10**6
    market.act(staked.staking, "unlock", node.address, 1)
    with refused("staking: more than staked"):
        unbond(staked, carol, 1)


def test_a_notice_ends_a_lock_on_delegated_stake(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 4 * OWN)
    lock(staked, market, 4 * OWN)
    done = staked.staking.send("give_notice", node.address, 3 * OWN, sender=bob.address)
    event, until = done.one("NoticeSet"), staked.chain.now + TERM
    assert (event.node, event.staker) == (node.address, bob.address)
    assert (event.amount, event.shares, event.ready_at) == (3 * OWN, 3 * OWN * 10**6, until)
    found = staked.staking.call("notice", bob.address, node.address)
    assert (found.shares, found.ready_at) == (event.shares, until)
    assert staked.staking.call("free", node.address) == 0
    with refused("staking: locked"):
        unbond(staked, bob, OWN + 1)
    staked.chain.warp(TERM - 1)
    with refused("staking: locked"):
        unbond(staked, bob, 3 * OWN)
    staked.chain.warp(1)
    unbond(staked, bob, 3 * OWN)
    assert staked.staking.call("notice", bob.address, node.address).shares == 0
    assert staked.staking.call("delegated", node.address).noticed == 0
    assert staked.staking.call("shortfall", node.address) == 2 * OWN
    with refused("staking: too little free stake"):
        lock(staked, market, 1)
    with refused("staking: locked"):
        unbond(staked, alice, 1)
    assert slash(staked, market, 5 * OWN) == 5 * OWN  # what left is behind the faults until paid


def test_noticed_stake_counts_for_nothing_new(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 4 * OWN)
    notice(staked, bob, 2 * OWN)
    assert staked.staking.call("free", node.address) == 3 * OWN
    with refused("staking: too little free stake"):
        lock(staked, market, 3 * OWN + 1)
    lock(staked, market, 2 * OWN)
    with refused("staking: locked"):
        unbond(staked, alice, OWN)  # a tenth of the lock stays the owner's
    unbond(staked, alice, OWN // 2)
    with refused("staking: locked"):
        unbond(staked, bob, 2 * OWN + 1)  # beyond the notice: the rest of the room
    unbond(staked, bob, 2 * OWN)  # the notice is first to leave what is not locked
    assert staked.staking.call("delegated", node.address).noticed == 0


def test_a_notice_is_replaced_taken_back_and_used_in_parts(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 4 * OWN)
    lock(staked, market, 5 * OWN)
    notice(staked, bob, 3 * OWN)
    staked.chain.warp(TERM // 2)
    notice(staked, bob, OWN)
    assert staked.staking.call("delegated", node.address).noticed == OWN * 10**6
    staked.chain.warp(TERM // 2)
    with refused("staking: locked"):
        unbond(staked, bob, OWN)
    staked.chain.warp(TERM // 2)
    unbond(staked, bob, 400)
    assert staked.staking.call("notice", bob.address, node.address).shares == 600 * 10**6
    with refused("staking: locked"):
        unbond(staked, bob, 601)
    done = staked.staking.send("give_notice", node.address, 0, sender=bob.address)
    assert done.one("NoticeSet").ready_at == 0
    assert staked.staking.call("delegated", node.address).noticed == 0
    assert staked.staking.call("notice", bob.address, node.address).ready_at == 0
    with refused("staking: locked"):
        unbond(staked, bob, 1_000)


def test_an_unbonding_beyond_the_notice_uses_it_up(staked: World) -> None:
    delegate(staked, bob, 4 * OWN)
    notice(staked, bob, OWN)
    unbond(staked, bob, 2 * OWN)
    assert staked.staking.call("delegated", node.address).noticed == 0
    assert staked.staking.call("delegated", node.address).shares == 2 * OWN * 10**6


def test_whether_stake_can_leave_is_told_before(staked: World, market: Puppet) -> None:
    delegate(staked, bob, 4 * OWN)
    lock(staked, market, 3 * OWN)

    def can(who: Signer, amount: int) -> bool:
        return bool(staked.staking.call("can_unbond", who.address, node.address, amount))

    assert [can(bob, amount) for amount in (2 * OWN, 2 * OWN + 1)] == [True, False]
    assert [can(alice, amount) for amount in (700, 701, OWN + 1)] == [True, False, False]
    assert not can(carol, 1)
    notice(staked, bob, 4 * OWN)
    staked.chain.warp(TERM)
    assert [can(bob, amount) for amount in (4 * OWN, 4 * OWN + 1)] == [True, False]


def test_notices_are_the_delegators_and_bounded(staked: World) -> None:
    delegate(staked, bob, OWN)
    with refused("staking: the owner gives none"):
        notice(staked, alice, 1)
    with refused("staking: more than staked"):
        notice(staked, bob, OWN + 1)
    with refused("staking: more than staked"):
        notice(staked, carol, 1)
    with refused("staking: unknown node"):
        staked.staking.send("give_notice", mallory.address, 0, sender=bob.address)
    notice(staked, bob, OWN)


def test_a_retired_pool_forgets_delegations_and_notices(staked: World, market: Puppet) -> None:
    delegate(staked, bob, OWN)
    notice(staked, bob, OWN)
    slash(staked, market, 2 * OWN)
    assert staked.staking.call("delegated", node.address) == {"shares": 0, "noticed": 0}
    assert staked.staking.call("notice", bob.address, node.address).shares == 0
    staked.staking.send("stake", node.address, OWN, sender=alice.address)
    assert staked.staking.call("free", node.address) == OWN
    assert stake_of(staked, bob) == 0
    delegate(staked, bob, OWN)
    notice(staked, bob, OWN)
    assert staked.staking.call("delegated", node.address).noticed == OWN * 10**6
    unbond(staked, bob, OWN)
    assert staked.staking.call("own", node.address) == OWN


# Commission


def test_a_raise_waits_until_everybody_could_have_left(staked: World) -> None:
    commission(staked, 1_000)  # nobody to warn yet
    delegate(staked, bob, OWN, 1_000)
    done = staked.staking.send("set_commission", node.address, 2_000, sender=alice.address)
    event, at = done.one("CommissionSet"), staked.chain.now + TERM + UNBONDING
    assert (event.node, event.bps, event.raised, event.raised_at) == (
        node.address,
        1_000,
        2_000,
        at,
    )
    assert staked.staking.call("commission", node.address) == {
        "bps": 1_000,
        "raised": 2_000,
        "raised_at": at,
    }
    with refused("staking: commission too high"):
        delegate(staked, carol, 1, 1_999)
    staked.chain.warp(TERM + UNBONDING - 1)
    assert reward(staked, 1_000) == 100
    staked.chain.warp(1)
    assert reward(staked, 1_000) == 200
    assert staked.staking.call("commission", node.address) == {
        "bps": 2_000,
        "raised": 0,
        "raised_at": 0,
    }
    commission(staked, 1_500)
    assert reward(staked, 1_000) == 150
    delegate(staked, carol, 1, 1_500)


def test_naming_the_present_commission_takes_a_raise_back(staked: World) -> None:
    commission(staked, 300)
    delegate(staked, bob, OWN)
    commission(staked, 301)
    commission(staked, 300)
    staked.chain.warp(10 * (TERM + UNBONDING))
    assert reward(staked, 10_000) == 300


def test_commission_is_the_owners_and_bounded(staked: World) -> None:
    with refused("staking: not the owner"):
        staked.staking.send("set_commission", node.address, 1, sender=bob.address)
    with refused("staking: unknown node"):
        staked.staking.send("set_commission", mallory.address, 1, sender=bob.address)
    with refused("staking: commission too high"):
        commission(staked, 5_001)
    commission(staked, 5_000)
    with refused("staking: commission too high"):
        delegate(staked, bob, 1, 4_999)
    delegate(staked, bob, 1)


def test_an_owner_short_of_stake_earns_no_commission(staked: World, market: Puppet) -> None:
    commission(staked, 1_000)
    delegate(staked, bob, OWN)
    lock(staked, market, 2 * OWN)
    assert reward(staked, 1_000) == 100
    slash(staked, market, 2)
    assert staked.staking.call("shortfall", node.address) == 2
    assert reward(staked, 1_000) == 0
    staked.staking.send("stake", node.address, 2, sender=alice.address)
    assert staked.staking.call("shortfall", node.address) == 0
    assert reward(staked, 1_000) == 100


# Rewards


def test_rewards_are_shared_after_the_commission(staked: World) -> None:
    commission(staked, 1_000)
    delegate(staked, bob, 3 * OWN)
    done = staked.staking.send("reward", node.address, 1_000, sender=guardian.address)
    assert dict(done.one("Rewarded").args) == {
        "node": node.address,
        "payer": guardian.address,
        "owner": alice.address,
        "amount": 1_000,
        "commission": 100,
        "active": 4 * OWN,
    }
    moved = done.one("Movement")
    assert (moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        guardian.address,
        staked.staking.address,
        1_000,
        4,
    )
    assert (claimable(staked, alice), claimable(staked, bob)) == (325, 675)
    before = staked.balance(bob.address)
    done = staked.staking.send("claim_rewards", node.address, sender=bob.address)
    assert done.value == 675
    event, moved = done.one("RewardsClaimed"), done.one("Movement")
    assert (event.node, event.staker, event.amount) == (node.address, bob.address, 675)
    assert (moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        staked.staking.address,
        bob.address,
        675,
        4,
    )
    assert staked.balance(bob.address) == before + 675
    assert staked.staking.call("rewards") == 325
    with refused("staking: nothing to claim"):
        staked.staking.send("claim_rewards", node.address, sender=bob.address)
    assert claimable(staked, alice) == 325


def test_a_newcomer_earns_nothing_for_the_past(staked: World) -> None:
    reward(staked, 1_000)
    delegate(staked, bob, OWN)
    assert claimable(staked, bob) == 0
    with refused("staking: nothing to claim"):
        staked.staking.send("claim_rewards", node.address, sender=bob.address)
    reward(staked, 1_000)
    assert (claimable(staked, alice), claimable(staked, bob)) == (1_500, 500)
    delegate(staked, bob, OWN)  # the first part's earnings are booked, the second earns from now
    assert claimable(staked, bob) == 500
    unbond(staked, bob, 2 * OWN)
    reward(staked, 1_000)
    assert (claimable(staked, alice), claimable(staked, bob)) == (2_500, 500)


def test_rounding_is_carried_and_never_the_claimants(staked: World) -> None:
    delegate(staked, bob, 2 * OWN)
    found = []
    for _ in range(3):
        reward(staked, 1)
        found.append((claimable(staked, alice), claimable(staked, bob)))
    assert found == [(0, 0), (0, 1), (1, 2)]
    reward(staked, 1)
    staked.staking.send("claim_rewards", node.address, sender=bob.address)
    reward(staked, 2)  # what bob's claim left of a unit stays behind
    assert (claimable(staked, alice), claimable(staked, bob)) == (2, 1)
    assert staked.staking.call("rewards") == 4


def test_what_a_division_leaves_is_in_the_next_reward(staked: World) -> None:
    delegate(staked, bob, 2 * OWN)
    shares = staked.staking.call("active_pool", node.address).shares
    given = 0
    for _ in range(5):
        reward(staked, 7)
        given += 7
        index = staked.staking.call("reward_index", node.address, 0)
        assert index == given * 10**36 // shares


def test_a_claim_of_one_base_unit_is_paid(staked: World) -> None:
    reward(staked, 1)
    before = staked.balance(alice.address)
    assert staked.staking.send("claim_rewards", node.address, sender=alice.address).value == 1
    assert staked.balance(alice.address) == before + 1


def test_a_commission_rounds_down(staked: World) -> None:
    commission(staked, 1)
    assert reward(staked, 9_999) == 0
    assert reward(staked, 10_000) == 1


def test_a_retired_generations_claims_stay(staked: World, market: Puppet) -> None:
    delegate(staked, bob, OWN)
    reward(staked, 1_000)
    slash(staked, market, 2 * OWN)
    assert claimable(staked, bob) == 500
    assert reward(staked, 70) == 70  # no active stake: the owner's
    staked.staking.send("stake", node.address, OWN, sender=alice.address)
    reward(staked, 30)
    assert (claimable(staked, alice), claimable(staked, bob)) == (600, 500)
    delegate(staked, bob, OWN)
    reward(staked, 100)
    assert (claimable(staked, alice), claimable(staked, bob)) == (650, 550)
    for who in (alice, bob):
        staked.staking.send("claim_rewards", node.address, sender=who.address)
    assert staked.staking.call("rewards") == 0
    assert staked.balance(staked.staking.address) == staked.staking.call("total") == 2 * OWN


def test_rewards_are_bounded_and_for_known_nodes(staked: World) -> None:
    with refused("staking: nothing to give"):
        reward(staked, 0)
    with refused("staking: unknown node"):
        staked.staking.send("reward", mallory.address, 1, sender=guardian.address)
    with refused("staking: too much"):
        reward(staked, 2**96 + 1)
    with refused("token: balance too low"):
        reward(staked, 2**96)


def test_slashes_and_withdrawals_never_touch_rewards(staked: World, market: Puppet) -> None:
    delegate(staked, bob, OWN)
    reward(staked, 1_000)
    staked.token.send("transfer", staked.staking.address, 5, sender=carol.address)
    slash(staked, market, OWN)
    unbond(staked, bob, 400)
    staked.chain.warp(UNBONDING)
    staked.staking.send("withdraw", node.address, 0, sender=bob.address)
    assert (claimable(staked, alice), claimable(staked, bob)) == (500, 500)
    held = staked.staking.call("total") + staked.staking.call("rewards")
    assert staked.balance(staked.staking.address) == held + 5


def test_contracts_delegate_pay_and_own_in_their_own_name(world: World) -> None:
    staking, owner, delegator, payer = (world.staking, *(world.puppet() for _ in range(3)))
    deadline = world.chain.now + 600
    fields = {"node": node.address, "owner": owner.address, "generation": 1, "deadline": deadline}
    consent = node.sign(world.registry.domain(), CONSENT, fields)
    told = (1, "https://n", b"\1" * 32, b"\2" * 32, owner.address, deadline, consent)
    owner.act(world.registry, "register", node.address, *told)
    for who in (owner, delegator, payer):
        world.fund(who.address, HELD)
        who.act(world.token, "approve", staking.address, HELD)
    owner.act(staking, "stake", node.address, OWN)
    delegator.act(staking, "delegate", node.address, OWN)
    owner.act(staking, "set_commission", node.address, 0)
    payer.act(staking, "reward", node.address, 100)
    with refused("staking: the owner stakes"):
        owner.act(staking, "delegate", node.address, 1)
    with refused("staking: the owner gives none"):
        owner.act(staking, "give_notice", node.address, 1)
    delegator.act(staking, "give_notice", node.address, OWN)
    assert staking.call("notice", delegator.address, node.address).shares == OWN * 10**6
    delegator.act(staking, "give_notice", node.address, 1)
    assert staking.call("delegated", node.address).noticed == 10**6
    delegator.act(staking, "give_notice", node.address, OWN)
    world.setup(staking, "set_locker", payer.address, True)
    payer.act(staking, "lock", node.address, OWN)
    world.chain.warp(TERM)
    with refused("staking: locked"):
        owner.act(staking, "unbond", node.address, OWN)
    assert staking.call("can_unbond", delegator.address, node.address, OWN)
    delegator.act(staking, "unbond", node.address, OWN)
    assert staking.call("delegated", node.address) == {"shares": 0, "noticed": 0}
    assert staking.call("notice", delegator.address, node.address).shares == 0
    for who in (owner, delegator):
        done = who.act(staking, "claim_rewards", node.address)
        assert done.one("RewardsClaimed").staker == done.one("Movement").recipient == who.address
        assert done.one("Movement").amount == 50
        assert staking.call("claimable", who.address, node.address) == 0
    assert world.balance(payer.address) == HELD - 100


# Terms


def test_the_governor_sets_the_terms_within_bounds(staked: World) -> None:
    staking = staked.staking
    assert (staking.call("least_own_bps"), staking.call("exit_term")) == (1_000, TERM)
    with refused("staking: not the governor"):
        staking.send("set_delegation", 1_000, TERM, sender=alice.address)
    for bps in (99, 10_001):
        with refused("staking: own share out of bounds"):
            staked.setup(staking, "set_delegation", bps, TERM)
    for term in (UNBONDING - 1, 365 * 86_400 + 1):
        with refused("staking: exit term out of bounds"):
            staked.setup(staking, "set_delegation", 1_000, term)
    event = staked.setup(staking, "set_delegation", 10_000, 365 * 86_400).one("DelegationSet")
    assert (event.least_own_bps, event.exit_term) == (10_000, 365 * 86_400)
    with refused("staking: own share too small"):
        delegate(staked, bob, 1)
    staked.setup(staking, "set_delegation", 100, 2 * UNBONDING)
    delegate(staked, bob, 99 * OWN)
    notice(staked, bob, 1)
    found = staking.call("notice", bob.address, node.address)
    assert found.ready_at == staked.chain.now + 2 * UNBONDING

"""Stake: share pools, slashing of active and unbonding stake, locks, evaluators."""

from __future__ import annotations

import pytest

from contracts.evm import ZERO, Chain
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

HELD = 1_000_000


@pytest.fixture
def staked(world: World) -> World:
    """Alice owns the node and has staked HELD on it, and holds as much again."""
    world.register()
    world.fund(alice.address, 2 * HELD)
    world.token.send("approve", world.staking.address, 2 * HELD, sender=alice.address)
    world.staking.send("stake", node.address, HELD, sender=alice.address)
    return world


@pytest.fixture
def market(staked: World) -> Puppet:
    """A contract that may lock and slash."""
    puppet = staked.puppet()
    staked.setup(staked.staking, "set_slasher", puppet.address, True)
    staked.setup(staked.staking, "set_locker", puppet.address, True)
    return puppet


def slash(world: World, market: Puppet, amount: int, *parts: object) -> int:
    """Slash with nobody's parts, or (victim, amount, reporter, bounty)."""
    rest = parts or (ZERO, 0, ZERO, 0)
    return int(market.act(world.staking, "slash", node.address, amount, *rest).value)


def unbond(world: World, amount: int) -> int:
    return int(world.staking.send("unbond", node.address, amount, sender=alice.address).value)


def test_is_deployed_within_bounds(chain: Chain, world: World) -> None:
    good = (world.token.address, world.registry.address, world.governor.address)
    for index in range(3):
        arguments = [*good[:index], ZERO, *good[index + 1 :]]
        with refused("staking: zero address"):
            chain.deploy("staking", *arguments, UNBONDING, sender=alice.address)
    with refused("staking: unbonding too short"):
        chain.deploy("staking", *good, 59, sender=alice.address)
    with refused("staking: unbonding too long"):
        chain.deploy("staking", *good, 365 * 86_400 + 1, sender=alice.address)
    for period in (60, 365 * 86_400):
        made = chain.deploy("staking", *good, period, sender=alice.address)
        assert made.call("unbonding_period") == period


def test_the_owner_stakes(staked: World) -> None:
    done = staked.staking.send("stake", node.address, 7, sender=alice.address)
    event = done.one("Staked")
    assert (event.node, event.staker, event.amount) == (node.address, alice.address, 7)
    assert event.shares == 7 * 10**6
    moved = done.one("Movement")
    assert (moved.token, moved.sender, moved.recipient, moved.amount, moved.purpose) == (
        staked.token.address,
        alice.address,
        staked.staking.address,
        7,
        11,
    )
    assert staked.staking.call("active", node.address) == HELD + 7
    assert staked.staking.call("total") == HELD + 7
    assert staked.staking.call("stake_of", alice.address, node.address) == HELD + 7
    assert staked.staking.call("shares_of", alice.address, node.address) == (HELD + 7) * 10**6
    assert staked.staking.call("free", node.address) == HELD + 7
    assert staked.balance(staked.staking.address) == HELD + 7


def test_staking_is_the_owners_and_bounded(staked: World) -> None:
    with refused("staking: not the owner"):
        staked.staking.send("stake", node.address, 1, sender=mallory.address)
    with refused("staking: not the owner"):
        staked.staking.send("stake", mallory.address, 1, sender=alice.address)
    with refused("staking: nothing to stake"):
        staked.staking.send("stake", node.address, 0, sender=alice.address)
    with refused("staking: too much"):
        staked.staking.send("stake", node.address, 2**96 - HELD + 1, sender=alice.address)
    with refused("token: balance too low"):
        staked.token.send("approve", staked.staking.address, 2**97, sender=alice.address)
        staked.staking.send("stake", node.address, 2**96 - HELD, sender=alice.address)


def test_unbonding_waits_and_pays(staked: World) -> None:
    done = staked.staking.send("unbond", node.address, 400, sender=alice.address)
    event = done.one("Unbonded")
    ready = staked.chain.now + UNBONDING
    assert (event.entry, event.amount, event.ready_at) == (0, 400, ready)
    assert (event.node, event.staker) == (node.address, alice.address)
    assert event.shares == 400 * 10**6
    entry = staked.staking.call("entry", alice.address, node.address, 0)
    assert (entry.shares, entry.ready_at, entry.generation) == (event.shares, ready, 0)
    assert staked.staking.call("active", node.address) == HELD - 400
    assert staked.staking.call("unbonding", node.address) == 400
    assert staked.staking.call("total") == HELD
    assert staked.staking.call("open_entries", alice.address, node.address) == 1
    assert staked.staking.call("entry_count", alice.address, node.address) == 1
    assert staked.staking.call("entry_amount", alice.address, node.address, 0) == 400
    staked.chain.warp(UNBONDING - 1)
    with refused("staking: still unbonding"):
        staked.staking.send("withdraw", node.address, 0, sender=alice.address)
    staked.chain.warp(1)
    with refused("staking: no such entry"):
        staked.staking.send("withdraw", node.address, 0, sender=mallory.address)
    done = staked.staking.send("withdraw", node.address, 0, sender=alice.address)
    event = done.one("Withdrawn")
    assert (event.node, event.staker, event.entry, event.amount) == (
        node.address,
        alice.address,
        0,
        400,
    )
    assert done.one("Movement").purpose == 12
    assert done.one("Movement").recipient == alice.address
    assert staked.balance(alice.address) == HELD + 400
    assert staked.staking.call("total") == HELD - 400
    assert staked.staking.call("unbonding", node.address) == 0
    assert staked.staking.call("unbonding_pool", node.address).shares == 0
    assert staked.staking.call("open_entries", alice.address, node.address) == 0
    with refused("staking: no such entry"):
        staked.staking.send("withdraw", node.address, 0, sender=alice.address)


def test_unbonding_is_bounded_by_what_is_staked(staked: World) -> None:
    with refused("staking: nothing to unbond"):
        unbond(staked, 0)
    with refused("staking: locked"):
        unbond(staked, HELD + 1)
    with refused("staking: more than staked"):
        staked.staking.send("unbond", node.address, 1, sender=mallory.address)
    assert unbond(staked, HELD) == 0
    assert staked.staking.call("active", node.address) == 0
    assert staked.staking.call("active_pool", node.address).shares == 0


def test_entries_are_bounded_and_reopened(staked: World) -> None:
    for index in range(32):
        assert unbond(staked, 1) == index
    with refused("staking: too many entries"):
        unbond(staked, 1)
    staked.chain.warp(UNBONDING)
    staked.staking.send("withdraw", node.address, 5, sender=alice.address)
    assert unbond(staked, 1) == 32


def test_locks_hold_stake_until_their_locker_releases(staked: World, market: Puppet) -> None:
    staking = staked.staking
    event = market.act(staking, "lock", node.address, 600_000).one("Locked")
    assert dict(event.args) == {
        "node": node.address,
        "locker": market.address,
        "amount": 600_000,
        "total": 600_000,
    }
    assert market.act(staking, "lock", node.address, 1).one("Locked").total == 600_001
    assert staking.call("locked", node.address) == 600_001
    assert staking.call("locked_by", node.address, market.address) == 600_001
    assert staking.call("free", node.address) == 399_999
    with refused("staking: too little free stake"):
        market.act(staking, "lock", node.address, 400_000)
    with staked.chain.anchor():
        market.act(staking, "lock", node.address, 399_999)
        assert staking.call("free", node.address) == 0
    with refused("staking: locked"):
        unbond(staked, 400_000)
    unbond(staked, 399_999)
    with refused("staking: more than locked"):
        market.act(staking, "unlock", node.address, 600_002)
    event = market.act(staking, "unlock", node.address, 200_000).one("Unlocked")
    assert (event.amount, event.total, event.locker) == (200_000, 400_001, market.address)
    assert staking.call("locked_by", node.address, market.address) == 400_001
    unbond(staked, 200_000)


def test_a_locker_releases_only_its_own(staked: World, market: Puppet) -> None:
    other = staked.puppet()
    staked.setup(staked.staking, "set_locker", other.address, True)
    market.act(staked.staking, "lock", node.address, 10)
    with refused("staking: more than locked"):
        other.act(staked.staking, "unlock", node.address, 1)
    with refused("staking: not a locker"):
        staked.staking.send("lock", node.address, 1, sender=mallory.address)
    staked.setup(staked.staking, "set_locker", market.address, False)
    with refused("staking: not a locker"):
        market.act(staked.staking, "lock", node.address, 1)
    market.act(staked.staking, "unlock", node.address, 10)
    assert staked.staking.call("locked", node.address) == 0


def test_a_slash_takes_from_both_pools_pro_rata(staked: World, market: Puppet) -> None:
    unbond(staked, HELD // 4)
    done = market.act(
        staked.staking, "slash", node.address, 1_000, bob.address, 300, carol.address, 50
    )
    assert done.value == 1_000
    event = done.one("Slashed")
    assert dict(event.args) == {
        "node": node.address,
        "slasher": market.address,
        "amount": 1_000,
        "victim": bob.address,
        "victim_amount": 300,
        "reporter": carol.address,
        "bounty": 50,
        "burned": 650,
    }
    assert staked.staking.call("active", node.address) == HELD * 3 // 4 - 750
    assert staked.staking.call("unbonding", node.address) == HELD // 4 - 250
    assert staked.balance(bob.address) == 300
    assert staked.balance(carol.address) == 50
    assert staked.token.call("burned") == 650
    moves = [(m.recipient, m.amount, m.purpose) for m in done.named("Movement")]
    assert moves == [(bob.address, 300, 14), (carol.address, 50, 15), (ZERO, 650, 7)]
    assert staked.staking.call("total") == HELD - 1_000
    assert staked.balance(staked.staking.address) == HELD - 1_000


def test_a_slash_rounds_towards_unbonding_and_takes_exactly(staked: World, market: Puppet) -> None:
    unbond(staked, 333_333)
    assert slash(staked, market, 1) == staked.token.call("burned") == 1
    assert staked.staking.call("active", node.address) == HELD - 333_333
    assert staked.staking.call("unbonding", node.address) == 333_332


def test_a_slash_of_more_than_there_is_scales_the_parts(staked: World, market: Puppet) -> None:
    done = market.act(
        staked.staking, "slash", node.address, 4 * HELD, bob.address, HELD, carol.address, 401
    )
    assert done.value == HELD
    event = done.one("Slashed")
    assert (event.victim_amount, event.bounty) == (HELD // 4, 100)
    assert event.burned == HELD - HELD // 4 - 100
    assert staked.balance(staked.staking.address) == 0
    assert slash(staked, market, 5) == 0


def test_a_slash_needs_a_slasher_and_sound_parts(staked: World, market: Puppet) -> None:
    nobody = (ZERO, 0, ZERO, 0)
    with refused("staking: not a slasher"):
        staked.staking.send("slash", node.address, 1, *nobody, sender=mallory.address)
    with refused("staking: nothing to slash"):
        slash(staked, market, 0)
    for victim, bounty in ((101, 0), (0, 101), (60, 41)):
        with refused("staking: parts exceed the slash"):
            slash(staked, market, 100, bob.address, victim, carol.address, bounty)
    slash(staked, market, 100, bob.address, 60, carol.address, 40)
    assert staked.token.call("burned") == 0
    staked.setup(staked.staking, "set_slasher", market.address, False)
    with refused("staking: not a slasher"):
        slash(staked, market, 1)


@pytest.mark.parametrize("nobody", ["zero", "staking"])
def test_parts_for_nobody_burn(staked: World, market: Puppet, nobody: str) -> None:
    receiver = ZERO if nobody == "zero" else staked.staking.address
    slash(staked, market, 100, receiver, 30, receiver, 10)
    assert staked.token.call("burned") == 100
    assert staked.balance(staked.staking.address) == staked.staking.call("total")


def test_unbonding_stake_is_slashed_before_it_leaves(staked: World, market: Puppet) -> None:
    unbond(staked, HELD // 2)
    unbond(staked, HELD // 2)
    staked.chain.warp(UNBONDING)
    slash(staked, market, HELD // 2)
    for entry in (0, 1):
        assert staked.staking.call("entry_amount", alice.address, node.address, entry) == (
            HELD // 4
        )
        staked.staking.send("withdraw", node.address, entry, sender=alice.address)
    assert staked.balance(alice.address) == HELD + HELD // 2


def test_a_pool_slashed_to_nothing_is_retired(staked: World, market: Puppet) -> None:
    unbond(staked, HELD // 2)
    slash(staked, market, HELD)
    staking = staked.staking
    for pool in ("active_pool", "unbonding_pool"):
        assert staking.call(pool, node.address) == {"amount": 0, "shares": 0, "generation": 1}
    assert staking.call("stake_of", alice.address, node.address) == 0
    assert staking.call("shares_of", alice.address, node.address) == 0
    assert staking.call("entry_amount", alice.address, node.address, 0) == 0
    staking.send("stake", node.address, 1_000, sender=alice.address)
    assert staking.call("stake_of", alice.address, node.address) == 1_000
    unbond(staked, 500)
    staked.chain.warp(UNBONDING)
    done = staking.send("withdraw", node.address, 0, sender=alice.address)
    assert done.one("Withdrawn").amount == 0
    assert not done.named("Movement")
    assert staking.call("entry_amount", alice.address, node.address, 1) == 500
    staking.send("withdraw", node.address, 1, sender=alice.address)
    assert staked.balance(alice.address) == HELD - 500


def test_a_pool_slashed_to_a_billionth_is_retired_with_its_dust(
    staked: World, market: Puppet
) -> None:
    staked.fund(alice.address, 10**18)
    staked.token.send("approve", staked.staking.address, 10**18, sender=alice.address)
    staked.staking.send("stake", node.address, 10**18 - HELD, sender=alice.address)
    with staked.chain.anchor():
        assert slash(staked, market, 10**18 - 10**9 - 1) == 10**18 - 10**9 - 1
        assert staked.staking.call("active", node.address) == 10**9 + 1
    assert slash(staked, market, 10**18 - 10**9) == 10**18
    assert staked.staking.call("active", node.address) == 0
    assert staked.staking.call("total") == 0
    assert staked.token.call("burned") == 10**18
    assert staked.balance(staked.staking.address) == 0


def test_dust_of_both_pools_is_counted(staked: World, market: Puppet) -> None:
    staked.fund(alice.address, 10**18)
    staked.token.send("approve", staked.staking.address, 10**18, sender=alice.address)
    staked.staking.send("stake", node.address, 10**18 - HELD, sender=alice.address)
    unbond(staked, 10**17)
    assert slash(staked, market, 10**18 - 100) == 10**18
    assert staked.staking.call("total") == staked.balance(staked.staking.address) == 0


def test_dust_of_a_retired_pool_burns_and_is_no_part(staked: World, market: Puppet) -> None:
    staked.fund(alice.address, 10**18)
    staked.token.send("approve", staked.staking.address, 10**18, sender=alice.address)
    staked.staking.send("stake", node.address, 10**18 - HELD, sender=alice.address)
    amount = 10**18 - 5
    slash(staked, market, amount, bob.address, amount, carol.address, 0)
    assert staked.balance(bob.address) == amount
    assert staked.token.call("burned") == 5


def test_many_slashes_to_almost_nothing_never_stop_the_stake(staked: World, market: Puppet) -> None:
    staked.fund(alice.address, 10**26)
    staked.token.send("approve", staked.staking.address, 10**27, sender=alice.address)
    for _ in range(12):
        staked.staking.send("stake", node.address, 10**25 // 2, sender=alice.address)
        left = staked.staking.call("active", node.address)
        slash(staked, market, left - left // 10**9 - 2)
    staked.staking.send("stake", node.address, 10**25, sender=alice.address)
    worth = staked.staking.call("stake_of", alice.address, node.address)
    assert worth >= 10**25 - 1


def test_a_donation_changes_no_share(staked: World) -> None:
    staked.token.send("transfer", staked.staking.address, 500_000, sender=alice.address)
    done = staked.staking.send("stake", node.address, 10, sender=alice.address)
    assert done.one("Staked").shares == 10 * 10**6


def test_rounding_is_against_the_staker(staked: World, market: Puppet) -> None:
    slash(staked, market, 4)
    before = staked.staking.call("shares_of", alice.address, node.address)
    worth = staked.staking.call("stake_of", alice.address, node.address)
    assert worth <= HELD - 4
    pool = staked.staking.call("active_pool", node.address)
    shares, base = pool.shares + 10**6, pool.amount + 1
    amount = pow(shares, -1, base)  # worth a whole number of shares and the least fraction more
    unbond(staked, amount)
    spent = before - staked.staking.call("shares_of", alice.address, node.address)
    assert amount * shares % base == 1
    assert spent == amount * shares // base + 1
    staked.staking.send("stake", node.address, 7, sender=alice.address)
    again = staked.staking.call("shares_of", alice.address, node.address)
    pool = staked.staking.call("active_pool", node.address)
    assert again == pool.shares
    assert staked.staking.call("stake_of", alice.address, node.address) <= pool.amount


def test_evaluators_run_before_stake_leaves(staked: World, market: Puppet) -> None:
    staked.setup(staked.staking, "set_evaluator", market.address, True)
    assert staked.staking.call("evaluators") == [market.address]
    market.evaluation(staked.staking, "slash", node.address, HELD // 2, ZERO, 0, ZERO, 0)
    with refused("staking: locked"):
        unbond(staked, HELD // 2 + 1)
    done = staked.staking.send("unbond", node.address, HELD // 4, sender=alice.address)
    assert done.one("Evaluated").node == node.address
    assert staked.staking.call("active", node.address) == HELD // 4
    assert staked.staking.call("unbonding", node.address) == HELD // 4
    staked.chain.warp(UNBONDING)
    market.evaluation(staked.staking, "slash", node.address, HELD // 4, ZERO, 0, ZERO, 0)
    done = staked.staking.send("withdraw", node.address, 0, sender=alice.address)
    assert done.one("Withdrawn").amount == HELD // 8
    assert done.one("Evaluated").node == node.address
    assert staked.staking.call("total") == HELD // 8


def test_evaluators_are_few_and_removable(staked: World) -> None:
    puppets = [staked.puppet() for _ in range(5)]
    for puppet in puppets[:4]:
        done = staked.setup(staked.staking, "set_evaluator", puppet.address, True)
    event = done.one("RoleSet")
    assert (event.role, event.account, event.allowed) == ("evaluator", puppets[3].address, True)
    with refused("staking: too many evaluators"):
        staked.setup(staked.staking, "set_evaluator", puppets[4].address, True)
    staked.setup(staked.staking, "set_evaluator", puppets[0].address, True)
    assert len(staked.staking.call("evaluators")) == 4
    staked.setup(staked.staking, "set_evaluator", puppets[1].address, False)
    assert staked.staking.call("evaluators") == [
        puppets[2].address,
        puppets[3].address,
        puppets[0].address,
    ]
    with refused("staking: evaluator has no code"):
        staked.setup(staked.staking, "set_evaluator", alice.address, True)


@pytest.mark.parametrize("role", ["slasher", "locker", "evaluator"])
def test_only_the_governor_names_roles(world: World, role: str) -> None:
    puppet = world.puppet()
    with refused("staking: not the governor"):
        world.staking.send(f"set_{role}", puppet.address, True, sender=mallory.address)
    done = world.setup(world.staking, f"set_{role}", puppet.address, True)
    event = done.one("RoleSet")
    assert (event.role, event.account, event.allowed) == (role, puppet.address, True)
    if role != "evaluator":
        assert world.staking.call(f"{role}s", puppet.address)


def test_a_minter_of_the_token_cannot_touch_stake(staked: World) -> None:
    with refused("token: allowance too low"):
        staked.token.send(
            "transferFrom", staked.staking.address, guardian.address, 1, sender=guardian.address
        )


def test_a_contract_stakes_in_its_own_name(world: World) -> None:
    staking, puppet = world.staking, world.puppet()
    deadline = world.chain.now + 600
    fields = {
        "node": node.address,
        "owner": puppet.address,
        "generation": 1,
        "deadline": deadline,
    }
    consent = node.sign(world.registry.domain(), CONSENT, fields)
    puppet.act(
        world.registry,
        "register",
        node.address,
        1,
        "https://n",
        b"\1" * 32,
        b"\2" * 32,
        puppet.address,
        deadline,
        consent,
    )
    world.fund(puppet.address, HELD)
    puppet.act(world.token, "approve", staking.address, HELD)
    puppet.act(staking, "stake", node.address, HELD - 40)
    puppet.act(staking, "stake", node.address, 40)
    assert staking.call("stake_of", puppet.address, node.address) == HELD
    for amount in [*[1] * 31, HELD - 31]:
        puppet.act(staking, "unbond", node.address, amount)
    assert staking.call("open_entries", puppet.address, node.address) == 32
    puppet.act(world.token, "approve", staking.address, HELD)
    world.fund(puppet.address, 1)
    puppet.act(staking, "stake", node.address, 1)
    with refused("staking: too many entries"):
        puppet.act(staking, "unbond", node.address, 1)
    world.chain.warp(UNBONDING)
    done = puppet.act(staking, "withdraw", node.address, 31)
    assert done.one("Withdrawn").amount == HELD - 31
    assert world.balance(puppet.address) == HELD - 31
    assert staking.call("open_entries", puppet.address, node.address) == 31
    with refused("staking: no such entry"):
        puppet.act(staking, "withdraw", node.address, 31)
    with refused("staking: not the owner"):
        world.puppet().act(staking, "stake", node.address, 1)
    with refused("staking: not the governor"):
        puppet.act(staking, "set_slasher", puppet.address, True)

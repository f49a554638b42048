"""Capacity: declarations and their stake, units that markets hold, rules, who may what."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.evm import ZERO, Chain
from contracts.staked import BPS, COMPUTE, OTHER, STAKE, WATCHER, Staked, deploy_staked
from contracts.world import alice, guardian, mallory, node, refused
from freehold.economics.stake import AMOUNT_MAX, MULTIPLIER_MAX, PER_MAX, UNITS_MAX, Rule


@pytest.fixture
def staked(chain: Chain) -> Staked:
    """100 base units a device, weighed."""
    made = deploy_staked(chain)
    made.rule(100, weighed=True)
    return made


@cache
def asked() -> Staked:
    """One for questions alone: rules are set on it, and nothing is declared."""
    return deploy_staked(Chain())


def test_is_deployed_with_its_neighbours(chain: Chain, staked: Staked) -> None:
    world, capacity = staked.world, staked.capacity
    good = (world.registry.address, world.staking.address, world.governor.address)
    assert tuple(capacity.call(name) for name in ("registry", "staking", "governor")) == good
    for index in range(3):
        with refused("capacity: zero address"):
            arguments = [*good[:index], ZERO, *good[index + 1 :]]
            chain.deploy("capacity", *arguments, sender=alice.address)


def test_a_declaration_locks_its_stake(staked: Staked) -> None:
    event = staked.declare(8, multiplier=25_000).one("Declared")
    assert (event.node, event.role, event.units) == (node.address, COMPUTE, 8)
    assert (event.multiplier, event.amount, event.per, event.locked) == (25_000, 100, 1, 2_000)
    assert staked.locked() == staked.staking.call("locked", node.address) == 2_000
    found = staked.capacity.call("declaration", node.address, COMPUTE)
    assert found == {"units": 8, "held": 0, "multiplier": 25_000, "per": 1, "amount": 100}
    for view, value in (("declared", 8), ("held", 0), ("locked", 2_000), ("able", 8)):
        assert staked.capacity.call(view, node.address, COMPUTE) == value
    assert staked.locked(OTHER) == 0
    assert staked.capacity.call("able", OTHER.address, COMPUTE) == 0


def test_only_the_difference_is_locked_or_unlocked(staked: Staked) -> None:
    staked.declare(5)
    assert staked.declare(8).one("Locked").amount == 300
    assert staked.declare(3).one("Unlocked").amount == 500
    again = staked.declare(3)
    assert not again.named("Locked")
    assert not again.named("Unlocked")
    assert staked.declare(0).one("Unlocked").amount == 300
    assert staked.locked() == 0
    assert staked.capacity.call("declared", node.address, COMPUTE) == 0


def test_a_multiplier_below_one_counts_as_one(staked: Staked) -> None:
    for told in (0, 1, BPS - 1, BPS):
        assert staked.declare(3, multiplier=told).one("Declared").multiplier == BPS
        assert staked.locked() == 300
    staked.declare(3, multiplier=BPS + 1)
    assert staked.locked() == 301
    staked.declare(3, multiplier=MULTIPLIER_MAX)
    assert staked.locked() == 300_000
    with refused("capacity: multiplier too high"):
        staked.declare(3, multiplier=MULTIPLIER_MAX + 1)


def test_an_unweighed_role_takes_no_multiplier(staked: Staked) -> None:
    staked.rule(7, per=2)
    with refused("capacity: not weighed"):
        staked.declare(3, multiplier=BPS + 1)
    with refused("capacity: not weighed"):
        staked.capacity.call("required", COMPUTE, 3, BPS + 1)
    staked.declare(3)
    assert staked.locked() == 11


def test_the_owner_alone_declares(staked: Staked) -> None:
    for sender in (mallory, node, guardian):
        with refused("capacity: not the owner"):
            arguments = (node.address, COMPUTE, 1, BPS)
            staked.capacity.send("declare", *arguments, sender=sender.address)
    with refused("capacity: not the owner"):
        arguments = (mallory.address, COMPUTE, 1, BPS)
        staked.capacity.send("declare", *arguments, sender=alice.address)
    with refused("capacity: not the owner"):  # a contract that the owner calls is not the owner
        staked.markets[0].act(staked.capacity, "declare", node.address, COMPUTE, 1, BPS)


def test_without_a_rule_or_the_role_nothing_is_declared(staked: Staked) -> None:
    with refused("capacity: no rule"):
        staked.declare(1, role=1)
    with refused("capacity: no rule"):
        staked.capacity.call("required", 1, 1, BPS)
    staked.rule(1, role=WATCHER)
    with refused("capacity: not in this role"):
        staked.declare(1, role=WATCHER)
    staked.declare(0, role=WATCHER)
    with refused("capacity: too many units"):
        staked.declare(UNITS_MAX + 1)
    with refused("capacity: too many units"):
        staked.capacity.call("required", COMPUTE, UNITS_MAX + 1, BPS)


def test_too_little_free_stake_is_refused(staked: Staked) -> None:
    staked.faults.act(staked.staking, "lock", node.address, STAKE - 500)
    with refused("staking: too little free stake"):
        staked.declare(6)
    staked.declare(5)
    assert staked.staking.call("free", node.address) == 0
    with refused("staking: too little free stake"):
        staked.declare(5, multiplier=BPS + 1)
    assert staked.locked() == 500


def test_a_rule_touches_no_declaration_until_it_is_made_anew(staked: Staked) -> None:
    staked.declare(4)
    event = staked.rule(50, per=3).one("RuleSet")
    assert (event.role, event.amount, event.per, event.weighed) == (COMPUTE, 50, 3, False)
    assert staked.capacity.call("rule", COMPUTE) == {"amount": 50, "per": 3, "weighed": False}
    assert staked.locked() == 400
    assert staked.able() == 4
    staked.declare(4)
    assert staked.locked() == 67
    staked.rule(0)
    assert staked.locked() == 67
    for units in (4, 5):
        with refused("capacity: no rule"):
            staked.declare(units)
    staked.declare(3)
    assert staked.locked() == 50
    staked.declare(0)
    assert staked.locked() == 0


@pytest.mark.parametrize("held", [0, 3])
def test_lowering_never_locks_more(staked: Staked, held: int) -> None:
    """Whatever a rule has become: an owner short of stake can always offer less."""
    staked.declare(10)
    if held:
        staked.hold(held)
    staked.rule(10**26)
    with refused("staking: too little free stake"):
        staked.declare(10)
    for units in (9, 5, max(held, 1)):
        staked.declare(units)
        assert staked.locked() == 100 * units
    staked.rule(10)
    staked.declare(max(held, 1))
    assert staked.locked() == (300 if held else 10)


@pytest.mark.parametrize(
    ("role", "reason"),
    [(0, "unknown role"), (64, "unknown role"), (2**200, "unknown role"),
     (COMPUTE | 1, "several roles")],
)  # fmt: skip
def test_only_roles_are_declared(staked: Staked, role: int, reason: str) -> None:
    with refused(f"capacity: {reason}"):
        staked.declare(0, role=role)


def test_a_market_holds_and_releases(staked: Staked) -> None:
    staked.declare(8)
    event = staked.hold(5).one("Held")
    assert (event.node, event.role, event.units, event.held) == (node.address, COMPUTE, 5, 5)
    assert event.market == staked.markets[0].address
    assert staked.hold(2, market=1).one("Held").held == 7
    assert (staked.able(), staked.capacity.call("held", node.address, COMPUTE)) == (1, 7)
    with refused("capacity: too few units"):
        staked.hold(2)
    with refused("capacity: more than held"):
        staked.release(3, market=1)
    event = staked.release(4).one("Released")
    assert (event.node, event.role, event.units, event.held) == (node.address, COMPUTE, 4, 3)
    assert event.market == staked.markets[0].address
    held = [
        staked.capacity.call("held_by", node.address, COMPUTE, market.address)
        for market in staked.markets
    ]
    assert held == [1, 2]
    assert staked.able() == 5
    assert staked.locked() == 800


def test_nothing_is_held_of_nothing(staked: Staked) -> None:
    staked.declare(8)
    with refused("capacity: nothing to hold"):
        staked.hold(0)
    with refused("capacity: nothing to release"):
        staked.release(0)
    with refused("capacity: too few units"):
        staked.hold(1, role=COMPUTE | 1)
    with refused("capacity: more than held"):
        staked.release(1)
    with refused("capacity: not a market"):
        staked.capacity.send("hold", node.address, COMPUTE, 1, sender=mallory.address)


def test_held_units_cannot_be_declared_away(staked: Staked) -> None:
    staked.declare(8)
    staked.hold(5)
    with refused("capacity: a market holds them"):
        staked.declare(4)
    staked.declare(5)
    assert (staked.locked(), staked.able()) == (500, 0)
    staked.release(1)
    staked.declare(4)
    assert staked.locked() == 400


def test_what_is_held_keeps_its_stake_a_unit(staked: Staked) -> None:
    staked.declare(8, multiplier=20_000)
    staked.hold(3)
    event = staked.declare(6, multiplier=19_999).one("Declared")
    assert (event.multiplier, event.locked) == (20_000, 1_200)
    staked.rule(1, per=2)
    event = staked.declare(4).one("Declared")
    assert (event.amount, event.per, event.multiplier, event.locked) == (100, 1, 20_000, 800)
    staked.rule(0)
    staked.declare(3)
    assert staked.locked() == 600
    staked.rule(401, per=2)
    event = staked.declare(3).one("Declared")
    assert (event.amount, event.per, event.multiplier, event.locked) == (401, 2, BPS, 602)
    staked.release(3)
    staked.rule(1, per=2)
    staked.declare(3)
    assert staked.locked() == 2


def test_terms_that_ask_the_same_are_the_new_ones(staked: Staked) -> None:
    staked.declare(3, multiplier=20_000)
    staked.hold(1)
    staked.rule(599, per=3)
    event = staked.declare(3).one("Declared")
    assert (event.amount, event.per, event.multiplier, event.locked) == (100, 1, 20_000, 600)
    staked.rule(600, per=3)
    event = staked.declare(3).one("Declared")
    assert (event.amount, event.per, event.multiplier, event.locked) == (600, 3, BPS, 600)


def test_terms_of_several_units_are_compared_exactly(staked: Staked) -> None:
    staked.rule(100, per=3)
    staked.declare(6)
    staked.hold(1)
    for amount, locked in ((33, 200), (34, 204)):
        staked.rule(amount)
        staked.declare(6)
        assert staked.locked() == locked


def test_the_least_part_of_a_unit_is_rounded_up(staked: Staked) -> None:
    staked.rule(1, weighed=True)
    for multiplier, stake in ((BPS, 1), (BPS + 1, 2), (2 * BPS, 2), (2 * BPS + 1, 3)):
        assert staked.capacity.call("required", COMPUTE, 1, multiplier) == stake


def test_a_slashed_node_takes_nothing_new_and_lowers(staked: Staked) -> None:
    staked.declare(50, multiplier=20 * BPS)
    staked.hold(10)
    staked.slash(STAKE - 10**5)
    assert staked.able() == 40
    staked.slash(1)
    assert staked.able() == 0
    with refused("capacity: too few units"):
        staked.hold(1)
    staked.release(1)
    with refused("staking: too little free stake"):
        staked.declare(51, multiplier=20 * BPS)
    staked.declare(49, multiplier=20 * BPS)
    assert (staked.locked(), staked.able()) == (98_000, 40)


def test_a_node_slashed_to_nothing_unlocks(staked: Staked) -> None:
    staked.declare(50)
    staked.slash(STAKE)
    assert staked.staking.call("active", node.address) == 0
    assert staked.able() == 0
    staked.declare(0)
    assert staked.locked() == staked.staking.call("locked", node.address) == 0


def test_a_node_that_retired_or_left_the_role_takes_nothing_new(staked: Staked) -> None:
    registry, entry = staked.world.registry, staked.world.registry.call("node", node.address)
    staked.declare(8)
    staked.hold(2)
    for roles, able in ((1, 0), (COMPUTE, 6)):
        told = (roles, entry.endpoint, entry.tls, entry.info, entry.payout)
        registry.send("update", node.address, *told, sender=alice.address)
        assert staked.able() == able
    registry.send("retire", node.address, sender=alice.address)
    assert staked.able() == 0
    with refused("capacity: not in this role"):
        staked.declare(9)
    staked.declare(2)
    staked.release(2)
    staked.declare(0)
    assert staked.locked() == 0


def test_rules_are_the_governors_and_bounded(staked: Staked) -> None:
    with refused("capacity: not the governor"):
        staked.capacity.send("set_rule", COMPUTE, 1, 1, False, sender=guardian.address)
    for role in (0, 64, COMPUTE | 64):
        with refused("capacity: unknown role"):
            staked.rule(1, role=role)
    with refused("capacity: several roles"):
        staked.rule(1, role=COMPUTE | 1)
    with refused("capacity: amount too high"):
        staked.rule(AMOUNT_MAX + 1)
    for per in (0, PER_MAX + 1):
        with refused("capacity: per out of bounds"):
            staked.rule(1, per=per)
    for role in (1, 2, 4, 8, 16, 32):
        staked.rule(AMOUNT_MAX, per=PER_MAX, role=role)


def test_markets_are_the_governors(staked: Staked) -> None:
    capacity, market = staked.capacity, staked.markets[0]
    with refused("capacity: not the governor"):
        capacity.send("set_market", mallory.address, True, sender=mallory.address)
    staked.declare(3)
    staked.hold(2)
    told = staked.world.setup(capacity, "set_market", market.address, False)
    event = told.one("MarketSet")
    assert (event.market, event.allowed) == (market.address, False)
    with refused("capacity: not a market"):
        staked.hold(1)
    staked.release(2)
    assert staked.able() == 3


def test_what_holds_locks_is_listed_among_the_powers(staked: Staked) -> None:
    held = {
        (each.contract, each.role, each.holder) for each in staked.world.governor.call("powers")
    }
    assert (staked.staking.address, "locker", staked.capacity.address) in held
    for market in staked.markets:
        assert (staked.capacity.address, "market", market.address) in held


def test_roles_stand_side_by_side(staked: Staked) -> None:
    staked.rule(10, per=3, role=1)
    staked.declare(8)
    staked.declare(4, role=1)
    staked.declare(1, hot=OTHER)
    assert (staked.locked(), staked.locked(OTHER)) == (814, 100)
    staked.hold(4, role=1)
    with refused("capacity: more than held"):
        staked.release(1)
    staked.declare(0)
    assert staked.locked() == 14


@settings(max_examples=150, deadline=None, database=None)
@given(
    units=st.integers(1, UNITS_MAX),
    amount=st.integers(1, AMOUNT_MAX),
    per=st.one_of(st.integers(1, 10), st.integers(1, PER_MAX)),
    multiplier=st.integers(0, MULTIPLIER_MAX),
    weighed=st.booleans(),
)
def test_the_stake_is_the_one_that_everybody_reckons(
    units: int, amount: int, per: int, multiplier: int, weighed: bool
) -> None:
    staked, told = asked(), multiplier if weighed else BPS
    staked.rule(amount, per=per, weighed=weighed)
    found = staked.capacity.call("required", COMPUTE, units, told)
    assert found == Rule(amount, per, weighed).stake(units, Fraction(told, BPS))


def test_the_largest_declaration_is_kept_exactly(chain: Chain) -> None:
    staked = deploy_staked(chain)
    staked.rule(1, per=PER_MAX, weighed=True)
    staked.declare(UNITS_MAX, multiplier=MULTIPLIER_MAX)
    staked.hold(UNITS_MAX)
    kept = {"units": UNITS_MAX, "held": UNITS_MAX, "multiplier": MULTIPLIER_MAX}
    found = staked.capacity.call("declaration", node.address, COMPUTE)
    assert found == {**kept, "per": PER_MAX, "amount": 1}
    assert staked.locked() == Rule(1, PER_MAX).stake(UNITS_MAX, 1_000)

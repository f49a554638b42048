"""Stake that comes while a node's earlier work is still to be rewarded: it waits, then earns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import ZERO, Chain, Outcome, Signer
from contracts.world import (
    UNBONDING,
    Puppet,
    World,
    alice,
    bob,
    carol,
    deploy_world,
    guardian,
    mallory,
    node,
    refused,
)

OWN = 1_000
HELD = 10**6
EPOCH = 600
UNIT = 10**6
"""Shares of a base unit, while nothing is slashed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A node with its owner's OWN, which earns, and a payer of rewards that is asked."""

    world: World
    payer: Puppet

    def act(self, who: Signer, function: str, *arguments: int) -> Outcome:
        return self.world.staking.send(function, node.address, *arguments, sender=who.address)

    def stake(self, amount: int) -> Outcome:
        return self.act(alice, "stake", amount)

    def delegate(self, who: Signer, amount: int) -> Outcome:
        return self.act(who, "delegate", amount)

    def unbond(self, who: Signer, amount: int) -> Outcome:
        return self.act(who, "unbond", amount)

    def admit(self) -> Outcome:
        return self.act(mallory, "admit")

    def reward(self, amount: int) -> Outcome:
        return self.payer.act(self.world.staking, "reward", node.address, amount)

    def slash(self, amount: int) -> int:
        told = (node.address, amount, ZERO, 0, ZERO, 0)
        return int(self.payer.act(self.world.staking, "slash", *told).value)

    def owe(self, since: int | None = None) -> None:
        """Owe for work since a moment, now by default."""
        self.payer.owe(self.world.chain.now if since is None else since)

    def owe_nothing(self) -> None:
        self.payer.owe_nothing()

    def warp(self, seconds: int) -> int:
        self.world.chain.warp(seconds)
        return self.world.chain.now

    def claimable(self, *who: Signer) -> list[int]:
        return [self.world.staking.call("claimable", w.address, node.address) for w in who]

    def waiting(self, *who: Signer) -> list[int]:
        return [self.world.staking.call("waiting_of", w.address, node.address) for w in who]

    def arrival(self) -> tuple[int, int, int]:
        """Number, shares, the last one's moment."""
        found = self.world.staking.call("arrival", node.address)
        return found.number, found.shares, found.since

    def comes(self, who: Signer, amount: int, *, late: int = EPOCH) -> int:
        """Somebody joins while the payer owes for work of `late` seconds before; the moment."""
        self.owe(self.world.chain.now)
        moment = self.warp(late)
        joined = self.stake(amount) if who is alice else self.delegate(who, amount)
        assert joined.one("Staked").waits
        return moment


def deploy_stage(chain: Chain) -> Stage:
    world = deploy_world(chain)
    world.register()
    payer = world.puppet()
    for role in ("set_evaluator", "set_slasher", "set_locker"):
        world.setup(world.staking, role, payer.address, True)
    for who in (alice, bob, carol, guardian):
        world.fund(who.address, HELD)
        world.token.send("approve", world.staking.address, 2**128, sender=who.address)
    world.fund(payer.address, 10**12)
    payer.act(world.token, "approve", world.staking.address, 2**128)
    stage = Stage(world, payer)
    assert not stage.stake(OWN).one("Staked").waits
    return stage


@cache
def fresh() -> Stage:
    """A stage to be anchored by whoever uses it."""
    return deploy_stage(Chain())


@pytest.fixture
def stage(chain: Chain) -> Stage:
    return deploy_stage(chain)


# Coming


def test_where_nothing_is_owed_stake_earns_at_once(stage: Stage) -> None:
    assert not stage.delegate(bob, OWN).one("Staked").waits
    assert not stage.stake(OWN).one("Staked").waits
    assert stage.arrival() == (0, 0, 0)
    stage.reward(300)
    assert stage.claimable(alice, bob) == [200, 100]


def test_what_is_owed_from_this_very_moment_on_is_no_past(stage: Stage) -> None:
    stage.owe()
    assert not stage.delegate(bob, OWN).one("Staked").waits
    stage.reward(100)
    assert stage.claimable(alice, bob) == [50, 50]


def test_a_payer_that_names_a_moment_to_come_holds_nobody_up(stage: Stage) -> None:
    stage.owe(stage.world.chain.now + 10**6)
    assert not stage.delegate(bob, OWN).one("Staked").waits
    stage.owe(2**256 - 1)
    assert not stage.delegate(bob, OWN).one("Staked").waits


def test_who_comes_while_work_is_owed_waits_and_earns_nothing_of_it(stage: Stage) -> None:
    moment = stage.comes(bob, 9 * OWN)
    assert stage.arrival() == (0, 9 * OWN * UNIT, moment)
    assert stage.waiting(alice, bob) == [0, 9 * OWN]
    assert stage.world.staking.call("stake_of", bob.address, node.address) == 9 * OWN
    assert stage.world.staking.call("free", node.address) == 10 * OWN  # it counts for locks
    stage.reward(1_000)
    assert stage.claimable(alice, bob) == [1_000, 0]
    with refused("staking: nothing to claim"):
        stage.act(bob, "claim_rewards")
    assert stage.waiting(bob) == [9 * OWN]
    stage.owe_nothing()
    done = stage.admit().one("Admitted")
    assert (done.node, done.arrival, done.shares) == (node.address, 0, 9 * OWN * UNIT)
    assert stage.arrival() == (1, 0, 0)
    assert stage.waiting(bob) == [0]
    assert stage.claimable(alice, bob) == [1_000, 0]
    stage.reward(1_000)
    assert stage.claimable(alice, bob) == [1_100, 900]


def test_the_owners_own_more_waits_too(stage: Stage) -> None:
    assert not stage.delegate(bob, OWN).one("Staked").waits
    stage.comes(alice, 2 * OWN)
    assert stage.waiting(alice, bob) == [2 * OWN, 0]
    stage.reward(100)
    assert stage.claimable(alice, bob) == [50, 50]
    stage.owe_nothing()
    stage.admit()
    stage.reward(100)
    assert stage.claimable(alice, bob) == [125, 75]


def test_what_earns_goes_on_earning_when_more_comes_to_it(stage: Stage) -> None:
    stage.delegate(bob, OWN)
    stage.comes(bob, 7 * OWN)
    stage.reward(100)
    assert stage.claimable(alice, bob) == [50, 50]
    assert stage.act(bob, "claim_rewards").value == 50
    assert stage.waiting(bob) == [7 * OWN]
    stage.reward(100)
    assert stage.claimable(alice, bob) == [100, 50]
    stage.owe_nothing()
    stage.admit()
    stage.reward(900)
    assert stage.claimable(alice, bob) == [200, 50 + 800]


def test_an_evaluation_gives_first_and_is_no_newcomers(stage: Stage) -> None:
    for who, function in ((bob, "delegate"), (alice, "stake")):
        stage.payer.evaluation(stage.world.staking, "reward", node.address, 500)
        done = stage.act(who, function, OWN)
        assert [e.name for e in done.events if e.name in ("Rewarded", "Staked")] == [
            "Rewarded",
            "Staked",
        ]
    assert stage.claimable(alice, bob) == [500 + 250, 250]


# Who lets it in


@pytest.mark.parametrize("door", ["admit", "stake", "delegate", "unbond", "withdraw", "reward"])
def test_it_is_let_in_by_whatever_asks_once_all_is_given(stage: Stage, door: str) -> None:
    stage.delegate(carol, OWN)
    stage.unbond(carol, 10)
    stage.comes(bob, OWN)
    doors: dict[str, Callable[[], Outcome]] = {
        "admit": stage.admit,
        "stake": lambda: stage.stake(1),
        "delegate": lambda: stage.delegate(carol, 1),
        "unbond": lambda: stage.unbond(carol, 1),
        "withdraw": lambda: stage.act(carol, "withdraw", 0),
        "reward": lambda: stage.reward(1),
    }
    stage.warp(UNBONDING)
    with stage.world.chain.anchor():  # a second too early
        stage.owe(stage.arrival()[2] - 1)
        assert not doors[door]().named("Admitted")
        assert stage.waiting(bob) == [OWN]
    stage.owe(stage.arrival()[2])
    done = doors[door]().one("Admitted")
    assert (done.arrival, done.shares) == (0, OWN * UNIT)
    assert stage.waiting(bob) == [0]
    assert stage.arrival()[0] == 1


def test_the_rewards_that_let_it_in_are_not_its_own(stage: Stage) -> None:
    stage.comes(bob, OWN)
    stage.owe_nothing()
    stage.reward(100)
    stage.reward(10)
    assert stage.claimable(alice, bob) == [105, 5]


@pytest.mark.parametrize("function", ["give_notice", "claim_rewards", "set_commission"])
def test_what_moves_no_stake_lets_nobody_in(stage: Stage, function: str) -> None:
    stage.delegate(carol, OWN)
    stage.comes(bob, OWN)
    stage.reward(10)
    stage.owe_nothing()
    who = alice if function == "set_commission" else carol
    assert not stage.act(who, function, *([] if function == "claim_rewards" else [1])).named(
        "Admitted"
    )
    assert stage.waiting(bob) == [OWN]


def test_nobody_is_let_in_twice(stage: Stage) -> None:
    stage.comes(bob, OWN)
    stage.owe_nothing()
    assert stage.admit().named("Admitted")
    for _ in range(2):
        assert not stage.admit().named("Admitted")
        assert not stage.reward(100).named("Admitted")
    assert stage.arrival() == (1, 0, 0)
    assert stage.claimable(alice, bob) == [100, 100]


def test_slashes_do_not_let_it_in(stage: Stage) -> None:
    stage.comes(bob, OWN)
    stage.owe_nothing()
    stage.slash(500)
    assert stage.waiting(bob) == [750]
    assert stage.arrival()[:2] == (0, OWN * UNIT)


# Several in one arrival


def test_who_comes_together_waits_for_the_last(stage: Stage) -> None:
    first = stage.comes(bob, OWN)
    second = stage.warp(EPOCH)
    assert stage.delegate(carol, 2 * OWN).one("Staked").waits
    assert stage.arrival() == (0, 3 * OWN * UNIT, second)
    stage.payer.owe(first)
    assert not stage.reward(100).named("Admitted")
    stage.payer.owe(second - 1)
    assert not stage.admit().named("Admitted")
    assert stage.claimable(alice, bob, carol) == [100, 0, 0]
    stage.payer.owe(second)
    assert stage.admit().one("Admitted").shares == 3 * OWN * UNIT
    stage.reward(400)
    assert stage.claimable(alice, bob, carol) == [200, 100, 200]


def test_who_comes_when_the_first_are_in_is_another_arrival(stage: Stage) -> None:
    first = stage.comes(bob, OWN)
    stage.warp(EPOCH)
    stage.payer.owe(first)
    joined = stage.delegate(carol, 2 * OWN)
    assert joined.one("Admitted").arrival == 0
    assert joined.one("Staked").waits
    assert stage.arrival() == (1, 2 * OWN * UNIT, stage.world.chain.now)
    assert stage.waiting(bob, carol) == [0, 2 * OWN]
    stage.reward(100)
    assert stage.claimable(alice, bob, carol) == [50, 50, 0]
    stage.owe_nothing()
    stage.admit()
    stage.reward(100)
    assert stage.claimable(alice, bob, carol) == [75, 75, 50]


def test_stake_of_two_arrivals_is_one_position(stage: Stage) -> None:
    """Bob never touches his position in between: each part earns from its own admission."""
    stage.comes(bob, OWN)
    stage.owe_nothing()
    stage.admit()
    stage.reward(100)
    stage.comes(bob, 2 * OWN)
    assert stage.claimable(alice, bob) == [50, 50]
    stage.reward(100)
    assert stage.claimable(alice, bob) == [100, 100]
    stage.owe_nothing()
    stage.admit()
    stage.comes(carol, OWN)
    stage.reward(400)
    assert stage.claimable(alice, bob, carol) == [200, 400, 0]
    for _ in range(3):
        stage.owe_nothing()
        stage.admit()
        stage.comes(carol, 1)
    assert stage.act(bob, "claim_rewards").value == 400
    assert stage.claimable(bob) == [0]


# Leaving


def test_the_newest_leaves_first(stage: Stage) -> None:
    stage.delegate(bob, OWN)
    stage.comes(bob, 500)
    stage.unbond(bob, 200)
    assert stage.waiting(bob) == [300]
    assert stage.arrival()[1] == 300 * UNIT
    stage.reward(100)
    assert stage.claimable(alice, bob) == [50, 50]
    stage.unbond(bob, 800)  # 300 that wait, and 500 that earned
    assert stage.waiting(bob) == [0]
    assert stage.arrival()[1] == 0
    stage.reward(300)
    assert stage.claimable(alice, bob) == [250, 150]
    stage.owe_nothing()
    assert not stage.admit().named("Admitted")
    assert stage.arrival()[0] == 0  # an arrival that all left goes on for the next who come


def test_others_of_an_arrival_stay_when_one_leaves(stage: Stage) -> None:
    moment = stage.comes(bob, OWN)
    stage.delegate(carol, OWN)
    stage.unbond(bob, OWN)
    assert stage.arrival() == (0, OWN * UNIT, moment)
    assert stage.waiting(bob, carol) == [0, OWN]
    stage.unbond(carol, OWN)
    stage.comes(bob, 3)
    assert stage.arrival()[:2] == (0, 3 * UNIT)
    assert stage.waiting(bob, carol) == [3, 0]


def test_noticed_stake_that_waits_leaves_as_any(stage: Stage) -> None:
    stage.comes(bob, 4 * OWN)
    stage.payer.act(stage.world.staking, "lock", node.address, 5 * OWN)
    stage.act(bob, "give_notice", 3 * OWN)
    stage.warp(UNBONDING)
    stage.unbond(bob, 3 * OWN)
    assert stage.world.staking.call("delegated", node.address) == {
        "shares": OWN * UNIT,
        "noticed": 0,
    }
    assert stage.waiting(bob) == [OWN]
    stage.owe_nothing()
    stage.admit()
    assert not stage.reward(100).named("Admitted")
    assert stage.claimable(alice, bob) == [50, 50]


def test_let_in_by_his_own_leaving_he_keeps_what_stays(stage: Stage) -> None:
    stage.comes(bob, OWN)
    stage.owe_nothing()
    done = stage.unbond(bob, 400)
    assert done.one("Admitted").shares == OWN * UNIT
    assert stage.arrival() == (1, 0, 0)
    stage.reward(160)
    assert stage.claimable(alice, bob) == [100, 60]


# Where nothing earns


def test_a_reward_while_nothing_earns_is_the_owners(chain: Chain) -> None:
    stage = deploy_stage(chain)
    stage.unbond(alice, OWN)
    stage.comes(alice, OWN)
    stage.delegate(bob, 3 * OWN)
    event = stage.reward(1_000).one("Rewarded")
    assert (event.commission, event.active) == (1_000, 4 * OWN)
    assert stage.claimable(alice, bob) == [1_000, 0]
    stage.owe_nothing()
    stage.admit()
    assert stage.reward(1_000).one("Rewarded").commission == 0
    assert stage.claimable(alice, bob) == [1_250, 750]


def test_a_delegator_earns_alone_where_the_owners_stake_waits(stage: Stage) -> None:
    stage.delegate(bob, OWN)
    stage.unbond(alice, OWN)
    stage.comes(alice, OWN)
    stage.act(alice, "set_commission", 1_000)
    stage.warp(2 * UNBONDING)
    event = stage.reward(1_000).one("Rewarded")
    assert event.commission == 100
    assert stage.claimable(alice, bob) == [100, 900]


@pytest.mark.parametrize("bps", [0, 1, 1_000, 5_000])
def test_commission_is_taken_of_what_earning_stake_shares(stage: Stage, bps: int) -> None:
    stage.act(alice, "set_commission", bps)
    stage.delegate(bob, 3 * OWN)
    stage.comes(carol, 5 * OWN)
    event = stage.reward(10_000).one("Rewarded")
    assert (event.commission, event.active) == (bps, 9 * OWN)
    rest = 10_000 - bps
    assert stage.claimable(alice, bob, carol) == [bps + rest // 4, rest * 3 // 4, 0]


def test_what_a_division_leaves_passes_on_when_others_earn(stage: Stage) -> None:
    stage.delegate(bob, 2 * OWN)
    stage.comes(carol, 4 * OWN)
    stage.reward(1)
    assert stage.world.staking.call("reward_index", node.address, 0) == 10**36 // (3 * OWN * UNIT)
    stage.owe_nothing()
    stage.admit()
    stage.reward(7)
    left = 10**36 % (3 * OWN * UNIT)
    index = 10**36 // (3 * OWN * UNIT) + (7 * 10**36 + left) // (7 * OWN * UNIT)
    assert stage.world.staking.call("reward_index", node.address, 0) == index
    assert sum(stage.claimable(alice, bob, carol)) <= 8
    assert stage.claimable(carol) == [4]


# Generations


def test_a_retired_pool_lets_its_arrival_go(stage: Stage) -> None:
    stage.delegate(bob, OWN)
    stage.reward(100)
    stage.comes(bob, OWN)
    stage.delegate(carol, OWN)
    stage.reward(50)
    stage.slash(4 * OWN)
    assert stage.arrival() == (1, 0, 0)
    assert stage.waiting(bob, carol) == [0, 0]
    assert stage.claimable(alice, bob, carol) == [75, 75, 0]
    stage.stake(OWN)
    assert stage.arrival()[:2] == (1, OWN * UNIT)
    stage.delegate(bob, OWN)
    assert stage.reward(40).one("Rewarded").commission == 40  # no share earns yet
    assert stage.claimable(alice, bob, carol) == [115, 75, 0]
    stage.owe_nothing()
    assert stage.admit().one("Admitted").shares == 2 * OWN * UNIT
    stage.reward(20)
    assert stage.claimable(alice, bob, carol) == [125, 85, 0]
    assert stage.act(bob, "claim_rewards").value == 85
    with refused("staking: nothing to claim"):
        stage.act(carol, "claim_rewards")
    stage.delegate(carol, OWN)
    assert stage.claimable(carol) == [0]


def test_a_pool_that_is_retired_without_an_arrival_numbers_the_next_anew(stage: Stage) -> None:
    stage.slash(OWN)
    assert stage.arrival() == (1, 0, 0)
    stage.comes(alice, OWN)
    stage.slash(OWN)
    assert stage.arrival() == (2, 0, 0)


def test_earnings_of_a_generation_end_with_it(stage: Stage) -> None:
    """Bob is let in, earns, is slashed away, and the next generation's index is not his."""
    stage.comes(bob, OWN)
    stage.owe_nothing()
    stage.admit()
    stage.reward(100)
    stage.slash(2 * OWN)
    stage.stake(OWN)
    stage.reward(1_000)
    assert stage.claimable(alice, bob) == [1_050, 50]
    stage.comes(bob, OWN)
    assert stage.claimable(bob) == [50]
    stage.reward(1_000)
    assert stage.claimable(alice, bob) == [2_050, 50]


# Several payers


def test_the_one_that_owes_longest_decides(stage: Stage) -> None:
    other = stage.world.puppet()
    stage.world.setup(stage.world.staking, "set_evaluator", other.address, True)
    moment = stage.comes(bob, OWN)
    stage.warp(EPOCH)
    other.owe(moment - 1)
    stage.owe_nothing()
    assert not stage.admit().named("Admitted")
    other.owe(moment)
    assert stage.admit().named("Admitted")
    stage.owe(moment)
    assert stage.delegate(carol, OWN).one("Staked").waits
    other.owe(moment - EPOCH)
    stage.owe_nothing()
    assert not stage.admit().named("Admitted")
    stage.world.setup(stage.world.staking, "set_evaluator", other.address, False)
    assert stage.admit().named("Admitted")


def test_one_payers_gift_does_not_let_in_who_waits_for_the_other(stage: Stage) -> None:
    other = stage.world.puppet()
    stage.world.setup(stage.world.staking, "set_evaluator", other.address, True)
    stage.world.fund(other.address, HELD)
    other.act(stage.world.token, "approve", stage.world.staking.address, HELD)
    stage.comes(bob, OWN)
    done = other.act(stage.world.staking, "reward", node.address, 60)
    assert done.one("Rewarded").payer == other.address
    assert not done.named("Admitted")
    assert stage.claimable(alice, bob) == [60, 0]


def test_a_stranger_who_gives_lets_nobody_in_before_the_time(stage: Stage) -> None:
    stage.comes(bob, OWN)
    done = stage.act(guardian, "reward", 10)
    assert not done.named("Admitted")
    assert stage.claimable(alice, bob) == [10, 0]


def test_a_payer_that_tells_nothing_stops_stake_until_it_is_removed(stage: Stage) -> None:
    stage.comes(bob, OWN)
    stage.payer.refuse_to_tell()
    for function, *arguments in (("delegate", 1), ("admit",), ("unbond", 1)):
        with refused("puppet: refused"):
            stage.act(bob, function, *arguments)
    stage.world.setup(stage.world.staking, "set_evaluator", stage.payer.address, False)
    assert stage.unbond(bob, OWN).one("Admitted").shares == OWN * UNIT


def test_where_nobody_waits_a_payer_is_not_asked_who_leaves(stage: Stage) -> None:
    stage.delegate(bob, OWN)
    stage.payer.refuse_to_tell()
    stage.unbond(bob, OWN)
    stage.reward(10)
    stage.admit()


def test_an_evaluator_that_gives_while_it_is_asked_lets_in_and_takes_out_in_order(
    stage: Stage,
) -> None:
    """The reward comes out of `evaluate`, within the call that adds stake, and slashes come too."""
    stage.comes(bob, OWN)
    stage.owe_nothing()
    stage.payer.evaluation(stage.world.staking, "reward", node.address, 100)
    done = stage.delegate(bob, OWN)
    names = ("Rewarded", "Admitted", "Staked")
    assert [event.name for event in done.events if event.name in names] == list(names)
    assert stage.claimable(alice, bob) == [100, 0]
    stage.payer.evaluation(stage.world.staking, "slash", node.address, 3 * OWN, ZERO, 0, ZERO, 0)
    done = stage.stake(OWN)
    assert stage.world.staking.call("active_pool", node.address) == {
        "amount": OWN,
        "shares": OWN * UNIT,
        "generation": 1,
    }
    assert not done.one("Staked").waits


# Attacks


@given(
    own=st.integers(1, OWN - 1),
    ninefold=st.integers(1, 9_000),
    before=st.integers(1, 10**9),
    steps=st.lists(st.sampled_from(["reward", "admit", "owner", "newcomer", "leave"]), max_size=6),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_newcomer_has_no_part_in_what_was_worked_before_him(
    own: int, ninefold: int, before: int, steps: list[str]
) -> None:
    """Whatever he and others do, until all that is older than he has been given."""
    stage = fresh()
    with stage.world.chain.anchor():
        stage.unbond(alice, OWN - own)
        stage.comes(bob, min(ninefold, 9 * own))
        for step in steps:
            attack(stage, step, before)
        stage.reward(before)
        assert stage.claimable(bob) == [0]
        given = before * (1 + steps.count("reward"))
        assert given - len(steps) - 1 <= stage.claimable(alice)[0] <= given


def attack(stage: Stage, step: str, amount: int) -> None:
    """Something that anybody, the owner or the newcomer may do."""
    if step == "reward":
        stage.reward(amount)
    elif step == "admit":
        stage.admit()
    elif step == "owner" or stage.waiting(bob) == [0]:
        stage.stake(1)
    elif step == "newcomer":
        stage.stake(9)
        stage.delegate(bob, 1)
    else:
        stage.unbond(bob, 1)


@given(times=st.integers(1, 8), units=st.integers(1, 3))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nobody_keeps_anothers_stake_waiting_by_adding_his_own(times: int, units: int) -> None:
    """The owner adds a unit again and again; what the payer gives for an epoch lets in all who came
    before the next began, at the latest with his first unit after it."""
    stage = fresh()
    with stage.world.chain.anchor():
        start = stage.world.chain.now
        stage.owe(start)
        stage.warp(1)
        stage.delegate(bob, OWN)
        for number in range(times):
            assert stage.waiting(bob) == [OWN]
            stage.warp(EPOCH // (2 * times))
            stage.stake(units)
            assert stage.arrival()[1] == (OWN + units * (number + 1)) * UNIT
        stage.world.chain.warp_to(start + EPOCH)
        stage.owe(start + EPOCH)  # all of the first epoch has been given
        stage.warp(1)
        assert stage.stake(units).one("Admitted").arrival == 0
        assert stage.waiting(bob) == [0]

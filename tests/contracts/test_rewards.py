"""Rewards by work: what fees back, what an epoch is worth, and no gain from self-dealing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import ZERO, Chain, Contract, Outcome
from contracts.world import (
    World,
    alice,
    bob,
    carol,
    deploy_world,
    fake,
    guardian,
    mallory,
    node,
    refused,
)

EPOCH = 3_600
TOKEN = 10**18
PER_TOKEN = 1_000_000
SHARE = 5_000
RATE_ONE = 2**96
FIRST, SECOND = 7, 8


@dataclass(frozen=True, slots=True)
class Stage:
    """Rewards over a world, with the test as source, payments and issuance."""

    world: World
    backer: Contract
    rewards: Contract

    def burn(self, payee: str, amount: int) -> None:
        self.backer.send("burn_for", payee, amount, sender=alice.address)

    def back(self, account: int, by: str) -> Outcome:
        return self.rewards.send("back", account, sender=by)

    def report(self, account: int, work: int) -> Outcome:
        arguments = (self.rewards.address, account, work)
        return self.backer.send("report", *arguments, sender=mallory.address)

    def credited(self, account: int, work: int) -> int:
        """Report work; how much of it fees backed."""
        before = self.rewards.call("account", account).credit
        self.report(account, work)
        return int(before - self.rewards.call("account", account).credit)

    def budget(self, epoch: int, amount: int) -> None:
        self.backer.send("set_budget", epoch, amount, sender=alice.address)

    def close(self, epoch: int) -> int:
        return int(self.rewards.send("close", epoch, sender=mallory.address).value)

    def claim(self, account: int) -> int:
        return int(self.rewards.send("claim", account, sender=mallory.address).value)

    def next_epoch(self) -> int:
        """Go to the next epoch; the one that ended."""
        now = int(self.rewards.call("epoch"))
        self.world.chain.warp(EPOCH)
        return now


def deploy_stage(chain: Chain) -> Stage:
    world = deploy_world(chain)
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    world.setup(world.token, "set_minter", backer.address, True)
    rewards = chain.deploy("rewards", *arguments(world, backer), sender=alice.address)
    world.setup(rewards, "set_source", backer.address, backer.address)
    world.register(alice, node)
    world.register(bob, carol)
    backer.send("set_prover", FIRST, node.address, sender=alice.address)
    backer.send("set_prover", SECOND, carol.address, sender=alice.address)
    return Stage(world, backer, rewards)


def arguments(world: World, backer: Contract) -> list[object]:
    return [
        world.token.address, backer.address, world.registry.address, world.staking.address,
        backer.address, world.governor.address, world.chain.now, EPOCH, PER_TOKEN, SHARE,
    ]  # fmt: skip


@pytest.fixture
def stage(chain: Chain) -> Stage:
    return deploy_stage(chain)


def test_is_deployed_within_bounds(chain: Chain, world: World) -> None:
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good = arguments(world, backer)
    for place, value, reason in (
        (0, ZERO, "zero address"), (5, ZERO, "zero address"),
        (6, chain.now + 1, "genesis to come"), (7, 59, "epoch out of bounds"),
        (7, 366 * 86_400 + 1, "epoch out of bounds"), (8, 0, "nothing backs work"),
        (8, 2**60 + 1, "work per token out of bounds"), (9, 0, "share out of bounds"),
        (9, 9_001, "share out of bounds"),
    ):  # fmt: skip
        wrong = [*good[:place], value, *good[place + 1 :]]
        with refused(f"rewards: {reason}"):
            chain.deploy("rewards", *wrong, sender=alice.address)


def test_is_deployed_at_its_bounds(chain: Chain, world: World) -> None:
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good = arguments(world, backer)
    for least in ((60, 1, 1), (366 * 86_400, 2**60, 9_000)):
        made = chain.deploy("rewards", *good[:7], *least, sender=alice.address)
        names = ("epoch_seconds", "work_per_token", "share_bps")
        assert tuple(made.call(name) for name in names) == least
    for place, name in enumerate(
        ("token", "payments", "registry", "staking", "emission", "governor", "genesis")
    ):
        assert made.call(name) == good[place]


def test_epochs_are_counted_from_genesis(stage: Stage) -> None:
    genesis = stage.rewards.call("genesis")
    for seconds, epoch in ((0, 0), (EPOCH - 1, 0), (EPOCH, 1), (5 * EPOCH + 7, 5)):
        stage.world.chain.warp_to(max(genesis + seconds, stage.world.chain.now))
        assert stage.rewards.call("epoch") == epoch


def test_an_owner_that_is_a_contract_backs_as_itself(stage: Stage) -> None:
    owner = stage.world.puppet()
    with refused("rewards: neither the node nor its owner"):
        owner.act(stage.rewards, "back", FIRST)
    stage.burn(alice.address, TOKEN)
    assert stage.back(FIRST, alice.address).value == PER_TOKEN


def test_no_sum_outgrows_its_place(stage: Stage) -> None:
    stage.burn(alice.address, 2**110)
    assert stage.back(FIRST, alice.address).value == 2**64 - 1
    used = stage.rewards.call("backed_fees", alice.address)
    assert used == -(-(2**64 - 1) * TOKEN // PER_TOKEN)
    assert stage.credited(FIRST, 2**70) == 2**64 - 1
    assert stage.back(FIRST, alice.address).value == 2**64 - 1
    assert stage.credited(FIRST, 2**70) == 0
    found = stage.rewards.call("account", FIRST)
    assert (found.epoch, found.weight, found.credit, found.reward) == (0, 2**64 - 1, 2**64 - 1, 0)
    assert stage.rewards.call("total", 0) == 2**64 - 1
    stage.next_epoch()
    assert stage.credited(FIRST, 5) == 5
    assert stage.back(FIRST, alice.address).value == 2**64 - 1
    assert stage.rewards.call("account", FIRST).weight == 5
    assert stage.rewards.call("waiting", FIRST, 0) == 2**64 - 1


def test_an_epoch_without_work_draws_nothing(stage: Stage) -> None:
    stage.next_epoch()
    stage.budget(0, TOKEN)
    assert stage.close(0) == 0
    assert stage.rewards.call("emitted") == 0
    assert stage.rewards.call("rates", 0) == 0
    assert stage.backer.call("drawable", 0) == TOKEN


def test_empty_epochs_between_lose_nothing(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    worked = []
    for skipped in (0, 2, 1, 3):
        stage.report(FIRST, PER_TOKEN)
        worked.append(stage.next_epoch())
        for _ in range(skipped):
            empty = stage.next_epoch()
            assert stage.rewards.call("total", empty) == 0
    assert [stage.rewards.call("total", epoch) for epoch in worked] == [PER_TOKEN] * 4


def test_a_claim_of_one_base_unit_is_paid(stage: Stage) -> None:
    stage.burn(alice.address, TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 1)
    epoch = stage.next_epoch()
    stage.budget(epoch, 1)
    assert stage.close(epoch) == 1
    claimed = stage.rewards.send("claim", FIRST, sender=mallory.address)
    assert claimed.value == 1
    moved = claimed.named("Movement")[-1]
    assert (moved.recipient, moved.amount, moved.purpose) == (alice.address, 1, 4)
    assert not stage.rewards.send("claim", FIRST, sender=mallory.address).events


def test_the_source_is_named_once_and_nobody_else_reports(stage: Stage) -> None:
    rewards, world = stage.rewards, stage.world
    assert rewards.call("source") == stage.backer.address
    with refused("rewards: the source is named"):
        world.setup(rewards, "set_source", stage.backer.address, stage.backer.address)
    with refused("rewards: not the governor"):
        rewards.send("set_source", *[stage.backer.address] * 2, sender=guardian.address)
    with refused("rewards: not the source"):
        rewards.send("proven", FIRST, 1, sender=mallory.address)


def test_work_that_no_fee_backs_earns_nothing(stage: Stage) -> None:
    assert stage.credited(FIRST, 10**6) == 0
    epoch = stage.next_epoch()
    stage.budget(epoch, 10**20)
    assert stage.close(epoch) == 0
    assert stage.claim(FIRST) == 0


def test_fees_back_work_once_and_only_by_the_nodes_own_side(stage: Stage) -> None:
    stage.burn(alice.address, 3 * TOKEN)
    with refused("rewards: neither the node nor its owner"):
        stage.back(FIRST, mallory.address)
    assert stage.back(FIRST, node.address).value == 3 * PER_TOKEN
    assert stage.back(FIRST, alice.address).value == 3 * PER_TOKEN
    assert stage.credited(FIRST, 2 * PER_TOKEN) == 2 * PER_TOKEN
    assert stage.credited(FIRST, 2 * PER_TOKEN) == PER_TOKEN


def test_two_nodes_of_one_payout_share_what_was_burned(stage: Stage) -> None:
    world = stage.world
    place = ("https://node.example", b"\x01" * 32, b"\x02" * 32)
    world.registry.send("update", carol.address, 1, *place, alice.address, sender=bob.address)
    stage.burn(alice.address, TOKEN)
    for who in (bob.address, carol.address):
        with refused("rewards: the payout has not agreed"):
            stage.back(SECOND, who)
    agreed = stage.rewards.send("set_backer", SECOND, True, sender=alice.address).one("BackerSet")
    assert (agreed.payee, agreed.account, agreed.allowed) == (alice.address, SECOND, True)
    assert stage.back(SECOND, bob.address).value == PER_TOKEN
    assert stage.back(FIRST, alice.address).value == 0
    stage.rewards.send("set_backer", SECOND, False, sender=alice.address)
    with refused("rewards: the payout has not agreed"):
        stage.back(SECOND, carol.address)
    assert stage.back(SECOND, alice.address).value == PER_TOKEN


def test_less_than_a_unit_is_kept_for_later(stage: Stage) -> None:
    stage.burn(alice.address, TOKEN // PER_TOKEN - 1)
    assert stage.back(FIRST, alice.address).value == 0
    stage.burn(alice.address, 1)
    assert stage.back(FIRST, alice.address).value == 1
    assert stage.rewards.call("backed_fees", alice.address) == TOKEN // PER_TOKEN


def test_an_epoch_is_shared_by_work_up_to_its_budget(stage: Stage) -> None:
    stage.burn(alice.address, 10 * TOKEN)
    stage.burn(bob.address, 10 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.back(SECOND, bob.address)
    stage.report(FIRST, 3 * PER_TOKEN)
    stage.report(SECOND, PER_TOKEN)
    epoch = stage.next_epoch()
    stage.budget(epoch, TOKEN)
    assert stage.close(epoch) == TOKEN
    before = stage.world.balance(alice.address), stage.world.balance(bob.address)
    assert stage.claim(FIRST) == TOKEN * 3 // 4
    assert stage.claim(SECOND) == TOKEN // 4
    assert stage.world.balance(alice.address) == before[0] + TOKEN * 3 // 4
    assert stage.world.balance(bob.address) == before[1] + TOKEN // 4
    assert stage.claim(FIRST) == 0


def test_no_budget_pays_more_than_the_share_of_what_was_burned(stage: Stage) -> None:
    stage.burn(alice.address, 2 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 10 * PER_TOKEN)
    epoch = stage.next_epoch()
    stage.budget(epoch, 10**24)
    assert stage.close(epoch) == 2 * TOKEN * SHARE // 10_000
    assert stage.claim(FIRST) == TOKEN


def test_an_epoch_closes_once_after_its_end_when_its_budget_is_known(stage: Stage) -> None:
    with refused("rewards: the epoch has not ended"):
        stage.close(0)
    stage.next_epoch()
    with refused("backer: not known yet"):
        stage.close(0)
    stage.budget(0, 5)
    stage.close(0)
    with refused("rewards: closed already"):
        stage.close(0)


def test_work_of_an_epoch_that_nobody_closed_waits(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    epochs = []
    for _ in range(4):
        stage.report(FIRST, PER_TOKEN)
        epochs.append(stage.next_epoch())
    assert stage.claim(FIRST) == 0
    with refused("rewards: not closed"):
        stage.rewards.send("collect", FIRST, epochs[0], sender=mallory.address)
    for epoch in (epochs[2], epochs[0], epochs[3], epochs[1]):
        assert stage.rewards.call("total", epoch) == PER_TOKEN
        stage.budget(epoch, 10**24)
        assert stage.close(epoch) == TOKEN // 2
        got = stage.rewards.send("collect", FIRST, epoch, sender=mallory.address)
        assert got.value == TOKEN // 2
        with refused("rewards: nothing waits"):
            stage.rewards.send("collect", FIRST, epoch, sender=mallory.address)
    assert stage.claim(FIRST) == 2 * TOKEN


def test_a_single_unit_waits_behind_two_epochs_that_nobody_closed(stage: Stage) -> None:
    stage.burn(alice.address, TOKEN)
    stage.back(FIRST, alice.address)
    ended = []
    for work in (1, 5, 7):
        stage.report(FIRST, work)
        ended.append(stage.next_epoch())
    stage.report(FIRST, 9)
    assert [stage.rewards.call("total", epoch) for epoch in ended] == [1, 5, 7]


def test_a_payout_that_is_a_contract_agrees_as_itself(stage: Stage) -> None:
    payout = stage.world.puppet()
    done = payout.act(stage.rewards, "set_backer", FIRST, True)
    assert done.one("BackerSet").payee == payout.address
    assert stage.rewards.call("backers", payout.address, FIRST)
    assert not stage.rewards.call("backers", alice.address, FIRST)


def test_a_set_that_the_market_did_not_open_is_not_backed(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.backer.send("set_listener", FIRST, alice.address, sender=alice.address)
    with refused("rewards: not a set of the market"):
        stage.back(FIRST, alice.address)
    stage.backer.send("set_listener", FIRST, stage.backer.address, sender=alice.address)
    assert stage.back(FIRST, alice.address).value == 9 * PER_TOKEN


def test_the_market_and_its_ledger_are_named_with_the_source(chain: Chain, world: World) -> None:
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    rewards = chain.deploy("rewards", *arguments(world, backer), sender=alice.address)
    assert [rewards.call(name) for name in ("source", "market", "listener")] == [ZERO] * 3
    with refused("rewards: source has no code"):
        world.setup(rewards, "set_source", alice.address, backer.address)
    data = rewards.data("set_source", backer.address, backer.address)
    named = world.governor.send("setup_call", rewards.address, data, sender=guardian.address)
    found = named.one("SourceSet")
    assert (found.source, found.market, found.listener) == (backer.address,) * 3
    assert [rewards.call(name) for name in ("source", "market", "listener")] == [backer.address] * 3


def test_backed_bytes_are_work_over_the_length_of_an_epoch(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 7 * EPOCH + 1)
    assert stage.rewards.call("backed", 0) == (7 * EPOCH + 1) * 2**20 // EPOCH
    stage.next_epoch()
    assert stage.rewards.call("backed", 0) == (7 * EPOCH + 1) * 2**20 // EPOCH
    assert stage.rewards.call("backed", 1) == 0


def test_work_that_waits_is_told(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 5)
    stage.next_epoch()
    found = stage.report(FIRST, 6).one("WorkWaits")
    assert (found.account, found.epoch, found.weight) == (FIRST, 0, 5)


def test_where_others_have_staked_a_claim_goes_to_the_stake(stage: Stage) -> None:
    world, staking = stage.world, stage.world.staking
    for owner, amount in ((alice, 3 * TOKEN), (bob, TOKEN)):
        world.fund(owner.address, amount)
        world.token.send("approve", staking.address, amount, sender=owner.address)
    staking.send("stake", node.address, 3 * TOKEN, sender=alice.address)
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    paid = []
    for _ in range(2):
        stage.report(FIRST, PER_TOKEN)
        epoch = stage.next_epoch()
        stage.budget(epoch, TOKEN // 2)
        stage.close(epoch)
        claimed = stage.rewards.send("claim", FIRST, sender=mallory.address)
        assert claimed.value == TOKEN // 2
        paid.append(claimed)
        if len(paid) == 1:
            staking.send("delegate", node.address, TOKEN, sender=bob.address)
    assert paid[0].one("Claimed").payee == alice.address
    assert not paid[0].named("Rewarded")[1:]
    assert paid[1].one("Claimed").payee == staking.address
    before = world.balance(bob.address)
    got = staking.send("claim_rewards", node.address, sender=bob.address).value
    assert world.balance(bob.address) == before + got
    assert staking.call("commission", node.address).bps == 0
    assert got == TOKEN // 2 // 4


class RewardLaws(RuleBasedStateMachine):
    """Two nodes, fees, work, epochs closed or not, beside a plain calculation."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = deploy_stage(Chain())
        self.burned = {FIRST: 0, SECOND: 0}
        self.credit = {FIRST: 0, SECOND: 0}
        self.backed = {FIRST: 0, SECOND: 0}
        self.work: dict[int, dict[int, int]] = {}
        self.due = {FIRST: 0, SECOND: 0}
        self.paid = {FIRST: 0, SECOND: 0}
        self.budgets = 0
        self.open: list[int] = []

    @rule(account=st.sampled_from([FIRST, SECOND]), amount=st.integers(0, 3 * 10**18))
    def burn(self, account: int, amount: int) -> None:
        owner = alice if account == FIRST else bob
        self.stage.burn(owner.address, amount)
        self.burned[account] += amount
        self.stage.back(account, owner.address)
        fresh = (self.burned[account] - self.backed[account]) * PER_TOKEN // TOKEN
        self.credit[account] += fresh
        self.backed[account] += -(-fresh * TOKEN // PER_TOKEN)

    @rule(account=st.sampled_from([FIRST, SECOND]), work=st.integers(0, 4 * PER_TOKEN))
    def prove(self, account: int, work: int) -> None:
        epoch = int(self.stage.rewards.call("epoch"))
        self.stage.report(account, work)
        counted = min(work, self.credit[account])
        self.credit[account] -= counted
        done = self.work.setdefault(epoch, {FIRST: 0, SECOND: 0})
        done[account] += counted

    @rule(seconds=st.integers(1, 2 * EPOCH))
    def wait(self, seconds: int) -> None:
        before = int(self.stage.rewards.call("epoch"))
        self.stage.world.chain.warp(seconds)
        self.open += range(before, int(self.stage.rewards.call("epoch")))

    @rule(data=st.data(), budget=st.integers(0, 10**18))
    def close(self, data: st.DataObject, budget: int) -> None:
        if not self.open:
            return
        epoch = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.stage.budget(epoch, budget)
        self.budgets += budget
        drawn = self.stage.close(epoch)
        done = self.work.get(epoch, {FIRST: 0, SECOND: 0})
        weight = sum(done.values())
        expected = min(budget, weight * SHARE * TOKEN // (10_000 * PER_TOKEN))
        assert drawn == expected
        rate = drawn * RATE_ONE // weight if weight else 0
        for account, part in done.items():
            self.due[account] += part * rate // RATE_ONE
            self._collect(account, epoch)

    def _collect(self, account: int, epoch: int) -> None:
        if self.stage.rewards.call("waiting", account, epoch):
            self.stage.rewards.send("collect", account, epoch, sender=mallory.address)

    @rule(account=st.sampled_from([FIRST, SECOND]))
    def claim(self, account: int) -> None:
        self.paid[account] += self.stage.claim(account)
        assert self.paid[account] == self.due[account]

    @invariant()
    def nobody_gains_by_paying_himself(self) -> None:
        for account, paid in self.paid.items():
            assert paid * 10_000 <= self.burned[account] * SHARE

    @invariant()
    def what_is_claimed_was_emitted_and_budgeted(self) -> None:
        rewards = self.stage.rewards
        emitted, claimed = rewards.call("emitted"), rewards.call("claimed")
        assert claimed == sum(self.paid.values()) <= emitted <= self.budgets
        assert self.stage.world.balance(rewards.address) == emitted - claimed


TestRewardLaws = RewardLaws.TestCase
TestRewardLaws.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip

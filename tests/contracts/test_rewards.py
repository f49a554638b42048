"""Rewards by work: what fees back, what an epoch is worth, and no gain from self-dealing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import ZERO, Chain, Contract, Outcome, Reverted
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
NODES = {FIRST: node.address, SECOND: carol.address}
ACCOUNT = st.sampled_from([FIRST, SECOND])


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

    def word(self, account: int) -> tuple[int, ...]:
        """An account: epoch, weight, epoch and weight before, credit."""
        return tuple(self.rewards.call("account", account).values())

    def owed_since(self, hot: str) -> int:
        """In epochs since the beginning; -1 where nothing tells."""
        since = int(self.rewards.call("owed_since", hot))
        return (since - int(self.rewards.call("genesis"))) // EPOCH if since else -1

    def evaluate(self, hot: str) -> Outcome:
        return self.rewards.send("evaluate", hot, sender=mallory.address)

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
    world.setup(rewards, "set_market", backer.address)
    world.register(alice, node)
    world.register(bob, carol)
    backer.send("set_prover", FIRST, node.address, sender=alice.address)
    backer.send("set_prover", SECOND, carol.address, sender=alice.address)
    return Stage(world, backer, rewards)


def arguments(world: World, backer: Contract) -> list[object]:
    return [
        world.token.address, backer.address, world.registry.address, world.staking.address,
        backer.address, world.governor.address, backer.address, world.chain.now, EPOCH,
        PER_TOKEN, SHARE,
    ]  # fmt: skip


@pytest.fixture
def stage(chain: Chain) -> Stage:
    return deploy_stage(chain)


def test_is_deployed_within_bounds(chain: Chain, world: World) -> None:
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good = arguments(world, backer)
    for place, value, reason in (
        (0, ZERO, "zero address"), (5, ZERO, "zero address"),
        (6, ZERO, "zero address"), (7, chain.now + 1, "genesis to come"),
        (8, 59, "epoch out of bounds"), (8, 366 * 86_400 + 1, "epoch out of bounds"),
        (9, 0, "nothing backs work"), (9, 2**60 + 1, "work per token out of bounds"),
        (10, 0, "share out of bounds"), (10, 9_001, "share out of bounds"),
    ):  # fmt: skip
        wrong = [*good[:place], value, *good[place + 1 :]]
        with refused(f"rewards: {reason}"):
            chain.deploy("rewards", *wrong, sender=alice.address)


def test_is_deployed_at_its_bounds(chain: Chain, world: World) -> None:
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good = arguments(world, backer)
    for least in ((60, 1, 1), (366 * 86_400, 2**60, 9_000)):
        made = chain.deploy("rewards", *good[:8], *least, sender=alice.address)
        names = ("epoch_seconds", "work_per_token", "share_bps")
        assert tuple(made.call(name) for name in names) == least
    for place, name in enumerate(
        ("token", "payments", "registry", "staking", "emission", "governor", "source", "genesis")
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
    full = 2**64 - 1
    assert stage.word(FIRST) == (0, full, 0, 0, full)
    assert stage.rewards.call("total", 0) == full
    for epoch, counted, word in (
        (1, 5, (1, 5, 0, full, full)), (2, full, (2, full, 1, 5, full)),
        (3, 1, (3, 1, 2, full, full)),
    ):  # fmt: skip
        stage.next_epoch()
        assert stage.credited(FIRST, counted) == counted
        assert stage.back(FIRST, alice.address).value == full
        assert stage.word(FIRST) == word
        assert stage.rewards.call("waiting", FIRST, 0) == (full if epoch > 1 else 0)
    assert stage.rewards.call("due", FIRST) == {"reward": 0, "waits": 2}


def test_epochs_of_centuries_fit_their_place(chain: Chain, world: World) -> None:
    """Of a minute each, the shortest; everything as large as it gets."""
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good, full, last = arguments(world, backer), 2**64 - 1, 2**28 - 1
    rewards = chain.deploy("rewards", *good[:8], 60, PER_TOKEN, SHARE, sender=alice.address)
    world.setup(rewards, "set_market", backer.address)
    world.register(alice, node)
    backer.send("set_prover", FIRST, node.address, sender=alice.address)
    backer.send("burn_for", alice.address, 2**110, sender=alice.address)
    stage, begun = Stage(world, backer, rewards), chain.now
    for epoch in (0, last - 1, last):
        chain.warp_to(begun + 60 * epoch)
        stage.back(FIRST, alice.address)
        assert stage.credited(FIRST, full) == full
    assert stage.word(FIRST) == (last, full, last - 1, full, 0)
    for epoch, weight in ((0, full), (1, 0), (last - 1, full), (last, full)):
        assert rewards.call("total", epoch) == weight
    assert rewards.call("waiting", FIRST, 0) == full
    assert rewards.call("owed_since", node.address) == 0
    stage.budget(0, 0)
    stage.close(0)
    rewards.send("collect", FIRST, 0, sender=mallory.address)
    stage.claim(FIRST)
    assert rewards.call("owed_since", node.address) == begun + 60 * (last - 1)


def test_work_of_all_nodes_together_has_an_end(stage: Stage) -> None:
    """Seventeen accounts that are full overflow the total's place: what is over is not counted,
    of an epoch as of the ones before it."""
    full, accounts = 2**64 - 1, range(100, 117)
    stage.burn(alice.address, 2**120)
    for account in accounts:
        stage.backer.send("set_prover", account, node.address, sender=alice.address)
    for epoch in range(3):
        for account in accounts:
            stage.back(account, alice.address)
            fits = full if account < 116 else 15
            assert stage.credited(account, full) == fits
        assert stage.rewards.call("total", epoch) == 2**68 - 1
        assert stage.credited(116, 1) == 0
        stage.next_epoch()
    assert [stage.rewards.call("total", epoch) for epoch in range(4)] == [2**68 - 1] * 3 + [0]
    assert stage.word(116) == (2, 15, 1, 15, full - 15)
    stage.budget(0, 2**68 - 1)
    assert stage.close(0) == 2**68 - 1
    assert stage.rewards.call("rates", 0) == RATE_ONE


def test_an_epoch_without_work_draws_nothing(stage: Stage) -> None:
    stage.next_epoch()
    stage.budget(0, TOKEN)
    done = stage.rewards.send("close", 0, sender=mallory.address)
    assert done.value == 0
    assert [event.name for event in done.events] == ["EpochClosed"]
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


def test_nobody_but_the_source_reports(stage: Stage) -> None:
    with refused("rewards: not the source"):
        stage.rewards.send("proven", FIRST, 1, sender=mallory.address)
    assert stage.word(FIRST) == (0, 0, 0, 0, 0)


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
    assert stage.rewards.call("due", FIRST) == {"reward": 0, "waits": 2}
    for number, epoch in enumerate((epochs[1], epochs[0])):
        assert stage.rewards.call("total", epoch) == PER_TOKEN
        stage.budget(epoch, 10**24)
        assert stage.close(epoch) == TOKEN // 2
        got = stage.rewards.send("collect", FIRST, epoch, sender=mallory.address)
        assert got.value == TOKEN // 2
        rewarded = got.one("Rewarded")
        assert (rewarded.account, rewarded.epoch) == (FIRST, epoch)
        assert (rewarded.weight, rewarded.amount) == (PER_TOKEN, TOKEN // 2)
        due = stage.rewards.call("due", FIRST)
        assert (due.reward, due.waits) == ((number + 1) * TOKEN // 2, 1 - number)
        with refused("rewards: nothing waits"):
            stage.rewards.send("collect", FIRST, epoch, sender=mallory.address)
    for epoch in (epochs[3], epochs[2]):  # these are in the account's word
        stage.budget(epoch, 10**24)
        assert stage.close(epoch) == TOKEN // 2
        with refused("rewards: nothing waits"):
            stage.rewards.send("collect", FIRST, epoch, sender=mallory.address)
    assert stage.claim(FIRST) == 2 * TOKEN
    assert stage.rewards.call("due", FIRST) == {"reward": 0, "waits": 0}
    assert stage.claim(FIRST) == 0


def test_a_claim_leaves_what_waits(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    for _ in range(4):
        stage.report(FIRST, PER_TOKEN)
        stage.budget(stage.next_epoch(), 10**24)
    for epoch in (2, 1, 3):
        stage.close(epoch)
    stage.rewards.send("collect", FIRST, 1, sender=mallory.address)
    assert stage.claim(FIRST) == 3 * TOKEN // 2
    assert stage.rewards.call("due", FIRST) == {"reward": 0, "waits": 1}
    stage.close(0)
    stage.rewards.send("collect", FIRST, 0, sender=mallory.address)
    assert stage.claim(FIRST) == TOKEN // 2


def test_a_single_unit_waits_behind_two_epochs_that_nobody_closed(stage: Stage) -> None:
    stage.burn(alice.address, TOKEN)
    stage.back(FIRST, alice.address)
    ended = []
    for work in (1, 5, 7):
        stage.report(FIRST, work)
        ended.append(stage.next_epoch())
    stage.report(FIRST, 9)
    assert [stage.rewards.call("total", epoch) for epoch in ended] == [1, 5, 7]
    assert [stage.rewards.call("waiting", FIRST, epoch) for epoch in ended] == [1, 5, 0]
    assert stage.rewards.call("due", FIRST).waits == 2


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


def test_the_market_and_its_ledger_are_named_once(chain: Chain, world: World) -> None:
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good = arguments(world, backer)
    unborn = chain.deploy("rewards", *good[:6], bob.address, *good[7:], sender=alice.address)
    with refused("rewards: source has no code"):
        world.setup(unborn, "set_market", backer.address)
    rewards = chain.deploy("rewards", *good, sender=alice.address)
    names = ("source", "market", "listener")
    assert [rewards.call(name) for name in names] == [backer.address, ZERO, ZERO]
    world.register(alice, node)
    chain.warp(EPOCH // 2)
    assert rewards.send("evaluate", node.address, sender=mallory.address).events == ()
    assert rewards.call("owed_since", node.address) == chain.now
    with refused("rewards: not the governor"):
        rewards.send("set_market", backer.address, sender=guardian.address)
    data = rewards.data("set_market", backer.address)
    named = world.governor.send("setup_call", rewards.address, data, sender=guardian.address)
    found = named.one("MarketSet")
    assert (found.market, found.listener) == (backer.address,) * 2
    assert [rewards.call(name) for name in names] == [backer.address] * 3
    with refused("rewards: the market is named"):
        world.setup(rewards, "set_market", backer.address)


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
    assert not stage.report(FIRST, 6).events
    stage.next_epoch()
    found = stage.report(FIRST, 7).one("WorkWaits")
    assert (found.account, found.epoch, found.weight) == (FIRST, 0, 5)
    assert stage.word(FIRST)[:4] == (2, 7, 1, 6)
    assert stage.rewards.call("waiting", FIRST, 0) == 5


def test_work_of_an_epoch_that_was_closed_in_time_is_due_at_once(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, PER_TOKEN)
    stage.next_epoch()
    stage.report(FIRST, 6)
    stage.budget(0, 10**24)
    stage.close(0)
    stage.next_epoch()
    found = stage.report(FIRST, 7).one("Rewarded")
    assert (found.epoch, found.weight, found.amount) == (0, PER_TOKEN, TOKEN // 2)
    assert stage.rewards.call("due", FIRST) == {"reward": TOKEN // 2, "waits": 0}
    assert stage.rewards.call("waiting", FIRST, 0) == 0
    assert stage.claim(FIRST) == TOKEN // 2


def test_a_round_without_backed_work_keeps_the_work_before(stage: Stage) -> None:
    stage.burn(alice.address, TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 5)
    stage.next_epoch()
    stage.report(FIRST, PER_TOKEN - 5)
    for epoch in (2, 3, 4):
        stage.next_epoch()
        events = stage.report(FIRST, 10**6).events  # no fee backs it
        assert [event.name for event in events] == ["WorkWaits"] * (epoch == 2)
        words = ((2, 0, 1, PER_TOKEN - 5, 0), (3, 0, 1, PER_TOKEN - 5, 0))
        assert epoch > 3 or stage.word(FIRST) == words[epoch - 2]
    assert stage.rewards.call("waiting", FIRST, 0) == 5
    assert stage.rewards.call("due", FIRST).waits == 1
    totals = [stage.rewards.call("total", epoch) for epoch in range(5)]
    assert totals == [5, PER_TOKEN - 5, 0, 0, 0]


def test_backing_rewards_what_is_closed(stage: Stage) -> None:
    """So that the proofs after it need not."""
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    for _ in range(2):
        stage.report(FIRST, PER_TOKEN)
        stage.budget(stage.next_epoch(), 10**24)
    stage.close(1)
    done = stage.back(FIRST, alice.address)
    assert done.one("Rewarded").epoch == 1
    assert stage.word(FIRST) == (1, 0, 0, PER_TOKEN, 7 * PER_TOKEN)
    stage.close(0)
    assert stage.back(FIRST, alice.address).one("Rewarded").epoch == 0
    assert stage.word(FIRST) == (1, 0, 0, 0, 7 * PER_TOKEN)
    assert stage.rewards.call("due", FIRST) == {"reward": TOKEN, "waits": 0}
    assert not stage.back(FIRST, alice.address).events
    assert stage.claim(FIRST) == TOKEN


@pytest.mark.parametrize("place", ["present", "last", "older"])
def test_a_closed_epoch_leaves_the_sum_wherever_it_stood(stage: Stage, place: str) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    worked = {"present": 1, "last": 2, "older": 3}[place]
    for number in range(worked):
        stage.report(FIRST, 10 + number)
        stage.budget(stage.next_epoch(), 10**24)
    assert stage.rewards.call("backed", 0) == (10 << 20) // EPOCH
    assert stage.close(0) == 10 * SHARE * TOKEN // (10_000 * PER_TOKEN)
    if place != "older":
        assert stage.rewards.call("total", 0) == 0
    assert [stage.rewards.call("total", each) for each in range(1, worked)] == [11, 12][
        : worked - 1
    ]
    for number in range(worked, 4):
        stage.report(FIRST, 10 + number)
        stage.next_epoch()
    assert [stage.rewards.call("total", each) for each in range(1, 4)] == [11, 12, 13]


def test_no_unit_of_work_is_rewarded_twice_by_another_door(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    for _ in range(3):
        stage.report(FIRST, PER_TOKEN)
        stage.budget(stage.next_epoch(), 10**24)
    for epoch in range(3):
        stage.close(epoch)
    got = 0
    for _ in range(2):
        for epoch in range(3):
            with suppress(Reverted):
                stage.rewards.send("collect", FIRST, epoch, sender=mallory.address)
        stage.back(FIRST, alice.address)
        stage.evaluate(node.address)
        got += stage.claim(FIRST)
        stage.report(FIRST, 1)
    assert stage.rewards.call("claimed") == 3 * TOKEN // 2 == stage.world.balance(alice.address)
    assert got == 0


# What the stake asks


def test_from_when_on_a_node_is_owed(stage: Stage) -> None:
    hot = node.address
    assert stage.rewards.call("owed_since", mallory.address) == stage.world.chain.now  # no set
    stage.world.chain.warp(EPOCH // 2)
    assert stage.rewards.call("owed_since", hot) == stage.rewards.call("genesis")
    stage.next_epoch()
    assert stage.owed_since(hot) == 1
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, PER_TOKEN)
    assert stage.owed_since(hot) == 1
    stage.budget(stage.next_epoch(), 10**24)
    assert stage.owed_since(hot) == 1  # ended, not given
    stage.report(FIRST, PER_TOKEN)
    assert stage.owed_since(hot) == 1
    stage.budget(stage.next_epoch(), 10**24)
    stage.close(2)
    assert stage.claim(FIRST) == TOKEN // 2
    assert stage.owed_since(hot) == 1  # a younger one's is given, the older is owed
    stage.close(1)
    assert stage.owed_since(hot) == 1
    assert stage.claim(FIRST) == TOKEN // 2
    assert stage.owed_since(hot) == 3
    assert stage.rewards.call("owed_since", hot) % EPOCH == stage.rewards.call("genesis") % EPOCH


def test_nothing_tells_while_work_waits_or_a_reward_is_due(stage: Stage) -> None:
    hot = node.address
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    for _ in range(3):
        stage.report(FIRST, PER_TOKEN)
        stage.budget(stage.next_epoch(), 10**24)
    assert stage.owed_since(hot) == -1  # epoch 0 waits
    stage.close(0)
    stage.rewards.send("collect", FIRST, 0, sender=mallory.address)
    assert stage.owed_since(hot) == -1  # and is due
    stage.claim(FIRST)
    assert stage.owed_since(hot) == 1
    stage.close(1)
    stage.back(FIRST, alice.address)
    assert stage.owed_since(hot) == -1
    stage.evaluate(hot)
    assert stage.owed_since(hot) == 3


def test_evaluating_closes_and_pays_what_has_ended(stage: Stage) -> None:
    stage.backer.send("set_closed", 0, sender=alice.address)
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    assert not stage.evaluate(node.address).events
    stage.report(FIRST, PER_TOKEN)
    assert not stage.evaluate(node.address).events  # the epoch goes on
    assert stage.backer.call("closed") == 0
    stage.budget(stage.next_epoch(), 10**24)
    stage.report(FIRST, PER_TOKEN)
    stage.budget(stage.next_epoch(), 10**24)
    done = stage.evaluate(node.address)
    assert [event.epoch for event in done.named("EpochClosed")] == [0, 1]
    assert done.one("Claimed").amount == TOKEN
    assert stage.backer.call("closed") == 2  # one at a time, and no more than is needed
    assert not stage.evaluate(node.address).events
    stage.report(FIRST, PER_TOKEN)
    stage.budget(stage.next_epoch(), 10**24)
    assert [e.epoch for e in stage.evaluate(node.address).named("EpochClosed")] == [2]


def test_evaluating_an_issuance_that_is_far_behind_goes_on_step_by_step(stage: Stage) -> None:
    stage.backer.send("set_closed", 0, sender=alice.address)
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    for epoch in range(5):
        stage.budget(epoch, 10**24)
        stage.world.chain.warp(EPOCH)
    stage.report(FIRST, PER_TOKEN)
    stage.budget(stage.next_epoch(), 10**24)
    steps = []
    while not stage.rewards.call("closed", 5):
        steps.append(stage.evaluate(node.address).events)
    assert len(steps) == 6
    assert steps[:5] == [()] * 5
    assert stage.rewards.call("claimed") == TOKEN // 2
    assert stage.owed_since(node.address) == 6


def test_an_evaluation_closes_an_epoch_with_a_single_unit(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 1)
    stage.budget(stage.next_epoch(), 10**24)
    stage.report(FIRST, PER_TOKEN)
    assert stage.evaluate(node.address).one("EpochClosed").weight == 1
    stage.next_epoch()
    stage.report(FIRST, 1)
    assert stage.owed_since(node.address) == 1
    stage.budget(1, 10**24)
    stage.next_epoch()
    assert stage.evaluate(node.address).named("EpochClosed")[0].epoch == 1
    assert stage.owed_since(node.address) == 2


def test_a_reward_of_one_base_unit_is_due(stage: Stage) -> None:
    stage.burn(alice.address, TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, 1)
    stage.budget(stage.next_epoch(), 1)
    stage.close(0)
    stage.back(FIRST, alice.address)
    assert stage.rewards.call("due", FIRST) == {"reward": 1, "waits": 0}
    assert stage.owed_since(node.address) == -1
    assert stage.evaluate(node.address).one("Claimed").amount == 1
    assert stage.owed_since(node.address) == 1


def test_fees_that_are_used_up_round_up(chain: Chain, world: World) -> None:
    """A third of a token backs a unit; what is left of it by a hair is used with it."""
    backer = chain.deploy_artifact(fake("backer"), world.token.address, sender=alice.address)
    good = arguments(world, backer)
    rewards = chain.deploy("rewards", *good[:9], 3, SHARE, sender=alice.address)
    world.setup(rewards, "set_market", backer.address)
    world.register(alice, node)
    backer.send("set_prover", FIRST, node.address, sender=alice.address)
    backer.send("burn_for", alice.address, TOKEN // 3 + 1, sender=alice.address)
    assert rewards.send("back", FIRST, sender=alice.address).value == 1
    assert rewards.call("backed_fees", alice.address) == TOKEN // 3 + 1


def test_an_issuance_ahead_is_not_asked(stage: Stage) -> None:
    stage.backer.send("set_closed", 1, sender=alice.address)
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, PER_TOKEN)
    stage.budget(stage.next_epoch(), 10**24)
    stage.evaluate(node.address)
    assert stage.rewards.call("closed", 0)
    assert stage.backer.call("closed") == 1


def test_an_evaluation_pays_what_was_due_without_work(stage: Stage) -> None:
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, PER_TOKEN)
    stage.budget(stage.next_epoch(), 10**24)
    stage.close(0)
    stage.back(FIRST, alice.address)
    assert stage.word(FIRST)[1] == 0
    assert stage.evaluate(node.address).one("Claimed").amount == TOKEN // 2


def test_an_evaluation_with_too_little_gas_is_refused(stage: Stage) -> None:
    """Else a caller could have stake join while what can be given is not."""
    stage.burn(alice.address, 9 * TOKEN)
    stage.back(FIRST, alice.address)
    stage.report(FIRST, PER_TOKEN)
    stage.budget(stage.next_epoch(), 10**24)
    rewards, chain = stage.rewards, stage.world.chain
    data, reasons = rewards.data("evaluate", node.address), set()
    for gas in range(40_000, 900_000, 10_000):
        with chain.anchor():
            try:
                chain.transact(mallory.address, rewards.address, data, gas=gas)
            except Reverted as error:
                reasons.add(error.reason)
                assert not rewards.call("closed", 0)
                continue
            assert rewards.call("claimed") == TOKEN // 2
            assert stage.owed_since(node.address) == 1
    assert "rewards: bring more gas" in reasons


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


@dataclass(slots=True)
class Work:
    """What one node did, in the words of the test: epochs with backed work, none of it paid yet,
    and how much of it the contract has rewarded or set aside."""

    burned: int = 0
    backed: int = 0
    credit: int = 0
    done: dict[int, int] = field(default_factory=dict)
    rewarded: dict[int, int] = field(default_factory=dict)
    recent: list[int] = field(default_factory=list)  # the epochs in its word, two at most
    waits: set[int] = field(default_factory=set)
    queue: list[int] = field(default_factory=list)  # what waits, oldest first, and what did
    due: int = 0
    paid: int = 0


class RewardLaws(RuleBasedStateMachine):
    """Two nodes, fees, work, epochs closed or not, beside a plain calculation."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = deploy_stage(Chain())
        self.of = {FIRST: Work(), SECOND: Work()}
        self.rates: dict[int, int] = {}
        self.budgets = 0
        for account in NODES:
            self.burn(account, 20 * TOKEN)

    @property
    def epoch(self) -> int:
        return int(self.stage.rewards.call("epoch"))

    @rule(account=ACCOUNT, amount=st.integers(0, 3 * 10**18))
    def burn(self, account: int, amount: int) -> None:
        owner = alice if account == FIRST else bob
        self.stage.burn(owner.address, amount)
        found = self.of[account]
        found.burned += amount
        self.reward(found, *found.recent)
        self.stage.back(account, owner.address)
        fresh = (found.burned - found.backed) * PER_TOKEN // TOKEN
        found.credit += fresh
        found.backed += -(-fresh * TOKEN // PER_TOKEN)

    @rule(account=ACCOUNT, work=st.one_of(st.integers(0, 9), st.integers(0, 4 * PER_TOKEN)))
    def prove(self, account: int, work: int) -> None:
        found, epoch = self.of[account], self.epoch
        told = self.stage.report(account, work)
        counted = min(work, found.credit)
        found.credit -= counted
        waiting = self.begin(found, epoch, counted)
        assert [event.epoch for event in told.named("WorkWaits")] == waiting

    def begin(self, found: Work, epoch: int, counted: int) -> list[int]:
        """Book work; the epochs of which work waits from now on. The second epoch with work after
        one takes its place, with the first round after it even if that round counts nothing."""
        found.done[epoch] = found.done.get(epoch, 0) + counted
        older = [each for each in found.recent if each != epoch]
        left = older[:-1]
        found.recent = [*older[-1:], *([epoch] if found.done[epoch] else [])]
        waiting = [each for each in left if each not in self.rates]
        self.reward(found, *left)
        found.queue = [*(found.queue if found.waits else []), *waiting]
        found.waits |= set(waiting)
        return waiting

    def reward(self, found: Work, *epochs: int) -> None:
        """What closed epochs brought is due, once."""
        for epoch in epochs:
            if epoch in self.rates and epoch not in found.rewarded:
                found.rewarded[epoch] = found.done[epoch] * self.rates[epoch] // RATE_ONE
                found.due += found.rewarded[epoch]
                found.waits.discard(epoch)
                found.recent = [each for each in found.recent if each != epoch]

    @rule(seconds=st.sampled_from([1, EPOCH // 2, EPOCH, EPOCH, 3 * EPOCH]))
    def wait(self, seconds: int) -> None:
        self.stage.world.chain.warp(seconds)

    @rule(back=st.integers(1, 4), budget=st.integers(0, 10**18))
    def close(self, back: int, budget: int) -> None:
        epoch = self.epoch - back
        if epoch < 0 or epoch in self.rates:
            return
        self.stage.budget(epoch, budget)
        self.budgets += budget
        self.booked(self.stage.close(epoch), epoch, budget)

    def booked(self, drawn: int, epoch: int, budget: int) -> None:
        weight = sum(found.done.get(epoch, 0) for found in self.of.values())
        assert drawn == min(budget, weight * SHARE * TOKEN // (10_000 * PER_TOKEN))
        self.rates[epoch] = drawn * RATE_ONE // weight if weight else 0

    @rule(account=ACCOUNT, back=st.integers(0, 6))
    def collect(self, account: int, back: int) -> None:
        found, epoch = self.of[account], max(self.epoch - back, 0)
        may = epoch in found.waits and epoch in self.rates
        try:
            self.stage.rewards.send("collect", account, epoch, sender=mallory.address)
        except Reverted:
            assert not may
            return
        assert may
        self.reward(found, epoch)

    @rule(account=ACCOUNT)
    def claim(self, account: int) -> None:
        found = self.of[account]
        self.reward(found, *found.recent)
        assert self.stage.claim(account) == found.due
        found.paid, found.due = found.paid + found.due, 0

    @rule(account=ACCOUNT, budget=st.integers(0, 10**18))
    def evaluate(self, account: int, budget: int) -> None:
        """Collects the oldest of what waits, closes what has ended and is not closed, claims."""
        found = self.of[account]
        ended = self.oldest(found) + [each for each in found.recent if each < self.epoch]
        opened = [each for each in ended if each not in self.rates]
        for epoch in opened:
            self.stage.budget(epoch, budget)
            self.budgets += budget
        done = self.stage.evaluate(NODES[account])
        told = done.named("EpochClosed")
        assert [event.epoch for event in told] == opened
        for event in told:
            self.booked(event.emitted, event.epoch, budget)
        self.reward(found, *ended)
        assert sum(event.amount for event in done.named("Claimed")) == found.due
        found.paid, found.due = found.paid + found.due, 0

    def oldest(self, found: Work) -> list[int]:
        """The epochs that a call takes from what waits, two steps on at the most."""
        taken: list[int] = []
        for _ in range(2):
            if found.waits <= set(taken):
                break
            if (first := found.queue[0]) in found.waits and first not in taken:
                taken.append(first)
            if found.waits - set(taken):
                found.queue.pop(0)
        return taken

    @invariant()
    def nobody_gains_by_paying_himself(self) -> None:
        for found in self.of.values():
            assert found.paid * 10_000 <= found.burned * SHARE

    @invariant()
    def what_is_claimed_was_emitted_and_budgeted(self) -> None:
        rewards = self.stage.rewards
        emitted, claimed = rewards.call("emitted"), rewards.call("claimed")
        paid = sum(found.paid for found in self.of.values())
        assert claimed == paid <= emitted <= self.budgets
        assert self.stage.world.balance(rewards.address) == emitted - claimed

    @invariant()
    def accounts_are_as_calculated(self) -> None:
        for account, found in self.of.items():
            due = self.stage.rewards.call("due", account)
            assert (due.reward, due.waits) == (found.due, len(found.waits))
            epoch, weight, last_epoch, last_weight, credit = self.stage.word(account)
            assert credit == found.credit
            held = {last_epoch: last_weight, epoch: weight}
            assert {e: w for e, w in held.items() if w} == {e: found.done[e] for e in found.recent}

    @invariant()
    def an_epochs_sum_is_that_of_its_accounts(self) -> None:
        for epoch in range(self.epoch + 1):
            if epoch not in self.rates:
                held = [found.done.get(epoch, 0) for found in self.of.values()]
                assert self.stage.rewards.call("total", epoch) == sum(held)
                backed = self.stage.rewards.call("backed", epoch)
                assert backed == sum(held) * 2**20 // EPOCH

    @invariant()
    def no_work_is_owed_from_before_what_is_told(self) -> None:
        for account, found in self.of.items():
            told = self.stage.owed_since(NODES[account])
            open_ = [
                each for each, work in found.done.items() if work and each not in found.rewarded
            ]
            assert told <= min([*open_, self.epoch])
            assert told == -1 or not found.due
            assert told == (-1 if found.due or found.waits else min([*open_, self.epoch]))


TestRewardLaws = RewardLaws.TestCase
TestRewardLaws.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip

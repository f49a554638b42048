"""A node fetches its emission by itself: in order, only when it pays, never in a proof's way."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.domain.errors import RefusedError, UnavailableError
from freehold.domain.ids import Address
from freehold.domain.money import UNIT
from freehold.economics.earnings import Bounds
from freehold.ledger.contracts.rewards import Due
from freehold.ledger.contracts.staking import Arrival
from freehold.ledger.values import Receipt
from freehold.node import dues
from freehold.node.dues import GAS
from freehold.node.node import Node
from freehold.node.rewarder import LOOK_AGAIN, SAVED_CLOSED, SAVED_OPEN, Rewarder
from unit.node.world import NODE, NOW, PAYOUT, HandClock, World, make, network

EPOCH = 600
WORK = 10**6
"""What a token of burned fees backs."""
TURN = 3
"""Within it every node's turn comes: an eighth of the beacon's grace, and a second more."""


def rewarder(world: World) -> Rewarder:
    node = world.node
    return Rewarder(world.chain, NODE.address, settings=node.settings, metrics=node.metrics)


def worked(world: World, *works: int) -> None:
    """Work of successive epochs from the present one on; time ends in the epoch after."""
    for work in works:
        world.chain.rewards.proven(work)
        world.clock.time += EPOCH
    world.clock.time += TURN


def sent(world: World) -> list[str]:
    return [what for what, _ in world.chain.rewards.sent]


def cost(world: World, *errands: str) -> int:
    return sum(GAS[each] for each in errands) * world.chain.wei_per_gas


def test_an_ended_epoch_is_closed_and_claimed(world: World) -> None:
    worked(world, WORK)
    rewarder(world).step()
    assert world.chain.issuance.sent == [1]
    assert world.chain.rewards.sent == [("close", 0), ("claim", 1)]
    shown = world.node.metrics.render().decode()
    assert 'freehold_node_earned_units_total{source="reward"} 9e+17' in shown


def test_work_that_waited_is_collected_too(world: World) -> None:
    worked(world, WORK, WORK, WORK)
    rewarder(world).step()
    assert sent(world) == ["close"] * 3 + ["collect", "claim"]
    assert world.chain.issuance.sent == [3]
    assert (world.chain.rewards.reward, world.chain.rewards.waits) == (0, {})


def test_nothing_is_sent_twice_or_asked_without_need(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(world, WORK)
    made = rewarder(world)
    for _ in range(3):
        made.step()
    before = list(world.chain.rewards.sent)
    monkeypatch.setattr(world.chain.faults, "set_of", None)
    world.clock.time += LOOK_AGAIN - 1
    made.step()
    assert world.chain.rewards.sent == before


def test_the_next_look_is_at_the_turn_in_the_next_epoch(world: World) -> None:
    made = rewarder(world)
    world.chain.rewards.proven(WORK)
    world.clock.time = NOW + EPOCH - 30
    made.step()
    world.clock.time = NOW + EPOCH - 1
    made.step()
    assert sent(world) == []
    world.clock.time = NOW + EPOCH + TURN
    made.step()
    assert sent(world) == ["close", "claim"]


def test_what_another_closed_is_not_closed_again(world: World) -> None:
    worked(world, WORK)
    world.chain.issuance.advanced = 1
    world.chain.rewards.close(0)
    rewarder(world).step()
    assert (world.chain.issuance.sent, sent(world)) == ([], ["close", "claim"])


def test_what_was_done_meanwhile_is_not_sent(world: World) -> None:
    """The look before each transaction, not only the one that planned it."""
    worked(world, WORK, WORK, WORK)
    found = dues.look(world.chain, NODE.address)
    assert found is not None
    planned = dues.settling(found).errands
    rewarder(world).step()
    world.chain.rewards.sent.clear()
    world.chain.issuance.sent.clear()
    assert [each.what for each in planned] == [
        "advance", "close", "close", "close", "collect", "claim",
    ]  # fmt: skip
    assert [dues.perform(world.chain, 1, each) for each in planned] == [None] * 6
    assert (world.chain.rewards.sent, world.chain.issuance.sent) == ([], [])


def test_being_too_late_is_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worked(world, WORK)
    rewards = world.chain.rewards

    def late(epoch: int) -> Receipt:
        rewards.closings[epoch] = 0
        raise RefusedError("rewards: closed already", remedy="-")

    monkeypatch.setattr(rewards, "close", late)
    rewarder(world).step()
    assert sent(world) == []


def test_a_reward_is_fetched_once_it_is_worth_several_times_its_gas(world: World) -> None:
    gas = cost(world, "advance", "close", "claim")
    least = -(-4 * gas * WORK * 10 // (9 * UNIT)) + 1
    for work, expected in ((least - 2, []), (least, ["close", "claim"])):
        world.chain.rewards.sent.clear()
        world.chain.rewards.waits.clear()
        worked(world, work)
        world.chain.rewards.closings = dict.fromkeys(range(world.chain.rewards.epoch() - 1), 0)
        world.chain.issuance.advanced = world.chain.rewards.epoch() - 1
        rewarder(world).step()
        assert sent(world) == expected


def test_the_gas_that_a_proof_saves_counts_for_it(world: World) -> None:
    """Work of two epochs fills an account: the next proof would have to move one of them."""
    gas = cost(world, "advance", "advance", "close", "close", "claim")
    least = -(-4 * (gas - SAVED_OPEN * world.chain.wei_per_gas) * WORK * 10 // (9 * UNIT)) + 2
    worked(world, least // 2, least // 2 - 4)
    rewarder(world).step()
    assert sent(world) == []
    standing = world.chain.rewards.standing
    world.chain.rewards.standing = replace(standing, weight=least // 2 + 2)
    rewarder(world).step()
    assert sent(world) == ["close", "close", "claim"]


def test_less_is_saved_where_the_epochs_are_closed(world: World) -> None:
    gas = cost(world, "claim") - SAVED_CLOSED * world.chain.wei_per_gas
    least = -(-4 * gas * WORK * 10 // (9 * UNIT)) + 2
    worked(world, least // 2, least // 2 - 4)
    world.chain.issuance.advanced = 2
    for epoch in (0, 1):
        world.chain.rewards.close(epoch)
    world.chain.rewards.sent.clear()
    rewarder(world).step()
    assert sent(world) == []
    standing = world.chain.rewards.standing
    world.chain.rewards.standing = replace(standing, weight=least // 2 + 2)
    rewarder(world).step()
    assert sent(world) == ["claim"]


def test_stake_that_joined_is_waited_for_less(world: World) -> None:
    """It earns once what the node did before was given out, which then has to pay but once."""
    work = cost(world, "advance", "close", "claim") * 3 // 2 * WORK // UNIT
    worked(world, work)
    rewarder(world).step()
    assert sent(world) == []
    world.chain.arrival = Arrival(0, 1, NOW)
    rewarder(world).step()
    assert sent(world) == ["close", "claim"]


def test_small_rewards_add_up_where_others_close(world: World) -> None:
    work = cost(world, "claim") * 3 // 2 * WORK // UNIT
    made, rewards = rewarder(world), world.chain.rewards
    for epoch in range(3):
        assert sent(world) == []
        worked(world, work)
        world.chain.issuance.advanced += 1
        rewards.close(epoch)
        rewards.sent.clear()
        made.step()
    assert sent(world) == ["claim"]


def test_an_epoch_that_brings_less_than_its_gas_is_left_to_others(world: World) -> None:
    worked(world, WORK, cost(world, "close") * WORK // UNIT, WORK)
    rewarder(world).step()
    assert world.chain.rewards.sent == [
        ("close", 0), ("close", 2), ("collect", 0), ("claim", 1),
    ]  # fmt: skip


def test_what_would_be_lost_soon_needs_to_pay_only_once(world: World) -> None:
    gas = cost(world, "advance", "close", "claim")
    world.chain.issuance.window = 4
    worked(world, 2 * gas * WORK // UNIT)
    world.chain.issuance.advanced = 1
    made = rewarder(world)
    for epoch in (1, 2, 3):
        world.clock.time = NOW + epoch * EPOCH + TURN
        made.step()
    assert sent(world) == []
    world.clock.time = NOW + 4 * EPOCH + TURN
    made.step()
    assert sent(world) == ["close", "claim"]
    assert world.chain.rewards.closings[0] > 0


def test_what_nobody_can_draw_is_left(world: World) -> None:
    world.chain.issuance.window = 4
    worked(world, WORK)
    world.clock.time = NOW + 6 * EPOCH + TURN
    rewarder(world).step()
    assert sent(world) == []


def test_a_small_budget_is_seen_before_the_epoch_is_closed(world: World) -> None:
    worked(world, WORK)
    world.chain.issuance.advanced, world.chain.issuance.budget = 1, 1
    world.chain.rewards.others[0] = WORK
    rewarder(world).step()
    assert sent(world) == []


def test_a_long_past_is_fetched_in_parts(world: World) -> None:
    world.chain.issuance.window = 1_000
    worked(world, *[WORK] * 21)
    made = rewarder(world)
    parts = []
    for _ in range(3):
        world.chain.rewards.sent.clear()
        made.step()
        parts.append([epoch for what, epoch in world.chain.rewards.sent if what == "close"])
    assert parts == [[*range(11, 21)], [*range(3, 11)], [*range(3)]]
    assert world.chain.rewards.waits == {}
    whole = dues.look(world.chain, NODE.address)
    assert whole is not None
    assert whole.ended == ()


def test_many_epochs_are_advanced_in_bounded_steps(world: World) -> None:
    world.clock.time = NOW + 70 * EPOCH
    world.chain.issuance.window = 1_000
    worked(world, 100 * WORK)
    rewarder(world).step()
    assert world.chain.issuance.sent == [32, 32, 7]
    assert sent(world) == ["close", "claim"]


# --- backing -------------------------------------------------------------------------------------


def burned(world: World, payee: Address, amount: int) -> None:
    world.chain.payments.burnt[payee] = amount


def owner_is_paid(world: World) -> Address:
    entries = world.chain.registry.entries
    entries[NODE.address] = replace(entries[NODE.address], owner=PAYOUT)
    return PAYOUT


def test_burned_fees_back_work_once_they_matter(world: World) -> None:
    payee = owner_is_paid(world)
    least = -(-4 * cost(world, "back") * 10 // 9)
    burned(world, payee, least // 2)
    made = rewarder(world)
    made.step()
    assert sent(world) == []
    burned(world, payee, least + UNIT // WORK)
    world.clock.time += LOOK_AGAIN
    made.step()
    assert sent(world) == ["back"]
    world.clock.time += LOOK_AGAIN
    made.step()
    assert sent(world) == ["back"]


def test_a_payout_of_somebody_else_must_agree(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    burned(world, PAYOUT, UNIT)
    made = rewarder(world)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            world.clock.time += LOOK_AGAIN + TURN
            made.step()
    assert [record.getMessage() for record in caplog.records] == [
        "burned fees back no work: the payout account has not agreed"
    ]
    assert sent(world) == []
    world.chain.rewards.agreed.add((PAYOUT, 1))
    world.clock.time += LOOK_AGAIN + TURN
    made.step()
    assert sent(world) == ["back"]


def test_a_node_that_is_its_own_payout_needs_nobody(world: World) -> None:
    entries = world.chain.registry.entries
    entries[NODE.address] = replace(entries[NODE.address], payout=NODE.address)
    burned(world, NODE.address, UNIT)
    rewarder(world).step()
    assert sent(world) == ["back"]


# --- bounds --------------------------------------------------------------------------------------


def test_low_gas_is_kept_for_proofs(world: World) -> None:
    worked(world, WORK)
    burned(world, owner_is_paid(world), UNIT)
    made = rewarder(world)
    needed = cost(world, "advance", "close", "claim")
    for gas in (0, 1, 4 * needed - 1):
        world.chain.gas = world.node.settings.gas_reserve + gas - (gas == 0)
        world.clock.time += LOOK_AGAIN
        made.step()
    assert [what for what in sent(world) if what != "back"] == []
    world.chain.gas = world.node.settings.gas_reserve + 4 * needed
    world.clock.time += LOOK_AGAIN
    made.step()
    assert sent(world)[-2:] == ["close", "claim"]


def test_gas_that_costs_nothing_is_not_spent_from_an_empty_purse(world: World) -> None:
    worked(world, WORK)
    world.chain.wei_per_gas, world.chain.gas = 0, 0
    rewarder(world).step()
    assert sent(world) == []


def test_an_owner_may_leave_rewards_alone(tmp_path: Path) -> None:
    world = make(tmp_path / "home", reward_worth=0)
    worked(world, WORK)
    rewarder(world).step()
    assert sent(world) == []
    world.node.close()


def test_a_node_without_a_set_earns_nothing(world: World) -> None:
    world.chain.faults.set_id = 0
    rewarder(world).step()
    assert sent(world) == []


def test_a_failing_reward_never_stops_a_proof(tmp_path: Path) -> None:
    net = network()
    net = replace(net, contracts={**net.contracts, "issuance": PAYOUT, "rewards": PAYOUT})
    made = make(tmp_path / "home")
    chain, clock = made.chain, HandClock()
    node = Node(made.node.settings, net, NODE, chain=chain, clock=clock)
    made.node.close()
    assert node.rewarder is not None
    assert made.node.rewarder is None  # a network without emission
    worked(made, WORK)
    chain.rewards.broken = True
    with pytest.raises(UnavailableError):
        node.rewarder.step()
    node.answerer.step()  # of another loop: it asks for nothing of this one
    node.close()


def test_what_did_nothing_is_not_sent_again_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An RPC behind the chain, or one that lies, tells for ever of a reward that is not there."""
    worked(world, WORK)
    made, rewards = rewarder(world), world.chain.rewards
    monkeypatch.setattr(rewards, "due", lambda n: Due(10**24, 0))
    for _ in range(LOOK_AGAIN - TURN):
        made.step()
        world.clock.time += 1
    assert sent(world) == ["close", "claim", "claim"]  # the last one may have lost a race
    rewards.sent.clear()
    monkeypatch.setattr("freehold.node.rewarder.LOOK_AGAIN", 60)
    for _ in range(4 * EPOCH // 10):
        made.step()
        world.clock.time += 10
    assert len(sent(world)) <= 2 * 5, "two in each epoch"


# --- arithmetic ----------------------------------------------------------------------------------


def test_what_is_owed_is_told_before_it_is_fetched(world: World) -> None:
    worked(world, WORK, 2 * WORK)
    world.chain.rewards.proven(5)
    world.chain.issuance.advanced = 1
    world.chain.rewards.close(0)
    found = dues.look(world.chain, NODE.address)
    assert found is not None
    assert (found.epoch, found.working) == (2, 5)
    assert [(w.epoch, w.weight, w.closed, w.waits) for w in found.ended] == [
        (0, WORK, True, True), (1, 2 * WORK, False, False),
    ]  # fmt: skip
    assert found.claimable == 9 * UNIT // 10
    assert found.expected == 18 * UNIT // 10
    assert found.bounds == Bounds(WORK, 9_000)

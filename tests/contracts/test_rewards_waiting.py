"""Work that waits for its epoch to be closed holds nobody's stake back, and is nobody else's."""

from __future__ import annotations

import pytest

from contracts.evm import Reverted
from contracts.test_rewards_wired import Stage, Twin, admit, claimable, delegate
from contracts.world import TOKEN, alice, bob, mallory

DAYS = 3
"""Periods of an epoch."""


def now(stage: Stage) -> int:
    return int(stage.rewards.call("epoch"))


def began(stage: Stage) -> int:
    """When the present epoch began."""
    return int(stage.rewards.call("genesis")) + now(stage) * stage.epoch


def left_open(periods: int) -> Twin:
    """A node whose epochs nobody closed for a while, with a delegator of one token."""
    twin = Twin.begin((200_000,))
    delegate(twin.stage, twin.nodes[0], bob, TOKEN)
    for _ in range(periods):
        twin.live()
    return twin


def test_who_comes_later_earns_though_work_waited() -> None:
    """Nobody has to know what waits: whoever admits collects it, the oldest first."""
    twin = left_open(5 * DAYS)
    stage, node, staking = twin.stage, twin.nodes[0], twin.stage.world.staking
    assert stage.rewards.call("due", node.set_id).waits >= 2
    assert delegate(stage, node, alice, 8_900 * TOKEN)
    for _ in range(3 * DAYS):
        twin.live(close=True)
        stage.claim(node)
        admit(stage, node)
    assert stage.rewards.call("due", node.set_id) == {"reward": 0, "waits": 0}
    assert staking.call("waiting_of", alice.address, node.address) == 0
    assert claimable(stage, node, alice) > 0


@pytest.mark.parametrize("out_of_order", [(), (0,), (1,), (2,), (0, 2), (1, 0), (2, 1, 0)])
def test_what_waits_is_collected_in_any_order(out_of_order: tuple[int, ...]) -> None:
    """By hand in any order, the rest by those who admit."""
    twin = left_open(6 * DAYS)
    stage, node = twin.stage, twin.nodes[0]
    rewards, account = stage.rewards, node.set_id
    waiting = [each for each in range(now(stage)) if rewards.call("waiting", account, each)]
    assert len(waiting) >= 3
    stage.close_all()
    for place in out_of_order:
        rewards.send("collect", account, waiting[place], sender=mallory.address)
        with pytest.raises(Reverted, match="nothing waits"):
            rewards.send("collect", account, waiting[place], sender=mallory.address)
    assert rewards.call("due", account).waits == len(waiting) - len(out_of_order)
    for _ in range(len(waiting)):
        admit(stage, node)
    assert rewards.call("due", account) == {"reward": 0, "waits": 0}
    assert not any(rewards.call("waiting", account, each) for each in waiting)
    assert rewards.call("claimed") == twin.due(now(stage))[0]
    for _ in range(4 * DAYS):  # the list begins anew
        twin.live()
    admit(stage, node)
    for _ in range(6):
        admit(stage, node)
    assert rewards.call("due", account) == {"reward": 0, "waits": 0}
    assert rewards.call("claimed") == twin.due(now(stage))[0]


@pytest.mark.parametrize("periods", [2 * DAYS, 4 * DAYS, 6 * DAYS])
def test_who_leaves_takes_what_ended_epochs_brought(periods: int) -> None:
    """If he first has it handed out, which takes him some calls and nobody else."""
    twin = Twin.begin((200_000,))
    stage, node, staking = twin.stage, twin.nodes[0], twin.stage.world.staking
    delegate(stage, node, alice, 9_000 * TOKEN)
    for _ in range(2 * DAYS):
        twin.live(close=True)
        admit(stage, node)
    assert staking.call("waiting_of", alice.address, node.address) == 0
    stage.close_all()
    stage.claim(node)
    had, first = claimable(stage, node, alice), now(stage)
    for _ in range(periods):
        twin.live()
    stage.market.to_period(DAYS * (stage.market.period // DAYS + 1))
    earned = twin.due(now(stage))[0] - twin.due(first)[0]
    calls = 0
    while stage.rewards.call("owed_since", node.address) < began(stage):
        admit(stage, node)
        calls += 1
        assert calls <= periods
    staking.send("unbond", node.address, 9_000 * TOKEN, sender=alice.address)
    assert abs(claimable(stage, node, alice) - had - earned * 9 // 10) <= periods

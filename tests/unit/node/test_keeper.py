"""Nobody who has only just started begins a round."""

from __future__ import annotations

from freehold.node.keeper import Keeper
from unit.node.world import NODE, World


def test_a_keeper_rests_after_its_start(world: World) -> None:
    chain, clock = world.chain, world.clock
    keeper = Keeper(chain, NODE.address, rest=60)
    for _ in range(2):
        clock.time += 10
        keeper.step()
    assert chain.beacon.fixed == {}
    clock.time += 60
    keeper.step()
    assert list(chain.beacon.fixed) == [chain.beacon.period_of(clock.time)]


def test_a_period_that_is_fixed_may_still_become_a_round(world: World) -> None:
    chain = world.chain
    keeper = Keeper(chain, NODE.address)
    assert not keeper.pending()
    chain.beacon.fix(0)
    assert keeper.pending()
    chain.beacon.store(0)
    assert not keeper.pending()
    chain.beacon.rounds.clear()
    world.clock.time += chain.beacon.grace() + 1
    assert not keeper.pending()

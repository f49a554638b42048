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

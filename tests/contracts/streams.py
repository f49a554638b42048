"""Streams over the deployed base and its roots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.evm import Chain, Contract, Outcome, Signer
from contracts.roots import LENGTH, deploy_roots
from contracts.world import World, deploy_world, guardian

FEE_BPS = 1_000
QUERY = "unit=celsius cell=u33d"


@dataclass(frozen=True, slots=True)
class Stall:
    """The world with roots and streams in it."""

    world: World
    roots: Contract
    streams: Contract

    def fund(self, who: Signer, amount: int) -> None:
        """Tokens for a buyer, approved."""
        self.world.fund(who.address, amount)
        self.world.token.send("approve", self.streams.address, amount, sender=who.address)

    def buy(
        self, who: Signer, *, query: str = QUERY, epoch: int = 2, count: int = 1, amount: int = 10
    ) -> Outcome:
        """A purchase."""
        return self.streams.send("buy", query, epoch, count, amount, sender=who.address)

    def enter(self, epoch: int) -> None:
        """Move the clock to an epoch's beginning, where it is not past it."""
        begin = int(self.roots.call("genesis")) + epoch * LENGTH
        self.world.chain.warp_to(max(self.world.chain.now, begin))


def deploy_streams(world: World, *arguments: Any) -> Contract:
    """The contract over a world."""
    return world.chain.deploy("streams", *arguments, sender=guardian.address)


def deploy_stall(chain: Chain) -> Stall:
    """Streams that burn a tenth."""
    world = deploy_world(chain)
    roots = deploy_roots(world)
    places = (world.token.address, roots.address, world.governor.address)
    return Stall(world, roots, deploy_streams(world, *places, FEE_BPS))

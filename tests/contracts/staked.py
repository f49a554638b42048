"""A capacity contract that may lock stake, two nodes with stake behind them, and two markets."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.evm import Chain, Contract, Outcome, Signer
from contracts.world import Puppet, World, alice, bob, carol, deploy_world, guardian, node

COMPUTE, WATCHER = 4, 2
ROLES = 1 | COMPUTE
BPS = 10_000
STAKE = 10**6
OTHER = carol
OWNERS = {node.address: alice, OTHER.address: bob}


@dataclass(frozen=True, slots=True)
class Staked:
    """The world with capacity in it; ``faults`` locks and slashes the same nodes' stake."""

    world: World
    capacity: Contract
    markets: tuple[Puppet, Puppet]
    faults: Puppet

    @property
    def staking(self) -> Contract:
        return self.world.staking

    def rule(
        self, amount: int, *, per: int = 1, weighed: bool = False, role: int = COMPUTE
    ) -> Outcome:
        """The governor sets a rule."""
        return self.world.setup(self.capacity, "set_rule", role, amount, per, weighed)

    def declare(
        self, units: int, *, multiplier: int = BPS, hot: Signer = node, role: int = COMPUTE
    ) -> Outcome:
        """The node's owner declares."""
        by = OWNERS[hot.address].address
        return self.capacity.send("declare", hot.address, role, units, multiplier, sender=by)

    def hold(self, units: int, *, market: int = 0, role: int = COMPUTE) -> Outcome:
        """A market holds units of the first node."""
        return self.markets[market].act(self.capacity, "hold", node.address, role, units)

    def release(self, units: int, *, market: int = 0, role: int = COMPUTE) -> Outcome:
        """A market releases units of the first node."""
        return self.markets[market].act(self.capacity, "release", node.address, role, units)

    def locked(self, hot: Signer = node) -> int:
        """What capacity has locked of a node's stake."""
        return int(self.staking.call("locked_by", hot.address, self.capacity.address))

    def able(self, role: int = COMPUTE) -> int:
        """What a market can still hold of the first node."""
        return int(self.capacity.call("able", node.address, role))

    def slash(self, amount: int, hot: Signer = node) -> None:
        """Take stake from behind a node."""
        zero = "0x" + "00" * 20
        self.faults.act(self.staking, "slash", hot.address, amount, zero, 0, zero, 0)


def deploy_staked(chain: Chain) -> Staked:
    """Nodes of both roles with STAKE each, no rule yet; setup not finished."""
    world = deploy_world(chain)
    places = (world.registry.address, world.staking.address, world.governor.address)
    capacity = chain.deploy("capacity", *places, sender=guardian.address)
    markets, faults = (world.puppet(), world.puppet()), world.puppet()
    for market in markets:
        world.setup(capacity, "set_market", market.address, True)
    for role, locker in (("locker", capacity), ("locker", faults), ("slasher", faults)):
        world.setup(world.staking, f"set_{role}", locker.address, True)
    for hot in (node, OTHER):
        owner = OWNERS[hot.address]
        world.register(owner, hot, roles=ROLES)
        world.fund(owner.address, 2 * STAKE)
        world.token.send("approve", world.staking.address, 2 * STAKE, sender=owner.address)
        world.staking.send("stake", hot.address, STAKE, sender=owner.address)
    return Staked(world, capacity, markets, faults)

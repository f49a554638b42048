"""A market with roots over the deployed base, and trees straight from the rules, lies included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from contracts.evm import Contract, Outcome, Signer, Struct, signer
from contracts.world import NETWORK_ID, ZERO, World, carol, guardian, mallory
from freehold.economics.trees import GRAIN, Tree

LOW = 2**64 - 1
LENGTH, WINDOW, ANSWER_WINDOW = 1_000, 600, 300
BOND, GROWTH, REWARD_BPS = 10**6 * GRAIN, 900_000, 3_000
RULES = (WINDOW, ANSWER_WINDOW, BOND, GROWTH, REWARD_BPS)
ANSWER_GAS, GAS_PRICE = 150_000, 10**9
PREPAID = ANSWER_GAS * GAS_PRICE
DATA = keccak(text="data")
DEAD = "0x000000000000000000000000000000000000dead"
ATTESTATION = {
    "Attestation": "uint256 epoch,bytes32 root,uint256 count,bytes32 data,bytes32 parent"
}
proposer = signer("proposer")
watchers = sorted((signer(f"watcher {i}") for i in range(5)), key=lambda each: each.address)


def word(tag: str, first: int, second: int, total: int) -> int:
    """hash || sum of a leaf or a node."""
    body = keccak(text=f"Freehold reward {tag}") + first.to_bytes(32, "big")
    digest = keccak(body + second.to_bytes(32, "big"))
    return int.from_bytes(digest[:24], "big") << 64 | total & LOW


@dataclass(frozen=True, slots=True)
class Forged:
    """A tree over any leaves in any order; `lies` adds to the stated sum of a (level, index), and
    `claimed_count` is the count told, where that is not true."""

    leaves: Sequence[tuple[str, int]]
    lies: Mapping[tuple[int, int], int] = field(default_factory=dict)
    claimed_count: int = 0

    @property
    def count(self) -> int:
        return self.claimed_count or len(self.leaves)

    def levels(self) -> list[list[int]]:
        made = [
            [
                word("leaf", int(account, 16), grains, grains + self.lies.get((0, i), 0))
                for i, (account, grains) in enumerate(self.leaves)
            ]
        ]
        while len(made[-1]) > 1:
            below, level = made[-1] + [0] * (len(made[-1]) % 2), len(made)
            made.append(
                [
                    word(
                        "node",
                        below[i],
                        below[i + 1],
                        (below[i] & LOW) + (below[i + 1] & LOW) + self.lies.get((level, i // 2), 0),
                    )
                    for i in range(0, len(below), 2)
                ]
            )
        return made

    @property
    def root(self) -> int:
        return self.levels()[-1][0]

    def node(self, level: int, index: int) -> int:
        row = self.levels()[level]
        return row[index] if index < len(row) else 0

    def above(self, level: int, index: int) -> list[int]:
        """The nodes beside the way from a node to the root."""
        top = len(self.levels()) - 1
        return [self.node(up, (index >> (up - level)) ^ 1) for up in range(level, top)]

    def proof(self, index: int) -> tuple[str, int, int, list[int]]:
        """A leaf's proof as the contract takes it."""
        account, grains = self.leaves[index]
        return account, grains, index, self.above(0, index)


def honest(amounts: Mapping[str, int]) -> Forged:
    """A true tree of grains by account."""
    return Forged(sorted(amounts.items()))


def same(tree: Tree) -> Forged:
    """The leaves of a tree of the package."""
    leaves = [tree.leaf(index) for index in range(tree.count)]
    return Forged([(leaf.account.lower(), leaf.grains) for leaf in leaves])


@dataclass(slots=True)
class Market:
    """Roots with three watchers of five, a bonded proposer and funds."""

    world: World
    roots: Contract

    def fund(self, grains: int, *, epoch: int = 0) -> Outcome:
        """Money for rewards, from Mallory, of all people."""
        self.world.fund(mallory.address, grains * GRAIN)
        self.world.token.send("approve", self.roots.address, grains * GRAIN, sender=mallory.address)
        return self.roots.send("fund", epoch, grains * GRAIN, sender=mallory.address)

    def post(self, amount: int = BOND, *, by: Signer = proposer) -> Outcome:
        """A bond."""
        self.world.fund(by.address, amount)
        self.world.token.send("approve", self.roots.address, amount, sender=by.address)
        return self.roots.send("post_bond", amount, sender=by.address)

    def end_of(self, epoch: int) -> None:
        """Move the clock to an epoch's end, where it is not there yet."""
        end = self.roots.call("genesis") + (epoch + 1) * LENGTH
        self.world.chain.warp_to(max(self.world.chain.now, end))

    def signatures(
        self,
        epoch: int,
        root: int,
        count: int,
        *,
        by: Sequence[Signer] = tuple(watchers[:3]),
        data: bytes = DATA,
    ) -> list[bytes]:
        """The watchers' signatures over a root on top of the present tip."""
        fields = {
            "epoch": epoch,
            "root": root.to_bytes(32, "big"),
            "count": count,
            "data": data,
            "parent": self.roots.call("headers", self.state.tip),
        }
        return [each.sign(self.roots.domain(), ATTESTATION, fields) for each in by]

    def propose(self, epoch: int, tree: Forged, *, by: Signer = proposer) -> Struct:
        """A root, signed; gives its header."""
        self.end_of(epoch)
        signed = self.signatures(epoch, tree.root, tree.count)
        done = self.roots.send(
            "propose", epoch, tree.root, tree.count, DATA, signed, sender=by.address
        )
        header: Struct = done.one("Proposed").header
        return header

    def finalize(self, header: Struct) -> Outcome:
        """After the window, and an answer window after the last answer."""
        released = int(self.roots.call("released", self.roots.call("headers", header.position)))
        over = max(header.until, released + int(self.roots.call("parameters").answer_window))
        self.world.chain.warp_to(max(self.world.chain.now, over + 1))
        return self.roots.send("finalize", header, sender=mallory.address)

    def take_bond(self, header: Struct, *, winner: Signer | str = carol) -> Outcome:
        """What a verdict costs, taken by somebody."""
        name = winner if isinstance(winner, str) else winner.address
        return self.roots.send("settle", header, name, sender=mallory.address)

    def settle(self, epoch: int, tree: Forged) -> Struct:
        """A root made final."""
        header = self.propose(epoch, tree)
        self.finalize(header)
        return header

    def claim(self, epoch: int, tree: Forged, index: int) -> Outcome:
        """Of a leaf, by somebody."""
        return self.roots.send("claim", epoch, *tree.proof(index), sender=mallory.address)

    def demand(self, header: Struct, index: int) -> int:
        """A leaf asked for by Carol."""
        self.world.chain.give_ether(carol.address, PREPAID)
        return int(
            self.roots.send(
                "demand", header, index, sender=carol.address, value=PREPAID, gas_price=0
            ).value
        )

    @property
    def state(self) -> Struct:
        found: Struct = self.roots.call("state")
        return found

    def bond(self, owner: Signer = proposer) -> int:
        return int(self.roots.call("bond_of", owner.address).amount)

    def give_up_keys(self) -> None:
        """Nobody can change anything any more."""
        self.world.governor.send("finish_setup", sender=guardian.address)
        self.world.govern(self.world.governor, "set_guardian", DEAD)


def deploy_roots(world: World, *arguments: Any) -> Contract:
    """The contract over a world; by default without an emission."""
    usual = (
        world.token.address,
        world.payments.address,
        ZERO,
        world.registry.address,
        ZERO,
        world.governor.address,
        NETWORK_ID,
        world.chain.now,
        LENGTH,
        RULES,
    )
    return world.chain.deploy("roots", *(arguments or usual), sender=guardian.address)


def deploy_market(world: World) -> Market:
    """Roots with watchers, a bond and nine tenths of it in funds."""
    market = Market(world, deploy_roots(world))
    world.setup(market.roots, "set_watchers", [each.address for each in watchers], 3)
    market.post()
    market.fund(GROWTH)
    return market

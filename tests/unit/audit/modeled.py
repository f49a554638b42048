"""A founded network with a model market, whose judge does what a test says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from contracts.evm import NETWORK_ID, ZERO, Contract, Outcome, Signer, Struct, signer
from contracts.market import GENESIS
from contracts.roots import GROWTH, RULES, honest, watchers
from contracts.roots import Market as RootMarket
from contracts.subnets import RULES as SUBNET_RULES
from contracts.subnets import TASK, URI, pruned, row_of, word_of
from contracts.world import MAX, alice, bob, carol, fake, guardian, mallory
from freehold.domain.ids import keccak
from freehold.economics.trees import GRAIN
from unit.audit.founded import DEVICES, EPOCH, PUBLIC, STORAGE, SUBNETS, Founded

SHARES = ((STORAGE, 6_001), (DEVICES, 1_000), (SUBNETS, 1_999), (PUBLIC, 999))
LOCK = 5_000
TERMS = {
    "lowest": 10**14, "highest": 10**15, "half_life": 2 * EPOCH, "factor_bps": 20_000,
    "lock": LOCK, "notice": 2, "share_bps": 9_000,
}  # fmt: skip
PRICE = {"lowest": 10**13, "highest": 10**15, "half_life": EPOCH, "factor_bps": 15_000}
SALT = b"\x07" * 32
BOTH = 8 | 16


class Modeled(Founded):
    """Subnets, the roots that pay them, and a court in the place of the disputes."""

    prizes: RootMarket
    subnet: Contract
    court: Contract

    def __init__(self) -> None:
        super().__init__(shares=SHARES)

    def extend(self) -> None:
        """Deploy and wire the model market."""
        world, by = self.world, guardian.address
        token, registry, governor = (
            each.address for each in (world.token, world.registry, world.governor)
        )
        since = (NETWORK_ID, GENESIS, EPOCH)
        given = (token, world.payments.address, ZERO, registry, world.staking.address, governor)
        told = (*given, *since, RULES)
        self.prizes = RootMarket(world, self.chain.deploy("prizes", *told, sender=by))
        roots = self.prizes.roots
        self.subnet = self.chain.deploy(
            "subnet", token, registry, world.staking.address, self.issuance.address, roots.address,
            governor, *since, TERMS, sender=by,
        )  # fmt: skip
        self.court = self.judge()
        world.setup(self.issuance, "set_distributor", SUBNETS, self.subnet.address)
        for contract in (self.subnet, roots):
            world.setup(contract, "set_judge", self.court.address)
        world.setup(roots, "set_watchers", [each.address for each in watchers], 3)
        for each in (alice, bob, mallory):
            world.fund(each.address, 10**18)
            for spender in (self.subnet, world.staking):
                world.token.send("approve", spender.address, MAX, sender=each.address)

    def judge(self) -> Contract:
        """Whoever judges the roots that pay models."""
        return self.chain.deploy_artifact(fake("court"), sender=guardian.address)

    # What people do

    @property
    def epoch(self) -> int:
        """The epoch that runs."""
        return int(self.subnet.call("epoch"))

    def next(self, epochs: int = 1) -> int:
        """Move to the beginning of a later epoch; gives its number."""
        self.chain.warp_to(GENESIS + (self.epoch + epochs) * EPOCH)
        return self.epoch

    def act(self, target: Contract, function: str, *told: Any, by: Signer = alice) -> Outcome:
        """A call by somebody."""
        return target.send(function, *told, sender=by.address)

    def create(self, name: str, *, max_nodes: int = 3) -> int:
        """A subnet of Alice's."""
        task, rules = asdict(TASK), {**asdict(SUBNET_RULES), "immunity": 10}
        told = (word_of(name), max_nodes, rules, PRICE, task, URI, MAX)
        return int(self.act(self.subnet, "create", *told).value)

    def enter(self, subnet: int, label: str, *, stake: int = 0, owner: Signer = bob) -> Signer:
        """A node of somebody's that serves and validates, in a subnet."""
        hot = signer(label)
        self.world.register(owner, hot, BOTH)
        if stake:
            self.act(self.world.staking, "stake", hot.address, stake, by=owner)
        self.act(self.subnet, "register", subnet, hot.address, MAX, by=owner)
        return hot

    def commit(self, subnet: int, uid: int, row: bytes, *, by: Signer) -> None:
        """Commit to a row in the running epoch."""
        generation = self.subnet.call("generation", subnet, uid)
        told = (subnet, uid, generation, self.epoch, keccak(row), SALT)
        hashed = self.subnet.call("commitment_of", *told)
        self.act(self.subnet, "commit", subnet, uid, hashed, by=by)

    def rule(self, function: str, *told: Any) -> Outcome:
        """What the judge does to the roots that pay models."""
        data = self.prizes.roots.data(function, *told)
        return self.act(self.court, "run", self.prizes.roots.address, data)

    def agree(self, contract: str, view: str, *arguments: Any) -> None:
        """A view says what its model says."""
        place = {"subnet": self.subnet, "prizes": self.prizes.roots}.get(contract)
        if place is None:
            super().agree(contract, view, *arguments)
        else:
            self.compare(place, contract, view, *arguments)


def competition(modeled: Modeled) -> None:
    """Two subnets, validators who think of nodes, a newcomer in a full one, grants and an end."""
    subnet = modeled.create("digits")
    modeled.create("words", max_nodes=9)
    first = modeled.enter(subnet, "validator one", stake=5 * GRAIN)
    second = modeled.enter(subnet, "validator two", stake=7 * GRAIN + 3)
    modeled.enter(2, "node of words")
    modeled.act(modeled.subnet, "set_uri", subnet, URI + "?2")
    row = row_of({0: 5, 1: 65_535})
    modeled.commit(subnet, 0, b"\x00", by=first)
    modeled.commit(subnet, 0, row, by=first)
    modeled.commit(subnet, 1, row, by=bob)
    modeled.act(modeled.subnet, "grant", subnet, 3 * GRAIN, 2, by=mallory)
    modeled.next()
    modeled.act(modeled.subnet, "reveal", subnet, 0, row, SALT, by=first)
    modeled.act(modeled.subnet, "record", subnet, 1, by=mallory)
    modeled.enter(subnet, "third")
    later = {**PRICE, "lowest": 2 * 10**13}
    told = (asdict(SUBNET_RULES), later, asdict(TASK))
    modeled.act(modeled.subnet, "set_rules", subnet, modeled.epoch + 3, *told)
    modeled.act(modeled.subnet, "set_rules", subnet, modeled.epoch + 2, *told)
    modeled.chain.warp(20)
    modeled.act(modeled.court, "name", pruned(1), modeled.chain.now)
    modeled.enter(subnet, "newcomer", stake=GRAIN)
    modeled.act(modeled.subnet, "close_epoch", 0, by=mallory)
    modeled.next(2)
    modeled.act(modeled.subnet, "close_epoch", 1, by=mallory)
    second_time = signer("newcomer")
    modeled.commit(subnet, 1, row, by=second_time)
    modeled.next()
    modeled.act(modeled.subnet, "reveal", subnet, 1, row, SALT, by=second_time)
    modeled.enter(2, "late node of words")
    assert second.address != second_time.address


def judged(modeled: Modeled) -> None:
    """A false root of the model market that the judge makes void, and a true one that is held for
    a while."""
    prizes = modeled.prizes
    prizes.post()
    most = int(prizes.roots.call("funded")) // GRAIN
    tree = honest({alice.address: min(most // 2, GROWTH // 2), bob.address: 7})
    header: Struct = prizes.propose(0, tree)
    modeled.rule("void", header, carol.address, "column")
    prizes.take_bond(header)
    prizes.post()
    header = prizes.propose(0, tree)
    hashed = prizes.roots.call("headers", header.position)
    modeled.rule("hold", hashed)
    modeled.rule("hold", hashed)
    modeled.rule("release", hashed)
    modeled.rule("release", hashed)
    prizes.finalize(header)
    prizes.claim(0, tree, 0)


def ended(modeled: Modeled) -> None:
    """A subnet closes and its lock comes back; newcomers are stopped."""
    modeled.act(modeled.subnet, "close", 1)
    modeled.world.setup(modeled.subnet, "set_paused", True)
    modeled.next(4)
    modeled.act(modeled.subnet, "unlock", 1, by=mallory)

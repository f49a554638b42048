"""The whole economy on one chain, warmed up: issuance, both reward markets, auction, people.

Nobody can mint once it stands: whatever appears later comes out of the issuance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from contracts import merkle
from contracts.evm import Chain, Contract, Outcome, Signer, signer
from contracts.market import GENESIS, MANDATE, PERIOD, PRICE, Deal, Market, Node, client, watcher
from contracts.market import deploy_market as deploy_storage
from contracts.roots import BOND, RULES, deploy_roots, proposer, watchers
from contracts.roots import Market as Roots
from contracts.world import (
    NETWORK_ID,
    TOKEN,
    ZERO,
    World,
    bob,
    carol,
    deploy_world,
    guardian,
    mallory,
    treasury,
)
from freehold.economics.schedules.plan import GEOMETRIC, Plan
from freehold.economics.schedules.vesting import MONTH_SECONDS, Allocation
from freehold.economics.trees import GRAIN

EPOCH = 2 * PERIOD
DRAW_WINDOW = 40
SHARES = ((b"storage".ljust(32, b"\0"), 6_003), (b"unseen".ljust(32, b"\0"), 3_001))
PLAN = Plan(kind=GEOMETRIC, limit=10**13, amount=2 * 10**12, step=3 * PERIOD,
            factor=7 * 10**17, steps=40)  # fmt: skip
BUDGET = 10**9
ALLOCATIONS = (
    Allocation(amount=10**10 + 1, start=GENESIS + 9 * PERIOD - MONTH_SECONDS, cliff=0, parts=2),
    Allocation(amount=10**9, start=GENESIS, cliff=12 * PERIOD, parts=0),
)
SHARE_BPS, PER_TOKEN = 9_000, 10**9
LEAST, OPENING, HALF_LIFE, FACTOR_BPS = 100, 10**15, 600, 15_000
SIZE = 70_000
RICH, POOR = 10_000 * TOKEN, 5 * 10**14

poor = signer("client who runs dry")
twin = signer("twin")
allocator = signer("allocator")
beneficiary = signer("beneficiary")
buyer = signer("buyer")
OWNERS = tuple(signer(f"owner {number}") for number in range(3))
KEYS = tuple(signer(f"node {number}") for number in range(3))
CLIENTS = (client, poor)
DELEGATORS = (bob, carol, twin, mallory)
PEOPLE = (
    *CLIENTS, *OWNERS, *KEYS, *DELEGATORS, allocator, beneficiary, buyer, proposer, watcher,
    treasury, guardian,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heard:
    """A transaction that went through, and when."""

    at: int
    sender: str
    to: str
    outcome: Outcome


class Listening(Chain):
    """A chain that keeps what every transaction did until somebody takes it, and tells at once who
    listens."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Heard] = []
        self.listener: Callable[[Heard], None] | None = None

    def transact(self, sender: str, to: str, data: bytes, **options: Any) -> Outcome:
        outcome = super().transact(sender, to, data, **options)
        if not options.get("static"):
            self.heard.append(Heard(self.now, sender, to, outcome))
            if self.listener:
                self.listener(self.heard[-1])
        return outcome

    def take(self) -> list[Heard]:
        """What happened since the last time, in order."""
        taken, self.heard = self.heard, []
        return taken


@dataclass(slots=True)
class Economy:
    """The contracts, and what nodes and clients remember."""

    chain: Listening
    market: Market
    issuance: Contract
    rewards: Contract
    roots: Roots
    auction: Contract
    foreign: Contract
    deals: list[tuple[Deal, Signer]] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.market.world

    @property
    def nodes(self) -> list[Node]:
        return self.market.nodes

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All of the network's own."""
        w, m = self.world, self.market
        return (
            w.governor, w.token, w.registry, w.staking, w.payments, m.beacon, m.pdp, m.faults,
            m.storage, self.issuance, self.rewards, self.roots.roots, self.auction,
        )  # fmt: skip

    @property
    def epoch(self) -> int:
        return (self.chain.now - GENESIS) // EPOCH

    def own(self) -> Economy:
        """The same contracts, with memories of one's own."""
        nodes = [replace(node, pieces=dict(node.pieces)) for node in self.nodes]
        market = replace(self.market, nodes=nodes)
        made = copy(self)
        made.market, made.deals = market, list(self.deals)
        return made

    def open(self, nodes: Sequence[Node], by: Signer, *, price: int, token: str, term: int) -> Deal:
        """A deal at any price in any token, without a mandate to repair."""
        market = self.market
        pieces = [piece(market.nodes.index(node)) for node in nodes]
        term_end = market.start(market.period + term)
        given = [
            market.acceptance(node, each, term_end, by=by, price=price, token=token)
            for node, each in zip(nodes, pieces, strict=True)
        ]
        terms = {**MANDATE, "max_price": price, "repair_fee": 0, "repairs": 0}
        asked = market.request(pieces, token=token, mandate=terms)
        outcome = market.storage.send("open", asked, given, sender=by.address)
        for event, node, each in zip(outcome.named("ColumnOpened"), nodes, pieces, strict=True):
            node.pieces[event.piece_id] = each
        deal = Deal(int(outcome.value), pieces, term_end, terms)
        self.deals.append((deal, by))
        return deal

    def live(self, present: Sequence[Node], *, settle: bool, back: bool) -> None:
        """Go to the next period, settle and back what is there, and prove its round."""
        market = self.market
        market.to_period(market.period + 1)
        if settle:
            rails = list(range(1, self.world.payments.call("rail_count") + 1))[-32:]
            running = [each for each in rails if market.rail(each).market == market.storage.address]
            self.world.payments.send("settle_many", running, sender=mallory.address)
        for node in self.nodes if back else ():
            self.rewards.send("back", node.set_id, sender=node.address)
        market.round()
        market.prove_all(present)

    def close_ended(self) -> None:
        """Close what has ended, in both contracts."""
        while self.issuance.send("advance", 64, sender=mallory.address).value < self.epoch:
            pass
        for epoch in range(self.epoch):
            if not self.rewards.call("closed", epoch):
                self.rewards.send("close", epoch, sender=mallory.address)


@cache
def piece(number: int) -> merkle.Piece:
    """The bytes of a node."""
    return merkle.sample(number + 1, SIZE)


@cache
def economy() -> Economy:
    """The economy after some periods; whoever uses it anchors its chain and takes its `own`."""
    made = _deploy(Listening())
    _join(made)
    _arrive(made)
    made.world.setup(made.world.token, "set_minter", guardian.address, False)
    _begin(made)
    return made


def _deploy(chain: Listening) -> Economy:
    world = deploy_world(chain)
    by, governor, token = guardian.address, world.governor.address, world.token.address
    waiting = [
        (beneficiary.address, each.amount, each.start, each.cliff, each.parts)
        for each in ALLOCATIONS
    ]
    terms = tuple(PLAN.terms(budget=BUDGET, window=DRAW_WINDOW).values())
    issuance = chain.deploy(
        "issuance", token, governor, GENESIS, EPOCH, terms, SHARES, waiting, sender=by
    )
    names = (world.token, world.payments, world.registry, world.staking, issuance, world.governor)
    told = (*(each.address for each in names),)
    numbers = (GENESIS, EPOCH, PER_TOKEN, SHARE_BPS)

    def sink(source: str) -> str:
        return chain.deploy("rewards", *told, source, *numbers, sender=by).address

    market = deploy_storage(chain, world=world, sink=sink)
    rewards = chain.attach_artifact("rewards", market.pdp.call("sink"))
    roots = deploy_roots(
        world, token, world.payments.address, issuance.address, world.registry.address, ZERO,
        governor, NETWORK_ID, GENESIS, EPOCH, RULES,
    )  # fmt: skip
    auction = chain.deploy("auction", token, LEAST, OPENING, HALF_LIFE, FACTOR_BPS, sender=by)
    made = Economy(chain, market, issuance, rewards, Roots(world, roots), auction, world.foreign())
    _wire(made)
    return made


def _wire(made: Economy) -> None:
    world, market = made.world, made.market
    world.setup(world.payments, "set_token", made.foreign.address, True)
    world.setup(world.payments, "set_auction", made.auction.address)
    world.setup(world.token, "set_minter", made.issuance.address, True)
    world.setup(made.rewards, "set_market", market.storage.address)
    world.setup(world.staking, "set_evaluator", made.rewards.address, True)
    for (name, _), distributor in zip(SHARES, (made.rewards, made.roots.roots), strict=True):
        world.setup(made.issuance, "set_distributor", name, distributor.address)
    world.setup(made.issuance, "set_allocator", allocator.address, BUDGET // 2)
    world.setup(made.roots.roots, "set_watchers", [each.address for each in watchers], 3)


def _join(made: Economy) -> None:
    """Nodes with stake, and a bonded proposer with some money for rewards."""
    for number, owner in enumerate(OWNERS):
        made.market.node(str(number), owner=owner)
    made.roots.post(3 * BOND)
    made.roots.fund(1_000)


def _arrive(made: Economy) -> None:
    """Everybody gets money and lets the contracts take it; two delegate."""
    world = made.world
    takers = (world.payments, world.staking, made.roots.roots, made.auction)
    for person in (*OWNERS, *DELEGATORS, *CLIENTS, buyer, proposer):
        world.fund(person.address, RICH)
        made.foreign.send("mint", person.address, RICH, sender=guardian.address)
        for taker in takers:
            world.token.send("approve", taker.address, 2**255, sender=person.address)
        made.foreign.send("approve", world.payments.address, 2**255, sender=person.address)
    for person, funds in ((client, RICH // 2), (poor, POOR)):
        for token in (world.token.address, made.foreign.address):
            world.payments.send("deposit", token, person.address, funds, sender=person.address)
            told = (token, made.market.storage.address, 2**200, 2**100)
            world.payments.send("approve_market", *told, sender=person.address)


def _begin(made: Economy) -> None:
    """Deals in both tokens, two delegators, one commission, and a few periods."""
    nodes, staking = made.nodes, made.world.staking
    staking.send("set_commission", nodes[0].address, 1_000, sender=OWNERS[0].address)
    for person, node, amount in ((bob, nodes[0], 300), (carol, nodes[0], 77), (carol, nodes[1], 9)):
        staking.send("delegate", node.address, amount * TOKEN, sender=person.address)
    token, foreign = made.world.token.address, made.foreign.address
    made.open(nodes, client, price=PRICE, token=token, term=60)
    made.open(nodes[:1], client, price=2 * PRICE, token=foreign, term=60)
    made.open(nodes[1:2], poor, price=PRICE // 3, token=token, term=60)
    for _ in range(5):
        made.live(nodes, settle=True, back=True)


__all__ = ["GRAIN", "Economy", "economy"]

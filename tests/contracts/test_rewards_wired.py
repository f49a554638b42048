"""Rewards on the real contracts: deals, proofs, burned fees, the issuance; and no self-dealing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import merkle
from contracts.evm import Chain, Contract, Signer, signer
from contracts.market import GENESIS, MANDATE, PERIOD, PRICE, Deal, Market, Node, deploy_market
from contracts.world import TOKEN, World, alice, deploy_world, guardian, mallory, refused
from freehold.economics.schedules.filecoin import BASELINE_INITIAL
from freehold.economics.schedules.plan import EXPONENTIAL, GEOMETRIC, Plan

EPOCH = 3 * PERIOD
FEE_BPS, BURN_BPS = 50, 5_000
RATE_ONE = 2**96
TIB_MONTH = 2**40 * 2_592_000
STORAGE = b"storage".ljust(32, b"\0")
STORAGE_BPS = 6_000
FALLING = Plan(
    kind=GEOMETRIC, limit=10**13, amount=2 * 10**12, step=EPOCH, factor=7 * 10**17, steps=40
)
SLOW = Plan(
    kind=EXPONENTIAL, limit=10**8 * TOKEN, amount=3 * 10**7 * TOKEN, storage=7 * 10**7 * TOKEN,
    initial=BASELINE_INITIAL,
)  # fmt: skip


@dataclass(slots=True)
class Stage:
    """A market whose verifier tells its work, with rewards and issuance."""

    market: Market
    rewards: Contract
    issuance: Contract
    epoch: int
    per_token: int
    share_bps: int

    @property
    def world(self) -> World:
        return self.market.world

    def close(self, epoch: int) -> int:
        self.issuance.send("advance", 64, sender=mallory.address)
        return int(self.rewards.send("close", epoch, sender=mallory.address).value)

    def close_all(self) -> None:
        """Close every ended epoch that is open."""
        for epoch in range(int(self.rewards.call("epoch"))):
            if not self.rewards.call("closed", epoch):
                self.close(epoch)

    def claim(self, node: Node) -> int:
        return int(self.rewards.send("claim", node.set_id, sender=mallory.address).value)


def deploy_stage(
    chain: Chain,
    *,
    plan: Plan = FALLING,
    epoch: int = EPOCH,
    price: int = PRICE,
    share_bps: int = 9_000,
    fees: tuple[int, int] = (FEE_BPS, BURN_BPS),
) -> Stage:
    """`price` is the one whose fees back every byte."""
    world = deploy_world(chain)
    by, governor = guardian.address, world.governor.address
    world.setup(world.payments, "set_fees", *fees)
    shares = [(STORAGE, STORAGE_BPS)]
    terms = tuple(plan.terms(budget=0, window=100).values())
    issuance = chain.deploy(
        "issuance", world.token.address, governor, GENESIS, epoch, terms, shares, (), sender=by
    )
    per_token = max(1, min(TIB_MONTH // 2**20 * TOKEN * 10**8 // (price * 25 * 10**4), 2**60))
    names = (world.token, world.payments, world.registry, world.staking, issuance, world.governor)
    rewards = chain.deploy(
        "rewards", *(each.address for each in names), GENESIS, epoch, per_token, share_bps,
        sender=by,
    )  # fmt: skip
    market = deploy_market(chain, world=world, sink=rewards.address)
    world.setup(world.token, "set_minter", issuance.address, True)
    world.setup(rewards, "set_source", market.pdp.address, market.storage.address)
    world.setup(world.staking, "set_evaluator", rewards.address, True)
    world.setup(issuance, "set_distributor", STORAGE, rewards.address)
    if plan.storage:
        world.setup(issuance, "set_power", rewards.address)
    return Stage(market, rewards, issuance, epoch, per_token, share_bps)


# An independent calculation, from the terms of deals and the rounds that were answered


@dataclass(slots=True)
class Rail:
    """What a payer owes, in whole periods that are settled one by one."""

    rate: int
    owed: int = 0
    paid: int = 0
    fee: int = 0

    def settle(self, seconds: int) -> int:
        """Base units that burn."""
        self.owed += self.rate * seconds
        amount = self.owed // TIB_MONTH
        self.owed -= amount * TIB_MONTH
        self.paid += amount
        fee = self.paid * FEE_BPS // 10_000 - self.fee
        self.fee += fee
        return fee * BURN_BPS // 10_000


@dataclass(slots=True)
class Account:
    """A node: what burned for it, what of that is used, and work by epoch."""

    burned: int = 0
    used: int = 0
    credit: int = 0
    work: dict[int, int] = field(default_factory=dict)

    def back(self, per_token: int) -> None:
        more = (self.burned - self.used) * per_token // TOKEN
        self.used += -(-more * TOKEN // per_token)
        self.credit += more

    def prove(self, epoch: int, leaves: int) -> None:
        done = min(leaves * 32 * PERIOD // 2**20, self.credit)
        self.credit -= done
        self.work[epoch] = self.work.get(epoch, 0) + done


def emission(stage: Stage, accounts: Sequence[Account], epoch: int, plan: Plan) -> tuple[int, int]:
    """An epoch's emission and rate."""
    budget = plan.scheduled((epoch + 1) * EPOCH) - plan.scheduled(epoch * EPOCH)
    weight = sum(account.work.get(epoch, 0) for account in accounts)
    ceiling = weight * stage.share_bps * TOKEN // (10_000 * stage.per_token)
    amount = min(ceiling, budget * STORAGE_BPS // 10_000)
    return amount, amount * RATE_ONE // weight if weight else 0


@dataclass(slots=True)
class Twin:
    """The contracts and the calculation side by side, a period at a time."""

    stage: Stage
    nodes: list[Node]
    deals: list[Deal]
    rails: list[Rail]
    accounts: list[Account]
    answered: list[int]
    settled: list[int]

    @classmethod
    def begin(cls, sizes: Sequence[int]) -> Twin:
        stage = deploy_stage(Chain())
        stage.market.fund_client()
        nodes = [stage.market.node(str(number)) for number in range(len(sizes))]
        deals = [
            stage.market.open([node], seed=number + 1, size=size, periods=90)
            for number, (node, size) in enumerate(zip(nodes, sizes, strict=True))
        ]
        rails = [Rail(PRICE * size) for size in sizes]
        accounts = [Account() for _ in sizes]
        return cls(stage, nodes, deals, rails, accounts, [0] * len(sizes), [0] * len(sizes))

    def live(self, absent: Sequence[int] = (), *, close: bool = False) -> None:
        """Settle what is decided, back, and answer the next round; `close` what has ended."""
        market, rewards = self.stage.market, self.stage.rewards
        market.to_period(market.period + 1)
        if close:
            self.stage.close_all()
        for i, (node, deal) in enumerate(zip(self.nodes, self.deals, strict=True)):
            market.settle(market.column(deal).rail)
            rewards.send("back", node.set_id, sender=node.address)
            self.accounts[i].burned += self.rails[i].settle(
                (self.answered[i] - self.settled[i]) * PERIOD
            )
            self.settled[i] = self.answered[i]
            self.accounts[i].back(self.stage.per_token)
        market.round()
        epoch = int(rewards.call("epoch"))
        for i, node in enumerate(self.nodes):
            if i not in absent:
                market.prove_all([node])  # what was missed too, but late
                self.answered[i] += 1
                self.accounts[i].prove(epoch, self.deals[i].roots[0].leaves)

    def due(self, epochs: int) -> list[int]:
        """What every node earned in so many epochs, base units."""
        sums = [0] * len(self.accounts)
        for epoch in range(epochs):
            _, rate = emission(self.stage, self.accounts, epoch, FALLING)
            for i, account in enumerate(self.accounts):
                sums[i] += account.work.get(epoch, 0) * rate // RATE_ONE
        return sums


def collected(stage: Stage, node: Node, epochs: int) -> None:
    """Reward all work that waited."""
    for epoch in range(epochs):
        if stage.rewards.call("waiting", node.set_id, epoch):
            stage.rewards.send("collect", node.set_id, epoch, sender=mallory.address)


def test_claims_are_those_of_an_independent_calculation() -> None:
    twin = Twin.begin((200_000, 70_000))
    stage, rewards = twin.stage, twin.stage.rewards
    for number in range(16):
        twin.live(absent=(1,) if number == 8 else (), close=number < 6 or number == 12)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    epochs = int(rewards.call("epoch"))
    assert epochs >= 6
    for epoch in range(epochs):
        amount, rate = emission(stage, twin.accounts, epoch, FALLING)
        if not rewards.call("closed", epoch):
            assert stage.close(epoch) == amount
        assert rewards.call("rates", epoch) == rate
    waited = sum(rewards.call("waiting", n.set_id, e) for n in twin.nodes for e in range(epochs))
    assert waited > 0
    earned = twin.due(epochs)
    assert min(earned) > 0
    for node, expected, account in zip(twin.nodes, earned, twin.accounts, strict=True):
        assert rewards.call("account", node.set_id).credit == account.credit
        assert rewards.call("backed_fees", node.owner.address) == account.used
        collected(stage, node, epochs)
        before = stage.world.balance(node.owner.address)
        assert stage.claim(node) == expected
        assert stage.world.balance(node.owner.address) == before + expected
        assert stage.claim(node) == 0
    assert rewards.call("emitted") == stage.issuance.call("drawn_total")
    assert rewards.call("emitted") - rewards.call("claimed") == stage.world.balance(rewards.address)


def test_both_the_budget_and_what_burned_bind_somewhere() -> None:
    twin = Twin.begin((200_000,))
    for _ in range(16):
        twin.live()
    bound = set()
    for epoch in range(5):
        amount, _ = emission(twin.stage, twin.accounts, epoch, FALLING)
        weight = twin.accounts[0].work.get(epoch, 0)
        bound.add(amount == weight * 9_000 * TOKEN // (10_000 * twin.stage.per_token))
    assert bound == {True, False}


def test_burned_fees_are_counted_by_market_and_payee() -> None:
    twin = Twin.begin((200_000, 70_000))
    payments, storage = twin.stage.world.payments, twin.stage.market.storage.address
    for _ in range(4):
        twin.live()
    for node, account in zip(twin.nodes, twin.accounts, strict=True):
        assert payments.call("burned", storage, node.owner.address) == account.burned > 0
    everything = sum(account.burned for account in twin.accounts)
    assert twin.stage.world.token.call("burned") == everything


def test_the_issuance_hears_the_backed_bytes() -> None:
    stage = deploy_stage(Chain(), plan=SLOW)
    stage.market.fund_client()
    node = stage.market.node("a")
    deal = stage.market.open([node], size=200_000)
    for _ in range(5):
        stage.market.next_round()
        stage.market.prove(node)
        stage.market.to_period(stage.market.period + 1)
        stage.market.settle(stage.market.column(deal).rail)
        stage.rewards.send("back", node.set_id, sender=node.address)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    closed = stage.issuance.send("advance", 64, sender=mallory.address).named("EpochClosed")
    told = [event.backed for event in closed]
    assert told == [stage.rewards.call("total", e.epoch) * 2**20 // EPOCH for e in closed]
    assert 0 < max(told) <= deal.roots[0].leaves * 32
    assert stage.issuance.call("baseline").realized == sum(told)


def test_only_sets_of_the_market_are_backed() -> None:
    twin = Twin.begin((200_000,))
    twin.live()
    node, pdp = twin.nodes[0], twin.stage.market.pdp
    own = pdp.send("create_set", node.address, sender=node.owner.address).value
    with refused("rewards: not a set of the market"):
        twin.stage.rewards.send("back", own, sender=node.address)
    with refused("rewards: not the source"):
        twin.stage.rewards.send("proven", node.set_id, 10**9, sender=node.address)


def test_delegated_stake_shares_a_claim() -> None:
    twin = Twin.begin((200_000,))
    stage, node, staking = twin.stage, twin.nodes[0], twin.stage.world.staking
    world = stage.world
    staking.send("set_commission", node.address, 1_000, sender=node.owner.address)
    world.fund(alice.address, 3_000 * TOKEN)
    world.token.send("approve", staking.address, 3_000 * TOKEN, sender=alice.address)
    staking.send("delegate", node.address, 3_000 * TOKEN, sender=alice.address)
    for _ in range(8):
        twin.live()
    stage.close_all()
    collected(stage, node, int(stage.rewards.call("epoch")))
    paid = stage.claim(node)
    assert paid > 0
    got = int(staking.send("claim_rewards", node.address, sender=alice.address).value)
    kept = int(staking.send("claim_rewards", node.address, sender=node.owner.address).value)
    assert paid - 2 <= got + kept <= paid
    assert abs(got - (paid - paid // 10) * 3 // 4) <= 2


@pytest.mark.parametrize("closed", [True, False])
def test_who_joins_the_stake_earns_nothing_of_ended_epochs(closed: bool) -> None:
    """A stranger with nine times the owner's stake comes right before the claim, and leaves."""
    twin = Twin.begin((200_000,))
    stage, node, world = twin.stage, twin.nodes[0], twin.stage.world
    for _ in range(9):
        twin.live(close=True)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    stage.issuance.send("advance", 64, sender=mallory.address)
    if closed:
        stage.close_all()
    before = world.balance(node.owner.address)
    amount = 8_900 * TOKEN
    world.fund(mallory.address, amount)
    world.token.send("approve", world.staking.address, amount, sender=mallory.address)
    world.staking.send("delegate", node.address, amount, sender=mallory.address)
    if not closed:
        stage.close_all()
    collected(stage, node, int(stage.rewards.call("epoch")))
    stage.claim(node)
    assert world.staking.call("claimable", mallory.address, node.address) == 0
    got = world.balance(node.owner.address) - before
    assert got == twin.due(int(stage.rewards.call("epoch")))[0] > 0


def test_who_joins_others_earns_nothing_of_ended_epochs() -> None:
    """As above, where somebody has staked for the node all the time."""
    twin = Twin.begin((200_000,))
    stage, node, world = twin.stage, twin.nodes[0], twin.stage.world
    for account, epochs, amount in ((alice, 9, 100 * TOKEN), (mallory, 0, 8_000 * TOKEN)):
        world.fund(account.address, amount)
        world.token.send("approve", world.staking.address, amount, sender=account.address)
        world.staking.send("delegate", node.address, amount, sender=account.address)
        for _ in range(epochs):
            twin.live(close=True)
        if epochs:
            stage.market.to_period(3 * (stage.market.period // 3 + 1))
            stage.issuance.send("advance", 64, sender=mallory.address)
    earned = world.staking.call("claimable", alice.address, node.address)
    assert earned > 0
    stage.close_all()
    collected(stage, node, int(stage.rewards.call("epoch")))
    assert stage.rewards.call("account", node.set_id).reward == 0
    assert world.staking.call("claimable", mallory.address, node.address) == 0
    assert world.staking.call("claimable", alice.address, node.address) == earned


def test_a_payout_that_takes_nothing_holds_up_no_stake() -> None:
    twin = Twin.begin((200_000,))
    stage, node, world = twin.stage, twin.nodes[0], twin.stage.world
    for _ in range(9):
        twin.live(close=True)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    entry = world.registry.call("node", node.address)
    world.registry.send(
        "update", node.address, entry.roles, entry.endpoint, entry.tls, entry.info,
        world.token.address, sender=node.owner.address,
    )  # fmt: skip
    world.fund(mallory.address, TOKEN)
    world.token.send("approve", world.staking.address, TOKEN, sender=mallory.address)
    world.staking.send("delegate", node.address, TOKEN, sender=mallory.address)
    world.staking.send("unbond", node.address, TOKEN, sender=mallory.address)
    assert stage.rewards.send("evaluate", mallory.address, sender=mallory.address).events == ()


# An owner who is his own client


def wealth(stage: Stage, owner: Signer, nodes: Sequence[Node]) -> int:
    """All tokens that an owner can have, stake left out."""
    world = stage.world
    accounts = {owner.address, *(node.address for node in nodes)}
    return sum(world.balance(each) + world.funds(each) for each in accounts)


def gain(
    nodes: int, *, price: int, reference: int, fees: tuple[int, int], share_bps: int = 9_000
) -> tuple[int, int]:
    """Base units that an owner gains in ten epochs with deals between accounts of his own, and
    what he claimed: with budgets without end, and every fee backing work at once."""
    vast = Plan(kind=GEOMETRIC, limit=10**8 * TOKEN, amount=10**7 * TOKEN, step=PERIOD,
                factor=10**18, steps=10)  # fmt: skip
    stage = deploy_stage(
        Chain(), plan=vast, epoch=PERIOD, price=reference, share_bps=share_bps, fees=fees
    )
    market, owner = stage.market, signer("self-dealer")
    made = [market.node(f"own {number}", owner=owner, stake=100 * TOKEN) for number in range(nodes)]
    market.fund_client(owner)
    begun = wealth(stage, owner, made)
    deals = [self_deal(market, node, owner, price) for node in made]
    for _ in range(11):
        for node, deal in zip(made, deals, strict=True):
            market.settle(market.column(deal).rail)
            stage.rewards.send("back", node.set_id, sender=node.address)
        market.round()
        for node in made:
            market.prove(node)
        market.to_period(market.period + 1)
        stage.close(market.period - 1)
        claimed = [stage.claim(node) for node in made]
    assert len(claimed) == nodes
    return wealth(stage, owner, made) - begun, int(stage.rewards.call("claimed"))


def self_deal(market: Market, node: Node, owner: Signer, price: int) -> Deal:
    """A deal on one's own node at any price."""
    piece = merkle.sample(1, 70_000)
    term_end = market.start(market.period + 60)
    given = market.acceptance(node, piece, term_end, by=owner, price=price)
    terms: dict[str, Any] = {
        "mandate": {**MANDATE, "max_price": price, "repair_fee": 0, "repairs": 0}
    }
    outcome = market.storage.send(
        "open", market.request([piece], **terms), [given], sender=owner.address
    )
    node.pieces[outcome.one("ColumnOpened").piece_id] = piece
    return Deal(int(outcome.value), [piece], term_end, {})


@pytest.mark.parametrize("nodes", [1, 100])
def test_an_owner_who_is_his_own_client_ends_poorer(nodes: int) -> None:
    lost, claimed = gain(nodes, price=PRICE, reference=PRICE, fees=(FEE_BPS, 10_000))
    assert claimed > 0
    assert lost < 0


@given(
    nodes=st.integers(1, 5),
    price=st.integers(1, 20 * PRICE),
    dearer=st.integers(1, 40),
    fees=st.tuples(st.integers(1, 500), st.integers(0, 10_000)),
    share_bps=st.one_of(st.just(9_000), st.integers(1, 9_000)),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nobody_earns_by_trading_with_himself(
    nodes: int, price: int, dearer: int, fees: tuple[int, int], share_bps: int
) -> None:
    """`dearer`: how many times the price is that at which fees would back every byte, so that all
    of what burns finds work."""
    change, claimed = gain(
        nodes, price=price, reference=price * dearer, fees=fees, share_bps=share_bps
    )
    assert change <= 0
    assert change < 0 or claimed == 0

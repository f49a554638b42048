"""Rewards on the real contracts: deals, proofs, burned fees, the issuance; and no self-dealing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import merkle
from contracts.evm import Chain, Contract, Reverted, Signer, signer
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
    told = (*(each.address for each in names),)
    numbers = (GENESIS, epoch, per_token, share_bps)

    def sink(source: str) -> str:
        return chain.deploy("rewards", *told, source, *numbers, sender=by).address

    market = deploy_market(chain, world=world, sink=sink)
    rewards = chain.attach_artifact("rewards", market.pdp.call("sink"))
    world.setup(world.token, "set_minter", issuance.address, True)
    world.setup(rewards, "set_market", market.storage.address)
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


# Stake behind the work


def ready(stage: Stage, who: Signer, amount: int) -> None:
    """Tokens and an allowance for the stake."""
    stage.world.fund(who.address, amount)
    stage.world.token.send("approve", stage.world.staking.address, amount, sender=who.address)


def delegate(stage: Stage, node: Node, who: Signer, amount: int) -> bool:
    """Somebody joins with new tokens; whether his stake waits."""
    ready(stage, who, amount)
    done = stage.world.staking.send("delegate", node.address, amount, sender=who.address)
    return bool(done.one("Staked").waits)


def admit(stage: Stage, node: Node) -> bool:
    done = stage.world.staking.send("admit", node.address, sender=mallory.address)
    return bool(done.named("Admitted"))


def claimable(stage: Stage, node: Node, who: Signer) -> int:
    return int(stage.world.staking.call("claimable", who.address, node.address))


def test_delegated_stake_shares_what_is_worked_after_it_came() -> None:
    twin = Twin.begin((200_000,))
    stage, node, staking = twin.stage, twin.nodes[0], twin.stage.world.staking
    staking.send("set_commission", node.address, 1_000, sender=node.owner.address)
    for _ in range(4):
        twin.live(close=True)
    joined = int(stage.rewards.call("epoch"))
    assert delegate(stage, node, alice, 3_000 * TOKEN)
    while int(stage.rewards.call("epoch")) == joined:
        twin.live()
    assert admit(stage, node)
    past = twin.due(joined + 1)[0]
    assert claimable(stage, node, alice) == 0 < past == stage.rewards.call("claimed")
    for _ in range(8):
        twin.live(close=True)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    admit(stage, node)
    whole = twin.due(int(stage.rewards.call("epoch")))[0]
    paid = whole - past
    assert whole == stage.rewards.call("claimed")
    assert paid > 0
    got = int(staking.send("claim_rewards", node.address, sender=alice.address).value)
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
    delegate(stage, node, mallory, 8_900 * TOKEN)
    if not closed:
        stage.close_all()
    collected(stage, node, int(stage.rewards.call("epoch")))
    stage.claim(node)
    assert claimable(stage, node, mallory) == 0
    got = world.balance(node.owner.address) - before
    assert got == twin.due(int(stage.rewards.call("epoch")))[0] > 0


def test_who_joins_others_earns_nothing_of_ended_epochs() -> None:
    """As above, where somebody has staked for the node all the time."""
    twin = Twin.begin((200_000,))
    stage, node = twin.stage, twin.nodes[0]
    delegate(stage, node, alice, 100 * TOKEN)
    for _ in range(9):
        twin.live(close=True)
        admit(stage, node)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    stage.issuance.send("advance", 64, sender=mallory.address)
    delegate(stage, node, mallory, 8_000 * TOKEN)
    earned = claimable(stage, node, alice)
    assert earned > 0
    stage.close_all()
    collected(stage, node, int(stage.rewards.call("epoch")))
    assert stage.claim(node) == 0
    assert claimable(stage, node, mallory) == 0
    assert claimable(stage, node, alice) == earned


@dataclass(frozen=True, slots=True)
class Habits:
    """Who does what in a period: closes what has ended, claims or lets in; or nobody does."""

    closes: bool
    asks: str

    def follow(self, stage: Stage, node: Node) -> None:
        if self.asks == "claim":
            stage.claim(node)
        elif self.asks == "collect":
            closed = [each for each in range(int(stage.rewards.call("epoch")))
                      if stage.rewards.call("closed", each)]  # fmt: skip
            for epoch in closed:
                if stage.rewards.call("waiting", node.set_id, epoch):
                    stage.rewards.send("collect", node.set_id, epoch, sender=mallory.address)
        elif self.asks == "admit":
            admit(stage, node)
        elif self.asks == "owner":
            ready(stage, node.owner, 1)
            stage.world.staking.send("stake", node.address, 1, sender=node.owner.address)


HABITS = st.builds(
    Habits, st.booleans(), st.sampled_from(["", "", "claim", "collect", "admit", "owner"])
)


@given(
    habits=st.lists(HABITS, min_size=11, max_size=11), joins=st.integers(1, 10),
    offset=st.integers(10, PERIOD - 1), ninefold=st.booleans(), commission=st.integers(0, 5_000),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nobody_earns_of_an_epoch_that_began_before_he_came(
    habits: list[Habits], joins: int, offset: int, ninefold: bool, commission: int
) -> None:
    """Whenever he comes, whatever was closed, collected and claimed by then, or is later: of the
    calculation's reward of each epoch he has none of those before, and his share of later ones at
    most; together all that was claimed is there, to the unit."""
    twin = Twin.begin((200_000,))
    stage, node, staking = twin.stage, twin.nodes[0], twin.stage.world.staking
    staking.send("set_commission", node.address, commission, sender=node.owner.address)
    amount = (9_000 if ninefold else 7) * TOKEN
    for number, each in enumerate(habits):
        twin.live(close=each.closes)
        each.follow(stage, node)
        if number == joins:
            stage.market.to_period(stage.market.period, offset)
            delegate(stage, node, mallory, amount)
            came = int(stage.rewards.call("epoch"))
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    stage.close_all()
    epochs = int(stage.rewards.call("epoch"))
    collected(stage, node, epochs)
    stage.claim(node)
    past, whole = twin.due(came + 1)[0], twin.due(epochs)[0]
    assert stage.rewards.call("claimed") == whole
    most = (whole - past) * amount // (1_000 * TOKEN + amount)
    got, owners = claimable(stage, node, mallory), claimable(stage, node, node.owner)
    assert 0 <= got <= most
    held = stage.world.staking.call("rewards")
    assert held + stage.world.balance(node.owner.address) == whole
    assert held - len(habits) <= got + owners <= held


def test_an_owner_who_adds_a_unit_in_every_period_delays_nobody() -> None:
    """He joins the newcomer's arrival as often as he likes; each epoch's first call closes the last
    one, gives it out, and lets in everybody who came before."""
    twin = Twin.begin((200_000,))
    stage, node = twin.stage, twin.nodes[0]
    for _ in range(5):
        twin.live(close=True)
    assert delegate(stage, node, alice, 9_000 * TOKEN)
    came, earned = int(stage.rewards.call("epoch")), []
    for _ in range(12):
        twin.live()
        Habits(closes=False, asks="owner").follow(stage, node)
        earned.append(claimable(stage, node, alice))
    last = int(stage.rewards.call("epoch"))
    shared = twin.due(last)[0] - twin.due(came + 1)[0]
    assert last > came + 3
    assert earned[-1] >= shared * 9 // 10 - len(earned) > 0


@pytest.mark.parametrize("early", [True, False])
def test_a_keeper_who_comes_once_an_epoch_is_enough_for_everybody(early: bool) -> None:
    """Work of many epochs waits, the issuance is far behind, and an owner or anybody adds units
    right before or after the keeper: after two epochs all who came before the second earn."""
    twin = Twin.begin((200_000,))
    stage, node = twin.stage, twin.nodes[0]
    for _ in range(14):
        twin.live()
    assert delegate(stage, node, alice, 1_000 * TOKEN)
    for number in range(3):
        epoch = int(stage.rewards.call("epoch"))
        while int(stage.rewards.call("epoch")) == epoch:
            pester(stage, node)
            twin.live()
        for who in ("keeper", "owner") if early else ("owner", "keeper"):
            if who == "owner":
                pester(stage, node)
            else:
                keep(stage, node)
        began = GENESIS + (epoch + 1) * EPOCH
        last = stage.world.staking.call("arrival", node.address)
        assert number == 0 or last.shares == 0 or last.since >= began
    waits = stage.world.staking.call("waiting_of", alice.address, node.address)
    assert waits == 0 < claimable(stage, node, alice)


def pester(stage: Stage, node: Node) -> None:
    """The owner and a stranger add a unit each."""
    Habits(closes=False, asks="owner").follow(stage, node)
    delegate(stage, node, mallory, 1)


def keep(stage: Stage, node: Node) -> None:
    """Close, collect and claim whatever there is."""
    stage.close_all()
    collected(stage, node, int(stage.rewards.call("epoch")))
    stage.claim(node)
    admit(stage, node)


def test_nobody_joins_with_too_little_gas_to_give_out_what_is_owed() -> None:
    twin = Twin.begin((200_000,))
    stage, node = twin.stage, twin.nodes[0]
    for _ in range(6):
        twin.live(close=True)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    ready(stage, mallory, 9_000 * TOKEN)
    staking, joined = stage.world.staking, 0
    data = staking.data("delegate", node.address, 9_000 * TOKEN)
    due = twin.due(int(stage.rewards.call("epoch")))[0]
    for gas in range(100_000, 1_500_000, 20_000):
        with stage.world.chain.anchor():
            try:
                stage.world.chain.transact(mallory.address, staking.address, data, gas=gas)
            except Reverted:
                continue
            joined += 1
            assert stage.rewards.call("claimed") == due > 0
            assert claimable(stage, node, mallory) == 0
    assert joined > 0


@pytest.mark.parametrize("plan", [FALLING, SLOW])
def test_what_an_evaluation_tries_fits_into_the_gas_it_gives(plan: Plan) -> None:
    """With as many evaluators as there can be, a delegator, and nothing warm."""
    stage = deploy_stage(Chain(), plan=plan)
    stage.market.fund_client()
    node, staking, by = stage.market.node("a"), stage.world.staking, mallory.address
    deal = stage.market.open([node], size=200_000)
    while len(staking.call("evaluators")) < 4:
        stage.world.setup(staking, "set_evaluator", stage.world.puppet().address, True)
    assert delegate(stage, node, alice, 7 * TOKEN)
    for _ in range(5):
        stage.market.next_round()
        stage.market.prove(node)
        stage.market.to_period(stage.market.period + 1)
        stage.market.settle(stage.market.column(deal).rail)
        stage.rewards.send("back", node.set_id, sender=node.address)
    stage.market.to_period(3 * (stage.market.period // 3 + 1))
    epoch = stage.rewards.call("account", node.set_id).epoch
    stage.issuance.send("advance", epoch, sender=by)
    for each in range(epoch):
        stage.rewards.send("close", each, sender=by)
    collected(stage, node, epoch)
    parts = [
        stage.issuance.send("advance", 1, sender=by),
        stage.rewards.send("close", epoch, sender=by),
        stage.rewards.send("claim", node.set_id, sender=by),
    ]
    assert len(parts[2].named("Rewarded")) == 3  # of both epochs, and by the stake
    assert parts[2].one("Admitted").shares > 0
    assert max(part.gas_used for part in parts) < 200_000


def test_work_that_waits_lets_nobody_in_until_it_is_collected() -> None:
    twin = Twin.begin((200_000,))
    stage, node = twin.stage, twin.nodes[0]
    for _ in range(11):
        twin.live()
    waits = stage.rewards.call("due", node.set_id).waits
    assert waits > 0
    assert delegate(stage, node, alice, 9_000 * TOKEN)
    came = int(stage.rewards.call("epoch"))
    stage.close_all()
    assert not admit(stage, node)
    collected(stage, node, came)
    assert stage.rewards.call("due", node.set_id).waits == 0
    assert not admit(stage, node)  # his own epoch is not over
    for _ in range(3):
        twin.live(close=True)
    assert admit(stage, node)
    assert claimable(stage, node, alice) == 0
    assert stage.rewards.call("claimed") == twin.due(came + 1)[0]


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
    assert delegate(stage, node, mallory, TOKEN)
    done = world.staking.send("unbond", node.address, TOKEN, sender=mallory.address)
    given = done.named("Rewarded")[-1]
    assert given.address == world.staking.address
    assert given.amount == twin.due(int(stage.rewards.call("epoch")))[0] > 0
    assert claimable(stage, node, mallory) == 0
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

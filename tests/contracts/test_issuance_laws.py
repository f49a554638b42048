"""What holds for the issuance after any sequence of calls: minted <= schedule <= cap."""

from __future__ import annotations

from dataclasses import astuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import Chain, Reverted
from contracts.world import Puppet, alice, bob, carol, deploy_world, guardian, mallory, refused
from freehold.economics.schedules import Allocation, Plan, Progress, Share
from freehold.economics.schedules.plan import GEOMETRIC
from freehold.economics.schedules.vesting import MONTH_SECONDS

EPOCH = 7_200
WINDOW = 4
CAP = 60_000
BUDGET, ALLOCATED = 2_000, 1_001
PLAN = Plan(kind=GEOMETRIC, limit=30_000, amount=4_999, step=10_000, factor=93 * 10**16, steps=200)
SHARES = (Share("storage", 5_003), Share("compute", 2_001))
SPLITS = (SHARES, (Share("compute", 10_000),), ())
EPOCHS = st.integers(0, 12)
AMOUNTS = st.integers(0, 4_000)


class IssuanceLaws(RuleBasedStateMachine):
    """Two markets, an allocator, an allocation, a governor and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = deploy_world(Chain())
        world, by = self.world, guardian.address
        self.token = world.chain.deploy(
            "token", "F", "F", CAP, bytes(32), world.governor.address, sender=by
        )
        self.start = world.chain.now
        self.allocation = Allocation(
            amount=ALLOCATED, start=self.start, cliff=MONTH_SECONDS, parts=5
        )
        self.issuance = world.chain.deploy(
            "issuance",
            self.token.address,
            world.governor.address,
            self.start,
            EPOCH,
            PLAN.terms(budget=BUDGET, window=WINDOW),
            [(share.id, share.bps) for share in SHARES],
            [(carol.address, *astuple(self.allocation))],
            sender=by,
        )
        world.setup(self.token, "set_minter", self.issuance.address, True)
        self.markets: tuple[Puppet, Puppet] = (world.puppet(), world.puppet())
        for share, puppet in zip(SHARES, self.markets, strict=True):
            world.setup(self.issuance, "set_distributor", share.id, puppet.address)
        self.progress = [Progress.start(PLAN, epoch_seconds=EPOCH)]
        self.splits: list[tuple[Share, ...]] = [SHARES]
        self.split_of: list[int] = []
        self.drawn: dict[tuple[int, int], int] = {}
        self.granted = self.vested = 0

    def ended(self) -> int:
        return (self.world.chain.now - self.start) // EPOCH

    def left(self, market: int, epoch: int) -> int:
        """What a market may still draw of a closed epoch, by Python's arithmetic."""
        if self.ended() > epoch + 1 + WINDOW:
            return 0
        shares = self.splits[self.split_of[epoch]]
        found = [share for share in shares if share.market == SHARES[market].market]
        whole = sum(share.of(self.progress[epoch + 1].budget) for share in found)
        return whole - self.drawn.get((market, epoch), 0)

    @rule(seconds=st.one_of(st.integers(0, 3 * EPOCH), st.just(MONTH_SECONDS)))
    def wait(self, seconds: int) -> None:
        self.world.chain.warp(seconds)

    @rule(limit=st.integers(0, 70))
    def advance(self, limit: int) -> None:
        before = len(self.split_of)
        closed = self.issuance.send("advance", limit, sender=mallory.address).value
        assert closed == before + min(limit, 64, self.ended() - before)
        for _ in range(before, closed):
            self.progress.append(self.progress[-1].after())
            self.split_of.append(len(self.splits) - 1)

    @rule(market=st.integers(0, 1), epoch=EPOCHS, latest=st.booleans(), amount=AMOUNTS)
    def draw(self, market: int, epoch: int, latest: bool, amount: int) -> None:
        epoch = max(len(self.split_of) - 1, 0) if latest else epoch
        puppet, arguments = self.markets[market], (epoch, amount, alice.address)
        done = self.drawn.get((market, epoch), 0)
        if epoch >= len(self.split_of):
            with refused("issuance: epoch is not closed"):
                puppet.act(self.issuance, "draw", *arguments)
        elif amount > self.left(market, epoch):
            with refused("issuance: over the share"):
                puppet.act(self.issuance, "draw", *arguments)
        else:
            puppet.act(self.issuance, "draw", *arguments)
            self.drawn[market, epoch] = done + amount

    @rule(epoch=EPOCHS, amount=AMOUNTS)
    def draw_by_a_stranger(self, epoch: int, amount: int) -> None:
        with refused("issuance: not a distributor"):
            self.issuance.send("draw", epoch, amount, mallory.address, sender=mallory.address)

    @rule(number=st.integers(0, len(SPLITS) - 1))
    def split(self, number: int) -> None:
        shares = [(share.id, share.bps) for share in SPLITS[number]]
        try:
            self.world.setup(self.issuance, "set_split", shares)
        except Reverted:
            assert self.ended() > len(self.split_of)
            return
        self.splits.append(SPLITS[number])

    @rule(cap=st.integers(0, 2 * BUDGET))
    def allot(self, cap: int) -> None:
        try:
            self.world.setup(self.issuance, "set_allocator", bob.address, cap)
        except Reverted:
            assert cap > BUDGET or cap < self.granted

    @rule(amount=AMOUNTS)
    def grant(self, amount: int) -> None:
        cap = self.issuance.call("allocators", bob.address).cap
        try:
            self.issuance.send("grant", alice.address, amount, b"r" * 32, sender=bob.address)
        except Reverted:
            assert amount == 0 or self.granted + amount > cap
            return
        self.granted += amount

    @rule()
    def claim(self) -> None:
        due = self.allocation.vested(self.world.chain.now)
        try:
            self.issuance.send("claim", 0, sender=mallory.address)
        except Reverted:
            assert due == self.vested
            return
        assert due > self.vested
        self.vested = due

    @invariant()
    def minted_within_the_schedule_within_the_cap(self) -> None:
        call = self.issuance.call
        scheduled, drawn = call("scheduled_total"), call("drawn_total")
        assert drawn == sum(self.drawn.values()) <= scheduled
        assert scheduled == self.progress[-1].total <= PLAN.limit
        assert call("granted_total") == self.granted <= BUDGET
        assert call("vested_total") == self.vested <= ALLOCATED
        assert call("minted") == self.token.call("minted") == drawn + self.granted + self.vested
        assert call("minted") <= scheduled + BUDGET + ALLOCATED <= call("reserved") <= CAP

    @invariant()
    def draws_of_an_epoch_within_its_budget(self) -> None:
        for epoch in range(len(self.split_of)):
            budget, split = self.issuance.call("budget", epoch)
            assert (budget, split) == (self.progress[epoch + 1].budget, self.split_of[epoch] + 1)
            assert sum(self.drawn.get((market, epoch), 0) for market in (0, 1)) <= budget


TestIssuanceLaws = IssuanceLaws.TestCase
TestIssuanceLaws.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

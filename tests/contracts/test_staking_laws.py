"""What holds for stake, and for the token's supply, after any sequence of calls."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import ZERO, Chain, Reverted, Signer, Struct
from contracts.world import (
    UNBONDING,
    Puppet,
    alice,
    bob,
    carol,
    deploy_world,
    mallory,
    node,
)

OTHER = carol
NODES = st.sampled_from([node, OTHER])
OWNER = {node.address: alice, OTHER.address: bob}
AMOUNTS = st.one_of(st.integers(0, 50), st.integers(0, 20_000))


class StakingLaws(RuleBasedStateMachine):
    """Two nodes of two owners, two markets, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = deploy_world(Chain())
        self.markets: tuple[Puppet, Puppet] = (self.world.puppet(), self.world.puppet())
        self.entries: set[tuple[str, int]] = set()
        for market in self.markets:
            self.world.setup(self.world.staking, "set_slasher", market.address, True)
            self.world.setup(self.world.staking, "set_locker", market.address, True)
        for hot in (node, OTHER):
            self._prepare(hot)

    def _prepare(self, hot: Signer) -> None:
        owner = OWNER[hot.address]
        self.world.register(owner, hot)
        self.world.fund(owner.address, 10**6)
        self.world.token.send("approve", self.world.staking.address, 10**6, sender=owner.address)
        self.world.staking.send("stake", hot.address, 30_000, sender=owner.address)

    def pools(self, hot: str) -> tuple[Struct, Struct]:
        staking = self.world.staking
        return staking.call("active_pool", hot), staking.call("unbonding_pool", hot)

    def worth(self, hot: str) -> int:
        return sum(pool.amount for pool in self.pools(hot))

    @rule(hot=NODES, amount=AMOUNTS)
    def stake(self, hot: Signer, amount: int) -> None:
        owner = OWNER[hot.address].address
        before = self.world.staking.call("stake_of", owner, hot.address)
        try:
            self.world.staking.send("stake", hot.address, amount, sender=owner)
        except Reverted as error:
            reason = error.reason
            assert amount == 0 or reason == "staking: too little"
            return
        after = self.world.staking.call("stake_of", owner, hot.address)
        assert before <= after <= before + amount

    @rule(hot=NODES, amount=AMOUNTS)
    def stake_by_a_stranger(self, hot: Signer, amount: int) -> None:
        before = self.worth(hot.address)
        try:
            self.world.staking.send("stake", hot.address, amount, sender=mallory.address)
        except Reverted:
            return
        raise AssertionError(f"a stranger staked {amount}, {before} was there")

    @rule(hot=NODES, amount=AMOUNTS)
    def unbond(self, hot: Signer, amount: int) -> None:
        staking, owner = self.world.staking, OWNER[hot.address].address
        free, whole = staking.call("free", hot.address), self.worth(hot.address)
        try:
            entry = staking.send("unbond", hot.address, amount, sender=owner).value
        except Reverted:
            return
        assert amount <= free
        assert self.worth(hot.address) == whole
        assert staking.call("entry_amount", owner, hot.address, entry) <= amount
        self.entries.add((hot.address, entry))

    @rule(hot=NODES, entry=st.integers(0, 5))
    def withdraw(self, hot: Signer, entry: int) -> None:
        staking, owner = self.world.staking, OWNER[hot.address].address
        found = staking.call("entry", owner, hot.address, entry)
        worth = staking.call("entry_amount", owner, hot.address, entry)
        held, whole = self.world.balance(owner), self.worth(hot.address)
        try:
            staking.send("withdraw", hot.address, entry, sender=owner)
        except Reverted:
            assert found.ready_at == 0 or found.ready_at > self.world.chain.now
            return
        assert 0 < found.ready_at <= self.world.chain.now
        assert self.world.balance(owner) == held + worth
        assert self.worth(hot.address) == whole - worth
        self.entries.remove((hot.address, entry))

    @rule(hot=NODES, which=st.integers(0, 1), amount=AMOUNTS, free=st.booleans())
    def lock(self, hot: Signer, which: int, amount: int, free: bool) -> None:
        market = self.markets[which]
        before = self.world.staking.call("free", hot.address)
        held = self.world.staking.call("locked_by", hot.address, market.address)
        try:
            market.act(self.world.staking, "unlock" if free else "lock", hot.address, amount)
        except Reverted:
            assert amount > (held if free else before)

    @rule(
        hot=NODES,
        amount=st.one_of(AMOUNTS, st.integers(1, 10**6)),
        parts=st.tuples(st.integers(0, 6), st.integers(0, 4)),
        full=st.booleans(),
    )
    def slash(self, hot: Signer, amount: int, parts: tuple[int, int], full: bool) -> None:
        staking, market = self.world.staking, self.markets[0]
        wanted = self.worth(hot.address) if full else amount
        victim, bounty = wanted * parts[0] // 10, wanted * parts[1] // 10
        before = self.pools(hot.address)
        whole = sum(pool.amount for pool in before)
        supply = self.world.token.call("totalSupply")
        try:
            event = market.act(
                staking, "slash", hot.address, wanted, mallory.address, victim, ZERO, bounty
            ).one("Slashed")
        except Reverted:
            assert wanted == 0
            return
        after = self.pools(hot.address)
        assert min(wanted, whole) <= event.amount <= min(wanted, whole) + whole // 10**9 + 2
        assert whole - sum(pool.amount for pool in after) == event.amount
        assert event.amount == event.victim_amount + event.burned
        assert event.victim_amount <= victim
        assert self.world.token.call("totalSupply") == supply - event.burned
        for old, new in zip(before, after, strict=True):
            fair = old.amount - (old.amount * event.amount + whole - 1) // max(whole, 1)
            assert abs(new.amount - fair) <= 1

    @rule(amount=st.integers(1, 10**5))
    def donate(self, amount: int) -> None:
        self.world.fund(self.world.staking.address, amount)

    @rule(seconds=st.sampled_from([1, UNBONDING // 2, UNBONDING]))
    def warp(self, seconds: int) -> None:
        self.world.chain.warp(seconds)

    @invariant()
    def stake_is_there(self) -> None:
        staking = self.world.staking
        total = sum(self.worth(hot) for hot in OWNER)
        assert staking.call("total") == total <= self.world.balance(staking.address)

    @invariant()
    def shares_are_the_stakers(self) -> None:
        staking = self.world.staking
        for hot, owner in OWNER.items():
            active, unbonding = self.pools(hot)
            assert staking.call("shares_of", owner.address, hot) == active.shares
            assert staking.call("stake_of", owner.address, hot) <= active.amount
            ids = [entry for of, entry in self.entries if of == hot]
            found = [staking.call("entry", owner.address, hot, entry) for entry in ids]
            live = [e.shares for e in found if e.generation == unbonding.generation]
            assert sum(live) == unbonding.shares
            worth = [staking.call("entry_amount", owner.address, hot, entry) for entry in ids]
            assert sum(worth) <= unbonding.amount
            assert staking.call("open_entries", owner.address, hot) == len(ids) <= 32

    @invariant()
    def locks_are_the_lockers(self) -> None:
        staking = self.world.staking
        for hot in OWNER:
            held = [staking.call("locked_by", hot, market.address) for market in self.markets]
            locked, active = staking.call("locked", hot), staking.call("active", hot)
            assert sum(held) == locked
            assert staking.call("free", hot) == max(0, active - locked)

    @invariant()
    def supply_is_the_sum_of_balances(self) -> None:
        people = [signer.address for signer in (alice, bob, mallory)]
        people += [market.address for market in self.markets]
        total = sum(map(self.world.balance, [*people, self.world.staking.address]))
        assert self.world.token.call("totalSupply") == total


TestStakingLaws = StakingLaws.TestCase
TestStakingLaws.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

"""What holds for own and delegated stake after any sequence of calls, beside the audit's model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import ZERO, Chain, Reverted, Signer
from contracts.recording import Recording, address
from contracts.world import UNBONDING, alice, bob, carol, deploy_world, guardian, mallory, node
from freehold.audit.events import Event
from freehold.audit.stakes import Request, Stakes
from freehold.domain.ids import ZERO_ADDRESS

STAKERS = (alice, bob, carol)
WHO = st.sampled_from(STAKERS)
AMOUNTS = st.one_of(st.integers(1, 9), st.integers(1, 20_000))
PARTS = st.integers(0, 8)
VIEWS = ("active", "unbonding", "locked", "own", "free")


@dataclass(slots=True)
class Asked:
    """The rules of a slasher that slashes as the test says."""

    amount: int = 0
    victim_amount: int = 0

    def requested(self, event: Event) -> Request:
        """What was asked for last."""
        return Request(self.amount, address(mallory.address), self.victim_amount, ZERO_ADDRESS, 0)


class DelegationLaws(RuleBasedStateMachine):
    """One node, its owner and two delegators, a market, a payer and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = world = deploy_world(Chain())
        self.staking = world.staking
        self.market = world.puppet()
        self.recording = Recording(world.chain, {self.staking.address.lower(): "staking"})
        self.recording.start()
        self.asked = Asked()
        self.model = Stakes(
            contract=address(self.staking.address), unbonding=UNBONDING, counts=Counter()
        )
        self.model.slashers[address(self.market.address)] = self.asked
        self.bookings = 0
        for role in ("set_slasher", "set_locker"):
            world.setup(self.staking, role, self.market.address, True)
        world.register()
        for who in (*STAKERS, guardian):
            world.fund(who.address, 10**6)
            world.token.send("approve", self.staking.address, 2**100, sender=who.address)
        assert all(self._join(who, 5_000) for who in STAKERS)

    def _act(self, who: Signer, function: str, *arguments: int) -> bool:
        try:
            self.staking.send(function, node.address, *arguments, sender=who.address)
        except Reverted:
            return False
        self.bookings += 1
        return True

    def _join(self, who: Signer, amount: int) -> bool:
        return self._act(who, "stake" if who is alice else "delegate", amount)

    def stake_of(self, who: Signer) -> int:
        return int(self.staking.call("stake_of", who.address, node.address))

    def claimable(self) -> list[int]:
        view = "claimable"
        return [int(self.staking.call(view, who.address, node.address)) for who in STAKERS]

    @rule(who=WHO, amount=AMOUNTS)
    def join(self, who: Signer, amount: int) -> None:
        before, earned = self.stake_of(who), self.claimable()
        if self._join(who, amount):
            assert before <= self.stake_of(who) <= before + amount
        assert self.claimable() == earned

    @rule(who=WHO, part=PARTS)
    def notice(self, who: Signer, part: int) -> None:
        given = self._act(who, "give_notice", self.stake_of(who) * part // 8)
        assert given == (who is not alice)

    @rule(who=WHO, part=PARTS)
    def unbond(self, who: Signer, part: int) -> None:
        earned, amount = self.claimable(), self.stake_of(who) * part // 8
        may = self.staking.call("can_unbond", who.address, node.address, amount)
        room = self.staking.call("open_entries", who.address, node.address) < 32
        assert self._act(who, "unbond", amount) == (may and room and amount > 0)
        assert self.claimable() == earned

    @rule(who=st.sampled_from([bob, carol]))
    def leave(self, who: Signer) -> None:
        """A delegator who gave notice is held by nothing after the exit term."""
        held = self.stake_of(who)
        if held and self.staking.call("open_entries", who.address, node.address) < 32:
            assert self._act(who, "give_notice", held)
            self.world.chain.warp(self.staking.call("exit_term"))
            assert self._act(who, "unbond", held)
            assert self.stake_of(who) == 0

    @rule(who=WHO, entry=st.integers(0, 4))
    def withdraw(self, who: Signer, entry: int) -> None:
        before = self.world.balance(who.address)
        worth = self.staking.call("entry_amount", who.address, node.address, entry)
        if self._act(who, "withdraw", entry):
            assert self.world.balance(who.address) == before + worth

    @rule(amount=AMOUNTS, free=st.booleans())
    def lock(self, amount: int, free: bool) -> None:
        try:
            self.market.act(self.staking, "unlock" if free else "lock", node.address, amount)
        except Reverted:
            return
        if not free:
            locked, own = (self.staking.call(view, node.address) for view in ("locked", "own"))
            least = self.staking.call("least_own_bps")
            assert own * 10_000 >= locked * least or locked == own

    @rule(amount=AMOUNTS, part=st.integers(0, 10), full=st.sampled_from([False, False, True]))
    def slash(self, amount: int, part: int, full: bool) -> None:
        wanted = 10**7 if full else amount
        earned, supply = self.claimable(), self.world.token.call("totalSupply")
        held = self.world.balance(self.staking.address)
        self.asked.amount, self.asked.victim_amount = wanted, wanted * part // 10
        arguments = (mallory.address, self.asked.victim_amount, ZERO, 0)
        done = self.market.act(self.staking, "slash", node.address, wanted, *arguments)
        event = done.one("Slashed")
        assert event.amount == event.victim_amount + event.burned
        assert self.world.token.call("totalSupply") == supply - event.burned
        assert self.world.balance(self.staking.address) == held - event.amount
        assert self.claimable() == earned

    @rule(amount=AMOUNTS)
    def reward(self, amount: int) -> None:
        before = sum(self.claimable())
        done = self.staking.send("reward", node.address, amount, sender=guardian.address)
        event = done.one("Rewarded")
        assert event.commission <= amount
        assert event.commission == amount or event.active > 0
        grown = sum(self.claimable()) - before
        assert event.commission <= grown <= amount + len(STAKERS)

    @rule(who=WHO)
    def claim(self, who: Signer) -> None:
        wanted = self.claimable()[STAKERS.index(who)]
        before = self.world.balance(who.address)
        assert self._act(who, "claim_rewards") == (wanted > 0)
        assert self.world.balance(who.address) == before + wanted

    @rule(bps=st.integers(0, 5_001))
    def commission(self, bps: int) -> None:
        before = self.staking.call("commission", node.address).bps
        others = self.staking.call("delegated", node.address).shares
        if self._act(alice, "set_commission", bps):
            after = self.staking.call("commission", node.address).bps
            assert after <= before or not others

    @rule(least=st.sampled_from([100, 1_000, 10_000]), times=st.integers(1, 2))
    def terms(self, least: int, times: int) -> None:
        self.world.setup(self.staking, "set_delegation", least, times * UNBONDING)

    @rule(seconds=st.sampled_from([1, UNBONDING // 2, UNBONDING, 4 * UNBONDING]))
    def warp(self, seconds: int) -> None:
        self.world.chain.warp(seconds)

    @invariant()
    def tokens_are_stake_and_rewards(self) -> None:
        held = self.staking.call("total") + self.staking.call("rewards")
        assert self.world.balance(self.staking.address) == held
        people = (*STAKERS, guardian, mallory)
        total = held + sum(self.world.balance(who.address) for who in people)
        assert self.world.token.call("totalSupply") == total

    @invariant()
    def claims_are_covered_and_nothing_is_lost(self) -> None:
        left = self.staking.call("rewards") - sum(self.claimable())
        assert 0 <= left <= self.bookings + len(STAKERS) + 1

    @invariant()
    def shares_add_up(self) -> None:
        pool = self.staking.call("active_pool", node.address)
        delegated = self.staking.call("delegated", node.address)
        shares = [self.staking.call("shares_of", who.address, node.address) for who in STAKERS]
        assert sum(shares) == pool.shares
        assert sum(shares[1:]) == delegated.shares
        notices = [self.staking.call("notice", w.address, node.address).shares for w in STAKERS]
        assert sum(notices) == delegated.noticed
        assert all(n <= held for n, held in zip(notices, shares, strict=True))
        assert sum(map(self.stake_of, STAKERS)) <= pool.amount

    @invariant()
    def the_model_agrees(self) -> None:
        for event in self.recording.take():
            self.model.apply(event)
        place = address(node.address)
        for view in VIEWS:
            assert self.model.answer(view, (place,)) == [self.staking.call(view, node.address)]
        for who, earned in zip(STAKERS, self.claimable(), strict=True):
            key = (address(who.address), place)
            assert self.model.answer("stake_of", key) == [self.stake_of(who)]
            assert self.model.answer("claimable", key) == [earned]
        assert self.model.held == self.world.balance(self.staking.address)


TestDelegationLaws = DelegationLaws.TestCase
TestDelegationLaws.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

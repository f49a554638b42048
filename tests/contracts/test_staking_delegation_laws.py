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
class Lot:
    """Shares of one staker that came at a moment."""

    who: str
    came: int
    shares: int
    waits: bool


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
        self.payers = (world.puppet(), world.puppet())
        self.since: dict[str, int | None] = {payer.address: None for payer in self.payers}
        self.lots: list[Lot] = []
        for role in ("set_slasher", "set_locker"):
            world.setup(self.staking, role, self.market.address, True)
        for payer in self.payers:
            world.setup(self.staking, "set_evaluator", payer.address, True)
        world.register()
        for who in (*STAKERS, guardian):
            world.fund(who.address, 10**6)
            world.token.send("approve", self.staking.address, 2**100, sender=who.address)
        for who in STAKERS:
            self.enter(who, 5_000)
        self.owe(0, 0)
        world.chain.warp(1)

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
        if self.enter(who, amount):
            assert before <= self.stake_of(who) <= before + amount
        assert self.claimable() == earned

    def enter(self, who: Signer, amount: int) -> bool:
        """Who came before is let in first, where nothing of before is owed."""
        shares, came = self.shares_of(who), self.world.chain.now
        if not self._join(who, amount):
            return False
        self.admitted()
        more = self.shares_of(who) - shares
        self.lots.append(Lot(who.address, came, more, self.owed_since() < came))
        return True

    def shares_of(self, who: Signer) -> int:
        return int(self.staking.call("shares_of", who.address, node.address))

    def of(self, who: Signer) -> list[Lot]:
        """A staker's lots, oldest first."""
        return [lot for lot in self.lots if lot.who == who.address]

    def owed_since(self) -> int:
        """The oldest moment that a payer owes for, the present where none does."""
        now = self.world.chain.now
        return min([now, *(since for since in self.since.values() if since is not None)])

    def admitted(self) -> None:
        """All that waits is let in together, once nothing older than the last of it is owed."""
        waiting = [lot for lot in self.lots if lot.waits]
        if waiting and self.owed_since() >= max(lot.came for lot in waiting):
            for lot in waiting:
                lot.waits = False

    @rule(which=st.integers(0, 1), ago=st.sampled_from([None, 0, 1, 9, UNBONDING]))
    def owe(self, which: int, ago: int | None) -> None:
        """A payer owes for work since a moment, or has given everything."""
        payer, since = self.payers[which], None if ago is None else self.world.chain.now - ago
        self.since[payer.address] = since
        if since is None:
            payer.owe_nothing()
        else:
            payer.owe(since)

    @rule(by=WHO)
    def admit(self, by: Signer) -> None:
        earned = self.claimable()
        assert self._act(by, "admit")
        self.admitted()
        assert self.claimable() == earned

    def left(self, who: Signer) -> None:
        """The newest lots leave first."""
        self.admitted()
        mine = self.of(who)
        leaving = sum(lot.shares for lot in mine) - self.shares_of(who)
        for lot in reversed(mine):
            part = min(leaving, lot.shares)
            lot.shares -= part
            leaving -= part
        self.lots = [lot for lot in self.lots if lot.shares]

    @rule(who=WHO, part=PARTS)
    def notice(self, who: Signer, part: int) -> None:
        given = self._act(who, "give_notice", self.stake_of(who) * part // 8)
        assert given == (who is not alice)

    @rule(who=WHO, part=PARTS)
    def unbond(self, who: Signer, part: int) -> None:
        earned, amount = self.claimable(), self.stake_of(who) * part // 8
        may = self.staking.call("can_unbond", who.address, node.address, amount)
        room = self.staking.call("open_entries", who.address, node.address) < 32
        done = self._act(who, "unbond", amount)
        assert done == (may and room and amount > 0)
        if done:
            self.left(who)
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
            self.left(who)

    @rule(who=WHO, entry=st.integers(0, 4))
    def withdraw(self, who: Signer, entry: int) -> None:
        before = self.world.balance(who.address)
        worth = self.staking.call("entry_amount", who.address, node.address, entry)
        if self._act(who, "withdraw", entry):
            assert self.world.balance(who.address) == before + worth
            self.admitted()

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
        if self.staking.call("active_pool", node.address).shares == 0:
            self.lots.clear()
        assert event.amount == event.victim_amount + event.burned
        assert self.world.token.call("totalSupply") == supply - event.burned
        assert self.world.balance(self.staking.address) == held - event.amount
        assert self.claimable() == earned

    @rule(amount=AMOUNTS, ago=st.sampled_from([-1, -1, 0, 1, 9]))
    def reward(self, amount: int, ago: int) -> None:
        """What a payer gives; it may owe nothing older than a moment ago from then on."""
        if ago >= 0:
            self.owe(0, ago)
        before = self.claimable()
        done = self.staking.send("reward", node.address, amount, sender=guardian.address)
        event = done.one("Rewarded")
        assert event.commission <= amount
        grown = [now - was for now, was in zip(self.claimable(), before, strict=True)]
        assert event.commission <= sum(grown) <= amount + len(STAKERS)
        self.shared(event.commission, amount, grown)
        self.admitted()

    def shared(self, commission: int, amount: int, grown: list[int]) -> None:
        """By the shares that earn, to the unit and what a division before it left."""
        earning = [lot for lot in self.lots if not lot.waits]
        whole = sum(lot.shares for lot in earning)
        assert whole or commission == amount
        for who, more in zip(STAKERS, grown, strict=True):
            held = sum(lot.shares for lot in earning if lot.who == who.address)
            own = commission if who is alice else 0
            assert more - own <= (amount - commission) * held // max(1, whole) + 1 + self.dust(held)
            assert more - own >= (amount - commission) * held // max(1, whole) - 1
            assert held or more == own

    def dust(self, held: int) -> int:
        """What a carried remainder of an index may come to where shares outgrew amounts."""
        return 1 + held * 2 // 10**36

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
    def what_waits_is_what_came_later(self) -> None:
        waiting = [lot for lot in self.lots if lot.waits]
        arrival = self.staking.call("arrival", node.address)
        pool = self.staking.call("active_pool", node.address)
        assert arrival.shares == sum(lot.shares for lot in waiting)
        for who in STAKERS:
            mine = sum(lot.shares for lot in waiting if lot.who == who.address)
            worth = self.staking.call("waiting_of", who.address, node.address)
            assert worth == mine * (pool.amount + 1) // (pool.shares + 10**6)
            assert worth <= self.stake_of(who)
            assert self.shares_of(who) == sum(lot.shares for lot in self.of(who))

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
    max_examples=35,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

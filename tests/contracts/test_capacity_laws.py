"""What holds for declared capacity and its stake after any sequence of calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import Chain, Reverted, Signer
from contracts.staked import BPS, COMPUTE, OTHER, OWNERS, deploy_staked
from contracts.world import alice, mallory, node
from freehold.economics.stake import Rule

NODES = st.sampled_from([node, OTHER])
ROLES = st.sampled_from([1, COMPUTE])
UNITS = st.integers(0, 12)
MULTIPLIERS = st.one_of(st.just(BPS), st.integers(0, 4 * BPS))
Key = tuple[str, int]
NONE = Rule(0)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a node said, and what markets hold of it."""

    units: int = 0
    multiplier: int = BPS
    terms: Rule = NONE
    held: tuple[int, int] = (0, 0)

    @property
    def factor(self) -> Fraction:
        return Fraction(max(self.multiplier, BPS), BPS)

    @property
    def stake(self) -> int:
        return self.terms.stake(self.units, self.factor)

    @property
    def each(self) -> Fraction:
        """Base units for a unit, not rounded."""
        return self.terms.amount * self.factor / self.terms.per


class CapacityLaws(RuleBasedStateMachine):
    """Two nodes of two owners, two roles, two markets, and one who locks and slashes besides."""

    def __init__(self) -> None:
        super().__init__()
        self.on = deploy_staked(Chain())
        self.asked: dict[int, Rule] = {}
        self.told: dict[Key, Declared] = {}
        self.others: dict[str, int] = {}
        self.set_rule(COMPUTE, 1_000, 1, True)

    def of(self, hot: Signer, role: int) -> Declared:
        return self.told.get((hot.address, role), Declared())

    @rule(role=ROLES, amount=st.integers(0, 10_000), per=st.integers(1, 4), weighed=st.booleans())
    def set_rule(self, role: int, amount: int, per: int, weighed: bool) -> None:
        self.on.rule(amount, per=per, weighed=weighed, role=role)
        self.asked[role] = Rule(amount, per, weighed)

    @rule(hot=NODES, role=ROLES, units=UNITS, multiplier=MULTIPLIERS, stranger=st.booleans())
    def declare(self, hot: Signer, role: int, units: int, multiplier: int, stranger: bool) -> None:
        before, terms = self.of(hot, role), self.asked.get(role, NONE)
        free = self.on.staking.call("free", hot.address)
        made = Declared(units, multiplier, terms, before.held)
        dearer = not terms.amount or made.each > before.each
        if (sum(before.held) and made.each < before.each) or (0 < units < before.units and dearer):
            made = replace(before, units=units)
        sender = mallory if stranger else OWNERS[hot.address]
        arguments = (hot.address, role, units, multiplier)
        try:
            self.on.capacity.send("declare", *arguments, sender=sender.address)
        except Reverted:
            assert (
                stranger
                or units < sum(before.held)
                or (multiplier > BPS and not terms.weighed)
                or (units and not made.terms.amount)
                or made.stake - before.stake > free
            )
            return
        assert not stranger
        assert made.stake - before.stake <= free or made.stake <= before.stake
        assert units >= before.units or made.stake <= before.stake, "lowering never locks"
        self.told[hot.address, role] = made

    @rule(hot=NODES, role=ROLES, units=UNITS, which=st.integers(0, 1))
    def hold(self, hot: Signer, role: int, units: int, which: int) -> None:
        before = self.of(hot, role)
        free = before.units - sum(before.held)
        short = self.on.staking.call("shortfall", hot.address)
        try:
            self.on.markets[which].act(self.on.capacity, "hold", hot.address, role, units)
        except Reverted:
            assert units == 0 or units > free or short > 0
            return
        assert 0 < units <= free
        assert short == 0
        self.move(hot, role, which, units)

    @rule(hot=NODES, role=ROLES, units=UNITS, which=st.integers(0, 1))
    def release(self, hot: Signer, role: int, units: int, which: int) -> None:
        held = self.of(hot, role).held[which]
        try:
            self.on.markets[which].act(self.on.capacity, "release", hot.address, role, units)
        except Reverted:
            assert units == 0 or units > held
            return
        assert 0 < units <= held
        self.move(hot, role, which, -units)

    def move(self, hot: Signer, role: int, which: int, change: int) -> None:
        before = self.of(hot, role)
        held = list(before.held)
        held[which] += change
        self.told[hot.address, role] = replace(before, held=(held[0], held[1]))

    @rule(hot=NODES, amount=st.integers(1, 600_000), free=st.booleans())
    def lock_for_another(self, hot: Signer, amount: int, free: bool) -> None:
        held = self.others.get(hot.address, 0)
        change = -min(amount, held) if free else amount
        try:
            what = "unlock" if free else "lock"
            self.on.faults.act(self.on.staking, what, hot.address, abs(change))
        except Reverted:
            return
        self.others[hot.address] = held + change

    @rule(hot=NODES, amount=st.integers(1, 400_000))
    def slash(self, hot: Signer, amount: int) -> None:
        try:
            self.on.slash(amount, hot)
        except Reverted:
            assert self.on.staking.call("active", hot.address) == 0

    @rule(hot=NODES, amount=st.integers(1, 300_000))
    def unbond(self, hot: Signer, amount: int) -> None:
        free = self.on.staking.call("free", hot.address)
        owner = OWNERS[hot.address].address
        try:
            self.on.staking.send("unbond", hot.address, amount, sender=owner)
        except Reverted:
            return
        assert amount <= free

    @rule()
    def all_that_is_free_comes_back(self) -> None:
        """Whatever happened, an owner can lower to what is held."""
        for role in (1, COMPUTE):
            before = self.of(node, role)
            if sum(before.held) == before.units:
                continue
            multiplier = before.multiplier if self.asked.get(role, NONE).weighed else BPS
            if sum(before.held) or self.asked.get(role, NONE).amount:
                rates = (before.each, Declared(1, multiplier, self.asked.get(role, NONE)).each)
                if rates[1] > rates[0]:
                    continue
            self.declare(node, role, sum(before.held), multiplier, stranger=False)
            assert self.of(node, role).units == sum(before.held)

    @invariant()
    def locks_are_what_is_declared(self) -> None:
        for hot in (node, OTHER):
            stakes = [self.of(hot, role).stake for role in (1, COMPUTE)]
            assert self.on.locked(hot) == sum(stakes)
            other = self.on.staking.call("locked_by", hot.address, self.on.faults.address)
            assert other == self.others.get(hot.address, 0)
            assert self.on.staking.call("locked", hot.address) == sum(stakes) + other

    @invariant()
    def views_tell_what_was_said(self) -> None:
        for (hot, role), told in self.told.items():
            found = self.on.capacity.call("declaration", hot, role)
            assert (found.units, found.held) == (told.units, sum(told.held))
            assert self.on.capacity.call("locked", hot, role) == told.stake
            assert sum(told.held) <= told.units
            free = told.units - sum(told.held)
            able = 0 if self.on.staking.call("shortfall", hot) else free
            assert self.on.capacity.call("able", hot, role) == able

    @invariant()
    def no_tokens_move(self) -> None:
        assert self.on.world.balance(self.on.capacity.address) == 0
        assert self.on.world.balance(alice.address) == 10**6


TestCapacityLaws = CapacityLaws.TestCase
TestCapacityLaws.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

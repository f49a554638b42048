"""What holds for the auction after any sequence of calls, against the rules written again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import Chain, Contract, Reverted, Signer, Struct
from contracts.world import MAX, alice, bob, carol, deploy_world, mallory, refused
from freehold.economics.pricing import WHOLE_BPS, decayed, raised

LEAST, OPENING, HALF_LIFE, FACTOR_BPS = 100, 100_000, 600, 15_000
RICH = 10**7
SOUND, SHIFTY = 0, 1
WHICH = st.sampled_from([SOUND, SHIFTY])
AMOUNTS = st.one_of(st.integers(0, 12), st.integers(0, 10**4), st.integers(0, 10**9))
PERCENT = st.one_of(st.sampled_from([0, 100, 100, 100]), st.integers(0, 100))
PERSON = st.sampled_from([alice, bob])


def share(whole: int, part: int, total: int) -> int:
    """A part of something, rounded up."""
    return -(-whole * part // total)


@dataclass(slots=True)
class Lot:
    """One token's lot by the rules of docs/decisions/0012; times in seconds."""

    since: int
    held: int = 0
    ask: int = 0
    sold: int = 0
    price: int = 0

    def fallen(self, now: int) -> int:
        return decayed(self.ask, now - self.since, half_life=HALF_LIFE, lowest=0)

    def asked(self, now: int) -> int:
        return max(self.fallen(now), LEAST) if self.held else 0

    def entry(self, amount: int, held: int) -> int:
        opening = share(OPENING, amount, held)
        if not self.sold:
            return opening
        dearer = raised(self.price, factor_bps=FACTOR_BPS, highest=2**96 - 1)
        return min(opening, share(dearer, amount, self.sold))

    def balanced(self, balance: int, now: int) -> None:
        """Take in what arrived, or let go what vanished."""
        if balance == self.held:
            return
        ask = self.fallen(now)
        if balance > self.held:
            ask = min(ask + self.entry(balance - self.held, balance), OPENING)
        else:
            ask = share(ask, balance, self.held)
        self.held, self.ask, self.since = balance, ask, now

    def sell(self, amount: int, price: int, now: int) -> None:
        fallen, asked, left = self.fallen(now), self.asked(now), self.held - amount
        told = price
        if fallen < LEAST and self.sold:
            entry = self.entry(amount, self.held)
            told = min(price, max(share(fallen, amount, self.held), entry))
        rest = share(asked, left, self.held)
        rest += share(rest * (FACTOR_BPS - WHOLE_BPS), amount, self.held * WHOLE_BPS)
        self.held, self.ask, self.since = left, min(rest, OPENING), now
        self.sold, self.price = amount, told


class AuctionLaws(RuleBasedStateMachine):
    """Two buyers, a sound token, one whose balances shift, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = deploy_world(Chain())
        world = self.world
        terms = (LEAST, OPENING, HALF_LIFE, FACTOR_BPS)
        self.auction = world.chain.deploy(
            "auction", world.token.address, *terms, sender=alice.address
        )
        self.tokens: tuple[Contract, Contract] = (world.foreign(), world.foreign("shifty"))
        self.lots = [Lot(world.chain.now), Lot(world.chain.now)]
        self.arrived, self.bought, self.paid = [0, 0], [0, 0], 0
        for which in (SOUND, SHIFTY):
            self.arrive(which, 1_000, True)
        for buyer in (alice, bob):
            world.fund(buyer.address, RICH)
            world.token.send("approve", self.auction.address, MAX, sender=buyer.address)

    def balance(self, which: int) -> int:
        return int(self.tokens[which].call("balanceOf", self.auction.address))

    def noticed(self, which: int) -> Lot:
        """A copy of the lot by the rules, with what its balance says now."""
        lot = replace(self.lots[which])
        lot.balanced(self.balance(which), self.world.chain.now)
        return lot

    @rule(which=WHICH, amount=AMOUNTS, taken=st.booleans())
    def arrive(self, which: int, amount: int, taken: bool) -> None:
        token, auction = self.tokens[which], self.auction
        alone = self.balance(which) == self.lots[which].held
        before = self.noticed(which)
        fallen = before.fallen(self.world.chain.now)
        if which == SOUND:
            token.send("mint", auction.address, amount, sender=mallory.address)
        else:
            whole = self.balance(which) + amount
            token.send("set_balance", auction.address, whole, sender=mallory.address)
        self.arrived[which] += amount
        after = auction.call("lot", token.address)
        if alone:
            self.enters(before, fallen, amount, after)
        if taken:
            self.take_in(which)

    def enters(self, before: Lot, fallen: int, amount: int, after: Struct) -> None:
        """Goods enter at a multiple of the last sale, or their share of the opening."""
        if not amount:
            return
        most = Fraction(OPENING * amount, after.held)
        assert after.ask <= max(LEAST, fallen + most + 1)
        if before.sold:
            most = min(most, Fraction(before.price * FACTOR_BPS * amount, before.sold * WHOLE_BPS))
        assert after.ask == OPENING or after.ask > fallen + most - 1

    @rule(left=st.integers(0, 100))
    def vanish(self, left: int) -> None:
        token, balance = self.tokens[SHIFTY], self.balance(SHIFTY)
        rest = balance * left // 100
        token.send("set_balance", self.auction.address, rest, sender=mallory.address)
        self.arrived[SHIFTY] -= balance - rest

    @rule(which=WHICH)
    def take_in(self, which: int) -> None:
        held = self.auction.send("take_in", self.tokens[which].address, sender=mallory.address)
        self.lots[which] = self.noticed(which)
        assert held.value == self.lots[which].held

    def refusal(self, lot: Lot, wanted: int, price: int, had: int) -> str:
        """Why a sale is refused; empty where it is not."""
        if wanted == 0:
            return "auction: nothing to buy"
        if wanted > lot.held:
            return "auction: more than is held"
        if price < LEAST:
            return "auction: less than the least sale"
        return "token: balance too low" if price > had else ""

    @rule(which=WHICH, percent=PERCENT, crumbs=st.integers(0, 2), buyer=PERSON)
    def buy(self, which: int, percent: int, crumbs: int, buyer: Signer) -> None:
        who = buyer.address
        now, token, lot = self.world.chain.now, self.tokens[which], self.noticed(which)
        wanted = lot.held * percent // 100 + crumbs
        asked, had = lot.asked(now), self.world.balance(who)
        price = share(asked, wanted, lot.held) if lot.held else 0
        arguments = (token.address, wanted, carol.address, price, wanted, now)
        reason = self.refusal(lot, wanted, price, had)
        if reason:
            with refused(reason):
                self.auction.send("buy", *arguments, sender=who)
            return
        assert self.auction.send("buy", *arguments, sender=who).value == price
        assert had - self.world.balance(who) == price
        # Nobody gets more than was paid for at the price of that moment.
        assert price * lot.held >= asked * wanted
        unit = Fraction(asked, lot.held)
        lot.sell(wanted, price, now)
        self.lots[which] = lot
        assert not lot.held or Fraction(lot.ask, lot.held) > unit
        self.bought[which] += wanted
        self.paid += price

    @rule(which=WHICH, first=st.integers(1, 99))
    def two_parts_never_cost_less_than_both(self, which: int, first: int) -> None:
        lot, token = self.noticed(which), self.tokens[which]
        part = lot.held * first // 100
        assume(part > 0)
        with self.world.chain.anchor():
            whole = self.auction.call("price_of", token.address, lot.held)
            paid = 0
            for amount in (part, lot.held - part):
                arguments = (token.address, amount, carol.address, MAX, 0, MAX)
                try:
                    paid += self.auction.send("buy", *arguments, sender=bob.address).value
                except Reverted:
                    return
            assert paid >= whole

    @rule(seconds=st.one_of(st.integers(0, 2_000), st.integers(6_000, 20_000)))
    def wait(self, seconds: int) -> None:
        before = [self.auction.call("lot", token.address).ask for token in self.tokens]
        self.world.chain.warp(seconds)
        after = [self.auction.call("lot", token.address).ask for token in self.tokens]
        assert all(old >= new for old, new in zip(before, after, strict=True))

    @rule(amount=st.integers(1, 1_000))
    def send_network_tokens_astray(self, amount: int) -> None:
        self.world.fund(mallory.address, amount)
        self.world.token.send("transfer", self.auction.address, amount, sender=mallory.address)

    @invariant()
    def the_rules_are_the_contracts(self) -> None:
        now = self.world.chain.now
        for which, token in enumerate(self.tokens):
            lot = self.noticed(which)
            found = self.auction.call("lot", token.address)
            assert (found.held, found.ask) == (lot.held, lot.asked(now))
            sale = self.auction.call("last_sale", token.address)
            assert (sale.amount, sale.price) == (lot.sold, lot.price)

    @invariant()
    def a_lot_asks_what_its_bounds_allow(self) -> None:
        for token in self.tokens:
            found = self.auction.call("lot", token.address)
            assert found.ask == 0 if not found.held else LEAST <= found.ask <= OPENING

    @invariant()
    def goods_leave_by_sales_alone(self) -> None:
        for which, token in enumerate(self.tokens):
            assert self.balance(which) == self.arrived[which] - self.bought[which]
            assert token.call("balanceOf", carol.address) == self.bought[which]

    @invariant()
    def what_is_paid_is_burned(self) -> None:
        token = self.world.token
        assert token.call("burned") == self.paid
        held = [self.world.balance(buyer.address) for buyer in (alice, bob)]
        assert sum(held) == 2 * RICH - self.paid


TestAuctionLaws = AuctionLaws.TestCase
TestAuctionLaws.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

"""What holds for payments after any sequence of calls by anyone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.evm import Chain, Contract, Reverted, Signer, Struct
from contracts.world import (
    RATE_UNIT,
    VOUCHER,
    Puppet,
    alice,
    bob,
    carol,
    deploy_world,
    mallory,
    treasury,
)

PEOPLE = (alice, bob, carol)
AMOUNTS = st.one_of(st.integers(0, 40), st.integers(0, 3_000))
RATES = st.one_of(
    st.integers(0, 3).map(lambda units: units * RATE_UNIT), st.integers(0, 2 * RATE_UNIT)
)
PERSON = st.sampled_from(PEOPLE)
WHICH = st.integers(0, 1)
PICK = st.integers(0, 11)
MAX_RAILS = 12


class PaymentsLaws(RuleBasedStateMachine):
    """Three people, two tokens, two markets, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.world = deploy_world(Chain())
        foreign = self.world.foreign()
        self.world.setup(self.world.payments, "set_token", foreign.address, True)
        self.tokens: tuple[Contract, Contract] = (self.world.token, foreign)
        self.markets: tuple[Puppet, Puppet] = (self.world.market(), self.world.market())
        self.owners = [p.address for p in PEOPLE] + [m.address for m in self.markets]
        self.owners += [treasury.address]
        self.streams: list[int] = []
        self.vouchers: list[int] = []
        for person in PEOPLE:
            self._prepare(person.address)
        for payer, payee in ((alice, bob), (bob, bob)):
            for token in self.tokens:
                self._open(token, payer.address, payee.address)

    @property
    def rails(self) -> int:
        """How many rails were opened."""
        return len(self.streams) + len(self.vouchers)

    def _prepare(self, owner: str) -> None:
        payments = self.world.payments.address
        self.world.fund(owner, 10_000)
        self.tokens[1].send("mint", owner, 10_000, sender=owner)
        for token in self.tokens:
            token.send("approve", payments, 10_000, sender=owner)
            self.world.payments.send("deposit", token.address, owner, 3_000, sender=owner)
            for market in self.markets:
                self.world.payments.send(
                    "approve_market",
                    token.address,
                    market.address,
                    5 * RATE_UNIT,
                    2_000,
                    sender=owner,
                )

    def _open(self, token: Contract, payer: str, payee: str) -> None:
        """One rail of about a unit a second, and one voucher."""
        terms = (token.address, payer, payee, RATE_UNIT + RATE_UNIT // 3, 30, 50)
        self.markets[self.rails % 4 // 2].act(self.world.payments, "open_rail", *terms)
        self.streams.append(self.rails + 1)
        self.world.payments.send("open_voucher", token.address, payee, 100, sender=payer)
        self.vouchers.append(self.rails + 1)

    def account(self, token: Contract, owner: str) -> Struct:
        found: Struct = self.world.payments.call("account", token.address, owner)
        return found

    def rail(self, rail: int) -> Struct:
        found: Struct = self.world.payments.call("rail", rail)
        return found

    def _stream(self, pick: int) -> tuple[int, Puppet]:
        rail = self.streams[pick % len(self.streams)]
        address = self.rail(rail).market
        return rail, next(market for market in self.markets if market.address == address)

    def _voucher(self, pick: int) -> int:
        return self.vouchers[pick % len(self.vouchers)]

    @contextmanager
    def only_loses(self, *owners: str) -> Iterator[None]:
        """Nobody else's funds may fall; a refusal must have a reason and change nothing."""
        before = self._funds()
        refused = silent = False
        try:
            yield
        except Reverted as error:
            refused = True
            silent = not error.reason
        after = self._funds()
        assert not silent
        assert not refused or before == after
        for key, amount in before.items():
            assert after[key] >= amount or key[1] in owners, key

    def _funds(self) -> dict[tuple[str, str], int]:
        return {
            (token.address, owner): self.account(token, owner).funds
            for token in self.tokens
            for owner in self.owners
        }

    @rule(who=PERSON, to=PERSON, which=WHICH, amount=AMOUNTS)
    def deposit(self, who: Signer, to: Signer, which: int, amount: int) -> None:
        with self.only_loses():
            self.world.payments.send(
                "deposit", self.tokens[which].address, to.address, amount, sender=who.address
            )

    @rule(who=PERSON, which=WHICH, amount=AMOUNTS)
    def withdraw(self, who: Signer, which: int, amount: int) -> None:
        free = self.world.payments.call("status", self.tokens[which].address, who.address)[1]
        with self.only_loses(who.address):
            self.world.payments.send(
                "withdraw", self.tokens[which].address, who.address, amount, sender=who.address
            )
            assert amount <= free

    @rule(who=PERSON, to=PERSON, which=WHICH, amount=AMOUNTS)
    def send(self, who: Signer, to: Signer, which: int, amount: int) -> None:
        with self.only_loses(who.address):
            self.world.payments.send(
                "send", self.tokens[which].address, to.address, amount, 3, sender=who.address
            )

    @rule(who=PERSON, which=WHICH, market=WHICH, amount=AMOUNTS)
    def collect(self, who: Signer, which: int, market: int, amount: int) -> None:
        token = self.tokens[which].address
        with self.only_loses(who.address):
            self.markets[market].act(self.world.payments, "collect", token, who.address, amount)

    @precondition(lambda self: self.rails < MAX_RAILS)
    @rule(
        who=PERSON,
        to=PERSON,
        which=WHICH,
        market=WHICH,
        rate=RATES,
        period=st.integers(0, 60),
        fixed=st.integers(0, 200),
    )
    def open_rail(
        self,
        who: Signer,
        to: Signer,
        which: int,
        market: int,
        rate: int,
        period: int,
        fixed: int,
    ) -> None:
        with self.only_loses():
            opened = self.markets[market].act(
                self.world.payments,
                "open_rail",
                self.tokens[which].address,
                who.address,
                to.address,
                rate,
                period,
                fixed,
            )
            assert opened.value == self.rails + 1
            self.streams.append(self.rails + 1)

    @precondition(lambda self: self.rails < MAX_RAILS)
    @rule(who=PERSON, to=PERSON, which=WHICH, amount=AMOUNTS)
    def open_voucher(self, who: Signer, to: Signer, which: int, amount: int) -> None:
        with self.only_loses():
            self.world.payments.send(
                "open_voucher",
                self.tokens[which].address,
                to.address,
                amount,
                sender=who.address,
            )
            self.vouchers.append(self.rails + 1)

    @rule(pick=PICK, rate=RATES, period=st.integers(0, 60), fixed=st.integers(0, 200))
    def modify(self, pick: int, rate: int, period: int, fixed: int) -> None:
        rail, market = self._stream(pick)
        with self.only_loses():
            market.act(self.world.payments, "modify_rail", rail, rate, fixed, period)

    @rule(pick=PICK, to=PERSON, amount=st.integers(0, 60), purpose=st.sampled_from([3, 14]))
    def pay_fixed(self, pick: int, to: Signer, amount: int, purpose: int) -> None:
        rail, market = self._stream(pick)
        with self.only_loses(self.rail(rail).payer):
            market.act(self.world.payments, "pay_fixed", rail, to.address, amount, purpose)

    @rule(pick=PICK, back=st.integers(-60, 60), stop=st.booleans())
    def end(self, pick: int, back: int, stop: bool) -> None:
        rail, market = self._stream(pick)
        with self.only_loses():
            if stop:
                market.act(self.world.payments, "stop_rail", rail, self.world.chain.now - back)
            else:
                market.act(self.world.payments, "end_rail", rail)

    @rule(
        market=WHICH,
        mode=st.sampled_from([0, 0, 1, 5, 5]),
        seconds=st.integers(0, 500),
        back=st.integers(-20, 100),
    )
    def answer(self, market: int, mode: int, seconds: int, back: int) -> None:
        now = self.world.chain.now
        start = now - seconds if mode == 5 else seconds
        self.markets[market].answer(mode=mode, seconds=start, decided=now - back)

    @rule(pick=PICK)
    def settle(self, pick: int) -> None:
        rail, _ = self._stream(pick)
        before = self.rail(rail)
        with self.only_loses(before.payer):
            paid, until = self.world.payments.send("settle", rail, sender=mallory.address).value
            elapsed = until - before.settled_at
            assert paid * RATE_UNIT <= before.rate * elapsed + before.dust
            assert until <= self.world.chain.now

    @rule(pick=PICK)
    def force_close(self, pick: int) -> None:
        rail, _ = self._stream(pick)
        with self.only_loses(self.rail(rail).payer):
            self.world.payments.send("force_close", rail, sender=mallory.address)

    @rule(pick=PICK, amount=AMOUNTS)
    def redeem(self, pick: int, amount: int) -> None:
        rail = self._voucher(pick)
        payer = next(p for p in PEOPLE if p.address == self.rail(rail).payer)
        domain = self.world.payments.domain()
        signature = payer.sign(domain, VOUCHER, {"rail": rail, "amount": amount})
        with self.only_loses(payer.address):
            self.world.payments.send("redeem", rail, amount, signature, sender=mallory.address)

    @rule(pick=PICK, amount=AMOUNTS, which=st.sampled_from(["add", "close", "finish"]))
    def voucher(self, pick: int, amount: int, which: str) -> None:
        rail, payments = self._voucher(pick), self.world.payments
        payer = self.rail(rail).payer
        with self.only_loses():
            if which == "add":
                payments.send("add_collateral", rail, amount, sender=payer)
            else:
                payments.send(f"{which}_voucher", rail, sender=payer)

    @rule(fee=st.integers(0, 500), burn=st.sampled_from([0, 5_000, 10_000]))
    def set_fees(self, fee: int, burn: int) -> None:
        self.world.setup(self.world.payments, "set_fees", fee, burn)

    @rule(seconds=st.one_of(st.integers(0, 30), st.sampled_from([300, 90_000, 700_000])))
    def warp(self, seconds: int) -> None:
        self.world.chain.warp(seconds)

    @invariant()
    def laws_hold(self) -> None:
        rails = [self.rail(rail) for rail in range(1, self.rails + 1)]
        for rail in rails:
            self._check_rail(rail)
        for token in self.tokens:
            accounts = {owner: self.account(token, owner) for owner in self.owners}
            self._check_solvency(token, accounts)
            for owner, account in accounts.items():
                mine = [r for r in rails if r.payer == owner and r.token == token.address]
                self._check_account(account, mine)
                if mine:
                    self._check_consent(token.address, owner, mine)
        people = [*self.owners, self.world.payments.address]
        assert self.world.token.call("totalSupply") == sum(map(self.world.balance, people))

    def _check_solvency(self, token: Contract, accounts: dict[str, Struct]) -> None:
        payments = self.world.payments
        total = payments.call("total_funds", token.address)
        assert total == sum(account.funds for account in accounts.values())
        held = token.call("balanceOf", payments.address)
        assert held == total + payments.call("fees", token.address)

    def _check_account(self, account: Struct, rails: list[Struct]) -> None:
        assert account.lockup <= account.funds * RATE_UNIT
        assert account.settled_at <= self.world.chain.now
        assert account.lockup == sum(self._locked(rail, account) for rail in rails)
        assert account.lockup_rate == sum(rail.rate for rail in rails if rail.end_at == 0)

    @staticmethod
    def _locked(rail: Struct, account: Struct) -> int:
        if rail.closed:
            return 0
        held = int(rail.fixed * RATE_UNIT + rail.dust)
        if rail.rate == 0:
            return held
        end = rail.end_at or account.settled_at + rail.lockup_period
        return held + int(rail.rate * (end - rail.settled_at))

    @staticmethod
    def _check_rail(rail: Struct) -> None:
        assert rail.fee == rail.paid * rail.fee_bps // 10_000
        assert rail.dust < RATE_UNIT
        assert rail.accepted <= rail.settled_at - rail.opened_at
        assert rail.end_at == 0 or rail.settled_at <= max(rail.end_at, rail.opened_at)
        assert not rail.closed or rail.fixed == rail.dust == 0

    def _check_consent(self, token: str, owner: str, rails: list[Struct]) -> None:
        for market in self.markets:
            used = self.world.payments.call("approval", token, owner, market.address)
            mine = [rail for rail in rails if rail.market == market.address]
            assert used.rate_used == sum(rail.rate for rail in mine if rail.end_at == 0)
            assert used.rate_used <= used.rate_cap
            assert sum(rail.fixed for rail in mine) <= used.lockup_used <= used.lockup_cap


TestPaymentsLaws = PaymentsLaws.TestCase
TestPaymentsLaws.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

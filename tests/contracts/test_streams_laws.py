"""What holds for purchases after any sequence of calls."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.evm import Chain, Reverted, Signer
from contracts.streams import FEE_BPS, Stall, deploy_stall
from contracts.world import alice, bob

WHO = st.sampled_from([alice, bob])
FUNDS = 10**6


class StreamsLaws(RuleBasedStateMachine):
    """Two buyers, one of them short of tokens, and a fee that moves."""

    def __init__(self) -> None:
        super().__init__()
        self.stall: Stall = deploy_stall(Chain())
        self.left = {alice.address: FUNDS, bob.address: FUNDS // 100}
        self.stall.fund(alice, FUNDS)
        self.stall.fund(bob, FUNDS // 100)
        self.supply = int(self.stall.world.token.call("totalSupply"))
        self.bought: Counter[int] = Counter()
        self.burned: Counter[int] = Counter()
        self.count = 0
        self.epoch = 0
        self.fee = FEE_BPS

    @rule(who=WHO, ahead=st.integers(-1, 3), count=st.integers(0, 6), amount=st.integers(0, 20_000))
    def buy(self, who: Signer, ahead: int, count: int, amount: int) -> None:
        epoch = max(0, self.epoch + ahead)
        burned = -(-amount * self.fee // 10_000)
        fits = epoch >= self.epoch and count and 0 < burned < amount
        try:
            self.stall.buy(who, epoch=epoch, count=count, amount=amount)
        except Reverted:
            assert not fits or count * amount > self.left[who.address]
            return
        assert fits
        self.count += 1
        self.left[who.address] -= count * amount
        for each in range(epoch, epoch + count):
            self.bought[each] += amount
            self.burned[each] += burned

    @rule(by=st.integers(1, 3))
    def wait(self, by: int) -> None:
        self.epoch += by
        self.stall.enter(self.epoch)

    @rule(fee=st.integers(100, 2_000))
    def move_fee(self, fee: int) -> None:
        self.stall.world.setup(self.stall.streams, "set_fee", fee)
        self.fee = fee

    @invariant()
    def nothing_stays(self) -> None:
        streams, token = self.stall.streams, self.stall.world.token
        assert self.stall.world.balance(streams.address) == 0
        assert token.call("allowance", streams.address, self.stall.roots.address) == 0
        for who, left in self.left.items():
            assert self.stall.world.balance(who) == left

    @invariant()
    def epochs_add_up_to_the_purchases(self) -> None:
        streams = self.stall.streams
        assert streams.call("count") == self.count
        for epoch in {*self.bought, self.epoch}:
            assert streams.call("bought_of", epoch) == self.bought[epoch]
            assert streams.call("burned_of", epoch) == self.burned[epoch]

    @invariant()
    def what_is_told_burned_and_the_rest_was_funded(self) -> None:
        burned, bought = self.burned.total(), self.bought.total()
        assert self.supply - self.stall.world.token.call("totalSupply") == burned
        assert self.stall.roots.call("funded") == bought - burned
        assert self.stall.world.balance(self.stall.roots.address) == bought - burned


TestStreamsLaws = StreamsLaws.TestCase
TestStreamsLaws.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

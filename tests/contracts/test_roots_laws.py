"""Roots: contract and package agree on any tree, and what holds after any sequence of calls."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.evm import Chain, Reverted, Struct
from contracts.roots import BOND, WINDOW, Forged, Market, deploy_market, honest, proposer, same
from contracts.world import carol, deploy_world, mallory, refused
from freehold.domain.ids import Address, checksum
from freehold.economics.trees import GRAIN, Tree

ACCOUNTS = st.binary(min_size=20, max_size=20).filter(any).map(checksum)
QUICK = settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUICK
@given(st.dictionaries(ACCOUNTS, st.integers(1, 20_000), min_size=1, max_size=40), st.data())
def test_the_contract_agrees_with_the_package(
    grains: dict[Address, int], data: st.DataObject
) -> None:
    tree = Tree.of({account: amount * GRAIN for account, amount in grains.items()})
    assert same(tree).root == tree.root
    market = deploy_market(deploy_world(Chain()))
    market.settle(0, same(tree))
    paid = claim(market, tree, data.draw(st.integers(0, tree.count - 1)))
    if tree.count > 1:
        paid += claim_span(market, tree, 0, tree.count)
    assert paid == tree.total * GRAIN == sum(grains.values()) * GRAIN
    first = data.draw(st.integers(0, tree.count - 1))
    count = data.draw(st.integers(1, tree.count - first))
    with refused("roots: nothing to claim"):
        claim_span(market, tree, first, count)


def claim(market: Market, tree: Tree, index: int) -> int:
    leaf = tree.leaf(index)
    told = (0, leaf.account, leaf.grains, index, tree.path(index))
    return int(market.roots.send("claim", *told, sender=mallory.address).value)


def claim_span(market: Market, tree: Tree, first: int, count: int) -> int:
    span = tree.span(first, count)
    leaves = [(leaf.account, leaf.grains) for leaf in span.leaves]
    told = (0, first, leaves, tree.depth, span.beside)
    return int(market.roots.send("claim_many", *told, sender=mallory.address).value)


POOL = [f"0x{number:040x}" for number in range(1_000, 1_008)]
TOO_MUCH = {
    f"roots: {reason}"
    for reason in ("more than was funded", "more than the bond", "grows too fast")
}
WHO = st.integers(0, len(POOL) - 1)


class RootsLaws(RuleBasedStateMachine):
    """Eight accounts, one proposer who is honest or not, and watchers who sign anything."""

    def __init__(self) -> None:
        super().__init__()
        self.market: Market = deploy_market(deploy_world(Chain()))
        self.earned = dict.fromkeys(POOL, 0)
        self.open: list[tuple[Struct, Forged, bool]] = []
        self.final: dict[int, Forged] = {}
        self.paid = dict.fromkeys(POOL, 0)
        self.verdicts: list[Struct] = []
        self.epoch = 0
        self.posted = BOND

    @property
    def tip(self) -> dict[str, int]:
        """What accounts have by the last root."""
        if self.open:
            return dict(self.open[-1][1].leaves)
        return dict(self.final[max(self.final)].leaves) if self.final else {}

    @rule(who=WHO, grains=st.integers(0, 9_000))
    def fund(self, who: int, grains: int) -> None:
        if grains:
            self.market.fund(grains, epoch=self.epoch)

    @rule(gains=st.lists(st.tuples(WHO, st.integers(1, 5_000)), min_size=1, max_size=4))
    def propose(self, gains: list[tuple[int, int]]) -> None:
        amounts = self.tip
        for who, grains in gains:
            amounts[POOL[who]] = amounts.get(POOL[who], 0) + grains
        self._propose(honest(amounts), true=True)

    @precondition(lambda self: len(self.tip) > 1)
    @rule(pick=st.integers(0, 7), take=st.integers(1, 5_000))
    def propose_a_move(self, pick: int, take: int) -> None:
        """What one account has goes to its neighbour."""
        amounts = self.tip
        names = sorted(amounts)
        loser, winner = names[pick % len(names)], names[(pick + 1) % len(names)]
        moved = min(take, amounts[loser] - 1)
        if moved > 0:
            amounts[loser] -= moved
            amounts[winner] += moved
            self._propose(honest(amounts), true=False)

    @precondition(lambda self: bool(self.verdicts))
    @rule(pick=st.integers(0, 7))
    def take_a_bond(self, pick: int) -> None:
        """Of any root that was disproved, in any order."""
        self._take(self.verdicts.pop(pick % len(self.verdicts)))

    def _take(self, header: Struct) -> None:
        before = self.market.bond()
        lost = self.market.take_bond(header).one("BondLost")
        assert lost.reward + lost.burned == min(before, header.bond)
        assert self.market.bond() == before - min(before, header.bond)

    def _propose(self, tree: Forged, *, true: bool) -> None:
        if self.verdicts:
            with refused("roots: a verdict is not settled"):
                self.market.propose(self.epoch, tree)
        while self.verdicts:
            self._take(self.verdicts.pop())
        if self.market.bond() < BOND:
            self.market.post(BOND)
            self.posted += BOND
        funded = self.market.roots.call("funded")
        before = self.market.state
        total = tree.root % 2**64
        try:
            header = self.market.propose(self.epoch, tree)
        except Reverted as error:
            reason = error.reason
            assert reason in TOO_MUCH
            assert total * GRAIN > min(funded, BOND + before.final_total * GRAIN)
            return
        self.epoch += 1
        self.open.append((header, tree, true))

    @precondition(lambda self: any(not true for _, _, true in self.open))
    @rule()
    def dispute(self) -> None:
        """The first false root falls, and all after it."""
        place = next(i for i, (_, _, true) in enumerate(self.open) if not true)
        header, tree, _ = self.open[place]
        parent = self.open[place - 1][:2] if place else self.last_final()
        if parent is None:
            return
        was = parent[1]
        now = dict(tree.leaves)
        index = next(i for i, (who, grains) in enumerate(was.leaves) if now[who] < grains)
        shown = [who for who, _ in tree.leaves].index(was.leaves[index][0])
        self.market.roots.send(
            "dispute_sunk",
            header,
            parent[0],
            was.proof(index),
            [tree.proof(shown)],
            sender=carol.address,
        )
        del self.open[place:]
        self.verdicts.append(header)

    def last_final(self) -> tuple[Struct, Forged] | None:
        return (self.header, self.final[max(self.final)]) if self.final else None

    @precondition(lambda self: bool(self.open) and self.open[0][2])
    @rule()
    def finalize(self) -> None:
        """Somebody looks within the window: only true roots become final."""
        self.header, tree, _ = self.open.pop(0)
        self.market.finalize(self.header)
        self.final[self.header.epoch] = tree

    @rule(pick=st.integers(0, 50), who=st.integers(0, 7))
    def claim(self, pick: int, who: int) -> None:
        if not self.final:
            return
        epoch = sorted(self.final)[pick % len(self.final)]
        tree = self.final[epoch]
        index = who % len(tree.leaves)
        account, grains = tree.leaves[index]
        due = max(0, grains - self.paid[account])
        try:
            done = self.market.claim(epoch, tree, index)
        except Reverted as error:
            reason = error.reason
            assert (reason, due) == ("roots: nothing to claim", 0)
            return
        assert done.value == due * GRAIN
        self.paid[account] += due

    @rule(seconds=st.sampled_from([1, WINDOW]))
    def warp(self, seconds: int) -> None:
        self.market.world.chain.warp(seconds)

    @invariant()
    def accounts_have_what_they_claimed(self) -> None:
        for account, grains in self.paid.items():
            assert self.market.world.balance(account) == grains * GRAIN
            assert self.market.roots.call("claimed", account) == grains

    @invariant()
    def claims_stay_within_final_totals_and_those_within_funds(self) -> None:
        state, funded = self.market.state, self.market.roots.call("funded")
        paid = sum(self.paid.values())
        assert paid <= state.final_total <= state.tip_total
        assert state.tip_total * GRAIN <= funded
        assert self.market.world.balance(self.market.roots.address) == funded - paid * GRAIN

    @invariant()
    def bonds_are_there(self) -> None:
        assert self.market.world.funds(self.market.roots.address) == self.market.bond()
        assert self.market.bond(proposer) <= self.posted

    @invariant()
    def the_state_is_that_of_the_roots(self) -> None:
        state = self.market.state
        assert state.tip - state.final == len(self.open)
        assert state.final - 1 == len(self.final)
        epochs = [*self.final, *(header.epoch for header, _, _ in self.open)]
        assert state.next_epoch == max(epochs, default=-1) + 1
        assert state.unsettled == len(self.verdicts)


TestRootsLaws = RootsLaws.TestCase
TestRootsLaws.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

"""Roots: claims by one and by many, and who is paid."""

from __future__ import annotations

import pytest

from contracts.evm import Outcome, Signer
from contracts.roots import (
    BOND,
    GROWTH,
    LENGTH,
    RULES,
    Forged,
    Market,
    deploy_market,
    deploy_roots,
    honest,
    proposer,
)
from contracts.world import NETWORK_ID, ZERO, World, alice, bob, carol, mallory, node, refused
from freehold.economics.trees import GRAIN

ONE = honest({alice.address: 70, bob.address: 30})
TWO = honest({alice.address: 100, bob.address: 30, carol.address: 5})


@pytest.fixture
def market(world: World) -> Market:
    return deploy_market(world)


def index_of(tree: Forged, who: Signer) -> int:
    return [account for account, _ in tree.leaves].index(who.address)


def claim(market: Market, epoch: int, tree: Forged, who: Signer) -> Outcome:
    return market.claim(epoch, tree, index_of(tree, who))


def test_a_claim_pays_the_difference(market: Market) -> None:
    market.settle(0, ONE)
    done = claim(market, 0, ONE, alice)
    assert done.value == 70 * GRAIN == market.world.balance(alice.address)
    paid = done.one("Movement")
    assert (paid.sender, paid.recipient) == (market.roots.address, alice.address)
    assert (paid.amount, paid.purpose) == (70 * GRAIN, 4)
    assert done.named("PaidElsewhere") == []
    with refused("roots: nothing to claim"):
        claim(market, 0, ONE, alice)
    market.settle(4, TWO)
    assert claim(market, 4, TWO, alice).value == 30 * GRAIN
    assert market.world.balance(alice.address) == 100 * GRAIN
    assert market.roots.call("claimed", alice.address) == 100
    with refused("roots: nothing to claim"):
        claim(market, 0, ONE, alice)
    assert claim(market, 0, ONE, bob).value == 30 * GRAIN
    with refused("roots: nothing to claim"):
        claim(market, 4, TWO, bob)
    assert claim(market, 4, TWO, carol).value == 5 * GRAIN


def test_only_a_final_root_pays(market: Market) -> None:
    header = market.propose(0, ONE)
    with refused("roots: epoch is not final"):
        claim(market, 0, ONE, alice)
    market.finalize(header)
    with refused("roots: epoch is not final"):
        claim(market, 1, ONE, alice)


def test_a_claim_is_of_exactly_one_leaf(market: Market) -> None:
    market.settle(0, TWO)
    account, grains, index, path = TWO.proof(index_of(TWO, alice))
    for told in (
        (account, grains + 1, index, path),
        (account, grains - 1, index, path),
        (account, grains + 2**64, index, path),
        (mallory.address, grains, index, path),
        (account, grains, index ^ 1, path),
        (account, grains, index, path[:-1]),
        (account, grains, index, [*path, 0]),
        (account, grains, index, [path[0] ^ 1, *path[1:]]),
        (account, grains, index, []),
    ):
        with refused("roots: wrong proof"):
            market.roots.send("claim", 0, *told, sender=alice.address)


def test_a_node_is_no_leaf(market: Market) -> None:
    market.settle(0, TWO)
    left, right = TWO.node(0, 0), TWO.node(0, 1)
    with refused("roots: wrong proof"):
        market.roots.send(
            "claim", 0, f"0x{left % 2**160:040x}", right, 0, TWO.above(1, 0), sender=mallory.address
        )


def test_sums_that_run_over_pay_nobody(market: Market) -> None:
    # The stated sum wraps round to 50: every claim under it sees the true one.
    tree = Forged([(alice.address, 2**64 - 50), (bob.address, 100)])
    assert tree.root % 2**64 == 50
    market.settle(0, tree)
    for index in (0, 1):
        with refused("roots: wrong proof"):
            market.claim(0, tree, index)
    with refused("roots: sum too large"):
        market.roots.send("claim_many", 0, 0, tree.leaves, 1, [], sender=bob.address)


def test_a_root_of_one_account(market: Market) -> None:
    tree = honest({alice.address: 9})
    market.settle(0, tree)
    assert tree.proof(0)[3] == []
    assert claim(market, 0, tree, alice).value == 9 * GRAIN


def test_neighbours_are_paid_at_once(market: Market) -> None:
    accounts = sorted(f"0x{number:040x}" for number in range(10**30, 10**30 + 11))
    tree = honest({account: 10 + i for i, account in enumerate(accounts)})
    market.settle(0, tree)
    market.claim(0, tree, 4)
    spans = Spans(tree)
    done = market.roots.send("claim_many", 0, *spans.of(3, 5), sender=mallory.address)
    assert done.value == (13 + 15 + 16 + 17) * GRAIN
    assert [move.recipient for move in done.named("Movement")] == [
        accounts[i] for i in (3, 5, 6, 7)
    ]
    with refused("roots: nothing to claim"):
        market.roots.send("claim_many", 0, *spans.of(4, 2), sender=mallory.address)
    first, leaves, depth, beside = spans.of(8, 3)
    for told in (
        (first + 1, leaves, depth, beside),
        (first, leaves[:-1], depth, beside),
        (first, [*leaves[:-1], (leaves[-1][0], leaves[-1][1] + 1)], depth, beside),
        (first, [*leaves[:-1], (leaves[-1][0], leaves[-1][1] + 2**64)], depth, beside),
        (first, leaves, depth, [*beside, 0]),
    ):
        with refused("roots: wrong proof"):
            market.roots.send("claim_many", 0, *told, sender=mallory.address)
    with refused("roots: no leaves"):
        market.roots.send("claim_many", 0, 0, [], 0, [tree.root], sender=mallory.address)
    with refused("roots: epoch is not final"):
        market.roots.send("claim_many", 1, first, leaves, depth, beside, sender=mallory.address)
    market.roots.send("claim_many", 0, first, leaves, depth, beside, sender=mallory.address)
    assert market.world.balance(accounts[10]) == 20 * GRAIN


def test_no_more_neighbours_are_paid_at_once_than_fit(market: Market) -> None:
    accounts = [f"0x{number:040x}" for number in range(10**30, 10**30 + 130)]
    tree = honest(dict.fromkeys(accounts, 1))
    market.settle(0, tree)
    spans = Spans(tree)
    with refused(""):
        market.roots.send("claim_many", 0, *spans.of(0, 129), sender=mallory.address)
    done = market.roots.send("claim_many", 0, *spans.of(0, 128), sender=mallory.address)
    assert done.value == 128 * GRAIN


class Spans:
    """Batches of a forged tree, straight from the rules."""

    def __init__(self, tree: Forged) -> None:
        self.tree = tree

    def of(self, first: int, count: int) -> tuple[int, list[tuple[str, int]], int, list[int]]:
        low, high, beside = first, first + count - 1, []
        depth = len(self.tree.levels()) - 1
        for level in range(depth):
            beside += [self.tree.node(level, low - 1)] if low % 2 else []
            beside += [self.tree.node(level, high + 1)] if high % 2 == 0 else []
            low, high = low // 2, high // 2
        return first, list(self.tree.leaves[first : first + count]), depth, beside


def test_a_claim_cannot_reach_the_bonds(market: Market) -> None:
    """Two roots that nobody disputed move Alice's total to Mallory: the last claim finds nothing,
    and every bond is still there."""
    market.settle(0, honest({alice.address: GROWTH}))
    market.settle(1, honest({mallory.address: GROWTH}))
    market.claim(0, honest({alice.address: GROWTH}), 0)
    with refused("token: balance too low"):
        market.claim(1, honest({mallory.address: GROWTH}), 0)
    assert market.world.balance(market.roots.address) == 0
    assert market.roots.send("withdraw_bond", sender=proposer.address).one("BondWithdrawn")
    assert market.world.balance(proposer.address) == BOND


# Payouts


def test_an_account_names_its_payout(market: Market) -> None:
    market.roots.send("set_payout", alice.address, carol.address, sender=alice.address)
    market.settle(0, ONE)
    done = claim(market, 0, ONE, alice)
    told = done.one("PaidElsewhere")
    assert (told.account, told.payout, told.grains) == (alice.address, carol.address, 70)
    assert market.world.balance(carol.address) == 70 * GRAIN
    market.roots.send("set_payout", alice.address, bob.address, sender=alice.address)
    assert market.roots.call("claimed", alice.address) == 70
    market.settle(1, TWO)
    claim(market, 1, TWO, alice)
    assert market.world.balance(bob.address) == 30 * GRAIN


@pytest.mark.parametrize("payout", ["0x" + "00" * 19 + "01", "0x01" + "00" * 19])
def test_every_bit_of_a_payout_counts(market: Market, payout: str) -> None:
    market.roots.send("set_payout", alice.address, payout, sender=alice.address)
    market.settle(0, ONE)
    claim(market, 0, ONE, alice)
    assert market.world.balance(payout) == 70 * GRAIN


def test_a_node_is_paid_where_the_registry_says_and_its_owner_may_move_it(market: Market) -> None:
    market.world.register(bob, node)
    first, second = honest({node.address: 10}), honest({node.address: 30})
    assert market.roots.call("payout_of", node.address) == bob.address
    market.settle(0, first)
    market.claim(0, first, 0)
    assert market.world.balance(bob.address) == 10 * GRAIN
    for stranger in (alice, mallory):
        with refused("roots: not the account or its owner"):
            market.roots.send("set_payout", node.address, alice.address, sender=stranger.address)
    done = market.roots.send("set_payout", node.address, carol.address, sender=bob.address)
    assert done.one("PayoutSet").args == {"account": node.address, "payout": carol.address}
    market.settle(1, second)
    market.claim(1, second, 0)
    assert market.world.balance(carol.address) == 20 * GRAIN


def test_a_payout_that_could_not_receive_is_refused(market: Market) -> None:
    for payout in (ZERO, market.roots.address, market.world.token.address):
        with refused("roots: wrong payout"):
            market.roots.send("set_payout", alice.address, payout, sender=alice.address)


def test_without_a_registry_an_account_speaks_for_itself(world: World) -> None:
    nobody = [ZERO] * 3
    usual = [world.token.address, world.payments.address, *nobody, world.governor.address]
    roots = deploy_roots(world, *usual, NETWORK_ID, world.chain.now, LENGTH, RULES)
    with refused("roots: not the account"):
        roots.send("set_payout", alice.address, bob.address, sender=bob.address)
    assert roots.call("payout_of", alice.address) == alice.address
    roots.send("set_payout", alice.address, bob.address, sender=alice.address)
    assert roots.call("payout_of", alice.address) == bob.address

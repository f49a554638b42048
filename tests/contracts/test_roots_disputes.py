"""Every lie that a root can tell is disproved in one transaction, with nobody in power."""

from __future__ import annotations

import pytest

from contracts.evm import Outcome, Struct
from contracts.roots import (
    ANSWER_GAS,
    ANSWER_WINDOW,
    BOND,
    GAS_PRICE,
    PREPAID,
    REWARD_BPS,
    WINDOW,
    Forged,
    Market,
    deploy_market,
    honest,
    proposer,
)
from contracts.world import World, alice, bob, carol, guardian, mallory, refused

ACCOUNTS = [f"0x{number:040x}" for number in range(100, 111)]
TRUE = honest({account: 10 + i for i, account in enumerate(ACCOUNTS)})
REWARD = BOND * REWARD_BPS // 10_000


@pytest.fixture
def market(world: World) -> Market:
    """Every privileged key has been given up."""
    market = deploy_market(world)
    market.give_up_keys()
    return market


def leaves(**changed: tuple[str, int]) -> list[tuple[str, int]]:
    """The true leaves with some put in the place of others, as `at3=(account, grains)`."""
    found = list(TRUE.leaves)
    for place, leaf in changed.items():
        found[int(place[2:])] = leaf
    return found


def dispute(market: Market, kind: str, header: Struct, *told: object) -> Outcome:
    return market.roots.send(f"dispute_{kind}", header, *told, sender=carol.address)


def disproved(market: Market, done: Outcome, header: Struct, kind: str) -> None:
    """The root is void; another transaction takes the bond: part of it to Carol, the rest burns."""
    void = done.one("Voided")
    assert (void.position, void.winner, void.reason) == (header.position, carol.address, kind)
    assert not done.named("BondLost")
    assert (market.bond(), market.state.unsettled) == (BOND, 1)
    taken = market.take_bond(header)
    lost = taken.one("BondLost")
    assert lost.position == header.position
    assert (lost.proposer, lost.winner) == (proposer.address, carol.address)
    assert (lost.reward, lost.burned) == (REWARD, BOND - REWARD)
    assert market.world.balance(carol.address) == REWARD
    moves = [(move.recipient, move.amount, move.purpose) for move in taken.named("Movement")]
    assert (carol.address, REWARD, 15) in moves
    assert ("0x" + "00" * 20, BOND - REWARD, 7) in moves
    assert market.bond() == 0 == market.world.funds(market.roots.address)
    market.world.chain.warp(WINDOW + 1)
    with refused("roots: no open root"):
        market.roots.send("finalize", header, sender=mallory.address)
    with refused("roots: no open root"):
        dispute(market, "padding", header, TRUE.proof(10))


def test_a_true_root_stands_against_everything(market: Market) -> None:
    parent = market.settle(0, honest(dict(TRUE.leaves[1:])))
    header = market.propose(1, TRUE)
    for i in range(10):
        with refused("roots: accounts rise"):
            dispute(market, "order", header, TRUE.proof(i), TRUE.proof(i + 1))
    with refused("roots: nothing behind"):
        dispute(market, "padding", header, TRUE.proof(10))
    left, right = TRUE.node(0, 2), TRUE.node(0, 3)
    with refused("roots: sum is true"):
        dispute(market, "sum", header, left, right, 12 + 13, 1, TRUE.above(1, 1))
    with refused("roots: wrong proof"):
        dispute(market, "sum", header, left, right, 12 + 14, 1, TRUE.above(1, 1))
    with refused("roots: leaf is true"):
        dispute(market, "leaf", header, TRUE.proof(3), 13)
    with refused("roots: wrong proof"):
        dispute(market, "leaf", header, TRUE.proof(3), 14)
    was = honest(dict(TRUE.leaves[1:]))
    for i in range(10):
        with refused("roots: did not sink"):
            dispute(market, "sunk", header, parent, was.proof(i), [TRUE.proof(i + 1)])
    market.finalize(header)


# Order


@pytest.mark.parametrize(
    "forged",
    [
        leaves(at4=(ACCOUNTS[3], 1)),
        leaves(at3=TRUE.leaves[4], at4=TRUE.leaves[3]),
        leaves(at4=("0x" + "00" * 20, 5)),
    ],
    ids=["repeat", "swap", "nobody"],
)
def test_a_wrong_order(market: Market, forged: list[tuple[str, int]]) -> None:
    tree = Forged(forged)
    header = market.propose(0, tree)
    done = dispute(market, "order", header, tree.proof(3), tree.proof(4))
    disproved(market, done, header, "order")


def test_only_neighbours_show_an_order(market: Market) -> None:
    header = market.propose(0, TRUE)
    for first, second in ((4, 3), (4, 4), (5, 3), (3, 5)):
        with refused("roots: not neighbours"):
            dispute(market, "order", header, TRUE.proof(first), TRUE.proof(second))
    account, grains, _, path = TRUE.proof(0)
    # An index beyond the tree leads to the same leaf, and is none.
    with refused("roots: no such leaf"):
        dispute(market, "order", header, TRUE.proof(10), (account, grains, 11, path))
    for wrong in (path[:-1], [*path, 0], []):
        with refused("roots: wrong depth"):
            dispute(market, "order", header, (account, grains, 0, wrong), TRUE.proof(1))
    with refused("roots: wrong proof"):
        dispute(market, "order", header, (account, grains + 1, 0, path), TRUE.proof(1))
    with refused("roots: wrong proof"):
        dispute(market, "order", header, (account, grains + 2**64, 0, path), TRUE.proof(1))


# Padding


def test_a_hidden_leaf(market: Market) -> None:
    tree = Forged([*TRUE.leaves, (mallory.address, 900)], claimed_count=11)
    header = market.propose(0, tree)
    with refused("roots: not the last leaf"):
        dispute(market, "padding", header, tree.proof(9))
    with refused("roots: no such leaf"):
        dispute(market, "padding", header, tree.proof(11))
    disproved(market, dispute(market, "padding", header, tree.proof(10)), header, "padding")


def test_a_hidden_leaf_higher_up_makes_the_last_one_unanswerable(market: Market) -> None:
    tree = Forged([*TRUE.leaves[:10], (mallory.address, 900)], claimed_count=10)
    header = market.propose(0, tree)
    id = market.demand(header, 9)
    with refused("roots: something behind"):
        market.roots.send("answer", id, header, tree.proof(9), sender=proposer.address)
    market.world.chain.warp(ANSWER_WINDOW + 1)
    done = market.roots.send("expire", id, header, sender=mallory.address)
    disproved(market, done, header, "not served")


# Sums


@pytest.mark.parametrize(("level", "index"), [(1, 2), (1, 5), (2, 0), (3, 1), (4, 0)])
@pytest.mark.parametrize("lie", [1, -1, 700])
def test_a_sum_that_is_none(market: Market, level: int, index: int, lie: int) -> None:
    tree = Forged(TRUE.leaves, lies={(level, index): lie})
    header = market.propose(0, tree)
    left, right = tree.node(level - 1, 2 * index), tree.node(level - 1, 2 * index + 1)
    stated = tree.node(level, index) % 2**64
    told = (left, right, stated, index, tree.above(level, index))
    disproved(market, dispute(market, "sum", header, *told), header, "sum")


def test_a_sum_that_wraps_round(market: Market) -> None:
    tree = Forged([(ACCOUNTS[0], 2**64 - 50), (ACCOUNTS[1], 100)])
    header = market.propose(0, tree)
    told: tuple[object, ...] = (tree.node(0, 0), tree.node(0, 1), 50, 0, [])
    with refused("roots: sum is true"):
        dispute(market, "sum", header, *told[:2], 2**64 + 50, *told[3:])
    disproved(market, dispute(market, "sum", header, *told), header, "sum")


@pytest.mark.parametrize("lie", [5, -5])
def test_a_leaf_that_states_another_amount(market: Market, lie: int) -> None:
    tree = Forged(TRUE.leaves, lies={(0, 3): lie})
    header = market.propose(0, tree)
    done = dispute(market, "leaf", header, tree.proof(3), 13 + lie)
    disproved(market, done, header, "leaf")


def test_a_leaf_of_too_many_grains(market: Market) -> None:
    tree = Forged(leaves(at3=(ACCOUNTS[3], 2**64 + 7)))
    header = market.propose(0, tree)
    with refused("roots: leaf is true"):
        dispute(market, "leaf", header, tree.proof(3), 2**64 + 7)
    disproved(market, dispute(market, "leaf", header, tree.proof(3), 7), header, "leaf")


# Sinking


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize(
    ("forged", "shown", "was"),
    [
        (leaves(at3=(ACCOUNTS[3], 12)), [3], 3),
        (leaves(at3=(ACCOUNTS[3], 1), at4=(ACCOUNTS[4], 26)), [3], 3),
        ([*TRUE.leaves[:3], *TRUE.leaves[4:]], [2, 3], 3),
        (TRUE.leaves[1:], [0], 0),
        (TRUE.leaves[:-1], [9], 10),
    ],
    ids=["less", "moved", "gone", "first gone", "last gone"],
)
def test_earnings_that_sink(
    market: Market, forged: list[tuple[str, int]], shown: list[int], was: int, final: bool
) -> None:
    parent = market.propose(0, TRUE)
    if final:
        market.finalize(parent)
    # Somebody else gets it, so that the total does not sink.
    richest = len(forged) // 2
    account, grains = forged[richest]
    tree = Forged([*forged[:richest], (account, grains + 50), *forged[richest + 1 :]])
    header = market.propose(1, tree)
    told = (parent, TRUE.proof(was), [tree.proof(index) for index in shown])
    disproved(market, dispute(market, "sunk", header, *told), header, "sunk")
    assert market.state.tip == parent.position


def test_what_does_not_show_that_earnings_sank(market: Market) -> None:
    parent = market.propose(0, TRUE)
    tree = Forged(leaves(at3=(ACCOUNTS[3], 40)))
    header = market.propose(1, tree)
    before = TRUE.proof(3)
    for shown in ([], [3], [2], [4], [0], [10], [2, 3], [3, 4], [2, 4], [4, 5], [5, 4], [3, 2]):
        with refused("roots: did not sink"):
            dispute(market, "sunk", header, parent, before, [tree.proof(i) for i in shown])
    low = Forged(leaves(at3=(ACCOUNTS[3], 12))).proof(3)
    with refused("roots: wrong proof"):
        dispute(market, "sunk", header, parent, before, [low])
    with refused("roots: wrong proof"):
        dispute(market, "sunk", header, parent, tree.proof(3), [tree.proof(3)])
    for other in ({**parent, "root": tree.root}, {**parent, "count": 12}):
        with refused("roots: no such root"):
            dispute(market, "sunk", header, other, before, [tree.proof(3)])
    with refused("roots: not the parent"):
        dispute(market, "sunk", header, header, before, [tree.proof(3)])
    with refused("roots: no such root"):
        first = {**parent, "position": 1}
        dispute(market, "sunk", parent, first, before, [TRUE.proof(3)])


def test_only_the_leaf_before_or_behind_shows_that_an_edge_is_gone(market: Market) -> None:
    parent = market.propose(0, TRUE)
    tree = Forged([*TRUE.leaves[1:9], (ACCOUNTS[9], 90)])
    header = market.propose(1, tree)
    for was, shown in ((0, 1), (0, 8), (10, 0), (10, 7)):
        with refused("roots: did not sink"):
            dispute(market, "sunk", header, parent, TRUE.proof(was), [tree.proof(shown)])


def lies(parent: Struct) -> dict[str, tuple[Forged, list[object]]]:
    """A root of each kind that is one, with what disproves it."""
    hidden = Forged([*TRUE.leaves, (mallory.address, 900)], claimed_count=11)
    false = Forged(TRUE.leaves, lies={(1, 2): 7})
    below = [false.node(0, 4), false.node(0, 5), false.node(1, 2) % 2**64]
    other = Forged(TRUE.leaves, lies={(0, 3): 5})
    sunk = Forged(leaves(at3=(ACCOUNTS[3], 1), at4=(ACCOUNTS[4], 90)))
    return {
        "padding": (hidden, [hidden.proof(10)]),
        "sum": (false, [*below, 2, false.above(1, 2)]),
        "leaf": (other, [other.proof(3), 18]),
        "sunk": (sunk, [parent, TRUE.proof(3), [sunk.proof(3)]]),
    }


@pytest.mark.parametrize("kind", ["padding", "sum", "leaf", "sunk"])
def test_a_contract_is_paid_for_what_it_disproves(market: Market, kind: str) -> None:
    parent, puppet = market.propose(0, TRUE), market.world.puppet()
    tree, told = lies(parent)[kind]
    header = market.propose(1, tree)
    done = puppet.act(market.roots, f"dispute_{kind}", header, *told)
    assert done.one("Voided").winner == puppet.address
    market.take_bond(header, winner=puppet.address)
    assert market.world.balance(puppet.address) == REWARD


# Data


@pytest.mark.parametrize("index", [0, 8, 9, 10])
def test_every_leaf_of_a_true_root_can_be_answered(market: Market, index: int) -> None:
    header = market.propose(0, TRUE)
    id = market.demand(header, index)
    market.roots.send("answer", id, header, TRUE.proof(index), sender=mallory.address)
    market.finalize(header)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9])
def test_the_last_leaf_of_a_tree_of_any_size_can_be_answered(market: Market, count: int) -> None:
    tree = honest(dict(TRUE.leaves[:count]))
    header = market.propose(0, tree)
    id = market.demand(header, count - 1)
    market.roots.send("answer", id, header, tree.proof(count - 1), sender=mallory.address)
    market.finalize(header)


def test_a_demand_is_answered_and_paid(market: Market) -> None:
    header = market.propose(0, TRUE)
    id = market.demand(header, 10)
    found = market.roots.call("demanded", id)
    assert (found.index, found.challenger, found.prepaid) == (10, carol.address, PREPAID)
    assert found.deadline == market.world.chain.now + ANSWER_WINDOW
    with refused("roots: can be answered"):
        market.roots.send("expire", id, header, sender=carol.address)
    market.world.chain.warp(WINDOW + 1)
    with refused("roots: a demand is open"):
        market.roots.send("finalize", header, sender=mallory.address)
    with refused("roots: another leaf"):
        market.roots.send("answer", id, header, TRUE.proof(9), sender=mallory.address)
    with refused("roots: another root"):
        market.roots.send(
            "answer", id, {**header, "count": 12}, TRUE.proof(10), sender=mallory.address
        )
    with refused("roots: wrong proof"):
        account, grains, index, path = TRUE.proof(10)
        wrong = (account, grains + 1, index, path)
        market.roots.send("answer", id, header, wrong, sender=mallory.address)
    done = market.roots.send("answer", id, header, TRUE.proof(10), sender=mallory.address)
    assert done.one("Answered").proof.account == ACCOUNTS[10]
    assert done.gas_used < ANSWER_GAS
    assert market.world.chain.ether(proposer.address) == PREPAID
    for function, more in (("answer", [TRUE.proof(10)]), ("expire", [])):
        with refused("roots: no such demand"):
            market.roots.send(function, id, header, *more, sender=mallory.address)
    market.finalize(header)
    assert market.bond() == BOND


def test_who_gets_an_answer_late_has_time_to_use_it(market: Market) -> None:
    """The root waits an answer window from the last answer on, whoever asked and whenever."""
    header = market.propose(0, TRUE)
    chain = market.world.chain
    chain.warp_to(header.until - ANSWER_WINDOW)
    early = market.demand(header, 1)
    chain.warp_to(header.until)
    late = market.demand(header, 2)
    market.roots.send("answer", early, header, TRUE.proof(1), sender=mallory.address)
    chain.warp_to(header.until + ANSWER_WINDOW)
    market.roots.send("answer", late, header, TRUE.proof(2), sender=mallory.address)
    hashed = market.roots.call("headers", header.position)
    assert market.roots.call("released", hashed) == chain.now
    for wait in (0, ANSWER_WINDOW):
        with chain.anchor():
            chain.warp(wait)
            with refused("roots: can be disputed"):
                market.roots.send("finalize", header, sender=mallory.address)
    # No demand moves the end any further.
    with refused("roots: too late"):
        market.demand(header, 3)
    chain.warp(ANSWER_WINDOW + 1)
    market.roots.send("finalize", header, sender=mallory.address)


def test_an_answer_within_the_window_moves_nothing(market: Market) -> None:
    header = market.propose(0, TRUE)
    id = market.demand(header, 1)
    market.roots.send("answer", id, header, TRUE.proof(1), sender=mallory.address)
    assert market.world.chain.now + ANSWER_WINDOW <= header.until
    market.world.chain.warp_to(header.until + 1)
    market.roots.send("finalize", header, sender=mallory.address)


def test_silence_voids_a_root_and_all_after_it(market: Market) -> None:
    header = market.propose(0, TRUE)
    more = honest(dict(leaves(at3=(ACCOUNTS[3], 40))))
    later = market.propose(1, more)
    id, other = market.demand(header, 3), market.demand(later, 3)
    market.world.chain.warp(ANSWER_WINDOW)
    with refused("roots: can be answered"):
        market.roots.send("expire", id, header, sender=mallory.address)
    market.world.chain.warp(1)
    done = market.roots.send("expire", id, header, sender=mallory.address)
    assert market.world.chain.ether(carol.address) == PREPAID
    disproved(market, done, header, "not served")
    assert market.state == {
        "final": 1,
        "tip": 1,
        "next_epoch": 0,
        "tip_total": 0,
        "final_total": 0,
        "unsettled": 0,
    }
    with refused("roots: no open root"):
        market.finalize(later)
    rest = market.roots.send("expire", other, later, sender=mallory.address)
    assert rest.named("Voided") == []
    assert market.world.chain.ether(carol.address) == 2 * PREPAID


def test_a_demand_costs_its_answer_and_comes_in_time(market: Market) -> None:
    header = market.propose(0, TRUE)
    send = market.roots.send
    market.world.chain.give_ether(carol.address, 10 * PREPAID)
    with refused("roots: prepay the answer's gas"):
        send("demand", header, 0, sender=carol.address, value=PREPAID - 1)
    price = 2 * GAS_PRICE
    market.world.chain.give_ether(carol.address, 10**20)
    with refused("roots: prepay the answer's gas"):
        send(
            "demand", header, 0, sender=carol.address, value=ANSWER_GAS * price - 1, gas_price=price
        )
    with refused("roots: no such leaf"):
        send("demand", header, 11, sender=carol.address, value=PREPAID)
    market.world.chain.warp_to(header.until)
    with market.world.chain.anchor():
        send("demand", header, 0, sender=carol.address, value=PREPAID)
    market.world.chain.warp(1)
    with refused("roots: too late"):
        send("demand", header, 0, sender=carol.address, value=PREPAID)
    market.finalize(header)
    with refused("roots: no open root"):
        send("demand", header, 0, sender=carol.address, value=PREPAID)


# After


def test_the_epoch_is_proposed_again(market: Market) -> None:
    forged = Forged(leaves(at4=(ACCOUNTS[3], 1)))
    header = market.propose(5, forged)
    later = market.propose(6, honest(dict(leaves(at3=(ACCOUNTS[3], 40)))))
    dispute(market, "order", header, forged.proof(3), forged.proof(4))
    market.take_bond(header)
    market.post(by=alice)
    again = market.propose(5, TRUE, by=alice)
    assert (again.position, again.since) == (header.position, 0)
    for stale in (header, later):
        with refused("roots: no open root"):
            market.finalize(stale)
    market.finalize(again)
    # The position of the stale root is taken again, and not by it.
    market.propose(6, TRUE, by=alice)
    with refused("roots: no open root"):
        market.finalize(later)
    assert market.claim(5, TRUE, 0).value == 10 * 10**9


def test_a_bond_is_lost_once_and_the_rest_stays(market: Market) -> None:
    market.post(7)
    forged = Forged(leaves(at4=(ACCOUNTS[3], 1)))
    header = market.propose(0, forged)
    dispute(market, "order", header, forged.proof(3), forged.proof(4))
    market.take_bond(header)
    assert market.bond() == 7
    market.roots.send("withdraw_bond", sender=proposer.address)
    assert market.world.balance(proposer.address) == 7
    with refused("roots: no open root"):
        dispute(market, "order", header, forged.proof(3), forged.proof(4))


def test_who_built_on_a_lie_keeps_the_bond(market: Market) -> None:
    market.post(by=bob)
    forged = Forged(leaves(at4=(ACCOUNTS[3], 1)))
    header = market.propose(0, forged)
    market.propose(1, TRUE, by=bob)
    with refused("roots: a root is open"):
        market.roots.send("withdraw_bond", sender=bob.address)
    dispute(market, "order", header, forged.proof(3), forged.proof(4))
    market.take_bond(header)
    assert market.bond(bob) == BOND
    market.roots.send("withdraw_bond", sender=bob.address)
    assert market.world.balance(bob.address) == BOND


def test_a_bond_stays_while_an_earlier_root_is_open(market: Market) -> None:
    market.post(by=bob)
    forged = Forged(leaves(at4=(ACCOUNTS[3], 1)))
    first = market.propose(0, honest({ACCOUNTS[0]: 1}))
    header = market.propose(1, forged, by=bob)
    market.propose(2, TRUE)
    dispute(market, "order", header, forged.proof(3), forged.proof(4))
    market.take_bond(header)
    with refused("roots: a root is open"):
        market.roots.send("withdraw_bond", sender=proposer.address)
    market.finalize(first)
    market.roots.send("withdraw_bond", sender=proposer.address)


def test_a_root_without_a_bond_left_is_voided_too(market: Market) -> None:
    forged = Forged(leaves(at4=(ACCOUNTS[3], 1)))
    first, second = market.propose(0, forged), market.propose(1, forged)
    for header in (second, first):
        done = dispute(market, "order", header, forged.proof(3), forged.proof(4))
        assert done.one("Voided").position == header.position
    assert market.take_bond(first).one("BondLost").reward == REWARD
    assert market.take_bond(second).one("BondLost").reward == 0
    assert (market.state.tip, market.state.unsettled) == (1, 0)


def test_nobody_is_left_in_power(market: Market) -> None:
    with refused("governor: not the guardian"):
        market.world.governor.send(
            "propose", market.roots.address, b"\0\0\0\0", sender=guardian.address
        )

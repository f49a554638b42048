"""Sum trees: what a path proves, what data are a tree, and the hash beside its plain form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from freehold.domain.ids import Address, checksum, keccak
from freehold.economics import tree_hash
from freehold.economics.trees import (
    GRAIN,
    LEAF,
    MAX_SUM,
    NODE,
    RECORD,
    Leaf,
    Tree,
    depth_of,
    first_sunk,
    parent,
    proves,
)

ACCOUNTS = st.binary(min_size=20, max_size=20).map(checksum)
GRAINS = st.integers(1, 2**40)
AMOUNTS = st.dictionaries(ACCOUNTS, GRAINS.map(lambda grains: grains * GRAIN), min_size=1)


def account(number: int) -> Address:
    return checksum(number.to_bytes(20, "big"))


def some(count: int) -> Tree:
    return Tree.of({account(7 * i + 3): (i + 1) * GRAIN for i in range(count)})


@settings(deadline=None, max_examples=60)
@given(AMOUNTS)
def test_every_leaf_is_proven_and_adds_to_the_total(amounts: dict[Address, int]) -> None:
    tree = Tree.of(amounts)
    assert tree.total * GRAIN == sum(amounts.values())
    assert tree.count == len(amounts)
    for who, amount in amounts.items():
        index = tree.index(who)
        assert tree.leaf(index) == Leaf(who, amount // GRAIN)
        assert proves(tree.root, tree.leaf(index), index, tree.path(index))
    raws = [bytes.fromhex(tree.leaf(index).account[2:]) for index in range(tree.count)]
    assert raws == sorted(raws)


@settings(deadline=None, max_examples=60)
@given(AMOUNTS, st.data(), ACCOUNTS, GRAINS)
def test_a_path_is_of_one_leaf_at_one_place(
    amounts: dict[Address, int], data: st.DataObject, other: Address, more: int
) -> None:
    tree = Tree.of(amounts)
    index = data.draw(st.integers(0, tree.count - 1))
    leaf, path = tree.leaf(index), tree.path(index)
    elsewhere = data.draw(st.integers(0, 2 * tree.count + 2).filter(lambda i: i != index))
    assert not proves(tree.root, leaf, elsewhere, path)
    assert not proves(tree.root, Leaf(leaf.account, leaf.grains + more), index, path)
    if leaf.grains > 1:
        assert not proves(tree.root, Leaf(leaf.account, leaf.grains - 1), index, path)
    if other != leaf.account:
        assert not proves(tree.root, Leaf(other, leaf.grains), index, path)
    assert not proves(tree.root, leaf, index, [*path, 0])
    assert not proves(tree.root ^ 1, leaf, index, path)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 130, 300])
def test_a_tree_is_what_its_rules_say(count: int) -> None:
    tree = some(count)
    level = [tree.leaf(index).word() for index in range(count)]
    for depth in range(tree.depth):
        assert [tree.node(depth, index) for index in range(len(level))] == level
        assert tree.node(depth, len(level)) == 0
        level += [0] * (len(level) % 2)
        level = [parent(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    assert level == [tree.root]
    assert tree.depth == depth_of(count) == (count - 1).bit_length()
    for index in range(0, count, 7):
        assert len(tree.path(index)) == tree.depth


def test_a_word_is_a_hash_and_a_sum() -> None:
    who = account(0xABC)
    digest = keccak(LEAF + (0xABC).to_bytes(32, "big") + (5).to_bytes(32, "big"))
    assert Leaf(who, 5).word().to_bytes(32, "big") == digest[:24] + (5).to_bytes(8, "big")
    left, right = Leaf(who, 5).word(), Leaf(account(9), 7).word()
    digest = keccak(NODE + left.to_bytes(32, "big") + right.to_bytes(32, "big"))
    assert parent(left, right).to_bytes(32, "big") == digest[:24] + (12).to_bytes(8, "big")


@pytest.mark.parametrize("count", [1, 127, 128, 129, 4_096, 4_097, 9_000])
def test_hashing_many_is_hashing_each(count: int) -> None:
    blocks = np.random.default_rng(count).integers(0, 2**64, (count, 8), dtype=np.uint64)
    found = tree_hash.hashes(NODE, blocks)
    for index in {0, count // 2, count - 1}:
        assert found[index].tobytes() == keccak(NODE + blocks[index].tobytes())[:24]
    assert found.shape == (count, 3)


def test_paths_come_together_too() -> None:
    tree = some(300)
    for first, count in ((0, 300), (17, 5), (295, 50)):
        found = tree.paths(first, count)
        for offset, path in enumerate(found):
            words = tuple(int.from_bytes(word.tobytes(), "big") for word in path)
            assert words == tree.path(first + offset)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.data())
def test_a_span_proves_its_leaves(count: int, data: st.DataObject) -> None:
    tree = some(count)
    first = data.draw(st.integers(0, count - 1))
    span = tree.span(first, data.draw(st.integers(1, count - first)))
    nodes, beside, low = [leaf.word() for leaf in span.leaves], list(span.beside), first
    for _ in range(tree.depth):
        nodes = [beside.pop(0), *nodes] if low & 1 else nodes
        nodes = [*nodes, beside.pop(0)] if len(nodes) & 1 else nodes
        nodes = [parent(*nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
        low >>= 1
    assert (nodes, beside) == ([tree.root], [])


# Dust, bad input


def test_what_is_less_than_a_grain_waits() -> None:
    tree = Tree.of({account(1): GRAIN - 1, account(2): 2 * GRAIN - 1, account(3): 0})
    assert (tree.count, tree.leaf(0)) == (1, Leaf(account(2), 1))


@pytest.mark.parametrize("amounts", [{}, {account(1): GRAIN - 1}, {account(1): 0}])
def test_an_epoch_without_earnings_has_no_tree(amounts: dict[Address, int]) -> None:
    with pytest.raises(UsageError, match="a tree of 0 accounts"):
        Tree.of(amounts)


def test_wrong_amounts_are_refused() -> None:
    with pytest.raises(UsageError, match="below zero"):
        Tree.of({account(1): -1, account(2): GRAIN})
    with pytest.raises(UsageError, match="in all"):
        Tree.of({account(1): MAX_SUM * GRAIN, account(2): GRAIN})
    Tree.of({account(1): (MAX_SUM - 1) * GRAIN, account(2): GRAIN})
    raw = np.arange(60, dtype=np.uint8).reshape(3, 20)
    with pytest.raises(UsageError, match="no grains"):
        Tree.of_columns(raw, np.array([1, 0, 2], np.uint64))
    with pytest.raises(UsageError, match="in all"):
        Tree.of_columns(raw, np.array([2**63, 2**63 - 1, 1], np.uint64))


def test_an_account_comes_once() -> None:
    raw = np.zeros((3, 20), np.uint8)
    raw[1, 19] = 1
    with pytest.raises(ConflictError, match=f"account {account(0)} comes twice"):
        Tree.of_columns(raw, np.ones(3, np.uint64))


def test_accounts_are_ordered_by_all_their_bytes() -> None:
    places = [0, 7, 8, 15, 16, 19]
    raw = np.zeros((len(places), 20), np.uint8)
    raw[np.arange(len(places)), places] = 1
    tree = Tree.of_columns(raw, np.ones(len(places), np.uint64))
    assert [bytes(row).index(1) for row in tree.accounts] == places[::-1]


def test_a_stranger_has_no_leaf() -> None:
    tree = some(5)
    for stranger in (0, 4, 1_000):
        with pytest.raises(NotFoundError, match="has earned nothing"):
            tree.index(account(stranger))
    for index in (-1, 5):
        with pytest.raises(NotFoundError, match=f"no leaf {index} among 5"):
            tree.path(index)
    assert [tree.place(account(n)) for n in (0, 3, 4, 31, 32)] == [0, 0, 1, 4, 5]


def test_sums_that_run_over_prove_nothing() -> None:
    left, right = Leaf(account(1), MAX_SUM), Leaf(account(2), 1)
    body = NODE + left.word().to_bytes(32, "big") + right.word().to_bytes(32, "big")
    root = int.from_bytes(keccak(body)[:24], "big") << 64
    assert not proves(root, left, 0, [right.word()])


# Served data


def test_data_are_read_again() -> None:
    tree = some(300)
    data = tree.data()
    assert len(data) == 300 * RECORD
    assert Tree.read(data).root == tree.root
    assert data[:RECORD] == bytes(19) + b"\x03" + (1).to_bytes(8, "big")


def test_data_that_are_no_tree_are_refused() -> None:
    data = some(3).data()
    first, second = data[:RECORD], data[RECORD : 2 * RECORD]
    for wrong, reason in (
        (b"", "0 bytes"),
        (data[:-1], "83 bytes"),
        (first + first, "comes twice"),
        (second + first, "not sorted"),
        (first[:20] + bytes(8), "no grains"),
    ):
        with pytest.raises(IntegrityError, match=reason):
            Tree.read(wrong)


# Sinking


def test_the_first_account_that_sinks_is_found() -> None:
    before = some(9)
    amounts = {before.leaf(i).account: before.leaf(i).grains * GRAIN for i in range(9)}
    assert first_sunk(before, before) is None
    grown = {**amounts, account(1): GRAIN, account(4): GRAIN, account(999): GRAIN}
    assert first_sunk(before, Tree.of(grown)) is None
    for index in (0, 4, 8):
        leaf = before.leaf(index)
        gone = {who: amount for who, amount in grown.items() if who != leaf.account}
        assert first_sunk(before, Tree.of(gone)) == leaf
        if leaf.grains > 1:
            less = {**grown, leaf.account: (leaf.grains - 1) * GRAIN}
            assert first_sunk(before, Tree.of(less)) == leaf

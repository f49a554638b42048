from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from freehold.domain.errors import NotFoundError, UsageError
from freehold.markets.storage.sumtree import SumTree, height_of
from unit.markets.storage import vectors


def of(counts: list[int]) -> SumTree:
    tree = SumTree()
    assert [tree.add(count) for count in counts] == list(range(len(counts)))
    return tree


@pytest.mark.parametrize("file", vectors.matching(lambda file: "sum_tree" in file))
def test_sum_tree_vectors(file: dict[str, Any]) -> None:
    cases = file["sum_tree"]
    several = cases["multi_add"]
    tree = of(several["leaf_counts"])
    assert (tree.total, tree.sums[7], tree.leaves(7)) == (
        several["total"],
        several["sum_at_7"],
        several["leaf_count_7"],
    )
    assert tree.add(1) == several["next_piece_id"]
    changed = cases["add_then_remove"]
    tree = of(changed["leaf_counts"])
    for piece in changed["removed"]:
        tree.remove(piece)
    assert list(tree.sums) == changed["sums_after"]
    for leaf, piece, offset in changed["find"]:
        assert tree.find(leaf) == (piece, offset)
    small = of(cases["small"]["leaf_counts"])
    for leaf, piece, offset in cases["small"]["find"]:
        assert small.find(leaf) == (piece, offset)


def test_sums_as_the_verifier_stores_them() -> None:
    tree = of([200, 100, 1, 30, 50, 1, 400, 40])
    assert (tree.remove(2), tree.remove(5)) == (1, 1)
    assert tree.sums == (200, 300, 0, 330, 50, 50, 400, 820)
    found = {199: (0, 199), 200: (1, 0), 299: (1, 99), 300: (3, 0), 379: (4, 49), 819: (7, 39)}
    assert {leaf: tree.find(leaf) for leaf in found} == found


def test_heights_follow_the_ruler() -> None:
    ruler = [((i + 1) & -(i + 1)).bit_length() - 1 for i in range(105)]
    assert [height_of(i) for i in range(105)] == ruler


@pytest.mark.parametrize("leaves", [0, -1])
def test_a_piece_without_leaves_is_refused(leaves: int) -> None:
    with pytest.raises(UsageError):
        SumTree().add(leaves)


def test_an_empty_set_has_nothing() -> None:
    tree = SumTree()
    for ask in (tree.find, tree.leaves, tree.remove):
        with pytest.raises(NotFoundError):
            ask(0)


class Model(RuleBasedStateMachine):
    """The tree beside a plain list of leaf counts."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = SumTree()
        self.counts: list[int] = []

    @rule(leaves=st.integers(1, 2**40))
    def add(self, leaves: int) -> None:
        assert self.tree.add(leaves) == len(self.counts)
        self.counts.append(leaves)

    @precondition(lambda self: self.counts)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        piece = data.draw(st.integers(0, len(self.counts) - 1))
        if self.counts[piece]:
            assert self.tree.remove(piece) == self.counts[piece]
            self.counts[piece] = 0
            return
        with pytest.raises(NotFoundError):
            self.tree.remove(piece)

    @precondition(lambda self: any(self.counts))
    @rule(data=st.data())
    def find(self, data: st.DataObject) -> None:
        ends = list(accumulate(self.counts))
        borders = st.sampled_from([max(0, end - 1) for end in ends] + [0, *ends[:-1]])
        anywhere = st.integers(0, ends[-1] - 1)
        leaf = min(data.draw(st.one_of(borders, anywhere)), ends[-1] - 1)
        piece, offset = self.tree.find(leaf)
        assert sum(self.counts[:piece]) + offset == leaf
        assert 0 <= offset < self.counts[piece]

    @invariant()
    def totals_agree(self) -> None:
        assert self.tree.total == sum(self.counts)
        assert len(self.tree) == len(self.counts)
        with pytest.raises(NotFoundError):
            self.tree.find(self.tree.total)


TestModel = Model.TestCase
TestModel.settings = settings(deadline=None, max_examples=25, stateful_step_count=30)

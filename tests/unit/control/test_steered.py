"""What watchers agreed on moves a node in the ranks, and not past what it costs or misses."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from freehold.control.placement import MILLION, Candidate, place, rank
from freehold.domain.ids import checksum
from unit.control.test_placement import candidate, need


def standing(*status: int) -> list[Candidate]:
    return [replace(candidate(number), status=each) for number, each in enumerate(status)]


@given(st.lists(st.integers(0, MILLION), min_size=2, max_size=8), st.binary(max_size=8))
def test_of_nodes_that_are_alike_the_better_standing_comes_first(
    status: list[int], seed: bytes
) -> None:
    ranked = [each.status for each in rank(standing(*status), seed=seed)]
    steps = [(max(status) - each) * 2 // 12 // (MILLION // 100) for each in ranked]
    assert all(later >= each - 1 for each, later in pairwise(steps))


def test_nobody_agreed_on_is_the_equal_of_the_best() -> None:
    nodes = standing(MILLION, MILLION)
    first = {rank(nodes, seed=bytes([n]))[0].node for n in range(16)}
    assert len(first) == 2


def test_a_wrong_status_cannot_lift_a_node_above_the_others() -> None:
    liar = replace(candidate(9, missed=30), status=100 * MILLION)
    assert place([candidate(1), liar], need(1)).chosen[0].node == checksum((1).to_bytes(20, "big"))


def test_half_a_status_costs_as_much_as_a_third_more_in_price() -> None:
    """At weight 2 of 12 a node half as reachable ranks with one that asks four thirds."""
    half, dear = replace(candidate(1), status=MILLION // 2), candidate(2)
    dear = replace(dear, price=dear.price * 4 // 3)
    order = [rank([half, dear], seed=bytes([n]))[0].node for n in range(16)]
    assert set(order) == {half.node, dear.node}

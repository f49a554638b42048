"""Placement: n nodes of n owners, the same for the same seed, and a reason for every refusal."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.control.placement import Candidate, Need, UnwantedTermError, place, rank
from freehold.domain.errors import CapacityError, UsageError
from freehold.domain.ids import Address, checksum
from freehold.domain.money import UNIT


def name(number: int) -> Address:
    return checksum(number.to_bytes(20, "big"))


def candidate(number: int, **changes: object) -> Candidate:
    made = Candidate(
        node=name(number),
        owner=name(1000 + number),
        price=UNIT,
        stake_free=100 * UNIT,
        capacity_free=2**40,
        proven=10,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def need(columns: int = 6, **changes: object) -> Need:
    made = Need(
        columns=columns, size=2**20, term=86_400, max_price=10 * UNIT, stake=UNIT, seed=b"s" * 32
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_six_columns_go_to_six_owners() -> None:
    nodes = [candidate(i, owner=name(1000 + i // 2)) for i in range(14)]
    placement = place(nodes, need())
    assert len({c.owner for c in placement.chosen}) == 6
    assert {c.node for c in placement.chosen}.isdisjoint(c.node for c in placement.spares)


def test_too_few_owners_are_counted_in_the_refusal() -> None:
    nodes = [candidate(i, owner=name(1000 + i % 5)) for i in range(12)]
    with pytest.raises(CapacityError, match="only 5 owners offer space, 6 needed"):
        place(nodes, need())


def test_the_refusal_says_why_the_others_were_not_taken() -> None:
    nodes = [candidate(1), candidate(2, price=20 * UNIT), candidate(3, price=20 * UNIT)]
    with pytest.raises(CapacityError, match=r"only 1 owner offers space, 2 needed; 2 nodes: asks"):
        place(nodes, need(2))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": 11 * UNIT}, "asks 11 per TiB-month, above 10"),
        ({"stake_free": UNIT - 1}, "free stake"),
        ({"capacity_free": 2**20 - 1}, "bytes free"),
        ({"min_term": 172_800}, "accepts terms of 2 d to "),
        ({"max_term": 86_399}, "accepts terms"),
        ({"barred": "gave notice to leave"}, "gave notice"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_with_its_reason(
    changes: dict[str, object], reason: str
) -> None:
    placement = place([candidate(1), candidate(2, **changes)], need(1))
    assert [c.node for c in placement.chosen] == [name(1)]
    assert placement.refused[0].node == name(2)
    assert reason in placement.refused[0].reason


@pytest.mark.parametrize(
    ("full", "kind"), [(0, UnwantedTermError), (1, CapacityError), (2, CapacityError)]
)
def test_a_term_that_keeps_nodes_away_is_told_from_want_of_room(
    full: int, kind: type[CapacityError]
) -> None:
    nodes = [candidate(1), candidate(2, max_term=60), candidate(3, max_term=60)]
    for number in range(1, full + 1):
        nodes[number] = replace(nodes[number], capacity_free=0)
    with pytest.raises(CapacityError) as caught:
        place(nodes, need(3))
    assert type(caught.value) is kind


def test_limits_themselves_still_fit() -> None:
    edge = candidate(
        1, price=10 * UNIT, stake_free=UNIT, capacity_free=2**20, min_term=86_400, max_term=86_400
    )
    assert place([edge], need(1)).chosen == (edge,)


def test_owners_that_hold_a_column_already_are_left_out() -> None:
    nodes = [candidate(i) for i in range(3)]
    placement = place(nodes, need(2, taken={nodes[0].owner: 1}))
    assert {c.node for c in placement.chosen} == {name(1), name(2)}


def test_two_columns_an_owner_when_two_are_allowed() -> None:
    nodes = [candidate(i, owner=name(1000 + i % 2)) for i in range(6)]
    assert len(place(nodes, need(4, per_owner=2)).chosen) == 4
    with pytest.raises(CapacityError, match=r"room for 4 columns"):
        place(nodes, need(5, per_owner=2))


def test_cheaper_and_better_proven_nodes_come_first() -> None:
    cheap, dear = candidate(1), candidate(2, price=4 * UNIT)
    liar = candidate(3, proven=10, missed=30)
    assert rank([liar, dear, cheap], seed=b"")[0].node == cheap.node
    assert place([liar, cheap], need(1)).chosen == (cheap,)


def test_equals_are_spread_by_the_seed() -> None:
    nodes = [candidate(i) for i in range(12)]
    first = {place(nodes, need(1, seed=bytes([i]))).chosen[0].node for i in range(40)}
    assert len(first) > 6


def test_every_equal_gets_its_share_of_objects() -> None:
    """Nodes that hold something prove and have a little less stake and room than those that hold
    nothing: neither makes the same nodes come first each time."""
    veterans = [
        candidate(i, proven=500, stake_free=99 * UNIT, capacity_free=2**40 - 2**30)
        for i in range(6)
    ]
    newcomers = [candidate(6 + i, proven=0) for i in range(2)]
    held: Counter[Address] = Counter()
    for number in range(200):
        placement = place([*veterans, *newcomers], need(seed=number.to_bytes(32, "big")))
        held.update(chosen.node for chosen in placement.chosen)
    assert all(120 <= held[node.node] <= 180 for node in (*veterans, *newcomers)), held


def test_one_miss_weighs_less_the_longer_a_node_has_proved() -> None:
    young, old = candidate(1, proven=3, missed=1), candidate(2, proven=300, missed=1)
    assert [c.node for c in rank([young, old, candidate(3)], seed=b"x")][-1] == young.node


def test_machines_that_share_a_place_are_taken_apart() -> None:
    nodes = [candidate(i, place="rack 1" if i < 6 else f"rack {i}") for i in range(9)]
    chosen = place(nodes, need(4)).chosen
    assert sum(c.place == "rack 1" for c in chosen) == 1


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12), st.integers(1, 12)), max_size=40),
    st.integers(1, 8),
    st.binary(min_size=1, max_size=8),
    st.randoms(),
)
def test_the_choice_depends_on_the_seed_and_not_on_the_order(
    drawn: list[tuple[int, int, int]], columns: int, seed: bytes, shuffle: object
) -> None:
    nodes = list(
        {
            number: candidate(number, owner=name(1000 + owner), price=price * UNIT)
            for number, owner, price in drawn
        }.values()
    )
    wanted = need(columns, seed=seed)
    fitting = {c.owner for c in nodes if c.price <= wanted.max_price}
    if len(fitting) < columns:
        with pytest.raises(CapacityError):
            place(nodes, wanted)
        return
    found = place(nodes, wanted)
    shuffle.shuffle(nodes)  # type: ignore[attr-defined]
    assert place(nodes, wanted) == found
    assert len({c.owner for c in found.chosen}) == columns
    assert all(c.price <= wanted.max_price for c in found.chosen)


@pytest.mark.parametrize(
    "changes", [{"columns": 0}, {"columns": 33}, {"size": 0}, {"per_owner": 0}]
)
def test_impossible_requests_are_usage_errors(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        place([candidate(1)], need(**changes))  # type: ignore[arg-type]

"""Whether answers say the same: laws, tolerances, votes with ties and liars."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.markets.models.agree import Quorum, Tolerance, Values, parse_quorum, same, vote

EXACT = Tolerance(rtol=0, atol=0)
LOOSE = Tolerance()
LABELS = Tolerance(labels=True)
FLOATS = st.floats(allow_nan=False, width=32)
ROWS = st.lists(FLOATS, min_size=1, max_size=5)


def floats(*values: object) -> Values:
    return {"y": np.array(values, dtype=np.float32)}


def texts(*values: bytes) -> Values:
    return {"t": np.array(values, dtype=object)}


@given(ROWS, ROWS, st.booleans())
def test_agreeing_is_symmetric_and_everyone_agrees_with_himself(
    a: list[float], b: list[float], labels: bool
) -> None:
    by = Tolerance(labels=labels)
    assert same(floats(*a), floats(*a), by)
    assert same(floats(*a), floats(*b), by) == same(floats(*b), floats(*a), by)


@given(ROWS, st.floats(-0.9e-3, 0.9e-3))
def test_a_difference_within_the_tolerance_is_none(values: list[float], by: float) -> None:
    here = np.array(values, dtype=np.float64)
    assert same({"y": here}, {"y": here * (1 + by)}, LOOSE)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=5))
def test_a_difference_beyond_the_tolerance_is_one(values: list[float]) -> None:
    here = np.array(values)
    assert not same({"y": here}, {"y": here + 1.0}, LOOSE)


@given(st.lists(ROWS, min_size=1, max_size=6), st.integers(1, 6), st.randoms())
def test_a_vote_does_not_depend_on_the_order_of_the_answers(
    rows: list[list[float]], k: int, chance: object
) -> None:
    answers = [floats(*row) for row in rows]
    places = list(range(len(answers)))
    chance.shuffle(places)  # type: ignore[attr-defined]
    found = vote(answers, k=k, tolerance=EXACT)
    other = vote([answers[i] for i in places], k=k, tolerance=EXACT)
    assert (found.winner is None) == (other.winner is None)
    if found.winner is not None and other.winner is not None:
        assert same(answers[found.winner], answers[places[other.winner]], EXACT)
        assert {places[i] for i in other.dissent} == set(found.dissent)


@given(st.lists(ROWS, min_size=1, max_size=6))
def test_classes_hold_everyone_once_and_the_winner_s_comes_first(rows: list[list[float]]) -> None:
    answers = [floats(*row) for row in rows]
    found = vote(answers, k=1, tolerance=EXACT)
    assert sorted(i for group in found.classes for i in group) == list(range(len(rows)))
    assert [len(group) for group in found.classes] == sorted(
        (len(group) for group in found.classes), reverse=True
    )
    if found.winner is not None:
        assert found.winner in found.classes[0]


def test_near_the_bound_it_does_not_matter_who_is_first() -> None:
    by = Tolerance(rtol=1e-3, atol=0.0)
    one: Values = {"y": np.array([1.0])}
    for far, agrees in ((1.0010005, True), (1.0010015, False)):
        other: Values = {"y": np.array([far])}
        assert same(one, other, by) is same(other, one, by) is agrees


def test_one_liar_of_three_is_named() -> None:
    answers = [floats(0.1, 0.9), floats(0.9, 0.1), floats(0.1, 0.9000001)]
    found = vote(answers, k=2, tolerance=LOOSE)
    assert found.winner == 0
    assert found.dissent == (1,)
    assert found.classes == ((0, 2), (1,))


def test_two_against_two_is_no_agreement() -> None:
    answers = [floats(1), floats(1), floats(2), floats(2)]
    assert vote(answers, k=2, tolerance=EXACT).winner is None
    assert vote([*answers, floats(2)], k=2, tolerance=EXACT).winner == 2


def test_of_a_chain_the_middle_has_most_behind_it() -> None:
    by = Tolerance(rtol=0, atol=1.0)
    found = vote([floats(0), floats(0.9), floats(1.8)], k=3, tolerance=by)
    assert found.winner == 1
    assert vote([floats(0), floats(1.8)], k=2, tolerance=by).winner is None


def test_nothing_agrees_with_a_nan() -> None:
    nan = floats(float("nan"), 1)
    assert not same(nan, nan, LOOSE)
    assert not same(nan, nan, LABELS)
    assert vote([nan, nan, nan], k=2, tolerance=LOOSE).winner is None


def test_infinities_agree_only_with_themselves() -> None:
    up, down = floats(float("inf")), floats(float("-inf"))
    assert same(up, up, LOOSE)
    assert not same(up, down, LOOSE)
    assert not same(up, floats(3e38), LOOSE)


def test_labels_are_compared_within_the_tolerance() -> None:
    assert same(floats([0.2, 0.8]), floats([0.4, 0.6]), LABELS)
    assert not same(floats([0.2, 0.8]), floats([0.4, 0.6]), LOOSE)
    assert not same(floats([0.2, 0.8], [0.9, 0.1]), floats([0.4, 0.6], [0.1, 0.9]), LABELS)
    # As good as a tie on both sides: either label is right.
    assert same(floats([0.5, 0.5000001]), floats([0.5000001, 0.5]), LABELS)
    assert not same(floats([0.3, 0.7]), floats([0.5000001, 0.5]), LABELS)


def test_whole_numbers_and_truth_values_are_compared_exactly() -> None:
    one: Values = {"y": np.array([2**60])}
    two: Values = {"y": np.array([2**60 + 1])}
    assert not same(one, two, LOOSE)
    assert same(one, {"y": np.array([2**60])}, LABELS)
    assert not same({"y": np.array([True])}, {"y": np.array([False])}, LOOSE)


def test_text_is_compared_exactly_or_normalised() -> None:
    words = Tolerance(words=True)
    assert not same(texts(b"Hello  World"), texts(b"hello world"), LOOSE)
    assert same(texts(b"Hello  World\n"), texts(b"hello world"), words)
    assert same(texts("ｆｕｌｌ ﬁ".encode()), texts(b"full fi"), words)
    assert not same(texts(b"hello"), texts(b"hello!"), words)
    assert same(texts(b"\xff"), texts(b"\xff"), LOOSE)


@pytest.mark.parametrize(
    "other",
    [
        {"z": np.zeros(2, np.float32)},
        {"y": np.zeros(2, np.float32), "z": np.zeros(1)},
        {"y": np.zeros((2, 1), np.float32)},
        {"y": np.zeros(2, np.int32)},
        {"y": np.array([b"0", b"0"], dtype=object)},
        {},
    ],
)
def test_other_names_shapes_or_kinds_never_agree(other: Values) -> None:
    assert not same({"y": np.zeros(2, np.float32)}, other, LOOSE)


def test_no_answers_and_empty_tensors() -> None:
    assert vote([], k=1, tolerance=LOOSE).winner is None
    empty: Values = {"y": np.zeros((0, 3), np.float32)}
    assert same(empty, empty, LABELS)


@pytest.mark.parametrize(
    "text", ["", "2", "2/", "3/2", "0/1", "a/b", "-1/2", "2/65", "²/3", "2/3/4"]
)
def test_odd_quorums_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_quorum(text)


def test_quorums_and_tolerances() -> None:
    assert parse_quorum("2/3") == Quorum(2, 3)
    for odd in ({"rtol": 1.0}, {"atol": -1.0}, {"atol": float("nan")}):
        with pytest.raises(UsageError):
            Tolerance(**odd)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="too large"):
        vote([floats(1)] * 65, k=1, tolerance=LOOSE)

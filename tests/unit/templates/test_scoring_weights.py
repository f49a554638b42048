"""Weights: in proportion, the best largest, and slow to forget."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.markets.models.weights import LARGEST, smooth, standing, weights

SCORES = st.dictionaries(st.integers(0, LARGEST), st.floats(0, 1), max_size=40)


@given(SCORES)
def test_a_row_is_what_the_ledger_takes(scores: dict[int, float]) -> None:
    row = weights(scores)
    uids = [uid for uid, _ in row]
    assert uids == sorted(set(uids))
    assert all(1 <= weight <= LARGEST for _, weight in row)
    assert max((weight for _, weight in row), default=LARGEST) == LARGEST


@given(SCORES)
def test_weights_are_in_proportion_to_the_best(scores: dict[int, float]) -> None:
    row = dict(weights(scores))
    best = max(scores.values(), default=0.0)
    assume(best > 1e-6)
    for uid, score in scores.items():
        assert abs(row.get(uid, 0) - score / best * LARGEST) <= 0.5001


@given(SCORES, st.sampled_from([0.5, 0.25]))
def test_only_proportions_matter(scores: dict[int, float], part: float) -> None:
    assume(max(scores.values(), default=0.0) > 1e-5)
    assert weights({uid: score * part for uid, score in scores.items()}) == weights(scores)


def test_nobody_is_no_row() -> None:
    assert weights({}) == weights({1: 0.0, 2: 0.0}) == weights({3: 1e-9}) == ()


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_score_is_refused(score: float) -> None:
    with pytest.raises(UsageError, match="has the score"):
        weights({1: score})
    with pytest.raises(UsageError, match="has the score"):
        smooth({}, {1: score}, 4)


@pytest.mark.parametrize("uid", [-1, LARGEST + 1])
def test_what_is_no_uid_is_refused(uid: int) -> None:
    with pytest.raises(UsageError, match="is none"):
        weights({uid: 0.5})


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 30))
def test_half_of_the_way_is_gone_after_the_half_life(old: float, new: float, epochs: int) -> None:
    scores: dict[int, float] = {7: old}
    for _ in range(epochs):
        scores = smooth(scores, {7: new}, epochs)
    assert scores[7] == pytest.approx((old + new) / 2)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 100))
def test_smoothed_scores_lie_between_old_and_new(old: float, new: float, life: float) -> None:
    found = smooth({1: old}, {1: new}, life)[1]
    assert min(old, new) - 1e-12 <= found <= max(old, new) + 1e-12


def test_starting_anew_never_gains() -> None:
    stays = {(5, 0): 0.3}
    returns = smooth(stays, {(5, 1): 0.3}, 4)
    assert returns[5, 1] < smooth(stays, {(5, 0): 0.3}, 4)[5, 0] == pytest.approx(0.3)
    assert (5, 0) not in returns


def test_who_was_not_asked_keeps_what_it_had() -> None:
    assert smooth({1: 0.4}, {1: None, 2: None}, 4) == {1: 0.4, 2: 0.0}


def test_who_is_worthless_now_weighs_nothing_now() -> None:
    now = {1: 0.0, 2: 0.5, 3: None}
    smoothed = smooth({1: 0.9, 2: 0.5, 3: 0.2}, now, 4)
    assert smoothed[1] > 0.7
    assert standing(smoothed, now) == {1: 0.0, 2: 0.5, 3: 0.2}


@pytest.mark.parametrize("life", [0, -1, float("nan")])
def test_a_half_life_that_is_none_is_refused(life: float) -> None:
    with pytest.raises(UsageError, match="half-life"):
        smooth({}, {}, life)

"""Committees, medians and scores: the laws that contract `status` rests on."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.control.consensus import (
    TOLD_MAX,
    Observation,
    Seat,
    Settlement,
    Tolerance,
    check,
    digest,
    draw,
    median,
    odds,
    scored,
    settle,
    spread,
)
from freehold.domain.errors import ConflictError, UsageError
from freehold.domain.ids import Address, checksum

ASPECT = bytes(range(32))
SALT = bytes(32)
WITHIN = Tolerance(500)
SUBJECT = checksum(b"\x07" * 20)


def who(number: int) -> Address:
    return checksum(number.to_bytes(20, "big"))


def seats(*weights: int) -> list[Seat]:
    return [Seat(who(i + 1), weight) for i, weight in enumerate(weights)]


def told(*values: int | None) -> dict[Address, int]:
    return {who(i + 1): value for i, value in enumerate(values) if value is not None}


def test_the_lower_weighted_median() -> None:
    assert median([(1, 1), (2, 1)], 2) == 1
    assert median([(1, 1), (2, 1), (3, 1)], 3) == 2
    assert median([(1, 1), (2, 2)], 3) == 2
    assert median([(5, 1)], 3) == 5, "who never reaches half gives the last"
    assert spread([(1, 1), (2, 2), (9, 1)]) == 1
    assert spread([(1, 1), (9, 3)]) == 8
    assert spread([(4, 7)]) == 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(-99, 99)), min_size=1, max_size=9),
    st.lists(st.tuples(st.integers(1, 50), st.integers(-(10**9), 10**9)), max_size=9),
    st.lists(st.integers(1, 50), max_size=4),
    st.integers(-99, 99),
)
def test_liars_below_half_move_nothing_out_of_range(
    honest: list[tuple[int, int]],
    liars: list[tuple[int, int]],
    sleepers: list[int],
    before: int,
) -> None:
    weights = [w for w, _ in honest] + [w for w, _ in liars] + sleepers
    sitting = seats(*weights)
    values = told(*[v for _, v in honest], *[v for _, v in liars])
    lying, whole = sum(w for w, _ in liars), sum(weights)
    fair = [v for _, v in honest]
    if 2 * lying >= whole:
        return
    try:
        later = settle(sitting, values, before=before, tolerance=WITHIN)
        assert min([*fair, before]) <= later.value <= max([*fair, before])
        first = settle(sitting, values, before=None, tolerance=WITHIN)
        assert min(fair) - first.within <= first.value <= max(fair) + first.within
    except ConflictError:
        if 2 * sum(w for w, _ in honest) > whole:
            assert 2 * (whole - sum(sleepers)) > whole  # only a first value is refused then


def test_a_weight_that_is_split_changes_nothing() -> None:
    whole = settle(seats(60, 40), told(1_000, 9_000), before=None, tolerance=Tolerance(5_000, 9**9))
    parts = settle(seats(60, *[1] * 40), told(1_000, *[9_000] * 40), before=1_000, tolerance=WITHIN)
    assert whole.value == parts.value == 1_000


def test_too_few_told_or_agreed_is_refused() -> None:
    for values in ((), (5,), (5, 5)):
        with pytest.raises(ConflictError, match="watchers with"):
            settle(seats(1, 1, 1, 1), told(*values), before=1, tolerance=WITHIN)
    with pytest.raises(ConflictError, match="watchers with 0 of 0"):
        settle([], {}, before=1, tolerance=WITHIN)
    with pytest.raises(ConflictError, match="agree"):
        settle(seats(1, 1, 1, 1), told(10, 50, 90), before=None, tolerance=WITHIN)
    assert settle(seats(1, 1, 1, 1), told(10, 50, 90), before=50, tolerance=WITHIN).value == 50


def test_who_has_no_seat_is_not_heard() -> None:
    found = settle(seats(1, 1), told(5, 5, 10**6, 10**6), before=1, tolerance=WITHIN)
    assert (found.value, found.told_bps) == (5, 10_000)


def test_scores_reward_looking() -> None:
    moved = Settlement(value=200, before=100, within=10, told_bps=10_000, spread=0)
    still = Settlement(value=100, before=100, within=5, told_bps=10_000, spread=0)
    first = Settlement(value=100, before=None, within=5, told_bps=10_000, spread=0)
    assert moved.moved
    assert first.moved
    assert not still.moved
    assert scored(5_000, 210, moved) == scored(5_000, 95, first) == 6_000
    assert scored(5_000, 100, still) == 5_050
    for stale in (100, 90, 110):
        assert scored(5_000, stale, moved) == 2_500
    assert scored(5_000, 250, moved) == 5_000 - 750
    assert scored(5_000, 10**9, moved) == scored(5_000, 300, moved) == 3_500
    assert scored(5_000, None, moved) == 4_500
    assert scored(0, 200, moved) == 2_000, "nobody is lost for good"
    exact = Settlement(value=0, before=0, within=0, told_bps=10_000, spread=0)
    assert scored(5_000, 1, exact) == 3_500


def test_one_move_costs_a_copier_more_than_ten_quiet_rounds_give() -> None:
    moved = Settlement(value=200, before=100, within=10, told_bps=10_000, spread=0)
    still = Settlement(value=100, before=100, within=5, told_bps=10_000, spread=0)
    for start in range(2_000, 10_001, 1_000):
        score = scored(start, 100, moved)
        for _ in range(10):
            score = scored(score, 100, still)
        assert score < start


def test_draws_give_stake_its_share_of_seats() -> None:
    line = seats(500, 300, 150, 50)
    counts = dict.fromkeys((seat.watcher for seat in line), 0)
    for number in range(200):
        found = draw(line, seed=SALT, round_number=number, subject=SUBJECT, seats=20)
        assert sum(seat.weight for seat in found) == 20
        for seat in found:
            counts[seat.watcher] += seat.weight
            share = next(s.weight for s in line if s.watcher == seat.watcher) / 1_000
            assert abs(seat.weight - 20 * share) <= 2, "one stratum at either end"
    for seat in line:
        assert counts[seat.watcher] / 4_000 == pytest.approx(seat.weight / 1_000, abs=0.01)
    assert draw([], seed=SALT, round_number=0, subject=SUBJECT, seats=20) == []
    assert draw(seats(0, 0), seed=SALT, round_number=0, subject=SUBJECT, seats=20) == []
    assert draw(seats(0, 5), seed=SALT, round_number=0, subject=SUBJECT, seats=3) == [
        Seat(who(2), 3)
    ]


def test_liars_hold_half_of_a_draw_no_more_often_than_the_odds() -> None:
    """A third of the stake in sixteen hands, dispersed over the line as badly as can be."""
    generator = random.Random(7)
    held, turns = 0, 1_500
    bad = {who(i) for i in range(1, 49, 3)}
    line = [Seat(who(i), 100) for i in range(1, 49)]
    for number in range(turns):
        seed = generator.randbytes(32)
        found = draw(line, seed=seed, round_number=number, subject=SUBJECT, seats=12)
        held += 2 * sum(seat.weight for seat in found if seat.watcher in bad) >= 12
    bound = odds(1 / 3, 12)
    assert bound == pytest.approx(0.1777, abs=1e-3)
    assert held / turns <= bound + 3 * math.sqrt(bound / turns)


def test_the_odds_that_are_stated() -> None:
    assert [round(1 / odds(p)) for p in (0.1, 0.2, 0.3)] == [1_177_241, 1_023, 32]
    assert odds(0.0) == 0
    assert odds(11 / 24) < 1
    assert odds(0.46) == odds(1.0) == 1.0
    assert odds(0.1, 3) == pytest.approx(0.028)
    for share, count in ((-0.1, 24), (1.1, 24), (0.1, 0)):
        with pytest.raises(UsageError):
            odds(share, count)


def test_a_digest_binds_everything() -> None:
    def make(
        *observations: Observation,
        chain: int = 1,
        at: int = 2,
        number: int = 3,
        by: int = 4,
        salt: bytes = SALT,
    ) -> bytes:
        return digest(
            observations,
            chain_id=chain,
            contract=who(at),
            round_number=number,
            watcher=who(by),
            salt=salt,
        )

    one = Observation(SUBJECT, ASPECT, -5)
    all_different = [
        make(),
        make(one),
        make(Observation(SUBJECT, ASPECT, 5)),
        make(Observation(SUBJECT, ASPECT[::-1], -5)),
        make(Observation(who(9), ASPECT, -5)),
        make(one, chain=9),
        make(one, at=9),
        make(one, number=9),
        make(one, by=9),
        make(one, salt=ASPECT),
    ]
    assert len(set(all_different)) == len(all_different)


def test_what_the_contract_would_refuse_is_refused_here() -> None:
    one = Observation(SUBJECT, ASPECT, 2**120)
    check([one], SALT)
    check([Observation(who(i + 1), ASPECT, 0) for i in range(TOLD_MAX)], SALT)
    many = [Observation(who(i + 1), ASPECT, 0) for i in range(TOLD_MAX + 1)]
    for observations, salt in (
        (many, SALT),
        ([one, one], SALT),
        ([one], b"short"),
        ([Observation(SUBJECT, b"short", 0)], SALT),
        ([Observation(SUBJECT, ASPECT, -(2**120) - 1)], SALT),
    ):
        with pytest.raises(UsageError):
            check(observations, salt)

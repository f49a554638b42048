"""The rule by which nodes are chosen, and what is remembered of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.client.asking.candidate import Candidate, Effort, Limits
from freehold.client.asking.choice import EXPLORED, by_merit, field, order, weight
from freehold.client.asking.measured import BADLY, KEPT, NEW, Measure, Measures, rest
from freehold.client.asking.refusals import Kind
from freehold.domain.errors import UsageError
from unit.client.asking.fakes import number

SCORES = st.floats(0, 1)
PRICES = st.integers(0, 10**20)
SECONDS = st.floats(0, 100)


def made(seed: int = 1, **changes: object) -> Candidate:
    base = Candidate(number(seed), seed, "https://h:1", b"", 0.5)
    return replace(base, **changes)  # type: ignore[arg-type]


def measure(mean: float, deviation: float = 0.0, flying: int = 0, trust: float = 1.0) -> Measure:
    return Measure(mean, deviation, trust, answers=NEW, flying=flying)


def known(*candidates: Candidate, mean: float = 0.05) -> Measures:
    measures = Measures()
    for candidate in candidates:
        found = measures.of(candidate.node)
        found.mean, found.deviation, found.answers = mean, mean / 4, NEW
    return measures


def firsts(candidates: list[Candidate], measures: Measures, rounds: int = 4_000) -> Counter[int]:
    chance = random.Random(7)
    return Counter(
        order(candidates, measures, chance=chance, now=0.0)[0].uid for _ in range(rounds)
    )


@given(SCORES, PRICES, PRICES, PRICES, SECONDS)
def test_a_higher_price_never_raises_a_weight(
    score: float, price: int, more: int, cheapest: int, seconds: float
) -> None:
    seen, least = measure(seconds), min(cheapest, price)
    low = weight(made(score=score, price=price), seen, cheapest=least)
    high = weight(made(score=score, price=price + more), seen, cheapest=least)
    assert 0 < high <= low


@given(SCORES, SECONDS, SECONDS, st.integers(0, 50), st.integers(0, 50), st.floats(0, 1))
def test_slower_busier_or_less_trusted_never_raises_a_weight(
    score: float, mean: float, more: float, flying: int, others: int, trust: float
) -> None:
    one = made(score=score)
    best = weight(one, measure(mean, flying=flying), cheapest=0)
    assert weight(one, measure(mean + more, flying=flying), cheapest=0) <= best
    assert weight(one, measure(mean, deviation=more, flying=flying), cheapest=0) <= best
    assert weight(one, measure(mean, flying=flying + others), cheapest=0) <= best
    assert weight(one, measure(mean, flying=flying, trust=trust), cheapest=0) <= best


@given(st.floats(0.03, 1), PRICES, PRICES, SECONDS, SECONDS)
def test_scores_dominate(
    score: float, price: int, other: int, seconds: float, others: float
) -> None:
    cheapest = min(price, other)
    good = weight(made(score=score, price=price), measure(seconds), cheapest=cheapest)
    bad = weight(made(score=score / 1.7, price=other), measure(others), cheapest=cheapest)
    assert good > bad


@given(SCORES, SCORES)
def test_a_higher_score_never_lowers_a_weight(one: float, other: float) -> None:
    low, high = sorted((one, other))
    seen = measure(0.1)
    assert weight(made(score=low), seen, cheapest=0) <= weight(made(score=high), seen, cheapest=0)


def test_the_cheaper_of_two_equals_is_chosen_more() -> None:
    both = [made(1, price=100), made(2, price=200)]
    counts = firsts(both, known(*both))
    assert 1.7 < counts[1] / counts[2] < 2.4


def test_load_spreads_over_equals() -> None:
    four = [made(seed) for seed in range(4)]
    counts = firsts(four, known(*four))
    assert min(counts.values()) > 850


def test_newcomers_get_a_small_share() -> None:
    old, new = made(1, score=1.0), made(2, score=0.0)
    measures = known(old)
    share = firsts([old, new], measures)[2] / 4_000
    assert EXPLORED * 0.7 < share < EXPLORED * 1.3
    measures.of(new.node).answers = NEW
    assert firsts([old, new], measures)[2] == 0


def test_the_same_chance_gives_the_same_order() -> None:
    ten = [made(seed, score=seed / 10) for seed in range(10)]
    orders = [order(ten, known(*ten), chance=random.Random(3), now=0.0) for _ in range(2)]
    assert orders[0] == orders[1]
    assert sorted(orders[0], key=lambda each: each.uid) == ten


def test_who_is_gone_rests_and_is_tried_again_later() -> None:
    dead, alive = made(1, score=1.0), made(2, score=0.1)
    measures = known(dead, alive)
    measures.of(dead.node).failed(Kind.UNREACHABLE, now=0.0)
    assert firsts([dead, alive], measures)[1] == 0
    assert order([dead, alive], measures, chance=random.Random(1), now=0.0) == [alive, dead]
    chance = random.Random(7)
    again = [order([dead, alive], measures, chance=chance, now=2.0)[0].uid for _ in range(4_000)]
    assert EXPLORED * 0.7 < again.count(1) / 4_000 < EXPLORED * 1.3
    measures.of(dead.node).answered(0.01)
    assert firsts([dead, alive], measures)[1] > 3_900


def test_rests_double_up_to_five_minutes() -> None:
    assert [rest(n) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert rest(1_000) == 300
    seen = Measure()
    for n in range(3):
        seen.failed(Kind.SILENT, now=float(n * 100))
    assert seen.until == 204


def test_bad_answers_count_only_in_a_row_and_a_busy_node_is_not_blamed() -> None:
    seen = Measure()
    for _ in range(BADLY - 1):
        seen.failed(Kind.GARBAGE, now=0.0)
    assert seen.state(0.0) == 0
    seen.answered(0.1)
    seen.failed(Kind.GARBAGE, now=0.0)
    assert seen.state(0.0) == 0
    trust = seen.trust
    seen.failed(Kind.BUSY, now=0.0, wait=7.0)
    assert (seen.state(6.9), seen.state(7.0), seen.trust) == (2, 0, trust)
    seen.failed(Kind.BUSY, now=0.0, wait=1e9)
    assert seen.state(60.0) == 0
    for _ in range(BADLY):
        seen.failed(Kind.BROKEN, now=100.0)
    assert seen.state(100.0) == 2


def test_latency_follows_what_is_measured() -> None:
    seen = Measure()
    for _ in range(100):
        seen.answered(0.5)
    assert seen.mean == pytest.approx(0.5)
    assert seen.deviation < 0.01
    seen.outrun(0.1, now=0.0)
    assert seen.mean == pytest.approx(0.5)
    for _ in range(BADLY - 1):
        seen.outrun(5.0, now=0.0)
    assert seen.mean > 1.0
    assert seen.state(0.0) == 0
    seen.outrun(9.0, now=0.0)
    assert seen.state(0.0) == 2


@given(st.sets(st.integers(0, 30)), st.integers(0, 2**30))
def test_every_node_is_in_the_order_once_however_many_rest(gone: set[int], seed: int) -> None:
    nodes = [made(n, score=n / 30) for n in range(30)]
    measures = known(*nodes)
    for n in gone:
        if n < 30:
            measures.of(nodes[n].node).failed(Kind.DROPPED, now=0.0)
    found = order(nodes, measures, chance=random.Random(seed), now=0.5)
    assert sorted(each.uid for each in found) == list(range(30))
    awake = 30 - len(gone & set(range(30)))
    assert {each.uid for each in found[awake:]} == gone & set(range(30))


def test_of_thousands_the_best_that_do_not_rest_are_looked_at() -> None:
    many = by_merit([made(n, score=n / 1_000) for n in range(1_000)])
    assert many[0].uid == 999
    measures = known(*many[:10])
    for each in many[:10]:
        measures.of(each.node).failed(Kind.DROPPED, now=0.0)
    looked = field(many, measures, chance=random.Random(1), now=0.5)
    assert len({each.node for each in looked}) == 64
    assert {each.uid for each in looked[:48]} == set(range(942, 990))
    assert field(many[:64], measures, chance=random.Random(1), now=0.5) == many[:64]


def test_memory_of_nodes_is_bounded() -> None:
    measures = Measures()
    first = number(0)
    measures.of(first).answers = 5
    for n in range(KEPT):
        measures.of(number(n + 1))
    assert measures.of(first).answers == 0


def test_limits() -> None:
    limits = Limits(max_price=10, min_score=0.2, without=frozenset({number(9)}))
    assert limits.admits(made(price=10, score=0.2))
    assert not limits.admits(made(price=11))
    assert not limits.admits(made(price=-1))
    assert not limits.admits(made(score=0.1))
    assert not limits.admits(made(score=float("nan")))
    assert not limits.admits(made(score=float("inf")))
    assert not limits.admits(made(9))


@pytest.mark.parametrize(
    "odd", [{"deadline": 0}, {"deadline": float("nan")}, {"nodes": 0}, {"spare": -1}]
)
def test_odd_efforts_are_refused(odd: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Effort(**odd)  # type: ignore[arg-type]

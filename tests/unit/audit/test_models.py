"""Laws of the models: clocks, pools, sum trees, and the rule of what a round asks for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.audit.accounts import Account, Accounts, check_solvent
from freehold.audit.beacon import Beacon, Round
from freehold.audit.pools import Node, Pool, Position, Terms
from freehold.audit.proofs import Piece, Proofs, Set, challenge, climb
from freehold.audit.report import Difference, Differs, Place, Report, Spot
from freehold.audit.sums import Sums
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.money import RATE_UNIT

amounts = st.integers(0, 10**24)
rates = st.integers(0, 10**36)
PERIOD, WINDOW = 1_000, 300


@settings(deadline=None)
@given(amounts, rates, st.lists(st.integers(0, 10**6), max_size=6))
def test_an_account_charged_often_or_once_owes_the_same(
    funds: int, rate: int, moments: list[int]
) -> None:
    often, once = (Account(funds, 0, rate, 0) for _ in range(2))
    for moment in sorted(moments):
        often.run(moment)
    once.run(max(moments, default=0))
    assert often == once
    assert once.lockup <= funds * RATE_UNIT
    assert once.settled_at <= max(moments, default=0)


@settings(deadline=None)
@given(amounts, st.integers(1, 10**36), amounts, st.integers(1, 10**6))
def test_a_clock_that_stopped_goes_on_where_it_stopped(
    funds: int, rate: int, more: int, moment: int
) -> None:
    late, early = Account(funds, 0, rate, 0), Account(funds + more, 0, rate, 0)
    late.run(moment)
    late.funds += more
    for account in (late, early):
        account.run(2 * moment)
    assert late == early


def test_an_account_in_arrears_can_give_nothing() -> None:
    spot = Spot("payments")
    accounts = Accounts()
    accounts.credit("t", "o", 5)
    account = accounts.get("t", "o")
    account.rate = RATE_UNIT
    with pytest.raises(Differs, match="charged up to"):
        accounts.debit_free("t", "o", 1, 10, spot)
    check_solvent(Account(5, 5 * RATE_UNIT, 0, 9), 9, spot)
    with pytest.raises(Differs, match="covering"):
        check_solvent(Account(5, 5 * RATE_UNIT + 1, 0, 9), 9, spot)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 10**20)), min_size=1, max_size=9))
def test_nobody_leaves_a_pool_with_more_than_they_brought(stakes: list[tuple[str, int]]) -> None:
    node = Node()
    brought: Counter[str] = Counter()
    for staker, amount in stakes:
        shares = node.active.shares_for(amount)
        node.join(staker, amount, shares)
        brought[staker] += amount
    for staker in brought:
        worth = node.active.worth(node.shares(staker))
        assert brought[staker] - len(stakes) <= worth <= brought[staker]
    assert sum(node.active.worth(node.shares(s)) for s in brought) <= node.active.amount


@settings(deadline=None)
@given(st.integers(1, 10**24), st.integers(0, 10**24), st.integers(0, 10**25))
def test_a_slash_takes_from_both_pools_what_it_says(active: int, waiting: int, asked: int) -> None:
    node = Node(Pool(active, active * 10**6), Pool(waiting, waiting * 10**6))
    taken = node.take(asked)
    assert active + waiting - taken == node.active.amount + node.unbonding.amount
    assert taken >= min(asked, active + waiting)
    assert taken - min(asked, active + waiting) <= 2 * (active + waiting) // 10**9 + 2
    if node.active.generation:
        assert node.active == Pool(0, 0, 1)


@settings(deadline=None)
@given(st.integers(1, 10**24), st.integers(1, 10**30), st.integers(1, 10**24))
def test_shares_round_against_whoever_asks(amount: int, shares: int, asked: int) -> None:
    pool = Pool(amount, shares)
    assert 0 <= pool.shares_of(asked) - pool.shares_for(asked) <= 1
    assert pool.worth(pool.shares_for(asked)) <= asked <= pool.worth(pool.shares_of(asked)) + 1
    exact = asked * (shares + 10**6)
    assert pool.shares_for(asked) * (amount + 1) <= exact <= pool.shares_of(asked) * (amount + 1)


def test_a_pool_slashed_to_nothing_is_worth_nothing_to_old_shares() -> None:
    node = Node(Pool(10, 10**7))
    node.positions["a"] = Position(10**7)
    assert node.take(10) == 10
    assert node.shares("a") == 0
    assert node.free(Terms(1_000, 60)) == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.data())
def test_the_sum_tree_finds_what_a_list_finds(counts: list[int], data: st.DataObject) -> None:
    sums = Sums()
    for count in counts:
        sums.append(count)
    for position in data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10)):
        sums.clear(position)
        counts[position] = 0
    counts.append(3)
    sums.append(3)
    assert sums.total == sum(counts)
    leaf = data.draw(st.integers(0, sums.total - 1))
    rest, expected = leaf, 0
    while rest >= counts[expected]:
        rest -= counts[expected]
        expected += 1
    assert sums.find(leaf) == (expected, rest)


def filled(pieces: list[tuple[int, int, int | None]]) -> Set:
    """A set with pieces of (leaves, period added, period of the removal's request)."""
    made = Set(ZERO_ADDRESS, ZERO_ADDRESS, 0)
    for number, (leaves, added, removal) in enumerate(pieces):
        made.pieces.append(Piece(b"", 5, leaves, added, removal))
        made.arriving.append(number)
    removed = [n for n, (_, _, removal) in enumerate(pieces) if removal is not None]
    made.leaving.extend(sorted(removed, key=lambda n: pieces[n][2] or 0))
    return made


pieces = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 9), st.none() | st.integers(0, 12)), max_size=8
).map(
    lambda found: [
        (leaves, added, None if removal is None else max(added, removal))
        for leaves, added, removal in sorted(found, key=lambda piece: piece[1])
    ]
)


@settings(deadline=None)
@given(pieces, st.lists(st.integers(0, 14), unique=True))
def test_a_round_asks_for_what_stood_at_the_start_of_its_period(
    given_pieces: list[tuple[int, int, int | None]], periods: list[int]
) -> None:
    made = filled(given_pieces)
    for period in sorted(periods):
        expected = sum(
            leaves
            for leaves, added, removal in given_pieces
            if added < period and (removal is None or removal >= period)
        )
        assert made.span(period) == expected
        made.roll(period)
        assert made.sums.total == made.span(period) == expected


def test_nothing_leaves_a_set_in_debt() -> None:
    made = filled([(10, 0, None), (20, 0, 2)])
    made.roll(1)
    assert made.sums.total == 30
    made.cleared = 4  # the round of period 1 was answered late, in period 4
    for period in (3, 4):
        assert made.span(period) == 30
        made.roll(period)
        assert made.sums.total == 30
    assert made.span(5) == 10


def proofs_of(rounds: list[int]) -> Proofs:
    counts: Counter[str] = Counter()
    beacon = Beacon(genesis=0, period=PERIOD, grace=200, contract=ZERO_ADDRESS, counts=counts)
    for period in rounds:
        beacon.rounds.append(Round(bytes([period]) * 32, period, period * PERIOD + 10))
        beacon.periods.append(period)
    return Proofs(beacon=beacon, challenges=5, window=WINDOW, counts=counts)


def test_what_is_owed_grows_with_every_deadline() -> None:
    proofs = proofs_of([1, 2, 4, 5])
    proofs.sets[1] = filled([(10, 1, None)])
    assert proofs.next_round(1) == 1
    due = [2 * PERIOD + 10 + WINDOW, 4 * PERIOD + 10 + WINDOW, 5 * PERIOD + 10 + WINDOW]
    assert [proofs.owed(1, moment) for moment in due] == [1, 2, 3]
    assert proofs.owed(1, due[0] - 1) == 0
    assert proofs.decided(1, 9 * PERIOD) == 2 * PERIOD
    proofs.sets[1].closed = True
    assert proofs.owed(1, due[2]) == 0


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=20), st.integers(0, 21), st.integers(0, 21))
def test_good_rounds_are_counted_between_two(flags: list[bool], first: int, last: int) -> None:
    proofs = proofs_of([])
    made = filled([])
    made.good = [n for n, good in enumerate(flags) if good]
    proofs.sets[1] = made
    assert proofs.good(1, first, last) == sum(flags[first:last])


def test_rounds_end_with_their_period() -> None:
    beacon = proofs_of([1, 2, 4])._beacon
    moments = [0, 1_999, 2_000, 2_999, 3_000, 4_999, 5_000, 99_999]
    assert [beacon.ended(moment) for moment in moments] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_challenges_and_paths_follow_the_protocol() -> None:
    assert challenge(bytes(32), 1, 0) != challenge(bytes(32), 1, 1) != challenge(bytes(32), 2, 1)
    leaf, sibling = b"\1" * 32, b"\2" * 32
    assert climb(leaf, 7) == leaf
    assert climb(leaf + sibling, 0) == climb(sibling + leaf, 1) != climb(sibling + leaf, 0)
    assert climb(leaf + sibling, 0)[31] & 0xC0 == 0


def test_a_difference_reads_as_one_line() -> None:
    place = Place(line=3, block=7, transaction="0xab", log=2, field="amount")
    found = Difference("stakes", "staking Staked", place, "1", "2")
    assert str(found) == (
        "line 3, block 7, transaction 0xab, log 2, field amount: staking Staked: expected 1, "
        "found 2"
    )
    refusal = Differs(found).refusal()
    assert refusal.message == str(found)
    assert refusal.remedy
    inner = Differs(Difference("x", "y", Place(log=9), "a", "b")).at(place).difference
    assert inner.place == Place(line=3, block=7, transaction="0xab", log=9, field="amount")
    report = Report("n", 1, 2, "0x", {"a": 1}, difference=found)
    assert not report.passed
    assert report.to_json()["difference"] is not None

"""Dust, permits, pruning, scaling, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UnavailableError
from freehold.markets.models.yuma import dust, fast, kernels, prune, reference, stake
from freehold.markets.models.yuma.emission import split
from freehold.markets.models.yuma.fixed import div, mul, normalised
from freehold.markets.models.yuma.permits import permits
from freehold.markets.models.yuma.refusals import (
    EntriesError,
    MalformedError,
    RulesError,
    TooManyNodesError,
)
from freehold.markets.models.yuma.scale import upscaled, within_limit
from freehold.markets.models.yuma.values import (
    NODES_MAX,
    ONE,
    TIME_MAX,
    Inputs,
    Liquid,
    Rules,
    Sparse,
)

pytestmark = pytest.mark.xdist_group("yuma")
HALF, THIRD = ONE // 2, ONE // 3


def shares(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@settings(deadline=None)
@given(st.integers(-(2**33), 2**33), st.integers(0, 2**33))
def test_a_product_is_rounded_down(a: int, b: int) -> None:
    assert mul(shares(a), shares(b)).tolist() == [a * b >> 32]
    assert mul(shares(a), b).tolist() == [a * b >> 32]


@settings(deadline=None)
@given(st.integers(0, 2**33), st.integers(0, 2**47 - 1))
def test_a_quotient_is_rounded_down(a: int, b: int) -> None:
    a = min(a, b << 20)
    assert div(shares(a), shares(b)).tolist() == [(a << 32) // b if b else 0]


@settings(deadline=None)
@given(st.integers(1, 2**44), st.data())
def test_a_compiled_quotient_is_made_exact(b: int, data: st.DataObject) -> None:
    a = data.draw(st.integers(0, b))
    assert kernels._div(a, b, ONE / b) == (a << 32) // b


@settings(deadline=None)
@given(st.integers(2**20, 2**43))
def test_a_compiled_quotient_just_below_a_whole_one_is_not_rounded_up(half: int) -> None:
    """float64 cannot tell ``k - 1 / b`` from k, so the remainder has to."""
    b = 2 * half + 1
    k = pow(b, -1, ONE)
    a = (k * b - 1) >> 32
    assert kernels._div(a, b, ONE / b) == k - 1


def test_dust_goes_to_the_largest_remainder() -> None:
    incentive, dividends = shares(THIRD, THIRD, THIRD), shares(0, 0, 0)
    emission = split(100, incentive, dividends, dividends, dividends)
    assert emission.server == (33, 33, 33)
    assert dust.paid(emission) == ((34, 33, 33), (0, 0, 0)), "of equals the lowest uid"
    uneven = replace(emission, server_share=shares(THIRD, THIRD + 1, THIRD))
    assert dust.paid(uneven) == ((33, 34, 33), (0, 0, 0))


def test_of_one_uid_the_incentive_gets_the_dust() -> None:
    equal = split(5, shares(HALF, 0), shares(HALF, 0), shares(0, 0), shares(0, 0))
    assert (equal.server, equal.validator) == ((2, 0), (2, 0))
    assert dust.paid(equal) == ((3, 0), (2, 0))
    later = split(5, shares(0, HALF), shares(HALF, 0), shares(0, 0), shares(0, 0))
    assert dust.paid(later) == ((0, 2), (3, 0)), "the lower uid comes before the incentive"


def test_nobody_is_paid_where_nobody_has_a_share() -> None:
    nothing = split(100, *(shares(0, 0),) * 4)
    assert dust.paid(nothing) == ((0, 0), (0, 0))


def test_without_weights_validators_are_paid_by_stake() -> None:
    nothing, active, even = shares(0, 0), shares(0, ONE), shares(HALF, HALF)
    assert split(8, nothing, nothing, active, even).validator == (0, 8)
    assert split(8, nothing, nothing, nothing, even).validator == (4, 4)


def test_a_stake_counts_from_the_minimum_on() -> None:
    inputs = network(stake=np.array([4, 5, 15], np.uint64))
    rules = Rules(max_validators=3, activity_cutoff=9, min_stake=5)
    assert stake.shares(rules, inputs).tolist() == [0, ONE // 4, ONE * 3 // 4]


def test_stake_is_active_up_to_the_cutoff_and_with_a_permit_only() -> None:
    inputs = network(
        updated=shares(7, 6, 9), now=10, permits=np.array([True, True, False]), last_epoch=9
    )
    rules = Rules(max_validators=3, activity_cutoff=3)
    even = stake.shares(rules, inputs)
    assert stake.active(rules, inputs, even).tolist() == [ONE, 0, 0]


@pytest.mark.parametrize("total", [-1, 2**128])
def test_an_impossible_emission_is_refused(total: int) -> None:
    with pytest.raises(RulesError, match="base units"):
        split(total, *(shares(0),) * 4)


def test_of_equal_stakes_the_higher_uid_is_seated() -> None:
    assert permits(shares(5, 9, 5, 0), 2).tolist() == [False, True, True, False]
    assert permits(shares(5, 9, 5, 0), 4).tolist() == [True, True, True, False]
    assert not permits(shares(5, 9), 0).any()


def test_the_next_to_go_earned_least_and_is_oldest() -> None:
    emission, registered = (5, 1, 1, 0, 1), (0, 9, 3, 0, 3)
    immune = (False, False, False, True, False)
    assert prune.order(emission, registered, immune) == (2, 4, 1, 0, 3)


def test_scores_become_u16() -> None:
    assert upscaled(shares()).tolist() == []
    assert upscaled(shares(0, 0)).tolist() == [0, 0]
    assert upscaled(shares(ONE, ONE * 2)).tolist() == [32_768, 65_535]
    assert within_limit(shares(1, 1), 32_768)
    assert not within_limit(shares(1, 3), 32_768)
    with pytest.raises(MalformedError, match="negative"):
        upscaled(shares(5, -1))


def network(n: int = 3, **changes: object) -> Inputs:
    """A small epoch in which all is well."""
    fields: dict[str, object] = {
        "stake": np.ones(n, np.uint64),
        "updated": np.full(n, 2, np.int64),
        "registered": np.zeros(n, np.int64),
        "permits": np.ones(n, np.bool_),
        "weights": Sparse.of(n, [(0, 1, 7)]),
        "bonds": Sparse.of(n, ()),
        "now": 2,
        "last_epoch": 1,
    }
    return Inputs(**(fields | changes))  # type: ignore[arg-type]


def sparse(starts: list[int], targets: list[int], values: list[int]) -> Sparse:
    return Sparse(
        np.array(starts, np.int64), np.array(targets, np.int32), np.array(values, np.int64)
    )


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(sparse([0, 2, 2, 2], [1, 1], [5, 6]), id="duplicate"),
        pytest.param(sparse([0, 2, 2, 2], [2, 1], [5, 6]), id="falling"),
        pytest.param(sparse([0, 1, 1, 1], [3], [5]), id="no such uid"),
        pytest.param(sparse([0, 1, 1, 1], [-1], [5]), id="negative uid"),
        pytest.param(sparse([0, 1, 1, 1], [1], [65_536]), id="more than u16"),
        pytest.param(sparse([0, 1, 1, 1], [1], [-1]), id="below zero"),
        pytest.param(sparse([0, 2, 1, 2], [1, 2], [5, 6]), id="starts fall"),
        pytest.param(sparse([0, 1, 1, 1], [1, 2], [5, 6]), id="entries left over"),
        pytest.param(sparse([1, 1, 1, 1], [1], [5]), id="starts late"),
    ],
)
def test_entries_that_do_not_fit_are_refused(weights: Sparse) -> None:
    with pytest.raises(EntriesError):
        network(weights=weights)
    with pytest.raises(EntriesError):
        network(bonds=weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"stake": np.ones(2, np.uint64)},
        {"stake": np.ones(3, np.int64)},
        {"updated": np.ones(4, np.int64)},
        {"registered": np.zeros(2, np.int64)},
        {"permits": np.ones((3, 1), np.bool_)},
        {"stake": np.ones(3, np.float64)},
        {"updated": np.full(3, TIME_MAX)},
        {"now": TIME_MAX},
        {"last_epoch": -TIME_MAX},
        {"committed": np.zeros(2, np.int64)},
        {"weights": sparse([0, 0], [], [])},
        {"weights": sparse([0, 1, 1, 1], [1], [5, 6])},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        network(3, **changes)


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(TooManyNodesError, match="4097"):
        network(NODES_MAX + 1)
    with pytest.raises(TooManyNodesError):
        replace(network(), stake=np.ones(0, np.uint64))


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(0, 1, 5), (0, 1, 5)], "twice"),
        ([(0, 3, 5)], "no pair"),
        ([(-1, 1, 5)], "no pair"),
        ([(0, 1, 1 << 62)], "value"),
        ([(0, 1, -1)], "value"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(pairs: list[tuple[int, int, int]], reason: str) -> None:
    with pytest.raises(EntriesError, match=reason):
        Sparse.of(3, pairs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rules(max_validators=-1, activity_cutoff=1),
        lambda: Rules(max_validators=NODES_MAX + 1, activity_cutoff=1),
        lambda: Rules(max_validators=1, activity_cutoff=TIME_MAX),
        lambda: Rules(max_validators=1, activity_cutoff=1, kappa=65_536),
        lambda: Rules(max_validators=1, activity_cutoff=1, bonds_ema_ppm=1_000_001),
        lambda: Rules(max_validators=1, activity_cutoff=1, min_stake=1 << 64),
        lambda: Rules(max_validators=1, activity_cutoff=1, liquid=Liquid()),
        lambda: Liquid(2, 1),
        lambda: Liquid(steepness=10_001),
    ],
)
def test_rules_out_of_bounds_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(RulesError) as refused:
        make()
    assert refused.value.remedy


def test_the_largest_numbers_do_not_overflow() -> None:
    n = NODES_MAX
    row = [(0, j, 65_535) for j in range(1, n)] + [(1, j, 65_535) for j in range(2, n)]
    inputs = network(
        n,
        stake=np.full(n, 2**64 - 1, np.uint64),
        updated=np.full(n, TIME_MAX - 1),
        now=TIME_MAX - 1,
        last_epoch=TIME_MAX - 2,
        weights=Sparse.of(n, row),
        bonds=Sparse.of(n, row),
    )
    for liquid in (None, Liquid(0, 65_535, 10_000)):
        rules = Rules(
            max_validators=n, activity_cutoff=TIME_MAX - 1, yuma3=liquid is not None, liquid=liquid
        )
        one = reference.epoch(rules, inputs, 2**128 - 1)
        other = fast.epoch(rules, inputs, 2**128 - 1)
        assert sum(map(sum, dust.paid(one.emission))) == 2**128 - 1
        assert one.emission.combined == other.emission.combined
        assert normalised(one.dividends).min() >= 0


def test_a_majority_is_more_than_half() -> None:
    """Where exactly half is silent the other half's weight stands; one unit more silences it."""
    matrix = Sparse.of(3, [(0, 2, 7)])
    arrays = matrix.starts, matrix.targets, matrix.values
    for stakes, found in ((shares(HALF, HALF, 0), 7), (shares(HALF - 1, HALF + 1, 0), 0)):
        assert reference.medians(matrix, stakes, HALF)[2] == found
        assert kernels.consensus(*arrays, stakes, HALF)[2] == found


def test_an_old_bond_lives_by_an_entry_of_weight() -> None:
    """Under liquid alpha a weight of 0 lets a bond decay, no weight drops it."""
    rules = Rules(max_validators=3, activity_cutoff=5, yuma3=True, liquid=Liquid(), bonds_penalty=0)
    bonds = Sparse.of(3, [(0, 2, 40_000)])
    weighed = Sparse.of(3, [(0, 1, 9), (0, 2, 0), (1, 2, 9)])
    silent = Sparse.of(3, [(0, 1, 9), (1, 2, 9)])
    uneven = np.array([9, 1, 1], np.uint64)
    kept, lost = (
        fast.epoch(rules, network(stake=uneven, weights=w, bonds=bonds), 0).stored_bonds.dense()
        for w in (weighed, silent)
    )
    assert 0 < kept[0, 2] < 40_000
    assert lost[0, 2] == 0


def test_bonds_go_with_the_permit_and_with_a_newcomer() -> None:
    rules = Rules(max_validators=1, activity_cutoff=5)
    inputs = network(
        stake=np.array([5, 9, 0], np.uint64), weights=Sparse.of(3, [(0, 2, 9), (1, 2, 9)])
    )
    after = fast.epoch(rules, inputs, 0)
    assert after.permits.tolist() == [False, True, False]
    assert list(after.stored_bonds.entries()) == [(1, 2, 65_535)]
    old = Sparse.of(3, [(0, 2, 65_535)])
    stays = fast.epoch(rules, replace(inputs, bonds=old), 0).bonds.dense()
    newcomer = replace(inputs, bonds=old, registered=shares(0, 0, 1))
    assert stays[0, 2] > fast.epoch(rules, newcomer, 0).bonds.dense()[0, 2]


def test_without_numba_an_epoch_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "freehold.markets.models.yuma.compiled", None)
    with pytest.raises(UnavailableError) as refused:
        fast.epoch(Rules(max_validators=1, activity_cutoff=1), network(), 0)
    assert "freehold[models]" in refused.value.remedy


def test_where_nothing_can_be_kept_a_loop_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(*function: object, cache: bool = False) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function[0]

    monkeypatch.setattr(numba, "njit", nowhere)
    assert kernels._compiled(lambda x: x + 1)(2) == 3


def test_code_is_kept_under_a_name_that_says_what_it_was_made_of() -> None:
    """numba's own stamp is a file's time and size, which another release may share."""
    one, other = (kernels._compiled(text) for text in (lambda x: x + 1, lambda x: x + 2))
    names = {str(getattr(each, "__qualname__", "")) for each in (one, other)}
    assert len(names) == 2
    assert all(name.rsplit("_", 1)[1].isalnum() for name in names)

"""What holds in every epoch: two ways to one result, order does not matter, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from freehold.markets.models.yuma import dust, fast, reference
from freehold.markets.models.yuma.values import ONE, Inputs, Liquid, Result, Rules, Sparse
from unit.markets.models.yuma.networks import (
    moved,
    networks,
    permuted,
    permuted_result,
    random_network,
    unlike,
)

pytestmark = pytest.mark.xdist_group("yuma")
Epoch = Callable[[Rules, Inputs, int], Result]
EPOCHS = [pytest.param(reference.epoch, id="reference"), pytest.param(fast.epoch, id="fast")]
EMISSIONS = st.one_of(st.integers(0, 2**40), st.just(2**128 - 1))


@settings(max_examples=150, deadline=None)
@given(networks(), EMISSIONS)
def test_the_compiled_epoch_is_the_reference_bit_for_bit(
    network: tuple[Rules, Inputs], emission: int
) -> None:
    rules, inputs = network
    one, other = reference.epoch(rules, inputs, emission), fast.epoch(rules, inputs, emission)
    assert unlike(one, other) == []


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("mode", ["classic", "yuma3", "liquid"])
def test_larger_epochs_are_the_reference_bit_for_bit(mode: str, seed: int) -> None:
    inputs = random_network(seed)
    rules = Rules(
        max_validators=30,
        activity_cutoff=10 if seed % 2 else 50,
        bonds_penalty=(65_535, 0, 40_000)[seed // 3 % 3],
        yuma3=mode != "classic",
        liquid=Liquid() if mode == "liquid" else None,
    )
    for _ in range(3):
        one, other = reference.epoch(rules, inputs, 10**24), fast.epoch(rules, inputs, 10**24)
        assert unlike(one, other) == []
        inputs = replace(inputs, bonds=one.stored_bonds, permits=one.permits)
    assert one.incentive.any() == (seed % 3 < 2)


@pytest.mark.parametrize("epoch", EPOCHS)
@settings(max_examples=60, deadline=None)
@given(networks(), st.randoms(use_true_random=False))
def test_the_order_of_nodes_changes_no_bit(
    epoch: Epoch, network: tuple[Rules, Inputs], random: object
) -> None:
    rules, inputs = network
    order = np.array(sorted(range(inputs.n), key=lambda _: random.random()), np.int64)  # type: ignore[attr-defined]
    before = epoch(rules, inputs, 10**18)
    # Among equal stakes at the last seat the uid decides, by rule.
    stakes, seated = before.stake, before.permits
    assume(not set(stakes[seated]) & set(stakes[~seated & (stakes > 0)]))
    after = epoch(rules, permuted(inputs, order), 10**18)
    for name, wanted in permuted_result(before, order).items():
        found = getattr(after, name)
        if isinstance(wanted, Sparse):
            assert list(found.entries()) == list(wanted.entries()), name
        else:
            assert found.tolist() == wanted.tolist(), name  # type: ignore[attr-defined]
    for name in ("server", "validator", "combined"):
        paid = getattr(before.emission, name)
        assert getattr(after.emission, name) == tuple(paid[uid] for uid in order)


def test_moving_a_matrix_moves_its_entries() -> None:
    matrix = Sparse.of(3, [(0, 1, 5), (2, 0, 7)])
    assert list(moved(matrix, np.array([2, 0, 1])).entries()) == [(0, 1, 7), (1, 2, 5)]


@settings(max_examples=120, deadline=None)
@given(networks(), EMISSIONS)
def test_an_epoch_pays_what_it_has_and_no_more(
    network: tuple[Rules, Inputs], emission: int
) -> None:
    rules, inputs = network
    result = fast.epoch(rules, inputs, emission)
    floors = sum(result.emission.server) + sum(result.emission.validator)
    server, validator = dust.paid(result.emission)
    someone = result.emission.server_share.any() or result.emission.validator_share.any()
    assert sum(server) + sum(validator) == (emission if someone else 0)
    # Of each of the two parts of a uid, less than one base unit is lost to rounding, and of the
    # shares less than one of 2^32; so the dust is of no size that anyone would work for.
    assert 0 <= emission - floors <= 2 * inputs.n * (1 + emission // ONE) or not someone
    gained = [a - b for a, b in zip(server, result.emission.server, strict=True)]
    gained += [a - b for a, b in zip(validator, result.emission.validator, strict=True)]
    assert sum(1 for each in gained if each) <= 1


@settings(max_examples=100, deadline=None)
@given(networks())
def test_every_share_is_a_share(network: tuple[Rules, Inputs]) -> None:
    rules, inputs = network
    result = fast.epoch(rules, inputs, 10**18)
    for values in (result.stake, result.active_stake, result.incentive, result.dividends):
        assert values.min() >= 0
        assert ONE - inputs.n <= values.sum() <= ONE or not values.any()
    for matrix in (result.weights, result.clipped, result.bonds, result.bond_shares):
        assert not len(matrix.values) or 0 <= matrix.values.min() <= matrix.values.max() <= ONE
    assert not result.permits[result.stake == 0].any()
    assert result.permits.sum() <= rules.max_validators


@settings(max_examples=100, deadline=None)
@given(networks())
def test_only_weights_that_count_move_anything(network: tuple[Rules, Inputs]) -> None:
    """Dropping what is masked beforehand gives the same epoch."""
    rules, inputs = network
    known = inputs.updated if inputs.committed is None else inputs.committed
    alive = [
        (i, j, value)
        for i, j, value in inputs.weights.entries()
        if inputs.permits[i]
        and i != j
        and inputs.updated[i] > inputs.registered[j]
        and known[i] >= inputs.registered[j]
    ]
    cleaned = replace(inputs, weights=Sparse.of(inputs.n, alive))
    one, other = fast.epoch(rules, inputs, 10**18), fast.epoch(rules, cleaned, 10**18)
    assert unlike(one, other) == []


def test_the_consensus_is_the_least_weight_with_a_majority_below_it() -> None:
    """Straight from the definition, by trying every weight."""
    rules, inputs = Rules(max_validators=90, activity_cutoff=50), random_network(3)
    result = fast.epoch(rules, inputs, 0)
    table, active = result.weights.dense(), result.active_stake
    limit = active.sum() - 32_767 * ONE // 65_535
    for j in range(inputs.n):
        column = table[:, j]
        tried = (w for w in sorted(set(column[active > 0])) if active[column <= w].sum() > limit)
        assert result.consensus[j] == next(tried)

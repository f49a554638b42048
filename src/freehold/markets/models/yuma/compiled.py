"""The steps of ``reference.epoch`` in the same order, each by a compiled loop."""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma import emission as emissions
from freehold.markets.models.yuma import kernels
from freehold.markets.models.yuma import stake as stakes
from freehold.markets.models.yuma.fixed import mul, normalised, of_ppm, of_u16
from freehold.markets.models.yuma.kernels import Matrix
from freehold.markets.models.yuma.permits import permits
from freehold.markets.models.yuma.values import (
    ONE,
    TIME_MAX,
    Fixed,
    Inputs,
    Result,
    Rules,
    Sparse,
)


def epoch(rules: Rules, inputs: Inputs, emission: int) -> Result:
    """As ``reference.epoch``, to the last bit."""
    stake = stakes.shares(rules, inputs)
    active = stakes.active(rules, inputs, stake)
    seated = permits(stake, rules.max_validators)

    starts, targets, raw, shares, totals = kernels.weights(
        *_arrays(inputs.weights),
        inputs.permits,
        inputs.updated,
        inputs.registered,
        _committed(inputs),
    )
    weights = Sparse(starts, targets, shares)

    consensus = kernels.consensus(*_arrays(weights), active, of_u16(rules.kappa))
    starts, targets, lowered, rank, trust = kernels.clip(*_arrays(weights), consensus, active)
    clipped = Sparse(starts, targets, lowered)
    incentive = normalised(rank)

    wanted = _wanted(rules, weights, clipped, consensus)
    old = kernels.held(*_arrays(inputs.bonds), inputs.registered, inputs.last_epoch)
    held = Sparse(*old)
    if rules.yuma3:
        bonds = _bought(rules, wanted, held, consensus)
        owned, stored = _column_shares(bonds), bonds
        raw_dividends = mul(kernels.dividends(*_arrays(owned), incentive), active)
    else:
        delta = wanted.with_values(kernels.weighed(wanted.starts, wanted.values, active))
        bonds = owned = _column_shares(_blended(rules, _column_shares(delta), _column_shares(held)))
        stored = bonds.with_values(kernels.upscaled(bonds.targets, bonds.values, inputs.n))
        raw_dividends = kernels.dividends(*_arrays(owned), incentive)
    dividends = normalised(raw_dividends)

    return Result(
        stake=stake,
        active_stake=active,
        row_totals=totals,
        raw_weights=weights.with_values(raw),
        weights=weights,
        consensus=consensus,
        clipped=clipped,
        rank=rank,
        incentive=incentive,
        trust=trust,
        bond_weights=wanted,
        bonds=bonds,
        bond_shares=owned,
        stored_bonds=Sparse(*kernels.kept(*_arrays(stored), seated)),
        raw_dividends=raw_dividends,
        dividends=dividends,
        permits=seated,
        emission=emissions.split(emission, incentive, dividends, active, stake),
    )


def _committed(inputs: Inputs) -> Fixed:
    # A weight that was never hidden was known as late as can be.
    return np.full(inputs.n, TIME_MAX, np.int64) if inputs.committed is None else inputs.committed


def _wanted(rules: Rules, weights: Sparse, clipped: Sparse, consensus: Fixed) -> Sparse:
    penalty = of_u16(rules.bonds_penalty)
    if penalty in (0, ONE):
        return clipped if penalty else weights
    return Sparse(*kernels.between(*_arrays(weights), consensus, penalty))


def _bought(rules: Rules, wanted: Sparse, held: Sparse, consensus: Fixed) -> Sparse:
    held = held.with_values(kernels.proportions(held.values))
    if rules.liquid is None or not consensus.any():
        return _blended(rules, wanted, held)
    low, high = of_u16(rules.liquid.low), of_u16(rules.liquid.high)
    slope = rules.liquid.steepness * ONE // 100
    return Sparse(*kernels.liquid(*_arrays(wanted), *_arrays(held), consensus, low, high, slope))


def _blended(rules: Rules, new: Sparse, old: Sparse) -> Sparse:
    alpha = ONE - of_ppm(rules.bonds_ema_ppm)
    return Sparse(*kernels.blended(*_arrays(new), *_arrays(old), alpha))


def _column_shares(matrix: Sparse) -> Sparse:
    n = len(matrix.starts) - 1
    return matrix.with_values(kernels.column_shares(matrix.targets, matrix.values, n))


def _arrays(matrix: Sparse) -> Matrix:
    return matrix.starts, matrix.targets, matrix.values

"""One epoch in plain numpy, to be read beside the rules; ``fast`` gives the same integers.

All matrices are sparse, and an entry of value 0 is not the same as none: where liquid alpha
applies, a bond without an entry of weight is dropped, and one whose weight is 0 decays.
"""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma import emission as emissions
from freehold.markets.models.yuma import stake as stakes
from freehold.markets.models.yuma.exp import sigmoid
from freehold.markets.models.yuma.fixed import div, mul, normalised, of_ppm, of_u16, to_u16
from freehold.markets.models.yuma.permits import permits
from freehold.markets.models.yuma.values import (
    ONE,
    U16_MAX,
    Fixed,
    Flags,
    Inputs,
    Liquid,
    Result,
    Rules,
    Sparse,
    Targets,
)


def epoch(rules: Rules, inputs: Inputs, emission: int) -> Result:
    """Everything that follows from the inputs; ``emission`` in base units."""
    stake = stakes.shares(rules, inputs)
    active = stakes.active(rules, inputs, stake)
    seated = permits(stake, rules.max_validators)

    raw = counted(inputs)
    totals = row_sums(raw)
    weights = raw.with_values(div(raw.values, totals[raw.rows]))

    consensus = medians(weights, active, of_u16(rules.kappa))
    clipped = clip(weights, consensus)
    rank = column_sums(weighed(clipped, active))
    incentive = normalised(rank)

    wanted = between(weights, clipped, consensus, of_u16(rules.bonds_penalty))
    held = inputs.bonds.where(inputs.registered[inputs.bonds.targets] < inputs.last_epoch)
    if rules.yuma3:
        bonds = bought(rules, wanted, held, consensus)
        shares, stored = column_shares(bonds), bonds
        raw_dividends = mul(row_sums(by_target(shares, incentive)), active)
    else:
        delta = column_shares(weighed(wanted, active))
        bonds = column_shares(blended(delta, column_shares(held), rate(rules)))
        shares, stored = bonds, upscaled(bonds)
        raw_dividends = row_sums(by_target(shares, incentive))
    dividends = normalised(raw_dividends)

    return Result(
        stake=stake,
        active_stake=active,
        row_totals=totals,
        raw_weights=raw,
        weights=weights,
        consensus=consensus,
        clipped=clipped,
        rank=rank,
        incentive=incentive,
        trust=row_sums(clipped),
        bond_weights=wanted,
        bonds=bonds,
        bond_shares=shares,
        stored_bonds=kept(stored, seated),
        raw_dividends=raw_dividends,
        dividends=dividends,
        permits=seated,
        emission=emissions.split(emission, incentive, dividends, active, stake),
    )


def counted(inputs: Inputs) -> Sparse:
    """The u16 weights that count: of permit holders, not on themselves, newer than the target."""
    rows, targets = inputs.weights.rows, inputs.weights.targets
    registered = inputs.registered[targets]
    counts = inputs.permits[rows] & (rows != targets) & (inputs.updated[rows] > registered)
    if inputs.committed is not None:
        counts &= inputs.committed[rows] >= registered
    return inputs.weights.where(counts)


def medians(weights: Sparse, active: Fixed, kappa: int) -> Fixed:
    """C: of each column the least weight with more than ``sum(A) - kappa`` of A at or below it.

    An absent weight is one of 0. Where no weight has more, it is the largest one.
    """
    consensus = np.zeros(len(active), np.int64)
    stake, rows = active[weights.rows], weights.rows
    order = np.lexsort((weights.values, weights.targets))
    order = order[stake[order] > 0]
    columns = weights.targets[order]
    targets = np.unique(columns)
    first, ends = (np.searchsorted(columns, targets, side) for side in ("left", "right"))
    for target, start, end in zip(targets, first, ends, strict=True):
        column = order[start:end]
        by = active[rows[column]]
        absent = active.sum() - by.sum()
        below = absent + np.cumsum(by)
        limit = active.sum() - kappa
        at = int(np.searchsorted(below, limit, side="right"))
        if absent <= limit or not absent:
            consensus[target] = weights.values[column[min(at, len(column) - 1)]]
    return consensus


def clip(weights: Sparse, consensus: Fixed) -> Sparse:
    """Weights no higher than the consensus; where that is 0, a weight above it is no entry."""
    limit = consensus[weights.targets]
    lowered = weights.with_values(np.minimum(weights.values, limit))
    return lowered.where((limit > 0) | (weights.values == 0))


def between(weights: Sparse, clipped: Sparse, consensus: Fixed, penalty: int) -> Sparse:
    """Weights for bonds: ``penalty`` of the way from the weights to the clipped ones."""
    if penalty in (0, ONE):
        return clipped if penalty else weights
    lowered = np.minimum(weights.values, consensus[weights.targets])
    mixed = weights.values + mul(lowered - weights.values, penalty)
    return weights.with_values(mixed).where(mixed > 0)


def bought(rules: Rules, wanted: Sparse, held: Sparse, consensus: Fixed) -> Sparse:
    """Bonds of yuma3: an average of wanted and held ones, of 65535."""
    held = held.with_values(div(held.values, U16_MAX))
    if rules.liquid is None or not consensus.any():
        return blended(wanted, held, rate(rules))
    before = aligned(wanted, held)
    alpha = rates(rules.liquid, wanted.values, before, consensus[wanted.targets])
    after = np.minimum(mul(before, ONE - alpha) + mul(wanted.values, alpha), ONE)
    return wanted.with_values(after).where(after > 0)


def rates(liquid: Liquid, wanted: Fixed, held: Fixed, consensus: Fixed) -> Fixed:
    """Liquid alpha of each entry: the quicker, the further it buys over consensus, or sells."""
    low, high = of_u16(liquid.low), of_u16(liquid.high)
    distance = np.where(wanted >= held, wanted - consensus, held - wanted)
    slope = liquid.steepness * ONE // 100
    steps = sigmoid(np.clip(distance, 0, ONE), slope=slope, middle=ONE // 2)
    return np.clip(low + mul(steps, high - low), low, high)


def rate(rules: Rules) -> int:
    """How much of the new a bond takes on in an epoch, where alpha is not liquid."""
    return ONE - of_ppm(rules.bonds_ema_ppm)


def blended(new: Sparse, old: Sparse, alpha: int) -> Sparse:
    """``alpha * new + (1 - alpha) * old``, with the entries of both that are above 0."""
    n = len(new.starts) - 1
    places = np.union1d(_places(new), _places(old))
    values = np.zeros(len(places), np.int64)
    values[np.searchsorted(places, _places(new))] += mul(new.values, alpha)
    values[np.searchsorted(places, _places(old))] += mul(old.values, ONE - alpha)
    counts = np.bincount(places // n, minlength=n)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    return Sparse(starts, (places % n).astype(np.int32), values).where(values > 0)


def aligned(at: Sparse, values: Sparse) -> Fixed:
    """The values at the entries of ``at``, 0 where there is none."""
    places = _places(values)
    if not len(places):
        return np.zeros(len(at.values), np.int64)
    found = np.minimum(np.searchsorted(places, _places(at)), len(places) - 1)
    return np.where(places[found] == _places(at), values.values[found], 0)


def _places(matrix: Sparse) -> Fixed:
    return matrix.rows * (len(matrix.starts) - 1) + matrix.targets


def kept(bonds: Sparse, seated: Flags) -> Sparse:
    """The u16 that the next epoch starts from: of those who hold a permit then."""
    scaled = bonds.with_values(to_u16(bonds.values))
    return scaled.where(seated[bonds.rows] & (scaled.values > 0))


def weighed(matrix: Sparse, active: Fixed) -> Sparse:
    """Every entry times the active stake of its row."""
    return matrix.with_values(mul(matrix.values, active[matrix.rows]))


def by_target(matrix: Sparse, factors: Fixed) -> Sparse:
    """Every entry times the factor of its target."""
    return matrix.with_values(mul(matrix.values, factors[matrix.targets]))


def row_sums(matrix: Sparse) -> Fixed:
    """Sums of the rows, shape (n,)."""
    return _sums(matrix.rows, matrix)


def column_sums(matrix: Sparse) -> Fixed:
    """Sums of the columns, shape (n,)."""
    return _sums(matrix.targets, matrix)


def _sums(keys: Fixed | Targets, matrix: Sparse) -> Fixed:
    sums = np.zeros(len(matrix.starts) - 1, np.int64)
    np.add.at(sums, keys, matrix.values)
    return sums


def column_shares(matrix: Sparse) -> Sparse:
    """Every entry as a share of its column."""
    return matrix.with_values(div(matrix.values, column_sums(matrix)[matrix.targets]))


def upscaled(matrix: Sparse) -> Sparse:
    """Every entry as a share of the largest of its column."""
    largest = np.zeros(len(matrix.starts) - 1, np.int64)
    np.maximum.at(largest, matrix.targets, matrix.values)
    return matrix.with_values(div(matrix.values, largest[matrix.targets]))

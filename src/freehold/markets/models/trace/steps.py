"""One step of an epoch at a time, in Python's integers, as the contracts reckon it.

The same numbers as ``yuma`` for weights above zero, which are all that a row can hold; everything
is I32F32 and rounded down. A weight of 0 is one that was not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from freehold.markets.models.trace.values import Bond, Column
from freehold.markets.models.yuma.exp import FIRST, LN_2, LOG2_E, REACH, SECOND, THIRD
from freehold.markets.models.yuma.values import ONE, PPM, U16_MAX, Liquid, Rules

Vector: TypeAlias = Sequence[int]


def share(part: int, whole: int) -> int:
    """A part of a whole; 0 of nothing."""
    return (part << 32) // whole if whole else 0


def shares(values: Vector) -> list[int]:
    """Every value's share of their sum."""
    total = sum(values)
    return [share(value, total) for value in values]


def times(a: int, b: int) -> int:
    """A product of two I32F32."""
    return a * b >> 32


def proportion(value: int) -> int:
    """Of 65535."""
    return value * ONE // U16_MAX


def column(rules: Rules, raw: Vector, active: Vector, totals: Vector) -> Column:
    """Consensus and rank of a node: ``raw`` weights, active stake and row sums by validator."""
    weights = [share(weight, total) for weight, total in zip(raw, totals, strict=True)]
    consensus = median(weights, active, proportion(rules.kappa))
    clipped = [min(weight, consensus) for weight in weights]
    return Column(consensus, sum(map(times, clipped, active)))


def median(weights: Vector, active: Vector, kappa: int) -> int:
    """The least weight with more than ``sum(A) - kappa`` of A at or below it, else the largest."""
    limit, below = sum(active) - kappa, 0
    known = sorted((w, a) for w, a in zip(weights, active, strict=True) if a)
    for weight, stake in known:
        below += stake
        if below > limit:
            return weight
    return known[-1][0] if known else 0


def bond(
    rules: Rules,
    made: Column,
    raw: Vector,
    active: Vector,
    totals: Vector,
    held: Vector,
    *,
    incentive: int,
    agreed: bool,
) -> Bond:
    """A node's bonds: ``held`` are those of the trace before, of 65535; ``agreed`` where any
    consensus of the epoch is not 0."""
    wanted = [
        bond_weight(share(weight, total), made.consensus, proportion(rules.bonds_penalty))
        for weight, total in zip(raw, totals, strict=True)
    ]
    if rules.yuma3:
        kept = bought(rules, wanted, held, made.consensus, agreed=agreed)
        stored, owned = [times(each, U16_MAX) for each in kept], shares(kept)
    else:
        delta = shares(list(map(times, wanted, active)))
        owned = shares(blended(rules, delta, shares(held)))
        most = max(owned, default=0)
        stored = [share(each, most) * U16_MAX >> 32 for each in owned]
    return Bond(tuple(stored), tuple(times(each, incentive) for each in owned))


def bond_weight(weight: int, consensus: int, penalty: int) -> int:
    """``penalty`` of the way from a weight to the clipped one."""
    return weight + times(min(weight, consensus) - weight, penalty)


def blended(rules: Rules, new: Vector, old: Vector) -> list[int]:
    """An average of new and old at the fixed rate."""
    alpha = ONE - rules.bonds_ema_ppm * ONE // PPM
    return [
        times(a, alpha) + times(b, ONE - alpha) for a, b in zip(new, old, strict=True)
    ]  # fmt: skip


def bought(
    rules: Rules, wanted: Vector, held: Vector, consensus: int, *, agreed: bool
) -> list[int]:
    """Bonds of yuma3. Where alpha is liquid, who gives no weight drops the bond."""
    before = [share(each, U16_MAX) for each in held]
    if rules.liquid is None or not agreed:
        return blended(rules, wanted, before)
    made = []
    for want, had in zip(wanted, before, strict=True):
        alpha = rate(rules.liquid, want, had, consensus)
        made.append(min(times(had, ONE - alpha) + times(want, alpha), ONE) if want else 0)
    return made


def rate(liquid: Liquid, wanted: int, held: int, consensus: int) -> int:
    """Liquid alpha of one bond."""
    distance = wanted - consensus if wanted >= held else held - wanted
    slope = liquid.steepness * ONE // 100
    x = times(ONE // 2 - min(max(distance, 0), ONE), slope)
    step = (1 << 64) // (exp(x) + ONE)
    low, high = proportion(liquid.low), proportion(liquid.high)
    return max(min(low + times(step, high - low), high), low)


def exp(x: int) -> int:
    """e^x by the table of ``yuma.exp``."""
    y = times(max(min(x, REACH), -REACH), LOG2_E)
    f = y & (ONE - 1)
    mantissa = FIRST[f >> 27] * (SECOND[f >> 22 & 31] * THIRD[f >> 17 & 31] >> 31) >> 31
    mantissa += times(mantissa, (f & 0x1FFFF) * LN_2 >> 32)
    shift = (y >> 32) + 1
    return mantissa << shift if shift >= 0 else mantissa >> -shift

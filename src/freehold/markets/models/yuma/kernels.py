"""The loops of an epoch, compiled by numba: one thread, only integers in what they return.

A quotient is estimated in float64, which errs by less than one, and then made exact from its
remainder, so no rounding of the processor can reach a result. A median is found by bisection of
its value, whose cost nobody can raise by choosing weights, as with a badly chosen pivot.

Compiled code is kept where numba keeps it: beside this file, with the trust of Python's own
``.pyc``, or in the user's cache folder; where neither can be written, each process compiles for
itself. numba only looks at a file's time and size, which two releases may share, and not at what
a loop takes from other files, so the name under which a loop is kept has a digest of all that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import FunctionType
from typing import TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from freehold.markets.models.yuma import exp as tables
from freehold.markets.models.yuma.values import ONE, U16_MAX, Fixed, Flags, Targets

_Kernel = TypeVar("_Kernel", bound=Callable[..., object])
_FIRST, _SECOND, _THIRD = (
    np.array(table, np.int64) for table in (tables.FIRST, tables.SECOND, tables.THIRD)
)
_REACH, _LOG2_E, _LN_2 = tables.REACH, tables.LOG2_E, tables.LN_2
_SCALE = float(ONE)
_CONSTANTS = (tables.FIRST, tables.SECOND, tables.THIRD, _REACH, _LOG2_E, _LN_2, ONE, U16_MAX)
_written = hashlib.sha256(repr(_CONSTANTS).encode())
Floats = npt.NDArray[np.float64]
Matrix = tuple[Fixed, Targets, Fixed]
"""Starts, targets and values of a sparse matrix."""


def _compiled(function: _Kernel) -> _Kernel:
    plain = cast(FunctionType, function)
    # A loop calls those above it only, so a running digest covers all that is compiled into it.
    _written.update(plain.__code__.co_code + repr(plain.__code__.co_consts).encode())
    plain.__qualname__ += f"_{_written.hexdigest()[:16]}"
    try:
        return cast(_Kernel, numba.njit(cache=True)(function))
    except RuntimeError:  # numba found no folder to keep it in
        return cast(_Kernel, numba.njit(function))


@_compiled
def _mul(a: int, b: int) -> int:
    return (a * (b >> 16) + ((a * (b & 0xFFFF)) >> 16)) >> 16


@_compiled
def _div(a: int, b: int, inverse: float) -> int:
    # The rest is between -b and 2 b, below 2^46, so it survives products modulo 2^64.
    quotient = int(a * inverse)
    rest = (a << 32) - quotient * b
    if rest < 0:
        quotient -= 1
    elif rest >= b:
        quotient += 1
    return quotient


@_compiled
def _inverses(sums: Fixed) -> tuple[Fixed, Floats]:
    divisors = np.maximum(sums, 1)
    return divisors, _SCALE / divisors


@_compiled
def _exp(x: int) -> int:
    y = _mul(min(max(x, -_REACH), _REACH), _LOG2_E)
    f = y & 0xFFFFFFFF
    fine = (_SECOND[(f >> 22) & 31] * _THIRD[(f >> 17) & 31]) >> 31
    mantissa = (_FIRST[f >> 27] * fine) >> 31
    mantissa += (mantissa * (((f & 0x1FFFF) * _LN_2) >> 32)) >> 32
    shift = (y >> 32) + 1
    return int(mantissa << shift if shift > 0 else mantissa >> -shift)


@_compiled
def _sigmoid(x: int, slope: int) -> int:
    divisor = _exp(_mul((ONE >> 1) - x, slope)) + ONE
    whole = (1 << 62) // divisor
    return whole * 4 + ((1 << 62) - whole * divisor) * 4 // divisor


@_compiled
def weights(
    starts: Fixed,
    targets: Targets,
    values: Fixed,
    permits: Flags,
    updated: Fixed,
    registered: Fixed,
    committed: Fixed,
) -> tuple[Fixed, Targets, Fixed, Fixed, Fixed]:
    """Starts, targets, raw values and shares of the weights that count, and their row sums."""
    n = len(permits)
    ends, totals = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
    found = np.empty(len(targets), np.int32)
    raw, shares = np.empty(len(targets), np.int64), np.empty(len(targets), np.int64)
    at = 0
    for i in range(n):
        first, total = at, 0
        if permits[i]:
            for k in range(starts[i], starts[i + 1]):
                j = targets[k]
                known = registered[j]
                if j != i and updated[i] > known and committed[i] >= known:
                    found[at] = j
                    raw[at] = values[k]
                    total += values[k]
                    at += 1
        ends[i + 1], totals[i] = at, total
        if total:
            inverse = _SCALE / total
            for k in range(first, at):
                shares[k] = _div(raw[k], total, inverse)
        else:
            shares[first:at] = 0
    return ends, found[:at], raw[:at], shares[:at], totals


@_compiled
def consensus(starts: Fixed, targets: Targets, values: Fixed, active: Fixed, kappa: int) -> Fixed:
    """The stake-weighted median of every column."""
    n = len(active)
    median, total = np.zeros(n, np.int64), active.sum()
    limit = total - kappa
    present, counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for i in range(n):
        if active[i]:
            for k in range(starts[i], starts[i + 1]):
                if values[k]:
                    present[targets[k]] += active[i]
                    counts[targets[k]] += 1
    # Columns that an absent majority holds at 0 need no search, and are left out.
    ends = np.zeros(n + 1, np.int64)
    for j in range(n):
        absent = total - present[j]
        if absent > limit and absent:
            counts[j] = 0
        ends[j + 1] = ends[j] + counts[j]
    by_weight, by_stake = np.empty(ends[n], np.int64), np.empty(ends[n], np.int64)
    place = ends[:n].copy()
    for i in range(n):
        if active[i]:
            for k in range(starts[i], starts[i + 1]):
                j = targets[k]
                if values[k] and counts[j]:
                    by_weight[place[j]] = values[k]
                    by_stake[place[j]] = active[i]
                    place[j] += 1
    for j in range(n):
        if counts[j]:
            column = slice(ends[j], ends[j + 1])
            median[j] = _bisect(by_weight[column], by_stake[column], limit - total + present[j])
    return median


@_compiled
def _bisect(values: Fixed, stakes: Fixed, limit: int) -> int:
    low, high = values.min(), values.max()
    while low < high:
        middle = (low + high) >> 1
        below = 0
        for k in range(len(values)):
            below += stakes[k] if values[k] <= middle else 0
        if below > limit:
            high = middle
        else:
            low = middle + 1
    return int(low)


@_compiled
def clip(
    starts: Fixed, targets: Targets, values: Fixed, median: Fixed, active: Fixed
) -> tuple[Fixed, Targets, Fixed, Fixed, Fixed]:
    """The clipped weights as a matrix, the ranks, and the row sums."""
    n = len(active)
    ends, rank, trust = np.zeros(n + 1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    found, clipped = np.empty(len(targets), np.int32), np.empty(len(targets), np.int64)
    at = 0
    for i in range(n):
        total = 0
        for k in range(starts[i], starts[i + 1]):
            j = targets[k]
            value = min(values[k], median[j])
            if value or not values[k]:
                found[at], clipped[at] = j, value
                at += 1
                total += value
                rank[j] += _mul(value, active[i])
        ends[i + 1], trust[i] = at, total
    return ends, found[:at], clipped[:at], rank, trust


@_compiled
def between(
    starts: Fixed, targets: Targets, values: Fixed, median: Fixed, penalty: int
) -> tuple[Fixed, Targets, Fixed]:
    """Weights for bonds where the penalty is partial."""
    ends = np.zeros_like(starts)
    found, mixed = np.empty(len(targets), np.int32), np.empty(len(targets), np.int64)
    at = 0
    for i in range(len(starts) - 1):
        for k in range(starts[i], starts[i + 1]):
            lowered = min(values[k], median[targets[k]]) - values[k]
            value = values[k] + _mul(lowered, penalty)
            if value > 0:
                found[at], mixed[at] = targets[k], value
                at += 1
        ends[i + 1] = at
    return ends, found[:at], mixed[:at]


@_compiled
def held(
    starts: Fixed, targets: Targets, values: Fixed, registered: Fixed, last_epoch: int
) -> tuple[Fixed, Targets, Fixed]:
    """The old bonds on targets that were there at the last epoch."""
    ends = np.zeros_like(starts)
    found, bonds = np.empty(len(targets), np.int32), np.empty(len(targets), np.int64)
    at = 0
    for i in range(len(starts) - 1):
        for k in range(starts[i], starts[i + 1]):
            if registered[targets[k]] < last_epoch:
                found[at], bonds[at] = targets[k], values[k]
                at += 1
        ends[i + 1] = at
    return ends, found[:at], bonds[:at]


@_compiled
def _column_sums(targets: Targets, values: Fixed, n: int) -> Fixed:
    sums = np.zeros(n, np.int64)
    for k in range(len(targets)):
        sums[targets[k]] += values[k]
    return sums


@_compiled
def column_shares(targets: Targets, values: Fixed, n: int) -> Fixed:
    """Every entry as a share of its column."""
    sums, inverses = _inverses(_column_sums(targets, values, n))
    shares = np.empty(len(targets), np.int64)
    for k in range(len(targets)):
        j = targets[k]
        shares[k] = _div(values[k], sums[j], inverses[j])
    return shares


@_compiled
def upscaled(targets: Targets, values: Fixed, n: int) -> Fixed:
    """Every entry as a share of the largest of its column."""
    largest = np.zeros(n, np.int64)
    for k in range(len(targets)):
        largest[targets[k]] = max(largest[targets[k]], values[k])
    divisors, inverses = _inverses(largest)
    shares = np.empty(len(targets), np.int64)
    for k in range(len(targets)):
        j = targets[k]
        shares[k] = _div(values[k], divisors[j], inverses[j])
    return shares


@_compiled
def weighed(starts: Fixed, values: Fixed, active: Fixed) -> Fixed:
    """Every entry times the active stake of its row."""
    products = np.empty(len(values), np.int64)
    for i in range(len(active)):
        for k in range(starts[i], starts[i + 1]):
            products[k] = _mul(values[k], active[i])
    return products


@_compiled
def blended(
    starts: Fixed,
    targets: Targets,
    values: Fixed,
    old_starts: Fixed,
    old_targets: Targets,
    old_values: Fixed,
    alpha: int,
) -> tuple[Fixed, Targets, Fixed]:
    """``alpha`` of the new and the rest of the old, entries of both that are above 0."""
    ends = np.zeros_like(starts)
    n, room = len(starts) - 1, len(targets) + len(old_targets)
    found, mixed = np.empty(room, np.int32), np.empty(room, np.int64)
    at = 0
    for i in range(n):
        k, last = starts[i], starts[i + 1]
        o, old_last = old_starts[i], old_starts[i + 1]
        while k < last or o < old_last:
            value = 0
            j = min(
                targets[k] if k < last else 1 << 30, old_targets[o] if o < old_last else 1 << 30
            )
            if k < last and targets[k] == j:
                value += _mul(values[k], alpha)
                k += 1
            if o < old_last and old_targets[o] == j:
                value += _mul(old_values[o], ONE - alpha)
                o += 1
            if value > 0:
                found[at], mixed[at] = j, value
                at += 1
        ends[i + 1] = at
    return ends, found[:at], mixed[:at]


@_compiled
def liquid(
    starts: Fixed,
    targets: Targets,
    values: Fixed,
    old_starts: Fixed,
    old_targets: Targets,
    old_values: Fixed,
    median: Fixed,
    low: int,
    high: int,
    slope: int,
) -> tuple[Fixed, Targets, Fixed]:
    """Bonds under liquid alpha, at the entries of the new weights only."""
    ends = np.zeros_like(starts)
    found, bonds = np.empty(len(targets), np.int32), np.empty(len(targets), np.int64)
    at = 0
    for i in range(len(starts) - 1):
        o, old_last = old_starts[i], old_starts[i + 1]
        for k in range(starts[i], starts[i + 1]):
            j, new = targets[k], values[k]
            while o < old_last and old_targets[o] < j:
                o += 1
            old = old_values[o] if o < old_last and old_targets[o] == j else 0
            distance = new - median[j] if new >= old else old - new
            steps = _sigmoid(min(max(distance, 0), ONE), slope)
            alpha = min(max(low + _mul(steps, high - low), low), high)
            value = min(_mul(old, ONE - alpha) + _mul(new, alpha), ONE)
            if value > 0:
                found[at], bonds[at] = j, value
                at += 1
        ends[i + 1] = at
    return ends, found[:at], bonds[:at]


@_compiled
def proportions(values: Fixed) -> Fixed:
    """u16 as I32F32 of 65535."""
    shares = np.empty(len(values), np.int64)
    for k in range(len(values)):
        shares[k] = (values[k] << 32) // U16_MAX
    return shares


@_compiled
def dividends(starts: Fixed, targets: Targets, values: Fixed, incentive: Fixed) -> Fixed:
    """Row sums of every entry times the incentive of its target."""
    sums = np.zeros(len(incentive), np.int64)
    for i in range(len(incentive)):
        total = 0
        for k in range(starts[i], starts[i + 1]):
            total += _mul(values[k], incentive[targets[k]])
        sums[i] = total
    return sums


@_compiled
def kept(
    starts: Fixed, targets: Targets, values: Fixed, seated: Flags
) -> tuple[Fixed, Targets, Fixed]:
    """The u16 of those who hold a permit next."""
    ends = np.zeros_like(starts)
    found, stored = np.empty(len(targets), np.int32), np.empty(len(targets), np.int64)
    at = 0
    for i in range(len(seated)):
        if seated[i]:
            for k in range(starts[i], starts[i + 1]):
                value = (values[k] * U16_MAX) >> 32
                if value > 0:
                    found[at], stored[at] = targets[k], value
                    at += 1
        ends[i + 1] = at
    return ends, found[:at], stored[:at]

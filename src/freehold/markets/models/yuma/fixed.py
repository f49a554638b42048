"""I32F32 on int64 arrays: every product and quotient is rounded down, exactly.

Only integers, so the order of a sum changes nothing. ``mul`` splits its second factor at 16 bits
and ``div`` divides in three steps of 16 bits, since neither whole product fits 64 bits. Exact
for factors up to 2^33 (shares are at most 2^32) and divisors below 2^47: a sum over 4096 nodes
of shares is at most 2^44.
"""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma.values import ONE, PPM, U16_MAX, Fixed


def mul(a: Fixed, b: Fixed | int) -> Fixed:
    """``a * b`` of I32F32, b not negative; towards minus infinity where a is negative."""
    product: Fixed = (a * (b >> 16) + (a * (b & 0xFFFF) >> 16)) >> 16
    return product


def div(a: Fixed, b: Fixed | int) -> Fixed:
    """``a / b`` of I32F32, or of two integers of one unit; 0 where b is 0. Neither is negative."""
    divisor = np.maximum(b, 1)
    whole, rest = np.divmod(a, divisor)
    upper, rest = np.divmod(rest << 16, divisor)
    lower = (rest << 16) // divisor
    return np.where(b == 0, 0, (whole << 32) + (upper << 16) + lower)


def normalised(values: Fixed) -> Fixed:
    """Shares of the sum; zeros where the sum is 0."""
    return div(values, int(values.sum()))


def of_u16(value: int) -> int:
    """A proportion of 65535 as I32F32."""
    return value * ONE // U16_MAX


def to_u16(values: Fixed) -> Fixed:
    """Shares as proportions of 65535, rounded down."""
    return values * U16_MAX >> 32


def of_ppm(value: int) -> int:
    """A proportion of a million as I32F32."""
    return value * ONE // PPM

"""exp in integers: a table that contract ``disputes`` holds too, so that both give one number.

With x in I32F32, clamped to -20 .. 20, everything rounded down::

    y = x * LOG2_E >> 32                    # exp(x) = 2^y
    m, f = y >> 32, y & (2^32 - 1)
    q = (SECOND[f >> 22 & 31] * THIRD[f >> 17 & 31]) >> 31
    p = (FIRST[f >> 27] * q) >> 31          # 2^31 .. 2^32
    p = p + (p * ((f & (2^17 - 1)) * LN_2 >> 32) >> 32)
    exp(x) = p << (m + 1), or p >> -(m + 1)

``FIRST[i]`` is 2^(i / 32), ``SECOND[i]`` 2^(i / 1024) and ``THIRD[i]`` 2^(i / 32768), each times
2^31 and rounded to nearest: 96 words, and the two constants below. No product reaches 2^63. The
largest relative error is below 2.2e-9, and for x < 0 one unit of 2^-32 comes on top. ``exp(0)``
is exactly 1.
"""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma.fixed import mul
from freehold.markets.models.yuma.values import ONE, Fixed

REACH = 20 * ONE
"""Beyond it, on either side, exp is that of the bound."""
LOG2_E = 6_196_328_019
"""1 / ln 2, times 2^32, to nearest."""
LN_2 = 2_977_044_472
"""ln 2, times 2^32, to nearest."""
# fmt: off
FIRST = (
    2_147_483_648, 2_194_507_417, 2_242_560_872, 2_291_666_561, 2_341_847_524, 2_393_127_307,
    2_445_529_972, 2_499_080_105, 2_553_802_834, 2_609_723_834, 2_666_869_345, 2_725_266_179,
    2_784_941_738, 2_845_924_021, 2_908_241_642, 2_971_923_842, 3_037_000_500, 3_103_502_151,
    3_171_459_999, 3_240_905_930, 3_311_872_529, 3_384_393_094, 3_458_501_653, 3_534_232_978,
    3_611_622_603, 3_690_706_840, 3_771_522_796, 3_854_108_391, 3_938_502_376, 4_024_744_348,
    4_112_874_773, 4_202_935_003,
)
"""2^(i / 32), times 2^31."""
SECOND = (
    2_147_483_648, 2_148_937_775, 2_150_392_887, 2_151_848_984, 2_153_306_067, 2_154_764_136,
    2_156_223_193, 2_157_683_238, 2_159_144_272, 2_160_606_295, 2_162_069_308, 2_163_533_311,
    2_164_998_306, 2_166_464_293, 2_167_931_272, 2_169_399_245, 2_170_868_212, 2_172_338_173,
    2_173_809_130, 2_175_281_083, 2_176_754_033, 2_178_227_980, 2_179_702_925, 2_181_178_868,
    2_182_655_811, 2_184_133_755, 2_185_612_699, 2_187_092_644, 2_188_573_592, 2_190_055_542,
    2_191_538_496, 2_193_022_454,
)
"""2^(i / 1024), times 2^31."""
THIRD = (
    2_147_483_648, 2_147_529_075, 2_147_574_502, 2_147_619_931, 2_147_665_360, 2_147_710_790,
    2_147_756_222, 2_147_801_654, 2_147_847_087, 2_147_892_522, 2_147_937_957, 2_147_983_393,
    2_148_028_830, 2_148_074_268, 2_148_119_707, 2_148_165_148, 2_148_210_589, 2_148_256_030,
    2_148_301_473, 2_148_346_917, 2_148_392_362, 2_148_437_808, 2_148_483_255, 2_148_528_702,
    2_148_574_151, 2_148_619_601, 2_148_665_051, 2_148_710_503, 2_148_755_955, 2_148_801_409,
    2_148_846_863, 2_148_892_319,
)
"""2^(i / 32768), times 2^31."""
# fmt: on

_FIRST, _SECOND, _THIRD = (np.array(table, np.int64) for table in (FIRST, SECOND, THIRD))


def exp(x: Fixed) -> Fixed:
    """e^x of I32F32, any shape, by the table above."""
    y = mul(np.clip(x, -REACH, REACH), LOG2_E)
    f = y & (ONE - 1)
    fine = _SECOND[f >> 22 & 31] * _THIRD[f >> 17 & 31] >> 31
    mantissa = _FIRST[f >> 27] * fine >> 31
    mantissa += mantissa * ((f & 0x1FFFF) * LN_2 >> 32) >> 32
    shift = (y >> 32) + 1
    value: Fixed = (mantissa << np.maximum(shift, 0)) >> np.maximum(-shift, 0)
    return value


def sigmoid(x: Fixed, *, slope: int, middle: int) -> Fixed:
    """``1 / (1 + exp(slope * (middle - x)))``, all I32F32; ``slope`` at most 100."""
    divisor = exp(mul(middle - x, slope)) + ONE
    # The divisor may have 61 bits, so the quotient comes in two steps of at most 63.
    whole, rest = np.divmod(np.full_like(divisor, 1 << 62), divisor)
    quotient: Fixed = whole * 4 + rest * 4 // divisor
    return quotient

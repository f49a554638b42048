# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Wide arithmetic
@license Apache-2.0
@notice Products of 512 bits, and numbers with 128 binary places (Q.128): products, powers, exp(-x).
@dev A library without state; everything rounds down. `exp_negative` is the rational function of
     Filecoin's reward actor (builtin-actors, actors/reward/src/expneg.rs), a Padé quotient of the
     degrees 7 and 13 by Horner's rule with a floor at every step. It falls strictly up to x = 16
     and turns negative past 16.8, so larger x count as 16.
"""

ONE: constant(uint256) = 2**128
LOW: constant(uint256) = 2**128 - 1
REACH: constant(uint256) = 16 * 2**128
NUMERATOR: constant(int256[8]) = [
    -648770010757830093818553637600,
    67469480939593786226847644286976,
    -3197587544499098424029388939001856,
    89244641121992890118377641805348864,
    -1579656163641440567800982336819953664,
    17685496037279256458459817590917169152,
    -115682590513835356866803355398940131328,
    340282366920938463463374607431768211456,
]
DENOMINATOR: constant(uint256[14]) = [
    1225524182432722209606361,
    114095592300906098243859450,
    5665570424063336070530214243,
    194450132448609991765137938448,
    5068267641632683791026134915072,
    104716890604972796896895427629056,
    1748338658439454459487681798864896,
    23704654329841312470660182937960448,
    259380097567996910282699886670381056,
    2250336698853390384720606936038375424,
    14978272436876548034486263159246028800,
    72144088983913131323343765784380833792,
    224599776407103106596571252037123047424,
    340282366920938463463374607431768211456,
]


@internal
@pure
def high(a: uint256, b: uint256) -> uint256:
    """
    @notice The upper 256 bits of a product of 512.
    """
    low: uint256 = unsafe_mul(a, b)
    rest: uint256 = uint256_mulmod(a, b, max_value(uint256))
    upper: uint256 = unsafe_sub(rest, low)
    if rest < low:
        upper = unsafe_sub(upper, 1)
    return upper


@internal
@pure
def times(a: uint256, b: uint256) -> uint256:
    """
    @notice a * b / 2**128 of a product of 512 bits.
    """
    upper: uint256 = self.high(a, b)
    assert upper < ONE, "wide: overflow"
    return (upper << 128) | (unsafe_mul(a, b) >> 128)


@internal
@pure
def divided(a: uint256, b: uint256, divisor: uint256) -> uint256:
    """
    @notice a * b / divisor of a product of 512 bits.
    @dev The remainder is taken off, the powers of two are divided out, and what is then an exact
         division is a product with the inverse modulo 2**256 (Newton, from 4 bits right to 256).
    """
    upper: uint256 = self.high(a, b)
    low: uint256 = unsafe_mul(a, b)
    if upper == 0:
        return low // divisor
    assert upper < divisor, "wide: overflow"
    rest: uint256 = uint256_mulmod(a, b, divisor)
    if rest > low:
        upper = unsafe_sub(upper, 1)
    low = unsafe_sub(low, rest)
    twos: uint256 = divisor & unsafe_sub(0, divisor)
    odd: uint256 = unsafe_div(divisor, twos)
    low = unsafe_div(low, twos) | unsafe_mul(
        upper, unsafe_add(unsafe_div(unsafe_sub(0, twos), twos), 1)
    )
    inverse: uint256 = unsafe_mul(3, odd) ^ 2
    for _: uint256 in range(6):
        inverse = unsafe_mul(inverse, unsafe_sub(2, unsafe_mul(odd, inverse)))
    return unsafe_mul(low, inverse)


@internal
@pure
def power(base: uint256, exponent: uint256) -> uint256:
    """
    @notice base ** exponent in Q.128, exponent below 2**32, by squaring from the lowest bit.
    """
    result: uint256 = ONE
    square: uint256 = base
    rest: uint256 = exponent
    for _: uint256 in range(32):
        if rest == 0:
            break
        if rest & 1 == 1:
            result = self.times(result, square)
        square = self.times(square, square)
        rest = rest >> 1
    assert rest == 0, "wide: exponent too large"
    return result


@internal
@pure
def exp_negative(x: uint256) -> uint256:
    """
    @notice exp(-x) in Q.128; an x above 16 counts as 16.
    """
    point: uint256 = min(x, REACH)
    upper: int256 = 0
    for coefficient: int256 in NUMERATOR:
        upper = self.floor_times(upper, point) + coefficient
    lower: uint256 = 0
    for coefficient: uint256 in DENOMINATOR:
        lower = self.times(lower, point) + coefficient
    return self.divided(convert(upper, uint256), ONE, lower)


@internal
@pure
def floor_times(a: int256, b: uint256) -> int256:
    """
    @notice a * b / 2**128, rounded towards minus infinity.
    """
    if a >= 0:
        return convert(self.times(convert(a, uint256), b), int256)
    size: uint256 = convert(-a, uint256)
    rounded: uint256 = self.times(size, b)
    if unsafe_mul(size, b) & LOW != 0:
        rounded += 1
    return -convert(rounded, int256)

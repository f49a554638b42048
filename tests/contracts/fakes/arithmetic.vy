# pragma version 0.4.3
# Shows what the module of wide arithmetic computes.

from modules import wide


@external
@pure
def times(a: uint256, b: uint256) -> uint256:
    return wide.times(a, b)


@external
@pure
def divided(a: uint256, b: uint256, divisor: uint256) -> uint256:
    return wide.divided(a, b, divisor)


@external
@pure
def power(base: uint256, exponent: uint256) -> uint256:
    return wide.power(base, exponent)


@external
@pure
def exp_negative(x: uint256) -> uint256:
    return wide.exp_negative(x)


@external
@pure
def floor_times(a: int256, b: uint256) -> int256:
    return wide.floor_times(a, b)

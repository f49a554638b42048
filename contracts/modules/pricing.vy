# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Moving prices
@license Apache-2.0
@notice A price that use raises by a factor and time lowers by a half-life, between two bounds; the
        same integers as freehold.economics.pricing.
@dev A library without state: a contract keeps the price after the last use and its moment, which
     `packed` puts in one word. Waiting stores nothing, so nobody can stop a price from falling by
     touching it. Everything rounds up, never to whoever pays. Two waits in a row give what one wait
     of both gives, to within two base units. 2**-x is exp(-x ln 2) for the part of a half-life, and
     a shift for the whole ones.
     - Overflow: a price lies below 2**96, a factor below 2**20, exp at most 2**128.
     - Stuck: a price is at least 1 and a factor above 1, so that each use raises it until it
       reaches its upper bound; from there it is at the lower in 96 half-lives at most.
"""

from modules import wide

BPS: constant(uint256) = 10**4
# ln 2, Q.128.
LN_2: constant(uint256) = 235865763225513294137944142764154484399
MAX_PRICE: constant(uint256) = 2**96 - 1
MAX_FACTOR_BPS: constant(uint256) = 100 * 10**4
MAX_HALF_LIFE: constant(uint256) = 10 * 366 * 86400


@internal
@pure
def check(lowest: uint256, highest: uint256, half_life: uint256, factor_bps: uint256):
    """
    @notice Refuse terms with which a price could overflow or stand still.
    """
    assert 0 < lowest and lowest <= highest, "pricing: lowest out of bounds"
    assert highest <= MAX_PRICE, "pricing: highest out of bounds"
    assert 0 < half_life and half_life <= MAX_HALF_LIFE, "pricing: half-life out of bounds"
    assert BPS < factor_bps and factor_bps <= MAX_FACTOR_BPS, "pricing: factor out of bounds"


@internal
@pure
def decayed(price: uint256, seconds: uint256, half_life: uint256, lowest: uint256) -> uint256:
    """
    @notice What a price has come down to after some seconds without use.
    """
    if price <= lowest:
        return lowest
    part: uint256 = wide.exp_negative(seconds % half_life * LN_2 // half_life)
    halvings: uint256 = min(seconds // half_life, 128)
    return max((price * part - 1 >> (128 + halvings)) + 1, lowest)


@internal
@pure
def raised(price: uint256, factor_bps: uint256, highest: uint256) -> uint256:
    """
    @notice What a price is once it was paid.
    """
    return min((price * factor_bps + BPS - 1) // BPS, highest)


@internal
@pure
def packed(price: uint256, moment: uint256) -> uint256:
    """
    @notice A price and the moment of its last use in one word.
    """
    return moment << 96 | price


@internal
@pure
def unpacked(word: uint256) -> (uint256, uint256):
    """
    @notice The price and the moment.
    """
    return word & MAX_PRICE, word >> 96

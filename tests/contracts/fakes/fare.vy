# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A scarce action at a moving price, and the arithmetic of that price as it stands.
"""

from modules import pricing

event Used:
    user: indexed(address)
    paid: uint256


interface IToken:
    def burn_from(owner: address, amount: uint256): nonpayable


token: immutable(address)
LOWEST: immutable(uint256)
HIGHEST: immutable(uint256)
HALF_LIFE: immutable(uint256)
FACTOR_BPS: immutable(uint256)
_last: uint256


@deploy
def __init__(
    token_: address, lowest: uint256, highest: uint256, half_life: uint256, factor_bps: uint256
):
    pricing.check(lowest, highest, half_life, factor_bps)
    token = token_
    LOWEST = lowest
    HIGHEST = highest
    HALF_LIFE = half_life
    FACTOR_BPS = factor_bps
    self._last = pricing.packed(lowest, block.timestamp)


@external
def use(max_price: uint256) -> uint256:
    price: uint256 = self._price()
    assert price <= max_price, "fare: the price has risen"
    self._last = pricing.packed(pricing.raised(price, FACTOR_BPS, HIGHEST), block.timestamp)
    log Used(user=msg.sender, paid=price)
    extcall IToken(token).burn_from(msg.sender, price)
    return price


@external
@view
def price() -> uint256:
    return self._price()


@external
@pure
def decayed(price: uint256, seconds: uint256, half_life: uint256, lowest: uint256) -> uint256:
    return pricing.decayed(price, seconds, half_life, lowest)


@external
@pure
def raised(price: uint256, factor_bps: uint256, highest: uint256) -> uint256:
    return pricing.raised(price, factor_bps, highest)


@internal
@view
def _price() -> uint256:
    last: uint256 = 0
    moment: uint256 = 0
    last, moment = pricing.unpacked(self._last)
    return pricing.decayed(last, block.timestamp - moment, HALF_LIFE, LOWEST)

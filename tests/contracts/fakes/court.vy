# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A judge of roots and subnets that does and names what a test says.
"""

from interfaces import IPruner

implements: IPruner

_word: uint256
_moment: uint256


@external
def run(target: address, data: Bytes[2048]):
    raw_call(target, data)


@external
def name(word: uint256, ended_at: uint256):
    self._word = word
    self._moment = ended_at


@external
@view
def prune_list(subnet: uint256) -> (uint256, uint256):
    return self._word, self._moment

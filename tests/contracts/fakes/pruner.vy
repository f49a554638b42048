# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A judge that names whom a test says.
"""

from interfaces import IPruner

implements: IPruner

_words: HashMap[uint256, uint256]
_moments: HashMap[uint256, uint256]


@external
def name(subnet: uint256, word: uint256, ended_at: uint256):
    self._words[subnet] = word
    self._moments[subnet] = ended_at


@external
@view
def prune_list(subnet: uint256) -> (uint256, uint256):
    return self._words[subnet], self._moments[subnet]

# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Somebody whom a verifier tells its work, and who takes it well or badly.
"""

TAKES: constant(uint256) = 0
REVERTS: constant(uint256) = 1
BURNS: constant(uint256) = 2
SHOUTS: constant(uint256) = 3

mode: public(uint256)
work: public(HashMap[uint256, uint256])


@external
def set_mode(mode_: uint256):
    self.mode = mode_


@external
@raw_return
def proven(account: uint256, work_: uint256) -> Bytes[65536]:
    self.work[account] += work_
    if self.mode == REVERTS:
        raise "sink: not today"
    if self.mode == BURNS:
        seed: bytes32 = empty(bytes32)
        for i: uint256 in range(10_000_000):
            seed = keccak256(seed)
    if self.mode == SHOUTS:
        return slice(msg.data, 0, 4)
    return b""

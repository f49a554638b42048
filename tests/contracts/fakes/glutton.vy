# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A contract wallet that takes every signature: for one asker it burns gas or pads its answer.
"""

asker: immutable(address)
spared: public(uint256)
padded: public(bool)


@deploy
def __init__(asker_: address):
    asker = asker_


@external
def run(target: address, data: Bytes[2048]) -> Bytes[1024]:
    return raw_call(target, data, max_outsize=1024)


@external
def set_manners(spared: uint256, padded: bool):
    """
    @notice What it leaves of the gas that it is given, and whether dirt follows its answer.
    """
    self.spared = spared
    self.padded = padded


@external
@view
@raw_return
def isValidSignature(hashed: bytes32, signature: Bytes[1024]) -> Bytes[64]:
    answer: bytes32 = convert(0x1626BA7E, bytes32)
    if msg.sender != asker:
        return concat(answer, b"")
    if self.padded:
        answer = convert(convert(answer, uint256) | 1, bytes32)
    if self.spared != 0:
        seed: bytes32 = hashed
        for i: uint256 in range(100_000):
            if msg.gas < self.spared:
                break
            seed = keccak256(seed)
    return concat(answer, b"")

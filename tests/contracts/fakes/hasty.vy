# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Hasty
@license Apache-2.0
@notice Sends calls with their value, and one of its own with the little gas of a refund: what that
        is stands in its code, for storage is dear to read.
"""

TARGET: immutable(address)
DATA: immutable(Bytes[2048])


@deploy
def __init__(target: address, data: Bytes[2048]):
    TARGET = target
    DATA = data


@external
@payable
def run(target: address, data: Bytes[2048]):
    """
    @notice Send a call and the value that came with it.
    """
    raw_call(target, data, value=msg.value)


@external
@payable
def __default__():
    raw_call(TARGET, DATA)

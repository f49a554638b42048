# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Stubborn
@license Apache-2.0
@notice A contract that sends calls with their value and takes no ether back.
"""


@external
@payable
def run(target: address, data: Bytes[1024]):
    """
    @notice Send a call and the value that came with it.
    """
    raw_call(target, data, value=msg.value)

# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Reenterer
@license Apache-2.0
@notice Payments that call back into the market, whatever they are asked.
"""

_target: address
_data: Bytes[2048]


@external
def aim(target: address, data: Bytes[2048]):
    """
    @notice What to call back.
    """
    self._target = target
    self._data = data


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
    raw_call(self._target, self._data)

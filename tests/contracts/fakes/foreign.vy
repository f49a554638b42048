# pragma version 0.4.3
# pragma evm-version cancun
"""
@title An ERC-20 with the vices of foreign tokens: fees, false answers, hooks.
"""

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
mode: public(uint256)  # 0 sound, 1 answers false, 2 takes a fee of 1, 3 calls back on transfer
unbonding_period: public(uint256)  # as if it were a staking contract
_target: address
_data: Bytes[2048]


@external
def set_mode(mode: uint256):
    self.mode = mode


@external
def set_unbonding_period(seconds: uint256):
    self.unbonding_period = seconds


@external
def set_callback(target: address, data: Bytes[2048]):
    self._target = target
    self._data = data


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    return self._move(msg.sender, to, amount)


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    return self._move(owner, to, amount)


@internal
def _move(owner: address, to: address, amount: uint256) -> bool:
    if self.mode == 1:
        return False
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
    if self.mode == 2:
        self.balanceOf[to] -= 1
    if self.mode == 3:
        raw_call(self._target, self._data)
    return True

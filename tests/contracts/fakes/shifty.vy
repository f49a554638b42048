# pragma version 0.4.3
# pragma evm-version cancun
"""
@title An ERC-20 whose balances shift, and whose transfers fail or carry less than they say.
"""

balanceOf: public(HashMap[address, uint256])
mode: public(uint256)  # 0 sound, 1 reverts, 2 carries nothing, 3 carries nine tenths


@external
def set_mode(mode: uint256):
    self.mode = mode


@external
def set_balance(owner: address, amount: uint256):
    self.balanceOf[owner] = amount


@external
def transfer(to: address, amount: uint256) -> bool:
    assert self.mode != 1, "shifty: refused"
    carried: uint256 = amount
    if self.mode == 2:
        carried = 0
    elif self.mode == 3:
        carried = amount * 9 // 10
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[to] += carried
    return True

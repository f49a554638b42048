# pragma version 0.4.3
# Tells the backed bytes of an epoch that a test has set.

backed: public(HashMap[uint256, uint256])


@external
def set_backed(epoch: uint256, amount: uint256):
    self.backed[epoch] = amount

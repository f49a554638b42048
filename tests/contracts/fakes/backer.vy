# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A test's source of work, burned fees and emission, in the names of pdp, payments, issuance.
"""

interface Rewards:
    def proven(account: uint256, work: uint256): nonpayable


interface Token:
    def mint(receiver: address, amount: uint256, purpose: uint8): nonpayable


burned: public(HashMap[address, HashMap[address, uint256]])
prover: public(HashMap[uint256, address])
_budgets: HashMap[uint256, uint256]
_known: HashMap[uint256, bool]
_token: address
_listeners: HashMap[uint256, address]


@deploy
def __init__(token: address):
    self._token = token


@external
@view
def faults() -> address:
    return self


@external
@view
def listener(account: uint256) -> address:
    return self._listeners[account]


@external
def burn_for(payee: address, amount: uint256):
    self.burned[self][payee] += amount


@external
def set_prover(account: uint256, node: address):
    self.prover[account] = node
    self._listeners[account] = self


@external
def set_listener(account: uint256, listener: address):
    self._listeners[account] = listener


@external
def set_budget(epoch: uint256, amount: uint256):
    self._budgets[epoch] = amount
    self._known[epoch] = True


@external
@view
def drawable(epoch: uint256) -> uint256:
    assert self._known[epoch], "backer: not known yet"
    return self._budgets[epoch]


@external
def draw(epoch: uint256, amount: uint256, to: address):
    assert amount <= self._budgets[epoch], "backer: over the budget"
    self._budgets[epoch] -= amount
    extcall Token(self._token).mint(to, amount, 4)


@external
def report(rewards: address, account: uint256, work: uint256):
    extcall Rewards(rewards).proven(account, work)

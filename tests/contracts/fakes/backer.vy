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
set_of: public(HashMap[address, uint256])
_closed: uint256


@deploy
def __init__(token: address):
    self._token = token
    self._closed = max_value(uint256)


@external
@view
def faults() -> address:
    return self


@external
@view
def pdp() -> address:
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
    self.set_of[node] = account
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
    assert epoch < self._closed and self._known[epoch], "backer: not known yet"
    return self._budgets[epoch]


@external
@view
def closed() -> uint256:
    return self._closed


@external
def set_closed(count: uint256):
    self._closed = count


@external
def advance(limit: uint256) -> uint256:
    self._closed += limit
    return self._closed


@external
def draw(epoch: uint256, amount: uint256, to: address):
    assert amount <= self._budgets[epoch], "backer: over the budget"
    self._budgets[epoch] -= amount
    extcall Token(self._token).mint(to, amount, 4)


@external
def report(rewards: address, account: uint256, work: uint256):
    extcall Rewards(rewards).proven(account, work)

# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Streams
@license Apache-2.0
@notice Buyers pay for readings by the epoch. A part of each purchase burns, the rest goes to the
        roots, which pay whoever delivered what the purchase asks for.
@dev A purchase is the same amount for each of up to 52 epochs in a row, none of them over. What
     burns is `fee_bps` of each epoch's amount, rounded up, at the fee of the moment of buying.
     Watchers read the purchases here to know what a reading earns, and `burned_of` to know how much
     emission an epoch may bring.
     Threats and what meets them.
     - Buying one's own readings for the emission that follows: emission stays below what burned,
       by the rule of those who sign the roots; the burn cannot be taken back here.
     - A fee that is raised on the way: it is taken out of the amount, never added to it, so a buyer
       pays what he stated, and a fifth of it is the most that ever burns.
     - Paying for an epoch that nobody can serve any more: epochs that are over are refused. The one
       that runs is paid for as a whole.
     - Dust: too little to leave a base unit for the roots is refused.
     - Money that stays: what comes in leaves in the same transaction, to the burn and to the roots;
       there is no way out for anybody, and tokens sent here by mistake stay.
     - Re-entrance: state is written before tokens move; the token has no hooks, and the roots call
       nobody but the token.
     - Flooding the list: each purchase costs what it pays.
     Trust: the roots, which are fixed at deployment, pay who earned it. The governor moves the fee
     within hard bounds, for purchases to come, and can touch no tokens.
"""

from interfaces import IToken

interface IApproval:
    def approve(spender: address, amount: uint256) -> bool: nonpayable


interface IPurse:
    def fund(epoch: uint256, amount: uint256): nonpayable
    def genesis() -> uint256: view
    def epoch_length() -> uint256: view


# `amount` and `burned` are base units of each epoch.
struct Purchase:
    buyer: address
    query: String[160]
    epoch: uint256
    count: uint256
    amount: uint256
    burned: uint256


event Bought:
    id: indexed(uint256)
    buyer: indexed(address)
    query: String[160]
    epoch: indexed(uint256)
    count: uint256
    amount: uint256
    burned: uint256


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event FeeSet:
    fee_bps: uint256


BPS: constant(uint256) = 10**4
MIN_FEE: constant(uint256) = 100
MAX_FEE: constant(uint256) = 2_000
MAX_EPOCHS: constant(uint256) = 52
MAX_AHEAD: constant(uint256) = 520
MAX_AMOUNT: constant(uint256) = 2**96
PURPOSE_PAYMENT: constant(uint8) = 3
PURPOSE_BURN: constant(uint8) = 6

token: public(immutable(address))
roots: public(immutable(address))
governor: public(immutable(address))
genesis: public(immutable(uint256))
epoch_length: public(immutable(uint256))

fee_bps: public(uint256)
count: public(uint256)
bought_of: public(HashMap[uint256, uint256])  # by epoch: base units, the burned part included
burned_of: public(HashMap[uint256, uint256])  # by epoch: base units
_purchases: HashMap[uint256, Purchase]


@deploy
def __init__(token_: address, roots_: address, governor_: address, fee_bps_: uint256):
    """
    @param fee_bps_ Ten-thousandths of a purchase that burn, 100 to 2000.
    """
    assert empty(address) not in [token_, roots_, governor_], "streams: zero address"
    token = token_
    roots = roots_
    governor = governor_
    genesis = staticcall IPurse(roots_).genesis()
    epoch_length = staticcall IPurse(roots_).epoch_length()
    self._set_fee(fee_bps_)


@external
def buy(query: String[160], epoch: uint256, count: uint256, amount: uint256) -> uint256:
    """
    @notice Pay for the readings that a query names, with tokens approved before.
    @param epoch The first epoch; neither over nor more than 520 epochs ahead.
    @param count How many epochs, 1 to 52.
    @param amount Base units for each of them, the part that burns included.
    @return The purchase's number, from 1.
    """
    assert len(query) > 0, "streams: no query"
    assert 0 < count and count <= MAX_EPOCHS, "streams: count out of bounds"
    assert 0 < amount and amount <= MAX_AMOUNT, "streams: amount out of bounds"
    now: uint256 = self._epoch()
    assert epoch >= now, "streams: epoch is over"
    assert epoch <= now + MAX_AHEAD, "streams: epoch too far ahead"
    burned: uint256 = (amount * self.fee_bps + BPS - 1) // BPS
    assert burned < amount, "streams: nothing left to pay"
    id: uint256 = self.count + 1
    self.count = id
    self._purchases[id] = Purchase(
        buyer=msg.sender, query=query, epoch=epoch, count=count, amount=amount, burned=burned
    )
    for i: uint256 in range(count, bound=MAX_EPOCHS):
        self.bought_of[epoch + i] += amount
        self.burned_of[epoch + i] += burned
    log Bought(
        id=id,
        buyer=msg.sender,
        query=query,
        epoch=epoch,
        count=count,
        amount=amount,
        burned=burned,
    )
    self._move(epoch, count, amount, burned)
    return id


@external
def set_fee(fee_bps: uint256):
    """
    @notice Change what part of purchases to come burns; the governor.
    """
    assert msg.sender == governor, "streams: not the governor"
    self._set_fee(fee_bps)


@external
@view
def purchase(id: uint256) -> Purchase:
    """
    @notice A purchase by its number; refused where there is none.
    """
    assert 0 < id and id <= self.count, "streams: no such purchase"
    return self._purchases[id]


@external
@view
def epoch() -> uint256:
    """
    @notice The epoch that runs.
    """
    return self._epoch()


@internal
@view
def _epoch() -> uint256:
    return (block.timestamp - genesis) // epoch_length


@internal
def _move(epoch: uint256, count: uint256, amount: uint256, burned: uint256):
    # Everything that comes in leaves again: nothing stays.
    total: uint256 = amount * count
    log Movement(
        token=token, sender=msg.sender, recipient=self, amount=total, purpose=PURPOSE_PAYMENT
    )
    assert extcall IToken(token).transferFrom(
        msg.sender, self, total, default_return_value=True
    ), "streams: transfer failed"
    extcall IToken(token).burn(burned * count, PURPOSE_BURN)
    rest: uint256 = amount - burned
    assert extcall IApproval(token).approve(
        roots, rest * count, default_return_value=True
    ), "streams: approval failed"
    for i: uint256 in range(count, bound=MAX_EPOCHS):
        extcall IPurse(roots).fund(epoch + i, rest)


@internal
def _set_fee(fee_bps: uint256):
    assert MIN_FEE <= fee_bps and fee_bps <= MAX_FEE, "streams: fee out of bounds"
    self.fee_bps = fee_bps
    log FeeSet(fee_bps=fee_bps)

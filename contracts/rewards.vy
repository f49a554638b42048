# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Rewards
@license Apache-2.0
@notice Emission to the nodes of one market whose work the chain sees: each proof adds work to its
        epoch, an epoch's emission is shared out by work, and a claim costs the same however many
        nodes there are.
@dev Work is counted in units that the source chooses (MiB-seconds for storage). A unit counts only
     when a fee backs it: every base unit of fees that payments burned for a node's payout account
     backs `work_per_token / 10**18` units, once. An epoch pays at most
     `share_bps / 10**4 * 10**18 / work_per_token` base units for a unit, so that no work ever earns
     more than `share_bps` of the fees that were burned for it, whatever the schedule would allow;
     what is not earned so is not minted.
     Threats and what meets them.
     - Trading with oneself: the owner who is his own client burns more than he can earn, at any
       price, with any number of nodes: backing is counted once for each payout account and is
       given to one node by that account's side alone. Both numbers are fixed for ever.
     - Taking what burned for others by naming their account as one's payout: an account that is not
       the node's owner must agree first (`set_backer`).
     - Sets that no market opened, filled with data that cost nothing to hold: only sets that the
       market's own ledger of nodes listens to are backed.
     - Bytes that nobody pays for: they are proven and earn nothing, nor do they lower what others
       earn, because only backed work stands in the total.
     - Counting work twice: a node's weight is in one epoch at a time. Its account has room for the
       epoch before as well; an older one that is still there when the next begins is rewarded then,
       or waits in a place of its own until it is closed.
     - An epoch that nobody closes: anyone closes it, in any order, at any later time; where the
       issuance gives nothing for it any more, it pays nothing. An epoch whose budget is not known
       yet cannot be closed: the issuance refuses to tell it.
     - Rounding: work, backing, rates and rewards round down; the dust stays here, unminted where
       that is possible and out of reach where it is not.
     - Holding up proofs: `proven` calls nobody and cannot fail for any input of its source.
     - An owner that keeps what others' stake earned: where a node has delegated stake, a claim goes
       to the stake as a whole, which splits it by its own rule; no caller can choose otherwise.
     - Who joins a node's stake for what others have earned: before stake comes or goes the stake
       asks (`evaluate`), which hands out what ended epochs brought, and from when on a node's work
       is still owed (`owed_since`): younger stake has no part in it.
     Trust: the governor names the market once and has no other power here. The source is fixed at
     creation, before it exists itself; it could invent work, but no more than fees back. Stake and
     token are called and trusted.
"""

from interfaces import IBurned
from interfaces import IEmission
from interfaces import IEvaluator
from interfaces import IRegistry
from interfaces import ISets
from interfaces import ISink
from interfaces import IStaking
from interfaces import IToken
implements: IEvaluator
implements: ISink


interface IMarket:
    def faults() -> address: view
    def pdp() -> address: view


interface IListener:
    def set_of(node: address) -> uint256: view


interface IApproval:
    def approve(spender: address, amount: uint256) -> bool: nonpayable


# One word: a proof reads and writes it once.
struct Account:
    epoch: uint256  # 28 bits: of the weight
    weight: uint256  # 64: backed work in that epoch
    last_epoch: uint256  # 28: the epoch with work before it
    last_weight: uint256  # 64: backed work in that one, 0 once it is a reward
    credit: uint256  # 64: work that fees back and that is not done yet


struct Due:
    reward: uint256  # base units to claim
    waits: uint256  # epochs whose work waits


# One word. What waits is a list in order; collecting out of order leaves gaps in it.
struct Owed:
    reward: uint256  # 128 bits
    waits: uint256  # 64
    first: uint256  # 28: where the list begins
    last: uint256  # 28


# One word, as an account's; `last_weight` is 0 once that epoch is closed.
struct Total:
    epoch: uint256  # 28 bits
    weight: uint256  # 68
    last_epoch: uint256  # 28
    last_weight: uint256  # 68


# Work of an epoch that was not closed when the node began the second one after it.
event WorkWaits:
    account: indexed(uint256)
    epoch: uint256
    weight: uint256


event Backed:
    account: indexed(uint256)
    payee: indexed(address)
    burned: uint256
    credit: uint256


event BackerSet:
    payee: indexed(address)
    account: indexed(uint256)
    allowed: bool


event EpochClosed:
    epoch: indexed(uint256)
    weight: uint256
    emitted: uint256
    rate: uint256


event Rewarded:
    account: indexed(uint256)
    epoch: uint256
    weight: uint256
    amount: uint256


event Claimed:
    account: indexed(uint256)
    payee: indexed(address)
    amount: uint256


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event MarketSet:
    market: indexed(address)
    listener: address


BPS: constant(uint256) = 10**4
TOKEN: constant(uint256) = 10**18
MAX_SHARE_BPS: constant(uint256) = 9_000
MAX_WORK_PER_TOKEN: constant(uint256) = 2**60
MIN_EPOCH: constant(uint256) = 60
MAX_EPOCH: constant(uint256) = 366 * 86400
RATE_ONE: constant(uint256) = 2**96
# Moves a unit from an account's credit to its weight.
WEIGHT_LESS_CREDIT: constant(uint256) = 2**156 - 1
TOTAL_WEIGHT: constant(uint256) = 2**96
MASK_28: constant(uint256) = 2**28 - 1
MASK_64: constant(uint256) = 2**64 - 1
MASK_68: constant(uint256) = 2**68 - 1
MASK_96: constant(uint256) = 2**96 - 1
MASK_128: constant(uint256) = 2**128 - 1
MASK_156: constant(uint256) = 2**156 - 1
# Keeps the word of what is due from zero, where writing it again would cost four times as much.
KEPT: constant(uint256) = 2**255
PURPOSE_REWARD: constant(uint8) = 4
# For each thing that `evaluate` tries; EIP-150 passes on 63/64 of what is left.
PART_GAS: constant(uint256) = 250_000
PART_RESERVE: constant(uint256) = 260_000
# Epochs that `evaluate` lets the issuance close each time that it is behind.
ADVANCED: constant(uint256) = 1
# Places of the list of what waits that it looks at.
COLLECTED: constant(uint256) = 2

token: public(immutable(address))
payments: public(immutable(address))
registry: public(immutable(address))
staking: public(immutable(address))
emission: public(immutable(address))
governor: public(immutable(address))
# Reports work; its sets tell an account's node.
source: public(immutable(address))
genesis: public(immutable(uint256))
epoch_seconds: public(immutable(uint256))
work_per_token: public(immutable(uint256))
share_bps: public(immutable(uint256))

# Whose fees count, and who opens the sets whose work counts.
market: public(address)
listener: public(address)
_accounts: HashMap[uint256, uint256]
_dues: HashMap[uint256, uint256]
_total: uint256
# Of epochs that were not closed when the second one after them began.
_totals: HashMap[uint256, uint256]
# Weight 64 | the next epoch of the list, plus one
_waiting: HashMap[uint256, HashMap[uint256, uint256]]
backers: public(HashMap[address, HashMap[uint256, bool]])
backed_fees: public(HashMap[address, uint256])
# Of an epoch: what a unit of its work is worth (base units, Q.96) << 1 | closed
_rates: HashMap[uint256, uint256]
emitted: public(uint256)
claimed: public(uint256)


@deploy
def __init__(
    token_: address,
    payments_: address,
    registry_: address,
    staking_: address,
    emission_: address,
    governor_: address,
    source_: address,
    genesis_: uint256,
    epoch_seconds_: uint256,
    work_per_token_: uint256,
    share_bps_: uint256,
):
    for each: address in [
        token_, payments_, registry_, staking_, emission_, governor_, source_
    ]:
        assert each != empty(address), "rewards: zero address"
    assert genesis_ <= block.timestamp, "rewards: genesis to come"
    assert MIN_EPOCH <= epoch_seconds_ and epoch_seconds_ <= MAX_EPOCH, "rewards: epoch out of bounds"
    assert 0 < work_per_token_, "rewards: nothing backs work"
    assert work_per_token_ <= MAX_WORK_PER_TOKEN, "rewards: work per token out of bounds"
    assert 0 < share_bps_ and share_bps_ <= MAX_SHARE_BPS, "rewards: share out of bounds"
    token = token_
    payments = payments_
    registry = registry_
    staking = staking_
    emission = emission_
    governor = governor_
    source = source_
    genesis = genesis_
    epoch_seconds = epoch_seconds_
    work_per_token = work_per_token_
    share_bps = share_bps_


# Work


@external
def proven(account: uint256, work: uint256):
    """
    @notice Add work to the present epoch, as far as fees back it; by the source, whose own event
            tells the work. An account's epochs show in `Rewarded` and `WorkWaits`.
    """
    assert msg.sender == source, "rewards: not the source"
    epoch: uint256 = self._epoch()
    word: uint256 = self._accounts[account]
    if word >> 220 != epoch:
        word = self._moved_on(account, word, epoch)
    total: uint256 = self._total
    if total >> 164 != epoch:
        total = self._begun(total, epoch)
    # Words as they stand: every proof comes through here.
    backed: uint256 = min(work, word & MASK_64)
    backed = min(backed, MASK_64 - (word >> 156 & MASK_64))
    backed = min(backed, MASK_68 - (total >> 96 & MASK_68))
    self._accounts[account] = unsafe_add(word, unsafe_mul(backed, WEIGHT_LESS_CREDIT))
    self._total = unsafe_add(total, unsafe_mul(backed, TOTAL_WEIGHT))


@external
def back(account: uint256) -> uint256:
    """
    @notice Let the fees that were burned for a node's payout account since it was last asked back
            the node's future work; by that account, or by the node or its owner where the account
            is the owner or has agreed. Returns the node's credit.
    """
    node: address = self._node(account)
    owner: address = staticcall IRegistry(registry).owner_of(node)
    payee: address = staticcall IRegistry(registry).payout_of(node)
    assert self.listener == staticcall ISets(source).listener(
        account
    ), "rewards: not a set of the market"
    if msg.sender != payee:
        assert msg.sender in [node, owner], "rewards: neither the node nor its owner"
        # Any owner can name any payout: whose fees they are must agree.
        assert payee == owner or self.backers[payee][account], "rewards: the payout has not agreed"
    burned: uint256 = staticcall IBurned(payments).burned(self.market, payee)
    fresh: uint256 = burned - self.backed_fees[payee]
    # Whoever backs often keeps his proofs cheap: what is rewarded here is not in their way.
    settled: uint256 = self._settle(account)
    if settled > 0:
        self._owe(account, settled)
    a: Account = self._account(account)
    more: uint256 = min(fresh * work_per_token // TOKEN, MASK_64 - a.credit)
    if more == 0:
        return a.credit
    # Fees that are used up round up: no unit of work is backed twice.
    used: uint256 = (more * TOKEN + work_per_token - 1) // work_per_token
    self.backed_fees[payee] += used
    a.credit += more
    self._put(account, a)
    log Backed(account=account, payee=payee, burned=used, credit=a.credit)
    return a.credit


@external
def set_backer(account: uint256, allowed: bool):
    """
    @notice Let a node that another owns, or its owner, use what burned for the caller, or no more.
    """
    self.backers[msg.sender][account] = allowed
    log BackerSet(payee=msg.sender, account=account, allowed=allowed)


# Epochs


@external
def close(epoch: uint256) -> uint256:
    """
    @notice Draw an ended epoch's emission and fix what a unit of its work is worth; by anyone.
    @return What was drawn, base units.
    """
    assert epoch < self._epoch(), "rewards: the epoch has not ended"
    assert self._rates[epoch] == 0, "rewards: closed already"
    weight: uint256 = self._weight(epoch)
    amount: uint256 = 0
    rate: uint256 = 0
    drawable: uint256 = staticcall IEmission(emission).drawable(epoch)
    if weight > 0:
        ceiling: uint256 = weight * share_bps * TOKEN // (BPS * work_per_token)
        amount = min(ceiling, drawable)
        rate = amount * RATE_ONE // weight
    self._rates[epoch] = rate << 1 | 1
    self._forget(epoch)
    self.emitted += amount
    log EpochClosed(epoch=epoch, weight=weight, emitted=amount, rate=rate)
    if amount > 0:
        extcall IEmission(emission).draw(epoch, amount, self)
    return amount


# Claims


@external
def collect(account: uint256, epoch: uint256) -> uint256:
    """
    @notice Reward work that waited for its epoch to be closed; by anyone. Returns the reward.
    """
    assert self._rates[epoch] != 0, "rewards: not closed"
    assert self._waits(account, epoch) > 0, "rewards: nothing waits"
    return self._collect(account, epoch)


@external
def claim(account: uint256) -> uint256:
    """
    @notice Pay a node's rewards of closed epochs to its payout account; by anyone. Where others
            have staked for the node, the stake gets them, and splits them.
    @return What was paid, base units.
    """
    due: Owed = self._owed(account)
    amount: uint256 = due.reward + self._settle(account)
    if due.reward > 0:
        due.reward = 0
        self._put_owed(account, due)
    if amount == 0:
        return 0
    self.claimed += amount
    node: address = self._node(account)
    if staticcall IStaking(staking).active(node) > staticcall IStaking(staking).own(node):
        log Claimed(account=account, payee=staking, amount=amount)
        assert extcall IApproval(token).approve(
            staking, amount, default_return_value=True
        ), "rewards: approval failed"
        extcall IStaking(staking).reward(node, amount)
        return amount
    payee: address = staticcall IRegistry(registry).payout_of(node)
    log Claimed(account=account, payee=payee, amount=amount)
    log Movement(
        token=token, sender=self, recipient=payee, amount=amount, purpose=PURPOSE_REWARD
    )
    assert extcall IToken(token).transfer(
        payee, amount, default_return_value=True
    ), "rewards: transfer failed"
    return amount


@external
def evaluate(node: address):
    """
    @notice Hand out what a node's ended epochs brought, before the stake behind it changes; by
            anyone, never refused but for want of gas. Of work that waits the oldest epochs only:
            called again it goes on.
    """
    account: uint256 = self._account_of(node)
    if account == 0:
        return
    self._collect_oldest(account)
    a: Account = self._account(account)
    if a.last_weight > 0:
        self._try_close(a.last_epoch)
    over: bool = a.weight > 0 and a.epoch < self._epoch()
    if over:
        self._try_close(a.epoch)
    if over or a.last_weight > 0 or self._owed(account).reward > 0:
        self._try(self, abi_encode(account, method_id=method_id("claim(uint256)")))


@external
@view
def owed_since(node: address) -> uint256:
    """
    @notice From when on a node's work may still bring rewards that nobody has been given: the
            beginning of the first such epoch, at the latest of the present one; the present moment
            where the node has no set. 0 where nothing tells, because rewards were collected and not
            claimed, or work waits.
    """
    account: uint256 = self._account_of(node)
    if account == 0:
        return block.timestamp
    due: Owed = self._owed(account)
    if due.reward > 0 or due.waits > 0:
        return 0
    a: Account = self._account(account)
    epoch: uint256 = self._epoch()
    if a.last_weight > 0:
        epoch = a.last_epoch
    elif a.weight > 0:
        epoch = a.epoch
    return genesis + epoch * epoch_seconds


# Setup and views


@external
def set_market(market_: address):
    """
    @notice Name the market whose fees back work, once and for ever, when the source and it exist;
            the governor.
    """
    assert msg.sender == governor, "rewards: not the governor"
    assert self.market == empty(address), "rewards: the market is named"
    assert source.is_contract, "rewards: source has no code"
    assert staticcall IMarket(market_).pdp() == source, "rewards: not the source's market"
    listener: address = staticcall IMarket(market_).faults()
    self.market = market_
    self.listener = listener
    log MarketSet(market=market_, listener=listener)


@external
@view
def epoch() -> uint256:
    """
    @notice The present epoch, counted from genesis.
    """
    return self._epoch()


@external
@view
def account(account: uint256) -> Account:
    """
    @notice A node's weight in its two last epochs with work, as far as it is no reward yet, and
            its credit.
    """
    return self._account(account)


@external
@view
def due(account: uint256) -> Due:
    """
    @notice A node's reward so far, and how many epochs' work waits.
    """
    owed: Owed = self._owed(account)
    return Due(reward=owed.reward, waits=owed.waits)


@external
@view
def total(epoch: uint256) -> uint256:
    """
    @notice Backed work of an epoch that is not closed; that of a closed one is in its event.
    """
    return self._weight(epoch)


@external
@view
def closed(epoch: uint256) -> bool:
    """
    @notice Whether an epoch's emission is fixed.
    """
    return self._rates[epoch] != 0


@external
@view
def rates(epoch: uint256) -> uint256:
    """
    @notice What a unit of a closed epoch's work is worth, base units times 2**96.
    """
    return self._rates[epoch] >> 1


@external
@view
def backed(epoch: uint256) -> uint256:
    """
    @notice The bytes that the backed work of an epoch comes to over its length, rounded down; what
            the issuance asks when it closes the epoch, which it does before this contract.
    """
    return (self._weight(epoch) << 20) // epoch_seconds


@external
@view
def waiting(account: uint256, epoch: uint256) -> uint256:
    """
    @notice A node's backed work of an epoch that was not closed when it began the second one after.
    """
    return self._waits(account, epoch)


@internal
@view
def _epoch() -> uint256:
    return (block.timestamp - genesis) // epoch_seconds


@internal
@view
def _node(account: uint256) -> address:
    return staticcall ISets(source).prover(account)


@internal
@view
def _account_of(node: address) -> uint256:
    if self.listener == empty(address):
        return 0
    return staticcall IListener(self.listener).set_of(node)


@internal
def _moved_on(account: uint256, word: uint256, epoch: uint256) -> uint256:
    # Neither rates nor dues are read unless an account has work of two epochs already.
    weight: uint256 = word >> 156 & MASK_64
    if weight == 0:
        return epoch << 220 | word & MASK_156
    last_weight: uint256 = word >> 64 & MASK_64
    if last_weight > 0:
        self._leave(account, word >> 128 & MASK_28, last_weight)
    return epoch << 220 | word >> 220 << 128 | weight << 64 | word & MASK_64


@internal
def _leave(account: uint256, epoch: uint256, weight: uint256):
    if self._rates[epoch] != 0:
        self._owe(account, self._reward(account, epoch, weight))
        return
    self._waiting[account][epoch] = weight
    due: Owed = self._owed(account)
    if due.waits == 0:
        due.first = epoch
    else:
        self._waiting[account][due.last] |= (epoch + 1) << 64
    due.waits += 1
    due.last = epoch
    self._put_owed(account, due)
    log WorkWaits(account=account, epoch=epoch, weight=weight)


@internal
def _settle(account: uint256) -> uint256:
    # Takes the work of closed epochs off an account; what it brought, which the caller owes.
    a: Account = self._account(account)
    amount: uint256 = 0
    last_done: bool = a.last_weight > 0 and self._rates[a.last_epoch] != 0
    if last_done:
        amount = self._reward(account, a.last_epoch, a.last_weight)
        a.last_weight = 0
    done: bool = a.weight > 0 and a.epoch < self._epoch() and self._rates[a.epoch] != 0
    if done:
        amount += self._reward(account, a.epoch, a.weight)
        a.weight = 0
    if last_done or done:
        self._put(account, a)
    return amount


@internal
def _reward(account: uint256, epoch: uint256, weight: uint256) -> uint256:
    amount: uint256 = weight * (self._rates[epoch] >> 1) // RATE_ONE
    log Rewarded(account=account, epoch=epoch, weight=weight, amount=amount)
    return amount


@internal
def _owe(account: uint256, amount: uint256):
    due: Owed = self._owed(account)
    due.reward += amount
    self._put_owed(account, due)


@internal
@view
def _waits(account: uint256, epoch: uint256) -> uint256:
    return self._waiting[account][epoch] & MASK_64


@internal
def _collect(account: uint256, epoch: uint256) -> uint256:
    word: uint256 = self._waiting[account][epoch]
    weight: uint256 = word & MASK_64
    self._waiting[account][epoch] = word - weight
    amount: uint256 = self._reward(account, epoch, weight)
    due: Owed = self._owed(account)
    due.reward += amount
    due.waits -= 1
    self._put_owed(account, due)
    return amount


@internal
def _collect_oldest(account: uint256):
    for i: uint256 in range(COLLECTED):
        first: uint256 = self._owed(account).first
        if self._owed(account).waits == 0:
            return
        if self._waits(account, first) > 0:
            self._try_close(first)
            if self._rates[first] == 0:
                return
            self._collect(account, first)
        # What still waits comes later, so the list goes on.
        due: Owed = self._owed(account)
        if due.waits > 0:
            due.first = (self._waiting[account][first] >> 64) - 1
            self._put_owed(account, due)


@internal
def _begun(word: uint256, epoch: uint256) -> uint256:
    t: Total = self._unpacked_total(word)
    if t.weight == 0:
        return epoch << 164 | word & MASK_96
    if t.last_weight > 0:
        self._totals[t.last_epoch] = t.last_weight
    return epoch << 164 | t.epoch << 68 | t.weight


@internal
@view
def _weight(epoch: uint256) -> uint256:
    t: Total = self._unpacked_total(self._total)
    if t.weight > 0 and t.epoch == epoch:
        return t.weight
    if t.last_weight > 0 and t.last_epoch == epoch:
        return t.last_weight
    return self._totals[epoch]


@internal
def _forget(epoch: uint256):
    # Closed work leaves the word, so that the next epoch need not ask whether it is.
    t: Total = self._unpacked_total(self._total)
    if t.weight > 0 and t.epoch == epoch:
        t.weight = 0
    elif t.last_weight > 0 and t.last_epoch == epoch:
        t.last_weight = 0
    else:
        return
    self._total = t.epoch << 164 | t.weight << 96 | t.last_epoch << 68 | t.last_weight


@internal
def _try_close(epoch: uint256):
    if self._rates[epoch] != 0:
        return
    if staticcall IEmission(emission).closed() <= epoch:
        self._try(emission, abi_encode(ADVANCED, method_id=method_id("advance(uint256)")))
    self._try(self, abi_encode(epoch, method_id=method_id("close(uint256)")))


@internal
def _try(to: address, data: Bytes[36]):
    # May fail (an issuance that is behind, a payout that takes nothing) and hold up no stake.
    assert msg.gas >= PART_RESERVE, "rewards: bring more gas"
    success: bool = raw_call(to, data, gas=PART_GAS, revert_on_failure=False)


@internal
@pure
def _unpacked_total(word: uint256) -> Total:
    return Total(
        epoch=word >> 164,
        weight=word >> 96 & MASK_68,
        last_epoch=word >> 68 & MASK_28,
        last_weight=word & MASK_68,
    )


@internal
@view
def _owed(account: uint256) -> Owed:
    word: uint256 = self._dues[account]
    return Owed(
        reward=word & MASK_128,
        waits=word >> 128 & MASK_64,
        first=word >> 192 & MASK_28,
        last=word >> 220 & MASK_28,
    )


@internal
def _put_owed(account: uint256, due: Owed):
    self._dues[account] = (
        KEPT | due.last << 220 | due.first << 192 | due.waits << 128 | due.reward
    )


@internal
@view
def _account(account: uint256) -> Account:
    word: uint256 = self._accounts[account]
    return Account(
        epoch=word >> 220,
        weight=word >> 156 & MASK_64,
        last_epoch=word >> 128 & MASK_28,
        last_weight=word >> 64 & MASK_64,
        credit=word & MASK_64,
    )


@internal
def _put(account: uint256, a: Account):
    self._accounts[account] = (
        a.epoch << 220 | a.weight << 156 | a.last_epoch << 128 | a.last_weight << 64 | a.credit
    )

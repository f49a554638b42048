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
     - Counting work twice: a node's weight is in one epoch at a time; when its next proof comes
       before its last epoch was closed, that weight waits in a place of its own.
     - An epoch that nobody closes: anyone closes it, in any order, at any later time; where the
       issuance gives nothing for it any more, it pays nothing. An epoch whose budget is not known
       yet cannot be closed: the issuance refuses to tell it.
     - Rounding: work, backing, rates and rewards round down; the dust stays here, unminted where
       that is possible and out of reach where it is not.
     - Holding up proofs: `proven` calls nobody and cannot fail for any input of its source.
     - An owner that keeps what others' stake earned: where a node has delegated stake, a claim goes
       to the stake as a whole, which splits it by its own rule; no caller can choose otherwise.
     - Who joins a node's stake for what others have earned: before stake comes or goes the stake
       asks (`evaluate`), and what ended epochs brought goes to those who are there. Only work that
       is not closed by then, mostly that of the present epoch, is shared with a newcomer.
     Trust: the governor names source and market once, together, and has no other power here. A
     source could invent work, but no more than fees back. Stake and token are called and trusted.
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


interface IListener:
    def set_of(node: address) -> uint256: view


interface IApproval:
    def approve(spender: address, amount: uint256) -> bool: nonpayable


# One word: a proof reads and writes it once.
struct Account:
    epoch: uint256  # 28 bits: of the weight
    weight: uint256  # 64: backed work in that epoch
    credit: uint256  # 64: work that fees back and that is not done yet
    reward: uint256  # 100: base units to claim


struct Epoch:
    number: uint256  # 28 bits
    weight: uint256  # 68


# Work of an epoch that was over but not closed when the node's next proof came.
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


event SourceSet:
    source: indexed(address)
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
WEIGHT_LESS_CREDIT: constant(uint256) = 2**164 - 2**100
MASK_28: constant(uint256) = 2**28 - 1
MASK_64: constant(uint256) = 2**64 - 1
MASK_68: constant(uint256) = 2**68 - 1
MASK_100: constant(uint256) = 2**100 - 1
PURPOSE_REWARD: constant(uint8) = 4
# For closing an epoch, and for a claim; EIP-150 passes on 63/64 of what is left.
PART_GAS: constant(uint256) = 250_000
PARTS_RESERVE: constant(uint256) = 520_000

token: public(immutable(address))
payments: public(immutable(address))
registry: public(immutable(address))
staking: public(immutable(address))
emission: public(immutable(address))
governor: public(immutable(address))
genesis: public(immutable(uint256))
epoch_seconds: public(immutable(uint256))
work_per_token: public(immutable(uint256))
share_bps: public(immutable(uint256))

# Whose fees count, and who opens the sets whose work counts.
market: public(address)
listener: public(address)
_accounts: HashMap[uint256, uint256]
# source 160 | epoch 28 | weight 68
_current: uint256
# The epoch before the current one, while it is not closed: epoch 28 | weight 68
_previous: uint256
_totals: HashMap[uint256, uint256]
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
    genesis_: uint256,
    epoch_seconds_: uint256,
    work_per_token_: uint256,
    share_bps_: uint256,
):
    for each: address in [token_, payments_, registry_, staking_, emission_, governor_]:
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
    current: uint256 = self._current
    assert msg.sender == convert(current >> 96, address), "rewards: not the source"
    epoch: uint256 = self._epoch()
    word: uint256 = self._accounts[account]
    if word >> 228 != epoch:
        word = self._packed(self._rolled(account, self._unpacked_account(word), epoch))
    if current >> 68 & MASK_28 != epoch:
        current = self._begun(current, epoch)
    # Words as they stand: every proof comes through here.
    backed: uint256 = min(work, word >> 100 & MASK_64)
    backed = min(backed, MASK_64 - (word >> 164 & MASK_64))
    backed = min(backed, MASK_68 - (current & MASK_68))
    self._accounts[account] = unsafe_add(word, unsafe_mul(backed, WEIGHT_LESS_CREDIT))
    self._current = unsafe_add(current, backed)


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
    assert self.listener == staticcall ISets(self._source()).listener(
        account
    ), "rewards: not a set of the market"
    if msg.sender != payee:
        assert msg.sender in [node, owner], "rewards: neither the node nor its owner"
        # Any owner can name any payout: whose fees they are must agree.
        assert payee == owner or self.backers[payee][account], "rewards: the payout has not agreed"
    burned: uint256 = staticcall IBurned(payments).burned(self.market, payee)
    fresh: uint256 = burned - self.backed_fees[payee]
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
    weight: uint256 = self._total(epoch)
    amount: uint256 = 0
    rate: uint256 = 0
    drawable: uint256 = staticcall IEmission(emission).drawable(epoch)
    if weight > 0:
        ceiling: uint256 = weight * share_bps * TOKEN // (BPS * work_per_token)
        amount = min(ceiling, drawable)
        rate = amount * RATE_ONE // weight
    self._rates[epoch] = rate << 1 | 1
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
    weight: uint256 = self._waiting[account][epoch]
    assert weight > 0, "rewards: nothing waits"
    self._waiting[account][epoch] = 0
    a: Account = self._account(account)
    before: uint256 = a.reward
    a = self._rewarded(account, a, epoch, weight)
    self._put(account, a)
    return a.reward - before


@external
def claim(account: uint256) -> uint256:
    """
    @notice Pay a node's rewards of closed epochs to its payout account; by anyone. Where others
            have staked for the node, the stake gets them, and splits them.
    @return What was paid, base units.
    """
    a: Account = self._rolled(account, self._account(account), self._epoch())
    amount: uint256 = a.reward
    a.reward = 0
    self._put(account, a)
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
            anyone, never refused but for want of gas.
    """
    if self.listener == empty(address):
        return
    account: uint256 = staticcall IListener(self.listener).set_of(node)
    a: Account = self._account(account)
    over: bool = a.weight > 0 and a.epoch < self._epoch()
    if account == 0 or (a.reward == 0 and not over):
        return
    assert msg.gas >= PARTS_RESERVE, "rewards: bring more gas"
    # Each may fail (an issuance that is behind, a payout that takes nothing) and hold up no stake.
    done: bool = True
    if over and self._rates[a.epoch] == 0:
        done = raw_call(
            self,
            abi_encode(a.epoch, method_id=method_id("close(uint256)")),
            gas=PART_GAS,
            revert_on_failure=False,
        )
    if done or a.reward > 0:
        done = raw_call(
            self,
            abi_encode(account, method_id=method_id("claim(uint256)")),
            gas=PART_GAS,
            revert_on_failure=False,
        )


# Setup and views


@external
def set_source(source_: address, market_: address):
    """
    @notice Name the contract that reports work and the market whose fees back it, once and for
            ever; the governor.
    """
    assert msg.sender == governor, "rewards: not the governor"
    assert self._current >> 96 == 0, "rewards: the source is named"
    assert source_.is_contract, "rewards: source has no code"
    listener: address = staticcall IMarket(market_).faults()
    self._current |= convert(source_, uint256) << 96
    self.market = market_
    self.listener = listener
    log SourceSet(source=source_, market=market_, listener=listener)


@external
@view
def source() -> address:
    """
    @notice The contract that reports work; its sets tell an account's node.
    """
    return self._source()


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
    @notice A node's weight in its last epoch, its credit, and its reward so far.
    """
    return self._account(account)


@external
@view
def total(epoch: uint256) -> uint256:
    """
    @notice Backed work of an epoch that is not closed; that of a closed one is in its event.
    """
    return self._total(epoch)


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
    return (self._total(epoch) << 20) // epoch_seconds


@external
@view
def waiting(account: uint256, epoch: uint256) -> uint256:
    """
    @notice A node's backed work of an epoch that was not closed when its next proof came.
    """
    return self._waiting[account][epoch]


@internal
@view
def _epoch() -> uint256:
    return (block.timestamp - genesis) // epoch_seconds


@internal
@view
def _source() -> address:
    return convert(self._current >> 96, address)


@internal
@view
def _node(account: uint256) -> address:
    return staticcall ISets(self._source()).prover(account)


@internal
def _rolled(account: uint256, a: Account, epoch: uint256) -> Account:
    # The weight of an epoch that is over becomes reward, or waits until that epoch is closed.
    rolled: Account = a
    if a.epoch == epoch:
        return rolled
    if a.weight > 0:
        if self._rates[a.epoch] != 0:
            rolled = self._rewarded(account, a, a.epoch, a.weight)
        else:
            self._waiting[account][a.epoch] = a.weight
            log WorkWaits(account=account, epoch=a.epoch, weight=a.weight)
    rolled.epoch = epoch
    rolled.weight = 0
    return rolled


@internal
def _rewarded(account: uint256, a: Account, epoch: uint256, weight: uint256) -> Account:
    # No amount comes near what the word holds; a proof must not fail over it.
    amount: uint256 = min(weight * (self._rates[epoch] >> 1) // RATE_ONE, MASK_100 - a.reward)
    log Rewarded(account=account, epoch=epoch, weight=weight, amount=amount)
    return Account(
        epoch=a.epoch, weight=a.weight, credit=a.credit, reward=a.reward + amount
    )


@internal
def _begun(current: uint256, epoch: uint256) -> uint256:
    self._set_aside(self._unpacked(current))
    return current >> 96 << 96 | epoch << 68


@internal
def _set_aside(ended: Epoch):
    # Two words in turn instead of a new one each epoch; what nobody closed gets its own.
    if ended.weight == 0 or self._rates[ended.number] != 0:
        return
    before: Epoch = self._unpacked(self._previous)
    if before.weight > 0 and self._rates[before.number] == 0:
        self._totals[before.number] = before.weight
    self._previous = ended.number << 68 | ended.weight


@internal
@view
def _total(epoch: uint256) -> uint256:
    for word: uint256 in [self._current, self._previous]:
        found: Epoch = self._unpacked(word)
        if found.number == epoch and found.weight > 0:
            return found.weight
    return self._totals[epoch]


@internal
@pure
def _unpacked(word: uint256) -> Epoch:
    return Epoch(number=word >> 68 & MASK_28, weight=word & MASK_68)


@internal
@view
def _account(account: uint256) -> Account:
    return self._unpacked_account(self._accounts[account])


@internal
@pure
def _unpacked_account(word: uint256) -> Account:
    return Account(
        epoch=word >> 228,
        weight=word >> 164 & MASK_64,
        credit=word >> 100 & MASK_64,
        reward=word & MASK_100,
    )


@internal
@pure
def _packed(a: Account) -> uint256:
    return a.epoch << 228 | a.weight << 164 | a.credit << 100 | a.reward


@internal
def _put(account: uint256, a: Account):
    self._accounts[account] = self._packed(a)

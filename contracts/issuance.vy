# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Issuance
@license Apache-2.0
@notice The network's emission: a schedule fixed at deployment, closed epoch by epoch and split among
        markets; budgets for public grants; genesis allocations that vest.
@dev A schedule is a cumulative figure of the seconds since genesis, and an epoch's budget is the
     difference of two, so that no grouping of epochs and no rounding changes a sum. Steps that
     last longer or shorter than an epoch (months, blocks) count pro rata to the second. Kinds:
     1 exponential (Filecoin): `amount` by time and `storage` by fee-backed bytes measured against
       a baseline that doubles every year, once an epoch of a multiple of 30 seconds;
     2 geometric (io.net, or a founder's own): steps that shrink by a factor;
     3 halving (Bittensor): a block's amount halves by what is issued.
     A market's distributor draws from the budget of a closed epoch while it is at most `window`
     epochs old. What is not drawn by then can never be minted: it was not earned.
     Threats and what meets them.
     - Minting more than planned: schedule, budgets and allocations are reserved together against
       the token's cap at deployment, and every mint is counted against its own part.
     - A distributor or allocator put in by surprise: after the setup each begins only when the
       governor's delay for roles has passed once more, and shows in an event and a view before.
     - Power that does not exist: the power source is named once, counts fee-backed bytes, and can
       shift the storage part in time but never raise its total; an epoch counts at most its
       baseline, and network time that was missed is made up by at most 64 epochs an epoch.
     - An epoch twice: epochs are closed once, in order, and each market's draws are counted.
     - Holding up: anyone closes epochs, at most 64 a call. A power source that reverts stops all
       closing, hence it is named once, behind the governor's delay.
     - Re-entrance: every figure is written before the token is called, and the token has no hooks.
     - Rounding: budgets, shares and vested parts round down; the dust of a split is never minted.
     Trust: the governor names distributors, allocators (within the reserved budget), the power
     source once, and a new split for epochs to come; it can raise no sum. Other minters of the
     token share its cap: what they mint later can leave a draw or a claim unpaid.
"""

from interfaces import IIssuance
from modules import curves
from modules import wide

implements: IIssuance


interface IMintable:
    def mint(receiver: address, amount: uint256, purpose: uint8): nonpayable
    def cap() -> uint256: view
    def minted() -> uint256: view


interface IGovernor:
    def setup_done() -> bool: view
    def role_delay() -> uint256: view


interface IPower:
    def backed(epoch: uint256) -> uint256: view


event EpochClosed:
    epoch: indexed(uint256)
    budget: uint256
    scheduled: uint256
    split: uint256
    backed: uint256


event Drawn:
    market: indexed(bytes32)
    epoch: indexed(uint256)
    to: indexed(address)
    amount: uint256


event SplitSet:
    split: indexed(uint256)
    from_epoch: uint256
    shares: DynArray[Share, 8]


event DistributorSet:
    market: indexed(bytes32)
    account: indexed(address)
    since: uint256


event AllocatorSet:
    account: indexed(address)
    cap: uint256
    since: uint256


event Granted:
    allocator: indexed(address)
    to: indexed(address)
    reason: indexed(bytes32)
    amount: uint256


event Vested:
    allocation: indexed(uint256)
    beneficiary: indexed(address)
    amount: uint256


event PowerSet:
    source: indexed(address)


# Amounts are base units, times seconds; what a kind does not use is zero.
struct Plan:
    kind: uint8
    limit: uint256  # most that the schedule emits in all
    amount: uint256  # exponential: by time; geometric: first step; halving: a block
    storage: uint256  # exponential: by storage
    initial: uint256  # exponential: the first baseline, bytes
    step: uint256  # length of a step or block
    factor: uint256  # geometric: 10**-18
    steps: uint256  # geometric: how many
    grain: uint256  # what sums are rounded to
    budget: uint256  # reserved for all allocators together
    window: uint256  # epochs in which a closed epoch can be drawn


struct Share:
    market: bytes32
    bps: uint256


struct Allocation:
    beneficiary: address
    amount: uint256
    start: uint256
    cliff: uint256
    parts: uint256


# The baseline in bytes, now and at network time `time`; sums are bytes over epochs.
struct Baseline:
    target: uint256
    effective: uint256
    time: uint256
    wanted: uint256
    realized: uint256


struct Distributor:
    account: address
    since: uint256
    before: address


struct Allocator:
    cap: uint256
    spent: uint256
    since: uint256


EXPONENTIAL: constant(uint8) = 1
GEOMETRIC: constant(uint8) = 2
HALVING: constant(uint8) = 3
PURPOSE_REWARD: constant(uint8) = 4
PURPOSE_VESTING: constant(uint8) = 10
ONE: constant(uint256) = 2**128
BPS: constant(uint256) = 10_000
FILECOIN_EPOCH: constant(uint256) = 30
# Twofold in a year of 30-second epochs, Q.128.
GROWTH: constant(uint256) = 340282591298641078465964189926313473653
# Bytes at which a baseline stops growing, so that sums stay far below 2**256.
CEILING: constant(uint256) = 2**192
CATCH_UP: constant(uint256) = 64
MONTH: constant(uint256) = 2_629_800
MAX_AMOUNT: constant(uint256) = 2**96
MAX_MARKETS: constant(uint256) = 8
MAX_ALLOCATIONS: constant(uint256) = 32
MAX_ADVANCE: constant(uint256) = 64
MAX_EPOCHS: constant(uint256) = 2**32
MAX_STEPS: constant(uint256) = 2**20
MAX_EPOCH_SECONDS: constant(uint256) = 366 * 86400
MAX_STEP: constant(uint256) = 100 * 366 * 86400
MAX_CLIFF: constant(uint256) = 20 * 366 * 86400
MAX_PARTS: constant(uint256) = 240
MAX_WINDOW: constant(uint256) = 10_000
MAX_BATCH: constant(uint256) = 256

token: public(immutable(address))
governor: public(immutable(address))
genesis: public(immutable(uint256))
epoch_seconds: public(immutable(uint256))
plan: public(immutable(Plan))
reserved: public(immutable(uint256))
RATIO: immutable(uint256)
EPOCH_GROWTH: immutable(uint256)

closed: public(uint256)
scheduled_total: public(uint256)
drawn_total: public(uint256)
granted_total: public(uint256)
vested_total: public(uint256)
allotted: public(uint256)
split_count: public(uint256)
power: public(address)
baseline: public(Baseline)
market_of: public(HashMap[address, bytes32])
distributors: public(HashMap[bytes32, Distributor])
allocators: public(HashMap[address, Allocator])
claimed: public(HashMap[uint256, uint256])
drawn: public(HashMap[uint256, HashMap[bytes32, uint256]])
# budget 128 bits | split 128
_budgets: HashMap[uint256, uint256]
_shares: HashMap[uint256, HashMap[bytes32, uint256]]
_splits: HashMap[uint256, DynArray[Share, MAX_MARKETS]]
_allocations: DynArray[Allocation, MAX_ALLOCATIONS]


@deploy
def __init__(
    token_: address,
    governor_: address,
    genesis_: uint256,
    epoch_seconds_: uint256,
    plan_: Plan,
    shares: DynArray[Share, MAX_MARKETS],
    allocations: DynArray[Allocation, MAX_ALLOCATIONS],
):
    assert empty(address) not in [token_, governor_], "issuance: zero address"
    assert 0 < genesis_ and genesis_ < 2**40, "issuance: genesis out of bounds"
    assert 0 < epoch_seconds_, "issuance: epoch too short"
    assert epoch_seconds_ <= MAX_EPOCH_SECONDS, "issuance: epoch too long"
    token = token_
    governor = governor_
    genesis = genesis_
    epoch_seconds = epoch_seconds_
    self._check_plan(plan_, epoch_seconds_)
    plan = plan_
    ratio: uint256 = epoch_seconds_ // FILECOIN_EPOCH
    growth: uint256 = wide.power(GROWTH, ratio)
    RATIO = ratio
    EPOCH_GROWTH = growth
    self.baseline.target = wide.divided(plan_.initial, ONE, growth)
    self.baseline.effective = plan_.initial
    self._set_split(shares)
    sum: uint256 = plan_.limit + plan_.budget
    for each: Allocation in allocations:
        assert each.beneficiary != empty(address), "issuance: no beneficiary"
        assert 0 < each.amount and each.amount < MAX_AMOUNT, "issuance: allocation out of bounds"
        assert each.start < 2**40 and each.cliff <= MAX_CLIFF, "issuance: cliff out of bounds"
        assert each.parts <= MAX_PARTS, "issuance: too many parts"
        self._allocations.append(each)
        sum += each.amount
    free: uint256 = staticcall IMintable(token_).cap() - staticcall IMintable(token_).minted()
    assert sum <= free, "issuance: over the cap"
    reserved = sum


# Schedule


@external
def advance(limit: uint256) -> uint256:
    """
    @notice Close ended epochs in order, at most `limit` and at most 64; by anyone.
    @return How many epochs are closed now.
    """
    first: uint256 = self.closed
    count: uint256 = min(min(limit, MAX_ADVANCE), self._ended() - first)
    for i: uint256 in range(count, bound=MAX_ADVANCE):
        self._close(first + i)
    return first + count


@external
def draw(epoch: uint256, amount: uint256, to: address):
    """
    @notice Mint from the caller's market's share of a closed epoch, by its distributor.
    """
    market: bytes32 = self._market_of_caller()
    assert amount <= self._drawable(market, epoch), "issuance: over the share"
    self.drawn[epoch][market] += amount
    self.drawn_total += amount
    log Drawn(market=market, epoch=epoch, to=to, amount=amount)
    extcall IMintable(token).mint(to, amount, PURPOSE_REWARD)


@external
def grant(to: address, amount: uint256, reason: bytes32):
    """
    @notice Mint from an allocator's budget, in public; by the allocator.
    """
    allowed: Allocator = self.allocators[msg.sender]
    assert allowed.cap > 0 and block.timestamp >= allowed.since, "issuance: not an allocator"
    assert amount > 0, "issuance: nothing to grant"
    assert allowed.spent + amount <= allowed.cap, "issuance: over the budget"
    self.allocators[msg.sender].spent = allowed.spent + amount
    self.granted_total += amount
    log Granted(allocator=msg.sender, to=to, reason=reason, amount=amount)
    extcall IMintable(token).mint(to, amount, PURPOSE_REWARD)


@external
def claim(allocation: uint256) -> uint256:
    """
    @notice Mint what is due of a genesis allocation to its beneficiary; by anyone.
    """
    assert allocation < len(self._allocations), "issuance: no such allocation"
    found: Allocation = self._allocations[allocation]
    before: uint256 = self.claimed[allocation]
    amount: uint256 = self._vested(found, block.timestamp) - before
    assert amount > 0, "issuance: nothing is due"
    self.claimed[allocation] = before + amount
    self.vested_total += amount
    log Vested(allocation=allocation, beneficiary=found.beneficiary, amount=amount)
    extcall IMintable(token).mint(found.beneficiary, amount, PURPOSE_VESTING)
    return amount


# Governor


@external
def set_split(shares: DynArray[Share, MAX_MARKETS]):
    """
    @notice Split the epochs that have not ended yet otherwise; every ended one must be closed.
    """
    self._only_governor()
    assert self.closed == self._ended(), "issuance: ended epochs are not closed"
    self._set_split(shares)


@external
def set_distributor(market: bytes32, account: address):
    """
    @notice Name who draws a market's share; after the setup it begins after the delay of roles.
    @dev One account serves one market for ever. The zero address ends all drawing.
    """
    self._only_governor()
    assert market != empty(bytes32), "issuance: no market"
    if account != empty(address):
        assert self.market_of[account] in [empty(bytes32), market], "issuance: has a market"
        self.market_of[account] = market
    since: uint256 = self._begin()
    self.distributors[market] = Distributor(
        account=account, since=since, before=self._distributor(market)
    )
    log DistributorSet(market=market, account=account, since=since)


@external
def set_allocator(account: address, cap: uint256):
    """
    @notice Give an allocator a budget for its whole life; after the setup a larger one begins after
            the delay of roles, and the account grants nothing until then.
    """
    self._only_governor()
    assert account != empty(address), "issuance: zero address"
    old: Allocator = self.allocators[account]
    assert cap >= old.spent, "issuance: more is spent"
    allotted: uint256 = self.allotted - old.cap + cap
    assert allotted <= plan.budget, "issuance: over the reserve"
    since: uint256 = old.since
    if cap > old.cap:
        since = self._begin()
    self.allotted = allotted
    self.allocators[account] = Allocator(cap=cap, spent=old.spent, since=since)
    log AllocatorSet(account=account, cap=cap, since=since)


@external
def set_power(source: address):
    """
    @notice Name the contract that tells the fee-backed bytes of an epoch, once.
    """
    self._only_governor()
    assert self.power == empty(address), "issuance: power is set"
    assert source.is_contract, "issuance: source has no code"
    self.power = source
    log PowerSet(source=source)


# Views


@external
@view
def drawable(epoch: uint256) -> uint256:
    """
    @notice What the caller may still draw of a closed epoch; nothing once the window is over.
    """
    return self._drawable(self._market_of_caller(), epoch)


@external
@view
def market_drawable(market: bytes32, epoch: uint256) -> uint256:
    """
    @notice As `drawable`, for any market.
    """
    return self._drawable(market, epoch)


@external
@view
def budget(epoch: uint256) -> (uint256, uint256):
    """
    @notice A closed epoch's budget, base units, and the number of its split.
    """
    assert epoch < self.closed, "issuance: epoch is not closed"
    word: uint256 = self._budgets[epoch]
    return word >> 128, word & convert(max_value(uint128), uint256)


@external
@view
def split(number: uint256) -> DynArray[Share, MAX_MARKETS]:
    """
    @notice The shares of a split, ten-thousandths.
    """
    return self._splits[number]


@external
@view
def ended() -> uint256:
    """
    @notice How many epochs have ended.
    """
    return self._ended()


@external
@view
def distributor(market: bytes32) -> address:
    """
    @notice Who may draw a market's share now.
    """
    return self._distributor(market)


@external
@view
def minted() -> uint256:
    """
    @notice Everything that this contract has minted.
    """
    return self.drawn_total + self.granted_total + self.vested_total


@external
@view
def allocation_count() -> uint256:
    """
    @notice How many genesis allocations there are.
    """
    return len(self._allocations)


@external
@view
def allocation(number: uint256) -> Allocation:
    """
    @notice A genesis allocation.
    """
    return self._allocations[number]


@external
@view
def vested(number: uint256, moment: uint256) -> uint256:
    """
    @notice What of a genesis allocation is due at a moment, claimed or not.
    """
    return self._vested(self._allocations[number], moment)


@external
@view
def scheduled(seconds: uint256) -> uint256:
    """
    @notice What time alone allows `seconds` after genesis, base units.
    """
    return min(self._scheduled(seconds), plan.limit)


@external
@view
def simple_reward(epochs: DynArray[uint256, MAX_BATCH]) -> DynArray[uint256, MAX_BATCH]:
    """
    @notice Exponential: the time part of single 30-second epochs as Filecoin rounds it.
    """
    self._only_kind(EXPONENTIAL)
    found: DynArray[uint256, MAX_BATCH] = []
    for epoch: uint256 in epochs:
        found.append(curves.simple_q128(plan.amount, epoch) >> 128)
    return found


@external
@view
def baseline_reward(
    before: DynArray[uint256, MAX_BATCH], now: DynArray[uint256, MAX_BATCH]
) -> DynArray[uint256, MAX_BATCH]:
    """
    @notice Exponential: the storage part between network times, Q.128, as Filecoin rounds it.
    """
    self._only_kind(EXPONENTIAL)
    assert len(before) == len(now), "issuance: lengths differ"
    found: DynArray[uint256, MAX_BATCH] = []
    for i: uint256 in range(len(now), bound=MAX_BATCH):
        assert before[i] <= now[i], "issuance: time runs backwards"
        found.append(curves.baseline_q128(plan.storage, plan.amount, before[i], now[i]))
    return found


@external
@view
def step_emission(numbers: DynArray[uint256, MAX_BATCH]) -> DynArray[uint256, MAX_BATCH]:
    """
    @notice Geometric: what single steps emit, counted from 0, base units.
    """
    self._only_kind(GEOMETRIC)
    found: DynArray[uint256, MAX_BATCH] = []
    for number: uint256 in numbers:
        found.append(self._geometric_step(number, self._geometric(number)))
    return found


@external
@view
def block_emission(issued: DynArray[uint256, MAX_BATCH]) -> DynArray[uint256, MAX_BATCH]:
    """
    @notice Halving: what a block emits when so much is issued, both in grains.
    """
    self._only_kind(HALVING)
    cap: uint256 = plan.limit // plan.grain
    found: DynArray[uint256, MAX_BATCH] = []
    for each: uint256 in issued:
        era: uint256 = curves.halvings(each, cap, 0)
        found.append(curves.block_emission(plan.amount // plan.grain, each, cap, era))
    return found


# Inside: schedule


@internal
def _close(epoch: uint256):
    before: uint256 = self.scheduled_total
    total: uint256 = self._scheduled((epoch + 1) * epoch_seconds)
    backed: uint256 = 0
    if plan.storage > 0:
        if self.power != empty(address):
            backed = staticcall IPower(self.power).backed(epoch)
        total += self._storage(backed)
    total = max(min(total, plan.limit), before)
    split: uint256 = self.split_count
    self.closed = epoch + 1
    self.scheduled_total = total
    self._budgets[epoch] = (total - before) << 128 | split
    log EpochClosed(
        epoch=epoch, budget=total - before, scheduled=total, split=split, backed=backed
    )


@internal
@view
def _scheduled(seconds: uint256) -> uint256:
    assert seconds < 2**64, "issuance: too late"
    if plan.kind == EXPONENTIAL:
        return curves.supply_q128(plan.amount, (seconds << 128) // FILECOIN_EPOCH) >> 128
    whole: uint256 = seconds // plan.step
    done: uint256 = 0
    coming: uint256 = 0
    if plan.kind == GEOMETRIC:
        done = self._geometric(whole)
        coming = self._geometric_step(whole, done)
    else:
        done, coming = curves.halving(
            plan.amount // plan.grain, plan.limit // plan.grain, whole
        )
        done *= plan.grain
        coming *= plan.grain
    return done + coming * (seconds % plan.step) // plan.step


@internal
@view
def _geometric(steps: uint256) -> uint256:
    return curves.geometric(plan.amount, plan.factor, min(steps, plan.steps), plan.grain)


@internal
@view
def _geometric_step(number: uint256, before: uint256) -> uint256:
    # At the far end of a schedule, where a step is less than a unit, a floor may go back by one.
    return max(self._geometric(number + 1), before) - before


@internal
def _storage(backed: uint256) -> uint256:
    # One epoch of the baseline, and what the storage part has emitted after it.
    b: Baseline = self.baseline
    b.target = min(wide.times(b.target, EPOCH_GROWTH), CEILING)
    b.realized += min(b.target, backed)
    for _: uint256 in range(CATCH_UP):
        if b.realized <= b.wanted:
            break
        b.time += 1
        b.effective = min(wide.times(b.effective, EPOCH_GROWTH), CEILING)
        b.wanted += b.effective
    # What could not be made up is dropped, or it would be minted later at once.
    b.realized = min(b.realized, b.wanted)
    self.baseline = b
    if b.time == 0:
        return 0
    lacking: uint256 = wide.divided(b.wanted - b.realized, ONE, b.effective)
    theta: uint256 = ((b.time << 128) - lacking) * RATIO
    return curves.supply_q128(plan.storage, theta) >> 128


@internal
@view
def _ended() -> uint256:
    if block.timestamp < genesis:
        return 0
    return min((block.timestamp - genesis) // epoch_seconds, MAX_EPOCHS)


# Inside: shares and roles


@internal
@view
def _drawable(market: bytes32, epoch: uint256) -> uint256:
    assert epoch < self.closed, "issuance: epoch is not closed"
    if self._ended() > epoch + 1 + plan.window:
        return 0
    word: uint256 = self._budgets[epoch]
    bps: uint256 = self._shares[word & convert(max_value(uint128), uint256)][market]
    return (word >> 128) * bps // BPS - self.drawn[epoch][market]


@internal
@view
def _market_of_caller() -> bytes32:
    market: bytes32 = self.market_of[msg.sender]
    assert market != empty(bytes32), "issuance: not a distributor"
    assert self._distributor(market) == msg.sender, "issuance: not a distributor"
    return market


@internal
@view
def _distributor(market: bytes32) -> address:
    named: Distributor = self.distributors[market]
    if block.timestamp < named.since:
        return named.before
    return named.account


@internal
@view
def _begin() -> uint256:
    # During the setup a role begins at once; later its holder is known for a delay of roles.
    if staticcall IGovernor(governor).setup_done():
        return block.timestamp + staticcall IGovernor(governor).role_delay()
    return block.timestamp


@internal
@view
def _only_governor():
    assert msg.sender == governor, "issuance: not the governor"


@internal
@view
def _only_kind(kind: uint8):
    assert plan.kind == kind, "issuance: another kind"


@internal
def _set_split(shares: DynArray[Share, MAX_MARKETS]):
    number: uint256 = self.split_count + 1
    sum: uint256 = 0
    for share: Share in shares:
        assert share.market != empty(bytes32), "issuance: no market"
        assert 0 < share.bps and share.bps <= BPS, "issuance: share out of bounds"
        assert self._shares[number][share.market] == 0, "issuance: a market twice"
        self._shares[number][share.market] = share.bps
        sum += share.bps
    assert sum <= BPS, "issuance: shares over the whole"
    self.split_count = number
    self._splits[number] = shares
    log SplitSet(split=number, from_epoch=self.closed, shares=shares)


@internal
@pure
def _vested(found: Allocation, moment: uint256) -> uint256:
    if moment < found.start + found.cliff:
        return 0
    if found.parts == 0:
        return found.amount
    months: uint256 = (moment - found.start - found.cliff) // MONTH
    return found.amount * min(months, found.parts) // found.parts


@internal
@pure
def _check_plan(p: Plan, seconds: uint256):
    assert 0 < p.limit and p.limit < MAX_AMOUNT, "issuance: limit out of bounds"
    assert p.amount < MAX_AMOUNT and p.storage < MAX_AMOUNT, "issuance: amount out of bounds"
    assert p.budget < MAX_AMOUNT, "issuance: budget out of bounds"
    assert 0 < p.window and p.window <= MAX_WINDOW, "issuance: window out of bounds"
    assert 0 < p.step and p.step <= MAX_STEP, "issuance: step out of bounds"
    assert 0 < p.grain and p.grain <= p.limit, "issuance: grain out of bounds"
    if p.kind == EXPONENTIAL:
        assert seconds % FILECOIN_EPOCH == 0, "issuance: epoch is no multiple of 30 s"
        assert p.amount + p.storage <= p.limit, "issuance: parts over the limit"
        assert p.storage == 0 or p.initial > 0, "issuance: no baseline"
        assert p.initial < MAX_AMOUNT, "issuance: baseline out of bounds"
    elif p.kind == GEOMETRIC:
        assert 0 < p.factor and p.factor <= 10**18, "issuance: factor out of bounds"
        assert 0 < p.steps and p.steps < MAX_STEPS, "issuance: steps out of bounds"
    else:
        assert p.kind == HALVING, "issuance: unknown kind"
        assert p.limit % p.grain == 0 and p.amount % p.grain == 0, "issuance: not whole grains"
    assert p.kind == EXPONENTIAL or p.storage == 0, "issuance: storage in another kind"

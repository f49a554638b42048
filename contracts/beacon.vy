# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Freehold beacon
@license Apache-2.0
@notice One seed per period for everybody. Time is cut into periods of equal length. Early in a
    period anyone fixes a block two ahead, and once that block exists anyone stores its hash:
    that makes a round. Rounds are numbered 0, 1, 2 ... without gaps; a period without a round
    is void, it is neither paid nor faulted, so a network that was switched off comes back
    without punishing anyone.
@dev Threats.
    Choosing the seed: whoever calls `fix` names a block whose hash nobody knows yet. When its
    hash is known anyone may store it for 256 blocks, so it is redrawn only if nobody at all
    stores it in that time; one honest keeper is enough.
    Grinding by block proposers: a proposer of the named block can withhold it and lose the
    block's reward for one redraw. Where one sequencer makes every block, it can choose the
    hash freely: such a chain needs another beacon with these same views (drand, say).
    Two rounds in one period: refused. A round after the grace interval: refused, so that the
    proof window always ends inside the period.
    Nobody owns this contract; the governor is only named here and has no power over it.
"""

from interfaces import IBeacon

event Fixed:
    period: indexed(uint256)
    block_number: uint256

event Stored:
    round: indexed(uint256)
    period: indexed(uint256)
    seed: bytes32
    stored_at: uint256

AHEAD: constant(uint256) = 2  # blocks between fixing and the block that is fixed
REACH: constant(uint256) = 256  # blocks that BLOCKHASH reaches back
MAX_PERIOD: constant(uint256) = 31 * 86400
LOW: constant(uint256) = 2**64 - 1

governor: public(immutable(address))
genesis: public(immutable(uint256))
period_length: public(immutable(uint256))
grace: public(immutable(uint256))

round_count: public(uint256)
seeds: HashMap[uint256, bytes32]  # by round
times: HashMap[uint256, uint256]  # by round: period << 64 | moment of storing
indexes: HashMap[uint256, uint256]  # by period: round + 1
target: uint256  # period << 64 | fixed block, of the last fix


@deploy
def __init__(governor_: address, genesis_: uint256, period: uint256, grace_: uint256):
    """
    @param governor_ Named for the list of powers; it has none here.
    @param genesis_ Start of period 0, seconds; not in the future.
    @param period Length of a period, seconds, at most 31 days.
    @param grace_ Seconds from the start of a period in which its round can be made.
    """
    assert genesis_ <= block.timestamp, "beacon: genesis lies ahead"
    assert period <= MAX_PERIOD, "beacon: period too long"
    assert grace_ > 0 and grace_ < period, "beacon: grace must be shorter than a period"
    governor = governor_
    genesis = genesis_
    period_length = period
    grace = grace_


@external
def fix(period: uint256):
    """
    @notice Name the block whose hash becomes the seed of the current period.
    @dev Again only when the named block's hash is out of reach and no round was made.
    """
    self._check_open(period)
    assert self.indexes[period] == 0, "beacon: round exists"
    target: uint256 = self.target
    if target >> 64 == period and target != 0:
        assert block.number > (target & LOW) + REACH, "beacon: already fixed"
    self.target = period << 64 | (block.number + AHEAD)
    log Fixed(period=period, block_number=block.number + AHEAD)


@external
def store(period: uint256) -> uint256:
    """
    @notice Make the round of the current period from the hash of its fixed block.
    @return The number of the new round.
    """
    self._check_open(period)
    assert self.indexes[period] == 0, "beacon: round exists"
    target: uint256 = self.target
    assert target != 0 and target >> 64 == period, "beacon: not fixed"
    number: uint256 = target & LOW
    assert block.number > number, "beacon: too early"
    assert block.number <= number + REACH, "beacon: hash out of reach"
    source: bytes32 = blockhash(number)
    seed: bytes32 = keccak256(
        concat(source, convert(period, bytes32), convert(self, bytes20))
    )
    index: uint256 = self.round_count
    self.round_count = index + 1
    self.seeds[index] = seed
    self.times[index] = period << 64 | block.timestamp
    self.indexes[period] = index + 1
    log Stored(round=index, period=period, seed=seed, stored_at=block.timestamp)
    return index


@external
@view
def period_of(moment: uint256) -> uint256:
    """
    @notice The period a moment lies in; moments before genesis are refused.
    """
    return self._period_of(moment)


@external
@view
def period_start(period: uint256) -> uint256:
    """
    @notice The first second of a period.
    """
    return genesis + period * period_length


@external
@view
def round(index: uint256) -> IBeacon.Round:
    """
    @notice A round's seed, its period and when it was stored.
    """
    times: uint256 = self.times[index]
    assert times != 0, "beacon: no such round"
    return IBeacon.Round(
        seed=self.seeds[index],
        period=convert(times >> 64, uint64),
        stored_at=convert(times & LOW, uint64),
    )


@external
@view
def round_of(period: uint256) -> (bool, uint256):
    """
    @notice Whether a period has a round, and its number.
    """
    found: uint256 = self.indexes[period]
    if found == 0:
        return False, 0
    return True, found - 1


@external
@view
def fixed_block(period: uint256) -> uint256:
    """
    @notice The block last fixed for a period, 0 where it is not the latest fixed one.
    """
    if self.target >> 64 != period:
        return 0
    return self.target & LOW


@external
@view
def rounds_ended(moment: uint256) -> uint256:
    """
    @notice How many rounds belong to periods that are over at a moment (end <= moment).
    @dev Constant cost when the moment's period or the one before has a round; else a binary
        search over the rounds.
    """
    if moment < genesis or self.round_count == 0:
        return 0
    period: uint256 = self._period_of(moment)
    count: uint256 = self.round_count
    if self.times[count - 1] >> 64 < period:
        return count
    if self.indexes[period] != 0:
        return self.indexes[period] - 1
    if period != 0 and self.indexes[period - 1] != 0:
        return self.indexes[period - 1]
    return self._search(period, count)


@internal
@view
def _search(period: uint256, count: uint256) -> uint256:
    """
    @dev The first round of a period >= `period`; the caller knows that there is one.
    """
    low: uint256 = 0
    high: uint256 = count
    for _: uint256 in range(64):
        if low >= high:
            break
        middle: uint256 = (low + high) // 2
        if self.times[middle] >> 64 < period:
            low = middle + 1
        else:
            high = middle
    return low


@internal
@view
def _period_of(moment: uint256) -> uint256:
    assert moment >= genesis, "beacon: before genesis"
    return (moment - genesis) // period_length


@internal
@view
def _check_open(period: uint256):
    """
    @dev Only the current period, and only within its grace interval.
    """
    assert period == self._period_of(block.timestamp), "beacon: not the current period"
    assert block.timestamp <= genesis + period * period_length + grace, "beacon: grace is over"

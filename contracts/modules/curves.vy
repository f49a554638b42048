# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Emission curves
@license Apache-2.0
@notice How much three kinds of schedule have emitted by when: exponential in time or network time
        (Filecoin), steps that shrink by a factor (io.net), halving by what is issued (Bittensor).
@dev A library without state; the same integers as freehold.economics.schedules. Every figure is
     cumulative, and what an interval emits is the difference of two, so that a partition into
     intervals changes nothing.
     - Exponential: total * (1 - exp(-lambda * theta)), theta in 30-second epochs of Q.128.
     - Geometric: first * (1 - f**n) / (1 - f), rounded half up to grains.
     - Halving: a block emits amount >> h, h the largest with issuance * 2**h >= cap * (2**h - 1);
       era by era, no more than 97 of them for a cap below 2**96.
"""

from modules import wide

ONE: constant(uint256) = 2**128
SCALE: constant(uint256) = 10**18
# ln 2 / (6 years of 30-second epochs), and e to it less one, both Q.128.
DECAY: constant(uint256) = 37396271439864487274534522888786
EXP_DECAY_SUB_ONE: constant(uint256) = 37396273494747879394193016954629
REACH: constant(uint256) = 16 * 2**128
ERAS: constant(uint256) = 128


@internal
@pure
def simple_q128(total: uint256, epoch: uint256) -> uint256:
    """
    @notice The time part of one 30-second epoch as Filecoin computes it, Q.128.
    """
    if epoch > REACH // DECAY:
        return 0
    return wide.times(total * EXP_DECAY_SUB_ONE, wide.exp_negative(DECAY * epoch))


@internal
@pure
def supply_q128(total: uint256, theta: uint256) -> uint256:
    """
    @notice What an exponential schedule of `total` has emitted at theta, Q.128.
    """
    return (ONE - wide.exp_negative(wide.times(theta, DECAY))) * total


@internal
@pure
def baseline_q128(total: uint256, simple: uint256, before: uint256, now: uint256) -> uint256:
    """
    @notice The storage part between two thetas as Filecoin rounds it, above its first epoch's
            time part, in whole units.
    """
    first: uint256 = self.simple_q128(simple, 0)
    moved: uint256 = self.supply_q128(total, now) - self.supply_q128(total, before)
    return ((first + moved) >> 128) - (first >> 128)


@internal
@pure
def geometric(first: uint256, factor: uint256, steps: uint256, grain: uint256) -> uint256:
    """
    @notice What `steps` steps emit together; `factor` in 10**-18, at most 1.
    """
    ratio: uint256 = (factor << 128) // SCALE
    exact: uint256 = 0
    if ratio == ONE:
        exact = first * steps
    else:
        exact = first * (ONE - wide.power(ratio, steps)) // (ONE - ratio)
    return (exact + grain // 2) // grain * grain


@internal
@pure
def halvings(issuance: uint256, cap: uint256, start: uint256) -> uint256:
    """
    @notice How often a block's emission is halved once `issuance` of `cap` is out; at least
            `start`, which is where the search begins.
    """
    left: uint256 = cap - min(issuance, cap)
    era: uint256 = start
    for _: uint256 in range(ERAS):
        if era == ERAS or left << (era + 1) > cap:
            break
        era += 1
    return era


@internal
@pure
def block_emission(amount: uint256, issuance: uint256, cap: uint256, era: uint256) -> uint256:
    """
    @notice What a block of that era emits, never past the cap.
    """
    return min(amount >> era, cap - min(issuance, cap))


@internal
@pure
def halving(amount: uint256, cap: uint256, blocks: uint256) -> (uint256, uint256):
    """
    @notice What the first `blocks` blocks emit together, and what the next one does.
    """
    issuance: uint256 = 0
    era: uint256 = 0
    left: uint256 = blocks
    each: uint256 = 0
    for _: uint256 in range(ERAS):
        era = self.halvings(issuance, cap, era)
        each = self.block_emission(amount, issuance, cap, era)
        if left == 0 or each == 0:
            break
        missing: uint256 = cap - (cap >> (era + 1)) - issuance
        count: uint256 = max((missing + each - 1) // each, 1)
        count = min(min(count, (cap - issuance) // each), left)
        issuance += each * count
        left -= count
    return issuance, each

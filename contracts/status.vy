# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Status
@license Apache-2.0
@notice What no contract can measure, such as whether a node is reachable or a sensor honest, agreed
        by many watchers: the stake-weighted median of what they saw, and how well each one sees.
@dev Time is cut into rounds of two halves. In the first half watchers commit to what they saw, and
     anyone settles what was told in the round before; in the second half watchers reveal, and
     members come, go and have their stake recorded. A value is an integer in a unit of the aspect's
     choice, fine enough that one unit does not matter.
     Weight. A member's weight in a round is its owner's own stake as it was last recorded before the
     round began; nothing that happens within a round changes it, and telling records it anew. A
     record counts for one unbonding period: stake that is taken out cannot be put behind another
     watcher before its record has lapsed, so no token counts twice. Anyone refreshes a member's.
     Committee. While there are no more members than seats everybody sits, with their weight. When
     there are more, seats are drawn for each subject: the line of all weights is cut into equal
     strata, one a seat, and a point in each names the seat's member. The points come from the seed
     of the last beacon period that was over when the round began. Weights on this line were recorded
     before that period began, and who leaves stays on it until later, so nobody can arrange stake to
     meet points that are known. Whatever the order and the splitting, liars with share p of the line
     hold half of n seats no more often than a binomial of n and p does (Hoeffding, 1956): of 24
     seats with p = 0.1 once in 1.2 million, 0.2 once in 1023, 0.3 once in 32. Python:
     `freehold.control.consensus.odds`.
     Median. More than half of the committee's weight must have told. The lower weighted median is
     taken over all of it: who is silent counts for the value settled before. So who lies with less
     than half of that weight cannot move a value out of what the honest saw and what stood before.
     The first time nothing stood before: then the medians with all silent weight put lowest and put
     highest must lie within tolerance of each other.
     Clipping. Weights are not clipped: a cap would count an honest stake above it in part and the
     same stake, split by a liar, in full, so that less than half of the stake would win. What is
     clipped is the distance of an outlier, at ten times the tolerance, when it is scored.
     Scores, 0 to 10^4, start at half. Where a value moved, telling it gains a fifth of what is
     missing, and telling the old one, be it with a small change, loses half of what one has; where
     it did not move, agreeing gains a hundredth. Other outliers lose up to three tenths, the silent a
     tenth. Below the floor
     a member sits without weight and is scored all the same, so it can come back; on the line of a
     draw a sixteenth of its stake stays, or it would never sit.
     Threats and what meets them.
     - Copying what another tells: until the first half is over only hashes are known, and a hash
       holds its watcher, round and salt.
     - Choosing after the others told: one hash a round, opened whole or not at all, and no value
       twice in it. Not opening it is scored as silence.
     - Telling the old value without looking: it loses more in one move than many quiet rounds give.
     - Stake borrowed for a moment: it counts from the next round on, and cannot leave before the
       unbonding period is over.
     - Voting one's stake twice, or leaving when the votes are known: see weight; a round's members
       and weights stay until it is settled.
     - Filling the list: who has more stake than the least makes room, one place at a time. Who
       lapsed or has no weight by its score goes first.
     - Coming and going to move the points of a draw: who leaves stays on the line, who comes back
       comes onto it anew.
     - Filling the list with little stake, so that seats are drawn: the odds above depend on shares of
       stake alone, but they are odds. A least stake that keeps the list short avoids them.
     - Bribing a committee: who sits in a draw is known up to two beacon periods ahead. Not met.
     - Punishing watchers for a subject that none looks at: nobody is scored unless more than half of
       the weight told.
     - Silent majorities: what stood before stays as it is, with its time; readers look at the time.
     - Liars with half of the weight or more: they win, and honest watchers with more than half set a
       value right again in one round.
     - Floods: a watcher tells 128 values a round at its own cost; every loop is bounded.
     - Re-entrance: `registry`, `staking` and `beacon` are asked by views alone.
     Trust: more than half of the stake of those who watch. The governor sets seats, floor, least
     stake and tolerances within bounds, and can set no value. Status never slashes and moves no
     money. Where one sequencer can choose the beacon's hashes it can choose committees as well.
"""

from interfaces import IBeacon
from interfaces import IRegistry
from interfaces import IStaking

struct Parameters:
    least_stake: uint256  # base units, own stake of a member
    seats: uint256  # of a committee
    floor: uint256  # score below which a member has no weight
    tolerance_bps: uint256  # of the median's size, where an aspect has no rule of its own


# What a value may differ by: the greater of a share of the median's size and `least`.
struct Tolerance:
    bps: uint256
    least: uint256


struct Status:
    value: int256
    at: uint256  # block time of the settlement, 0 where there was none
    round: uint256
    told_bps: uint256  # of the committee's weight
    spread: uint256  # between the quarters of the weight


struct Member:
    place: uint256
    since: uint256  # first round
    score: uint256
    left_at: uint256  # 0 while it stays
    weight: uint256  # in the present round where everybody sits


# A row of the list, one word: watcher in 160 bits, since in 32, score in 16, left_at in 40.
struct Row:
    watcher: address
    since: uint256
    score: uint256
    left_at: uint256


struct Seat:
    watcher: address
    weight: uint256


struct Told:
    known: bool
    value: int256


struct Seating:
    seats: DynArray[uint256, MAX_SEATS]  # place | weight << 8
    whole: uint256


struct Count:
    entries: DynArray[uint256, MAX_SEATS + 1]  # (value + MAX_VALUE) << 128 | weight, rising
    told: uint256


event Joined:
    watcher: indexed(address)
    place: uint256
    since: uint256


event Displaced:
    watcher: indexed(address)
    by: indexed(address)


event Left:
    watcher: indexed(address)


event Recorded:
    watcher: indexed(address)
    weight: uint256


event Committed:
    round: indexed(uint256)
    watcher: indexed(address)
    digest: bytes32


event Revealed:
    round: indexed(uint256)
    watcher: indexed(address)
    subjects: DynArray[address, MAX_TOLD]
    aspects: DynArray[bytes32, MAX_TOLD]
    values: DynArray[int256, MAX_TOLD]


event Settled:
    round: indexed(uint256)
    subject: indexed(address)
    aspect: indexed(bytes32)
    value: int256
    told_bps: uint256
    spread: uint256


# Each word is a watcher << 16 | its new score, of those whose score changed.
event Scored:
    round: indexed(uint256)
    subject: indexed(address)
    aspect: indexed(bytes32)
    scores: DynArray[uint256, MAX_SEATS]


event ParametersSet:
    parameters: Parameters


event ToleranceSet:
    aspect: indexed(bytes32)
    tolerance: Tolerance


WATCHER: constant(uint256) = 2
BPS: constant(uint256) = 10**4
MAX_MEMBERS: constant(uint256) = 64
MAX_SEATS: constant(uint256) = 24
MAX_TOLD: constant(uint256) = 128
MAX_BATCH: constant(uint256) = 32
MAX_VALUE: constant(int256) = 2**120
MIN_ROUND: constant(uint256) = 10
MAX_ROUND: constant(uint256) = 7 * 86400
MAX_TOLERANCE: constant(uint256) = 5_000
MAX_LEAST: constant(uint256) = 2**96
FIRST_SCORE: constant(uint256) = 5_000
GAIN_MOVED: constant(uint256) = 2_000
GAIN_STILL: constant(uint256) = 100
LOSS_STALE: constant(uint256) = 5_000
LOSS_FAR: constant(uint256) = 3_000
LOSS_SILENT: constant(uint256) = 1_000
CLIP: constant(uint256) = 10
LOW_SHARE: constant(uint256) = 16
M8: constant(uint256) = 2**8 - 1
M16: constant(uint256) = 2**16 - 1
M32: constant(uint256) = 2**32 - 1
M40: constant(uint256) = 2**40 - 1
M64: constant(uint256) = 2**64 - 1
M88: constant(uint256) = 2**88 - 1
M128: constant(uint256) = 2**128 - 1

registry: public(immutable(address))
staking: public(immutable(address))
beacon: public(immutable(address))
governor: public(immutable(address))
genesis: public(immutable(uint256))
round_length: public(immutable(uint256))
UNBONDING: immutable(uint256)
BEACON_GENESIS: immutable(uint256)
BEACON_PERIOD: immutable(uint256)

rows: public(uint256)  # places ever used
_parameters: Parameters
_tolerances: HashMap[bytes32, Tolerance]
_rows: HashMap[uint256, uint256]
_places: HashMap[address, uint256]  # place + 1
_past: HashMap[address, uint256]  # score + 1 of who was a member
# Two records of stake each, newest low: time in 40 bits, weight in 88.
_records: HashMap[address, uint256]  # before a round
_lines: HashMap[address, uint256]  # before a beacon period
_commits: HashMap[address, uint256]  # digest in 224 bits | round
_told: HashMap[bytes32, HashMap[address, uint256]]  # (value + MAX_VALUE) << 32 | round + 1
_values: HashMap[bytes32, uint256]  # (value + MAX_VALUE) << 96 | told_bps << 80 | at << 40 | round
_spreads: HashMap[bytes32, uint256]


@deploy
def __init__(
    registry_: address,
    staking_: address,
    beacon_: address,
    governor_: address,
    genesis_: uint256,
    round_length_: uint256,
    parameters_: Parameters,
):
    """
    @param genesis_ Start of round 0, seconds; not in the future.
    @param round_length_ Seconds, even, and at most half of the unbonding period.
    """
    assert empty(address) not in [registry_, staking_, beacon_, governor_], "status: zero address"
    assert genesis_ <= block.timestamp, "status: genesis lies ahead"
    assert MIN_ROUND <= round_length_, "status: round too short"
    assert round_length_ <= MAX_ROUND, "status: round too long"
    assert round_length_ % 2 == 0, "status: halves differ"
    registry = registry_
    staking = staking_
    beacon = beacon_
    governor = governor_
    genesis = genesis_
    round_length = round_length_
    UNBONDING = staticcall IStaking(staking_).unbonding_period()
    BEACON_GENESIS = staticcall IBeacon(beacon_).genesis()
    BEACON_PERIOD = staticcall IBeacon(beacon_).period_length()
    assert 2 * round_length_ <= UNBONDING, "status: unbonding too short"
    self._set_parameters(parameters_)


# Members: in the second half of a round


@external
def join() -> bool:
    """
    @notice Become a member from the next round on, by a node in the role of a watcher. Where the
            list is full, whoever has least goes for who has more, and the caller comes back later.
    @return Whether the caller is a member now.
    """
    current: uint256 = self._second_half()
    cut: uint256 = self._cut(current)[0]
    mine: uint256 = self._stake(msg.sender)
    assert mine > 0, "status: not a watcher with enough stake"
    held: uint256 = self._places[msg.sender]
    place: uint256 = held - 1 if held != 0 else self._vacant(current, cut)
    if place == MAX_MEMBERS:
        self._displace(mine)
        return False
    row: Row = self._row(place)
    if held != 0:
        assert row.left_at != 0, "status: member already"
        assert self._is_free(row, current, cut), "status: still leaving"
    elif row.watcher != empty(address):
        self._past[row.watcher] = row.score + 1
        self._places[row.watcher] = 0
    past: uint256 = self._past[msg.sender]
    score: uint256 = FIRST_SCORE if past == 0 else past - 1
    if held != 0:
        score = row.score
    # Nobody comes back onto the line when its points are known.
    self._lines[msg.sender] = 0
    self._places[msg.sender] = place + 1
    self.rows = max(self.rows, place + 1)
    self._save_row(
        place, Row(watcher=msg.sender, since=current + 1, score=score, left_at=0)
    )
    log Joined(watcher=msg.sender, place=place, since=current + 1)
    self._record(msg.sender, score, current, cut)
    return True


@external
def leave():
    """
    @notice Stop being a member after this round, and on the line of draws a beacon period later.
    """
    self._second_half()
    place: uint256 = self._place(msg.sender)
    row: Row = self._row(place)
    assert row.left_at == 0, "status: still leaving"
    row.left_at = block.timestamp
    self._save_row(place, row)
    log Left(watcher=msg.sender)


@external
def refresh(watcher: address):
    """
    @notice Record a member's stake anew, by anyone; it counts from the next round on.
    """
    current: uint256 = self._second_half()
    row: Row = self._row(self._place(watcher))
    self._record(watcher, row.score, current, self._cut(current)[0])


# A round


@external
def commit(digest: bytes32):
    """
    @notice Bind the caller, a member, to what it saw; `digest_of` tells how. Once a round.
    """
    current: uint256 = self._round()
    assert self._is_first_half(), "status: not in the first half"
    row: Row = self._row(self._place(msg.sender))
    # Who joined did so in a second half, so that a first half finds members of this round alone.
    assert self._stays(row, self._start(current)), "status: left"
    assert self._commits[msg.sender] & M32 != current + 1, "status: committed already"
    self._commits[msg.sender] = convert(digest, uint256) >> 32 << 32 | current + 1
    log Committed(round=current, watcher=msg.sender, digest=digest)


@external
def reveal(
    salt: bytes32,
    subjects: DynArray[address, MAX_TOLD],
    aspects: DynArray[bytes32, MAX_TOLD],
    values: DynArray[int256, MAX_TOLD],
):
    """
    @notice Tell what the caller committed to, all of it, and have its stake recorded.
    """
    current: uint256 = self._second_half()
    assert len(subjects) == len(aspects), "status: lengths differ"
    assert len(subjects) == len(values), "status: lengths differ"
    digest: bytes32 = self._digest(current, msg.sender, salt, subjects, aspects, values)
    expected: uint256 = convert(digest, uint256) >> 32 << 32 | current + 1
    assert self._commits[msg.sender] == expected, "status: not what was committed"
    for i: uint256 in range(len(subjects), bound=MAX_TOLD):
        assert -MAX_VALUE <= values[i], "status: value out of bounds"
        assert values[i] <= MAX_VALUE, "status: value out of bounds"
        key: bytes32 = self._key(subjects[i], aspects[i])
        assert self._told[key][msg.sender] & M32 != current + 1, "status: told twice"
        self._told[key][msg.sender] = (
            convert(values[i] + MAX_VALUE, uint256) << 32 | current + 1
        )
    log Revealed(
        round=current, watcher=msg.sender, subjects=subjects, aspects=aspects, values=values
    )
    row: Row = self._row(self._place(msg.sender))
    self._record(msg.sender, row.score, current, self._cut(current)[0])


@external
def settle(round_: uint256, subject: address, aspect: bytes32) -> int256:
    """
    @notice Agree on a value of the round before, by anyone, in the first half of the one after.
    @return The value.
    """
    self._check_settling(round_)
    return self._settle(round_, subject, aspect)


@external
def settle_many(
    round_: uint256,
    subjects: DynArray[address, MAX_BATCH],
    aspects: DynArray[bytes32, MAX_BATCH],
):
    """
    @notice Settle several values at once: each but the first costs less. What somebody else settled
            meanwhile is passed over.
    """
    assert len(subjects) == len(aspects), "status: lengths differ"
    self._check_settling(round_)
    for i: uint256 in range(len(subjects), bound=MAX_BATCH):
        before: Status = self._status(self._key(subjects[i], aspects[i]))
        if before.at == 0 or before.round != round_:
            self._settle(round_, subjects[i], aspects[i])


# The governor


@external
def set_parameters(parameters: Parameters):
    """
    @notice Change the terms within bounds; the governor. Seats and tolerances count at once, also
            for what is being settled.
    """
    self._only_governor()
    self._set_parameters(parameters)


@external
def set_tolerance(aspect: bytes32, tolerance: Tolerance):
    """
    @notice Give an aspect a tolerance of its own; both zero take it back. The governor.
    """
    self._only_governor()
    assert tolerance.bps <= MAX_TOLERANCE, "status: tolerance out of bounds"
    assert tolerance.least <= MAX_LEAST, "status: tolerance out of bounds"
    self._tolerances[aspect] = tolerance
    log ToleranceSet(aspect=aspect, tolerance=tolerance)


# Views


@external
@view
def value_of(subject: address, aspect: bytes32) -> (int256, uint256):
    """
    @notice The value last agreed on and the block time of its settlement, 0 where there was none.
    """
    found: Status = self._status(self._key(subject, aspect))
    return found.value, found.at


@external
@view
def status_of(subject: address, aspect: bytes32) -> Status:
    """
    @notice The value last agreed on, with its round and how far the watchers agreed.
    """
    return self._status(self._key(subject, aspect))


@external
@view
def committee(round_: uint256, subject: address) -> DynArray[Seat, MAX_SEATS]:
    """
    @notice Who watches a subject in a round and their weights, seats where they were drawn; true of
            the present round, and of the one before until it cannot be settled any more.
    """
    found: DynArray[Seat, MAX_SEATS] = []
    for seat: uint256 in self._seating(round_, subject).seats:
        found.append(Seat(watcher=self._watcher(seat & M8), weight=seat >> 8))
    return found


@external
@view
def told_of(round_: uint256, watcher: address, subject: address, aspect: bytes32) -> Told:
    """
    @notice Whether a watcher told a value in a round, and which, until it tells the next one.
    """
    word: uint256 = self._told[self._key(subject, aspect)][watcher]
    if word & M32 != round_ + 1:
        return empty(Told)
    return Told(known=True, value=convert(word >> 32, int256) - MAX_VALUE)


@external
@view
def member(watcher: address) -> Member:
    """
    @notice A member's place, first round, score and weight; refused where it never was one.
    """
    place: uint256 = self._place(watcher)
    row: Row = self._row(place)
    start: uint256 = self._start(self._round())
    return Member(
        place=place,
        since=row.since,
        score=row.score,
        left_at=row.left_at,
        weight=self._in_force(self._records[watcher], start, start + round_length),
    )


@external
@view
def score_of(watcher: address) -> uint256:
    """
    @notice A watcher's score, 0 to 10^4; half where it was never a member.
    """
    held: uint256 = self._places[watcher]
    if held != 0:
        return self._row(held - 1).score
    past: uint256 = self._past[watcher]
    return FIRST_SCORE if past == 0 else past - 1


@external
@view
def digest_of(
    round_: uint256,
    watcher: address,
    salt: bytes32,
    subjects: DynArray[address, MAX_TOLD],
    aspects: DynArray[bytes32, MAX_TOLD],
    values: DynArray[int256, MAX_TOLD],
) -> bytes32:
    """
    @notice What to commit to: keccak256 of abi.encode(chain, this contract, round, watcher, salt,
            keccak256 of abi.encode(subjects, aspects, values)). Ask no stranger's server this: it
            would learn the salt.
    """
    return self._digest(round_, watcher, salt, subjects, aspects, values)


@external
@view
def round_now() -> uint256:
    """
    @notice The present round.
    """
    return self._round()


@external
@view
def is_first_half() -> bool:
    """
    @notice Whether watchers commit now, and the round before can be settled.
    """
    return self._is_first_half()


@external
@view
def parameters() -> Parameters:
    """
    @notice The terms in force.
    """
    return self._parameters


@external
@view
def tolerance_of(aspect: bytes32) -> Tolerance:
    """
    @notice An aspect's tolerance.
    """
    return self._tolerance(aspect)


# Internals: rounds and members


@internal
@view
def _round() -> uint256:
    return (block.timestamp - genesis) // round_length


@internal
@view
def _start(round_: uint256) -> uint256:
    return genesis + round_ * round_length


@internal
@view
def _is_first_half() -> bool:
    return (block.timestamp - genesis) % round_length < round_length // 2


@internal
@view
def _second_half() -> uint256:
    assert not self._is_first_half(), "status: not in the second half"
    return self._round()


@internal
@view
def _check_settling(round_: uint256):
    assert self._is_first_half(), "status: not in the first half"
    assert round_ + 1 == self._round(), "status: not the round before"


@internal
@view
def _cut(round_: uint256) -> (uint256, bytes32):
    # Start and seed of the last beacon period that was over when the round began; zeros if none.
    count: uint256 = staticcall IBeacon(beacon).rounds_ended(self._start(round_))
    if count == 0:
        return 0, empty(bytes32)
    found: IBeacon.Round = staticcall IBeacon(beacon).round(count - 1)
    return BEACON_GENESIS + convert(found.period, uint256) * BEACON_PERIOD, found.seed


@internal
@view
def _place(watcher: address) -> uint256:
    held: uint256 = self._places[watcher]
    assert held != 0, "status: not a member"
    return held - 1


@internal
@pure
def _stays(row: Row, moment: uint256) -> bool:
    return row.left_at == 0 or row.left_at >= moment


@internal
@view
def _is_free(row: Row, current: uint256, cut: uint256) -> bool:
    # Whether nobody sits there in this round, be it drawn or not.
    if row.watcher == empty(address):
        return True
    return not self._stays(row, self._start(current)) and (cut == 0 or not self._stays(row, cut))


@internal
@view
def _vacant(current: uint256, cut: uint256) -> uint256:
    # MAX_MEMBERS where there is none.
    rows: uint256 = self.rows
    for place: uint256 in range(rows, bound=MAX_MEMBERS):
        if self._is_free(self._row(place), current, cut):
            return place
    return rows


@internal
def _displace(mine: uint256):
    least: uint256 = max_value(uint256)
    weakest: uint256 = 0
    for place: uint256 in range(MAX_MEMBERS):
        row: Row = self._row(place)
        # One at a time, or one newcomer could turn all others out.
        assert row.left_at == 0, "status: a place becomes free"
        weight: uint256 = self._in_force(
            self._records[row.watcher], max_value(uint256), block.timestamp
        )
        if weight < least:
            least = weight
            weakest = place
    assert mine > least, "status: full"
    row: Row = self._row(weakest)
    row.left_at = block.timestamp
    self._save_row(weakest, row)
    log Displaced(watcher=row.watcher, by=msg.sender)


@internal
@view
def _stake(watcher: address) -> uint256:
    # What counts of a watcher's own stake; 0 where it may not sit.
    if not staticcall IRegistry(registry).active(watcher, WATCHER):
        return 0
    own: uint256 = staticcall IStaking(staking).own(watcher)
    if own < self._parameters.least_stake:
        return 0
    return min(max(own, 1), M88)


@internal
def _record(watcher: address, score: uint256, current: uint256, cut: uint256):
    weight: uint256 = self._stake(watcher)
    low: bool = score < self._parameters.floor
    line: uint256 = weight // LOW_SHARE if low else weight
    if low:
        weight = 0
    self._records[watcher] = self._added(
        self._records[watcher], self._start(current), weight, False
    )
    self._lines[watcher] = self._added(self._lines[watcher], cut, line, True)
    log Recorded(watcher=watcher, weight=weight)


@internal
@view
def _added(word: uint256, cut: uint256, weight: uint256, hold: bool) -> uint256:
    # The older record is the last one before the cut. A newer one is replaced, or held: replaced
    # again and again it would never be older than a cut that comes late.
    moment: uint256 = word & M40
    if word == 0 or moment < cut:
        return (word & M128) << 128 | weight << 40 | block.timestamp
    if hold:
        return word
    return word >> 128 << 128 | weight << 40 | block.timestamp


@internal
@view
def _in_force(word: uint256, cut: uint256, end: uint256) -> uint256:
    record: uint256 = word & M128
    if record & M40 >= cut:
        record = word >> 128
    if record == 0 or (record & M40) + UNBONDING < end:
        return 0
    return record >> 40


# Internals: committees


@internal
@view
def _seating(round_: uint256, subject: address) -> Seating:
    start: uint256 = self._start(round_)
    seats: uint256 = self._parameters.seats
    made: Seating = Seating(seats=[], whole=0)
    for place: uint256 in range(self.rows, bound=MAX_MEMBERS):
        row: Row = self._row(place)
        if row.since > round_ or not self._stays(row, start):
            continue
        if len(made.seats) == seats:
            return self._drawn(round_, subject, seats)
        weight: uint256 = self._in_force(self._records[row.watcher], start, start + round_length)
        made.seats.append(place | weight << 8)
        made.whole += weight
    return made


@internal
@view
def _drawn(round_: uint256, subject: address, seats: uint256) -> Seating:
    cut: uint256 = 0
    seed: bytes32 = empty(bytes32)
    cut, seed = self._cut(round_)
    ends: DynArray[uint256, MAX_MEMBERS] = self._line(cut, self._start(round_ + 1))
    made: Seating = Seating(seats=[], whole=0)
    if len(ends) == 0 or ends[len(ends) - 1] == 0:
        return made
    whole: uint256 = ends[len(ends) - 1]
    place: uint256 = 0
    held: uint256 = 0
    for seat: uint256 in range(seats, bound=MAX_SEATS):
        noise: uint256 = convert(keccak256(abi_encode(seed, round_, subject, seat)), uint256)
        point: uint256 = (seat << 64 | noise >> 192) * whole // (seats << 64)
        for _: uint256 in range(MAX_MEMBERS):
            if point < ends[place]:
                break
            if held != 0:
                made.seats.append(place | held << 8)
                held = 0
            place += 1
        held += 1
    made.seats.append(place | held << 8)
    made.whole = seats
    return made


@internal
@view
def _line(cut: uint256, end: uint256) -> DynArray[uint256, MAX_MEMBERS]:
    # Where each place's weight ends on the line of draws.
    ends: DynArray[uint256, MAX_MEMBERS] = []
    whole: uint256 = 0
    for place: uint256 in range(self.rows, bound=MAX_MEMBERS):
        row: Row = self._row(place)
        if self._stays(row, cut):
            whole += self._in_force(self._lines[row.watcher], cut, end)
        ends.append(whole)
    return ends


# Internals: settling


@internal
def _settle(round_: uint256, subject: address, aspect: bytes32) -> int256:
    key: bytes32 = self._key(subject, aspect)
    before: Status = self._status(key)
    assert before.at == 0 or before.round != round_, "status: settled already"
    seating: Seating = self._seating(round_, subject)
    whole: uint256 = seating.whole
    count: Count = self._counted(round_, key, seating, before)
    assert 2 * count.told > whole, "status: too few told"
    tolerance: Tolerance = self._tolerance(aspect)
    value: int256 = 0
    within: uint256 = 0
    if before.at == 0:
        value = self._at(count.entries, count.told, 0)
        within = self._within(tolerance, value)
        lowest: int256 = self._at(count.entries, whole, whole - count.told)
        highest: int256 = self._at(count.entries, whole, 0)
        assert self._apart(highest, lowest) <= within, "status: too little agreed"
    else:
        value = self._at(count.entries, whole, 0)
        within = self._within(tolerance, value)
    scores: DynArray[uint256, MAX_SEATS] = self._score(
        round_, key, seating, before, value, within
    )
    spread: uint256 = self._spread(count.entries)
    told_bps: uint256 = count.told * BPS // whole
    self._values[key] = (
        convert(value + MAX_VALUE, uint256) << 96 | told_bps << 80 | block.timestamp << 40 | round_
    )
    self._spreads[key] = spread
    log Settled(
        round=round_,
        subject=subject,
        aspect=aspect,
        value=value,
        told_bps=told_bps,
        spread=spread,
    )
    log Scored(round=round_, subject=subject, aspect=aspect, scores=scores)
    return value


@internal
@view
def _counted(round_: uint256, key: bytes32, seating: Seating, before: Status) -> Count:
    entries: DynArray[uint256, MAX_SEATS + 1] = []
    told: uint256 = 0
    for k: uint256 in range(len(seating.seats) + 1, bound=MAX_SEATS + 1):
        entry: uint256 = 0
        if k < len(seating.seats):
            weight: uint256 = seating.seats[k] >> 8
            if weight == 0:
                continue
            watcher: address = self._watcher(seating.seats[k] & M8)
            word: uint256 = self._told[key][watcher]
            if word & M32 != round_ + 1:
                continue
            told += weight
            entry = word >> 32 << 128 | weight
        elif before.at == 0 or told == seating.whole:
            break
        else:
            # Silent weight counts for what stood before.
            entry = convert(before.value + MAX_VALUE, uint256) << 128 | (seating.whole - told)
        # Into its place among the rising ones.
        entries.append(entry)
        i: uint256 = len(entries) - 1
        for _: uint256 in range(MAX_SEATS):
            if i == 0 or entries[i - 1] <= entry:
                break
            entries[i] = entries[i - 1]
            i -= 1
        entries[i] = entry
    return Count(entries=entries, told=told)


@internal
@pure
def _at(
    entries: DynArray[uint256, MAX_SEATS + 1], whole: uint256, below: uint256
) -> int256:
    # The least value with half of the weight at or below it, where `below` lies under all.
    reached: uint256 = below
    value: uint256 = 0
    for entry: uint256 in entries:
        value = entry >> 128
        reached += entry & M128
        if 2 * reached >= whole:
            break
    return convert(value, int256) - MAX_VALUE


@internal
@pure
def _spread(entries: DynArray[uint256, MAX_SEATS + 1]) -> uint256:
    # From the value that a quarter of the weight reaches to the one that three quarters reach.
    whole: uint256 = 0
    for entry: uint256 in entries:
        whole += entry & M128
    reached: uint256 = 0
    lower: uint256 = max_value(uint256)
    for entry: uint256 in entries:
        reached += entry & M128
        if lower == max_value(uint256) and 4 * reached >= whole:
            lower = entry >> 128
        if 4 * reached >= 3 * whole:
            return (entry >> 128) - lower
    return 0


@internal
def _score(
    round_: uint256,
    key: bytes32,
    seating: Seating,
    before: Status,
    median: int256,
    within: uint256,
) -> DynArray[uint256, MAX_SEATS]:
    moved: bool = before.at == 0 or self._apart(median, before.value) > within
    gain: uint256 = GAIN_MOVED if moved else GAIN_STILL
    clip: uint256 = max(CLIP * within, 1)
    scores: DynArray[uint256, MAX_SEATS] = []
    for seat: uint256 in seating.seats:
        place: uint256 = seat & M8
        row: uint256 = self._rows[place]
        watcher: address = convert(row >> 96, address)
        word: uint256 = self._told[key][watcher]
        last: uint256 = row >> 32 & M16
        score: uint256 = last
        if word & M32 != round_ + 1:
            score -= score * LOSS_SILENT // BPS
        else:
            told: int256 = convert(word >> 32, int256) - MAX_VALUE
            apart: uint256 = self._apart(told, median)
            if apart <= within:
                score += (BPS - score) * gain // BPS
            elif moved and before.at != 0 and self._apart(told, before.value) <= within:
                score -= score * LOSS_STALE // BPS
            else:
                score -= score * LOSS_FAR * min(apart, clip) // (BPS * clip)
        if score != last:
            self._rows[place] = row ^ (last ^ score) << 32
            scores.append(row >> 96 << 16 | score)
    return scores


@internal
@pure
def _apart(one: int256, other: int256) -> uint256:
    return convert(max(one, other) - min(one, other), uint256)


@internal
@pure
def _within(tolerance: Tolerance, median: int256) -> uint256:
    return max(tolerance.least, convert(abs(median), uint256) * tolerance.bps // BPS)


@internal
@view
def _tolerance(aspect: bytes32) -> Tolerance:
    found: Tolerance = self._tolerances[aspect]
    if found.bps == 0 and found.least == 0:
        return Tolerance(bps=self._parameters.tolerance_bps, least=1)
    return found


# Internals: words


@internal
@pure
def _key(subject: address, aspect: bytes32) -> bytes32:
    return keccak256(abi_encode(subject, aspect))


@internal
@view
def _digest(
    round_: uint256,
    watcher: address,
    salt: bytes32,
    subjects: DynArray[address, MAX_TOLD],
    aspects: DynArray[bytes32, MAX_TOLD],
    values: DynArray[int256, MAX_TOLD],
) -> bytes32:
    told: bytes32 = keccak256(abi_encode(subjects, aspects, values))
    return keccak256(abi_encode(chain.id, self, round_, watcher, salt, told))


@internal
@view
def _status(key: bytes32) -> Status:
    word: uint256 = self._values[key]
    if word == 0:
        return empty(Status)
    return Status(
        value=convert(word >> 96, int256) - MAX_VALUE,
        at=word >> 40 & M40,
        round=word & M40,
        told_bps=word >> 80 & M16,
        spread=self._spreads[key],
    )


@internal
@view
def _watcher(place: uint256) -> address:
    return convert(self._rows[place] >> 96, address)


@internal
@view
def _row(place: uint256) -> Row:
    word: uint256 = self._rows[place]
    return Row(
        watcher=convert(word >> 96, address),
        since=word & M32,
        score=word >> 32 & M16,
        left_at=word >> 48 & M40,
    )


@internal
def _save_row(place: uint256, row: Row):
    self._rows[place] = (
        convert(row.watcher, uint256) << 96 | row.left_at << 48 | row.score << 32 | row.since
    )


@internal
@view
def _only_governor():
    assert msg.sender == governor, "status: not the governor"


@internal
def _set_parameters(p: Parameters):
    assert p.least_stake <= M88, "status: stake out of bounds"
    assert 3 <= p.seats and p.seats <= MAX_SEATS, "status: seats out of bounds"
    assert p.floor < FIRST_SCORE, "status: floor out of bounds"
    assert p.tolerance_bps <= MAX_TOLERANCE, "status: tolerance out of bounds"
    self._parameters = p
    log ParametersSet(parameters=p)

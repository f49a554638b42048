# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Freehold proof of data possession
@license Apache-2.0
@notice The verifier. A set is an ordered list of pieces that one prover holds for one listener
    (the contract that opened the set and alone adds and removes pieces). Every beacon round
    draws `challenges` leaves out of all leaves of the set; the proof of a leaf is the leaf and
    its siblings up to the piece's root. This contract knows no money and no penalty.
@dev Conventions.
    `height` is that of PieceCID v2 (FRC-0069): a tree of 2**height leaves of 32 bytes, so 127
    bytes have height 2 and the proof of a leaf is the leaf and exactly `height` siblings.
    node = sha256(left || right) with the two top bits of its last byte cleared. Leaves that
    are only padding are not counted in `leaves`, so they are never drawn.
    Challenge i of a round: keccak256(seed || set_id: uint256 || i: uint64) mod span.
    A sum tree over the leaf counts finds the piece of a leaf. It is four wide, a node is one
    word, so that a challenge reads few; a block's sum is written when its last piece comes.

    The freeze rule. At a round, the span (the challenge range) and the tree are those at the
    start of the round's period, whoever touches the set and when:
    - A piece added in period p is outside the span of every round of a period <= p. Pieces are
      only appended, so leaving out the newest period's leaves (`fresh`) is leaving out a tail.
    - A piece whose removal was requested in period p is inside every round of a period <= p
      and outside every later one, except that nothing leaves while the set is in debt: a round
      at the start of whose period an earlier one was still owed leaves out only what the round
      before it left out. A prover deletes data when their removal is applied, not before.
    - Removals are applied in the order of their requests (`roll`), not before every round that
      they are inside of is resolved, and a round is only answered when all that are outside of
      it are applied. So neither the prover nor anybody else chooses how many removals count.
    - While a round is owed nothing can be added. So the newest addition never lies in a later
      period than the next unresolved round, and the rules stay exact for answers that come
      late, in any later period.
    - Rounds of periods at whose start the set was empty ask for nothing and need no answer. A
      set in debt is not empty: what it owes grows with every round until it is answered.
    Rounds are answered in order. One that was not answered in time stays owed, an answer after
    its deadline resolves it and is a miss for ever; data that are lost can never be answered.

    Threats.
    A prover that precomputes: the seed is unknown before the period starts and its round's
    window ends inside the period. Answers for another period, another set, another piece or
    another leaf: the seed, the set and the leaf's place enter the challenge, and the length of
    the proof must be exact, so an inner node cannot pass as a leaf.
    Dilution: a prover can enlarge its set by data that cost nothing to hold, so that lost data
    are drawn less often. The listener prices every byte of a set (stake per byte), so that
    what a miss costs grows as its odds shrink; a listener that does not is open to this.
    Proofs show possession, not separate copies: two sets may be answered from one disk.
    A careless listener can harm the provers that it opens sets for; the prover's consent is
    the listener's business. Nobody else can change a set. The governor has no power here.
    Rewards: the work of every round that is answered in time is told to `sink`, in MiB-seconds,
    with capped gas and whatever the sink does: a sink that reverts or burns gas stops no proof,
    and what it did not hear shows in an event. Who hands in a proof must bring the sink's gas, so
    that nobody can make a working sink look failed.
"""

from interfaces import IBeacon
from interfaces import IPdp
from interfaces import ISets

implements: IPdp
implements: ISets

struct Set:
    listener: address
    prover: address
    next_round: uint256
    span: uint256
    leaves: uint256
    pieces: uint256
    misses: uint256
    created_period: uint256
    closed: bool

struct Challenge:
    piece_id: uint256
    offset: uint256

# One storage word: what an answer changes and what decides its span.
struct Cursor:
    next_round: uint256  # 48 bits: every earlier round is resolved
    idle_before: uint256  # 40: rounds of periods before this one ask for nothing
    mark: uint256  # 40: period of the newest addition
    total: uint256  # 64: leaves in the tree
    fresh: uint256  # 64: those of them that were added in period `mark`

# One storage word: the pieces and the queue of removals.
struct Queue:
    pieces: uint256  # 36 bits: pieces ever added, the next piece id
    head: uint256  # 36: removals applied
    tail: uint256  # 36: removals requested
    leaves: uint256  # 64: leaves of the removals that wait
    latest: uint256  # 40: period of the newest request
    cleared: uint256  # 40: period in which a round was last answered late
    closed: uint256  # 4

# One storage word beside the root; the height is kept with the sum tree.
struct Meta:
    leaves: uint256  # 64 bits
    added: uint256  # 40: period
    removed: uint256  # 8: 0 no, 1 requested, 2 applied

event SetCreated:
    set_id: indexed(uint256)
    listener: indexed(address)
    prover: indexed(address)

event PieceAdded:
    set_id: indexed(uint256)
    piece_id: indexed(uint256)
    root: bytes32
    height: uint8
    leaves: uint64

event PieceRemovalQueued:
    set_id: indexed(uint256)
    piece_id: indexed(uint256)
    period: uint256

event PieceRemoved:
    set_id: indexed(uint256)
    piece_id: indexed(uint256)

event Proven:
    set_id: indexed(uint256)
    round: indexed(uint256)
    span: uint256
    in_time: bool

event WorkUntold:
    set_id: indexed(uint256)
    round: indexed(uint256)
    work: uint256

event SetClosed:
    set_id: indexed(uint256)

MIN_CHALLENGES: constant(uint256) = 5
MAX_CHALLENGES: constant(uint256) = 32
MAX_HEIGHT: constant(uint256) = 40
MAX_PATH: constant(uint256) = 32 * 41
MAX_PROOF: constant(uint256) = 32 * 384
SINK_GAS: constant(uint256) = 150_000
# EIP-150 passes on 63/64 of what is left.
SINK_RESERVE: constant(uint256) = 160_000
MAX_ROLL: constant(uint256) = 64
LEVELS: constant(uint256) = 18  # a set has fewer than 4**18 pieces
WAITING: constant(uint256) = 1
APPLIED: constant(uint256) = 2
M8: constant(uint256) = 2**8 - 1
M36: constant(uint256) = 2**36 - 1
M40: constant(uint256) = 2**40 - 1
M56: constant(uint256) = 2**56 - 1
M64: constant(uint256) = 2**64 - 1
TWO_BITS: constant(uint256) = max_value(uint256) - 192  # clears the top bits of the last byte

beacon: public(immutable(IBeacon))
governor: public(immutable(address))
challenges: public(immutable(uint256))
window: public(immutable(uint256))
sink: public(immutable(address))
GENESIS: immutable(uint256)
PERIOD: immutable(uint256)

set_count: public(uint256)
listeners: HashMap[uint256, address]
provers: HashMap[uint256, uint256]  # created period << 160 | prover
cursors: HashMap[uint256, uint256]
queues: HashMap[uint256, uint256]
roots: HashMap[uint256, HashMap[uint256, bytes32]]
metas: HashMap[uint256, HashMap[uint256, uint256]]
# The sum tree, by set and level << 40 | place: a word has the sums of four blocks of 4**level
# pieces, 56 bits each, 0 while a block is not full; at level 0 also their heights, 8 bits each.
nodes: HashMap[uint256, HashMap[uint256, uint256]]
removals: HashMap[uint256, HashMap[uint256, uint256]]  # period << 40 | piece
miss_counts: HashMap[uint256, uint256]
misses: HashMap[uint256, HashMap[uint256, uint256]]  # rounds answered late, ascending


@deploy
def __init__(
    beacon_: IBeacon, governor_: address, challenges_: uint256, window_: uint256, sink_: address
):
    """
    @param beacon_ Where rounds come from.
    @param governor_ Named for the list of powers; it has none here.
    @param challenges_ Leaves drawn a round, 5 to 32.
    @param window_ Seconds from the storing of a round to its deadline; with the beacon's
        grace interval it must fit into a period.
    @param sink_ Who counts the work, for ever; the zero address for nobody. A fixed one saves a
        storage word on every proof.
    """
    assert challenges_ >= MIN_CHALLENGES, "pdp: at least 5 challenges"
    assert challenges_ <= MAX_CHALLENGES, "pdp: at most 32 challenges"
    assert window_ > 0, "pdp: no window"
    GENESIS = staticcall beacon_.genesis()
    PERIOD = staticcall beacon_.period_length()
    assert staticcall beacon_.grace() + window_ <= PERIOD, "pdp: grace and window exceed a period"
    beacon = beacon_
    governor = governor_
    challenges = challenges_
    window = window_
    sink = sink_


# Sets and pieces: the listener's part


@external
def create_set(prover: address) -> uint256:
    """
    @notice Open an empty set; the caller becomes its listener.
    @param prover Whose data are proven; anyone may hand in its proofs.
    @return The set's id, from 1.
    """
    set_id: uint256 = self.set_count + 1
    self.set_count = set_id
    self.listeners[set_id] = msg.sender
    self.provers[set_id] = self._period() << 160 | convert(prover, uint256)
    log SetCreated(set_id=set_id, listener=msg.sender, prover=prover)
    return set_id


@external
def add_piece(set_id: uint256, root: bytes32, height: uint8, leaves: uint64) -> uint256:
    """
    @notice Append a piece; it can be drawn from the next period on. Listener only, and not
        while the set owes rounds.
    @param leaves Leaves that hold data, at least one; the first ones of the tree.
    @return The piece's id in the set, from 0.
    """
    self._check_listener(set_id)
    q: Queue = self._queue(set_id)
    assert q.closed == 0, "pdp: set closed"
    c: Cursor = self._cursor(set_id)
    h: uint256 = convert(height, uint256)
    count: uint256 = convert(leaves, uint256)
    assert root != empty(bytes32), "pdp: no root"
    assert h <= MAX_HEIGHT and (h + 1) * 32 * challenges <= MAX_PROOF, "pdp: height"
    assert count > 0 and count <= 1 << h, "pdp: leaves and height disagree"
    assert c.total + count <= M56, "pdp: set is full"
    period: uint256 = self._period()
    rounds: uint256 = staticcall beacon.round_count()
    assert self._owed(c, q, rounds) == 0, "pdp: rounds owed"
    if c.total == q.leaves and c.total != 0 and self._out_before(q, period) > q.latest:
        # nothing but removals is left, and they are due: the set starts anew
        c, q = self._roll(set_id, c, q, rounds, 8)
        assert c.total == 0, "pdp: roll first"
    if c.total == 0:
        c.next_round = rounds
        c.idle_before = period + 1
    if c.mark != period:
        c.mark = period
        c.fresh = 0
    c.fresh += count
    c.total += count
    piece_id: uint256 = q.pieces
    q.pieces += 1
    self._put_cursor(set_id, c)
    self._put_queue(set_id, q)
    self.roots[set_id][piece_id] = root
    self._put_meta(set_id, piece_id, Meta(leaves=count, added=period, removed=0))
    self._put_in(set_id, piece_id, count, h)
    log PieceAdded(set_id=set_id, piece_id=piece_id, root=root, height=height, leaves=leaves)
    return piece_id


@external
def remove_piece(set_id: uint256, piece_id: uint256):
    """
    @notice Request a removal; it counts from the next period on. Listener only.
    """
    self._check_listener(set_id)
    q: Queue = self._queue(set_id)
    assert q.closed == 0, "pdp: set closed"
    m: Meta = self._meta(set_id, piece_id, q)
    assert m.removed == 0, "pdp: already removed"
    period: uint256 = self._period()
    self.removals[set_id][q.tail] = period << 40 | piece_id
    m.removed = WAITING
    q.tail += 1
    q.leaves += m.leaves
    q.latest = period
    self._put_meta(set_id, piece_id, m)
    self._put_queue(set_id, q)
    log PieceRemovalQueued(set_id=set_id, piece_id=piece_id, period=period)


@external
def close_set(set_id: uint256):
    """
    @notice End the set: no more proofs, pieces or removals. Listener only.
    """
    self._check_listener(set_id)
    q: Queue = self._queue(set_id)
    assert q.closed == 0, "pdp: set closed"
    q.closed = 1
    self._put_queue(set_id, q)
    log SetClosed(set_id=set_id)


# Anyone's part: removals that are due, and proofs


@external
def roll(set_id: uint256, limit: uint256) -> uint256:
    """
    @notice Apply requested removals whose time has come, oldest first.
    @param limit At most so many, up to 64.
    @return How many were applied.
    """
    self._check_known(set_id)
    q: Queue = self._queue(set_id)
    assert q.closed == 0, "pdp: set closed"
    c: Cursor = self._cursor(set_id)
    before: uint256 = q.head
    c, q = self._roll(set_id, c, q, staticcall beacon.round_count(), limit)
    self._put_cursor(set_id, c)
    self._put_queue(set_id, q)
    return q.head - before


@external
def prove(set_id: uint256, round: uint256, proof: Bytes[MAX_PROOF]):
    """
    @notice Answer a set's next round. In time it counts as proven; after the deadline it
        resolves the round and is recorded as a miss.
    @param proof For every challenge in order the leaf and its siblings from the bottom up,
        32 bytes each, nothing between and nothing behind.
    """
    c: Cursor = self._cursor(set_id)
    r: IBeacon.Round = staticcall beacon.round(round)
    q: Queue = self._queue(set_id)
    span: uint256 = self._span_to_answer(set_id, c, q, round, convert(r.period, uint256))
    position: uint256 = 0
    for i: uint256 in range(challenges, bound=MAX_CHALLENGES):
        piece_id: uint256 = empty(uint256)
        leaf: uint256 = empty(uint256)
        height: uint256 = empty(uint256)
        piece_id, leaf, height = self._find(
            set_id, self._challenge(r.seed, set_id, i, span), q.pieces
        )
        size: uint256 = 32 * (height + 1)
        assert position + size <= len(proof), "pdp: proof too short"
        root: bytes32 = self._climb(proof, position, height, leaf)
        assert root == self.roots[set_id][piece_id], "pdp: wrong proof"
        position += size
    assert position == len(proof), "pdp: proof too long"
    in_time: bool = block.timestamp < convert(r.stored_at, uint256) + window
    if not in_time:
        count: uint256 = self.miss_counts[set_id]
        self.misses[set_id][count] = round
        self.miss_counts[set_id] = count + 1
        q.cleared = self._period()
        self._put_queue(set_id, q)
    c.next_round = round + 1
    self._put_cursor(set_id, c)
    log Proven(set_id=set_id, round=round, span=span, in_time=in_time)
    if in_time and sink != empty(address):
        self._tell(set_id, round, span)


# Views


@external
@view
def set(set_id: uint256) -> Set:
    """
    @notice A set as it stands; `span` is the challenge range of the next round to answer.
    """
    self._check_known(set_id)
    c: Cursor = self._cursor(set_id)
    q: Queue = self._queue(set_id)
    rounds: uint256 = staticcall beacon.round_count()
    next: uint256 = self._next(c, q, rounds)
    period: uint256 = self._period()
    if next < rounds:
        period = self._period_of_round(next)
    return Set(
        listener=self.listeners[set_id],
        prover=convert(self.provers[set_id] & (2**160 - 1), address),
        next_round=next,
        span=self._span(c, period),
        leaves=c.total,
        pieces=q.pieces,
        misses=self.miss_counts[set_id],
        created_period=self.provers[set_id] >> 160,
        closed=q.closed != 0,
    )


@external
@view
def prover(set_id: uint256) -> address:
    """
    @notice Whose data a set proves; the zero address where there is no such set.
    """
    return convert(self.provers[set_id] & (2**160 - 1), address)


@external
@view
def listener(set_id: uint256) -> address:
    """
    @notice Who opened a set; the zero address where there is no such set.
    """
    return self.listeners[set_id]


@external
@view
def piece(set_id: uint256, piece_id: uint256) -> IPdp.Piece:
    """
    @notice A piece; `removed` is 0 no, 1 requested, 2 applied.
    """
    m: Meta = self._meta(set_id, piece_id, self._queue(set_id))
    return IPdp.Piece(
        root=self.roots[set_id][piece_id],
        height=convert(self._height(set_id, piece_id), uint8),
        leaves=convert(m.leaves, uint64),
        added_period=convert(m.added, uint64),
        removed=convert(m.removed, uint8),
    )


@external
@view
def sum_before(set_id: uint256, piece_id: uint256) -> uint256:
    """
    @notice Leaves of the pieces before one, or of all where it is the number of pieces.
    """
    assert piece_id <= self._queue(set_id).pieces, "pdp: no such piece"
    sum: uint256 = 0
    for level: uint256 in range(LEVELS):
        index: uint256 = piece_id >> 2 * level
        word: uint256 = self.nodes[set_id][level << 40 | index >> 2]
        for place: uint256 in range(index & 3, bound=3):
            sum += word >> 56 * place & M56
    return sum


@external
@view
def find(set_id: uint256, leaf: uint256) -> (uint256, uint256):
    """
    @notice The piece of a leaf of the set, and the leaf's index in it.
    """
    assert leaf < self._cursor(set_id).total, "pdp: no such leaf"
    piece_id: uint256 = empty(uint256)
    offset: uint256 = empty(uint256)
    height: uint256 = empty(uint256)
    piece_id, offset, height = self._find(set_id, leaf, self._queue(set_id).pieces)
    return piece_id, offset


@external
@view
def challenged(set_id: uint256, round: uint256) -> DynArray[Challenge, MAX_CHALLENGES]:
    """
    @notice What a proof of the set's next round must answer. It stays the same until the
        round is resolved.
    """
    r: IBeacon.Round = staticcall beacon.round(round)
    q: Queue = self._queue(set_id)
    span: uint256 = self._span_to_answer(
        set_id, self._cursor(set_id), q, round, convert(r.period, uint256)
    )
    found: DynArray[Challenge, MAX_CHALLENGES] = []
    for i: uint256 in range(challenges, bound=MAX_CHALLENGES):
        piece_id: uint256 = empty(uint256)
        leaf: uint256 = empty(uint256)
        height: uint256 = empty(uint256)
        piece_id, leaf, height = self._find(
            set_id, self._challenge(r.seed, set_id, i, span), q.pieces
        )
        found.append(Challenge(piece_id=piece_id, offset=leaf))
    return found


@external
@view
def next_round(set_id: uint256) -> uint256:
    """
    @notice The next round that the set must answer; the number of rounds where there is none.
    """
    self._check_known(set_id)
    return self._next(
        self._cursor(set_id), self._queue(set_id), staticcall beacon.round_count()
    )


@external
@view
def waiting(set_id: uint256) -> (uint256, uint256):
    """
    @notice Removals that wait, and how many of them are due, counted up to 64.
    """
    self._check_known(set_id)
    c: Cursor = self._cursor(set_id)
    q: Queue = self._queue(set_id)
    horizon: uint256 = self._horizon(c, q, staticcall beacon.round_count())
    due: uint256 = 0
    for i: uint256 in range(MAX_ROLL):
        if q.head + i == q.tail or self.removals[set_id][q.head + i] >> 40 >= horizon:
            break
        due += 1
    return q.tail - q.head, due


@external
@view
def owed(set_id: uint256) -> uint256:
    """
    @notice Rounds past their deadline that are still to be answered; 0 for a closed set.
    """
    self._check_known(set_id)
    return self._owed(
        self._cursor(set_id), self._queue(set_id), staticcall beacon.round_count()
    )


@external
@view
def missed(set_id: uint256) -> uint256:
    """
    @notice Rounds answered late and rounds owed. Never falls while the set is open.
    """
    self._check_known(set_id)
    owed: uint256 = self._owed(
        self._cursor(set_id), self._queue(set_id), staticcall beacon.round_count()
    )
    return self.miss_counts[set_id] + owed


@external
@view
def miss(set_id: uint256, index: uint256) -> uint256:
    """
    @notice The round of a recorded miss.
    """
    assert index < self.miss_counts[set_id], "pdp: no such miss"
    return self.misses[set_id][index]


@external
@view
def good_rounds(set_id: uint256, first: uint256, last: uint256) -> uint256:
    """
    @notice How many rounds r with first <= r < last were answered in time.
    """
    end: uint256 = min(last, self._cursor(set_id).next_round)
    if first >= end:
        return 0
    return end - first - (self._misses_before(set_id, end) - self._misses_before(set_id, first))


@external
@view
def decided_until(set_id: uint256) -> uint256:
    """
    @notice Up to this moment every round is resolved for good: the start of the current
        period, or of the period of the next round to answer; without end for a closed set.
    """
    self._check_known(set_id)
    q: Queue = self._queue(set_id)
    if q.closed != 0:
        return max_value(uint256)
    period: uint256 = self._period()
    rounds: uint256 = staticcall beacon.round_count()
    next: uint256 = self._next(self._cursor(set_id), q, rounds)
    if next < rounds:
        period = self._period_of_round(next)
    return GENESIS + period * PERIOD


@external
@view
def verify_leaf(
    set_id: uint256, piece_id: uint256, leaf_index: uint256, proof: Bytes[MAX_PATH]
) -> bool:
    """
    @notice Whether a proof shows the leaf at an index of a piece, removed or not.
    """
    m: Meta = self._meta(set_id, piece_id, self._queue(set_id))
    height: uint256 = self._height(set_id, piece_id)
    if leaf_index >= m.leaves or len(proof) != 32 * (height + 1):
        return False
    return self._climb(proof, 0, height, leaf_index) == self.roots[set_id][piece_id]


# Work


@internal
def _tell(set_id: uint256, round: uint256, span: uint256):
    """
    @dev The leaves of 32 bytes of a whole period, rounded down to MiB-seconds. The last act of a
        proof: nothing is left to do that the sink could disturb.
    """
    assert msg.gas >= SINK_RESERVE, "pdp: bring more gas"
    work: uint256 = span * PERIOD >> 15
    success: bool = raw_call(
        sink,
        abi_encode(set_id, work, method_id=method_id("proven(uint256,uint256)")),
        gas=SINK_GAS,
        revert_on_failure=False,
    )
    if not success:
        log WorkUntold(set_id=set_id, round=round, work=work)


# The schedule


@internal
@view
def _period() -> uint256:
    assert block.timestamp >= GENESIS, "pdp: before genesis"
    return (block.timestamp - GENESIS) // PERIOD


@internal
@view
def _period_of_round(round: uint256) -> uint256:
    return convert((staticcall beacon.round(round)).period, uint256)


@internal
@view
def _span(c: Cursor, period: uint256) -> uint256:
    """
    @dev Leaves at the start of a period that is not before that of the newest addition.
    """
    if c.mark < period:
        return c.total
    return c.total - c.fresh


@internal
@view
def _span_to_answer(
    set_id: uint256, c: Cursor, q: Queue, round: uint256, period: uint256
) -> uint256:
    """
    @dev The span of a round that may be answered now; refused for any other round.
    """
    assert q.closed == 0, "pdp: set closed"
    next: uint256 = c.next_round
    if round == next + 1 and self._period_of_round(next) < c.idle_before:
        next += 1
    assert round == next, "pdp: not the next round"
    assert period >= c.idle_before and c.total > 0, "pdp: nothing to prove"
    if q.head < q.tail:
        assert self.removals[set_id][q.head] >> 40 >= self._out_before(
            q, period
        ), "pdp: roll first"
    return self._span(c, period)


@internal
@pure
def _out_before(q: Queue, period: uint256) -> uint256:
    """
    @dev Removals requested in periods before this one are outside a period's round, all earlier
        rounds being resolved: none more where the last of them was answered late in that period
        or after it, for then the period began in debt.
    """
    if q.cleared >= period:
        return 0
    return period


@internal
@view
def _next(c: Cursor, q: Queue, rounds: uint256) -> uint256:
    """
    @dev The next round that asks for an answer; `rounds` where there is none.
    """
    if c.total == 0:
        return rounds
    next: uint256 = c.next_round
    if next >= rounds:
        return rounds
    period: uint256 = self._period_of_round(next)
    if period < c.idle_before:
        # only the round of the period in which the set's first piece came
        next += 1
        if next >= rounds:
            return rounds
        period = self._period_of_round(next)
    if c.total == q.leaves and self._out_before(q, period) > q.latest:
        return rounds
    return next


@internal
@view
def _owed(c: Cursor, q: Queue, rounds: uint256) -> uint256:
    next: uint256 = self._next(c, q, rounds)
    if q.closed != 0 or next >= rounds:
        return 0
    end: uint256 = rounds
    last: IBeacon.Round = staticcall beacon.round(rounds - 1)
    if block.timestamp < convert(last.stored_at, uint256) + window:
        end -= 1
    return end - next


@internal
@view
def _horizon(c: Cursor, q: Queue, rounds: uint256) -> uint256:
    """
    @dev Removals requested in periods before this one are due: outside the next round to answer,
        or outside every round that may still come.
    """
    next: uint256 = self._next(c, q, rounds)
    if next < rounds:
        return self._out_before(q, self._period_of_round(next))
    period: uint256 = self._period()
    if rounds > 0 and self._period_of_round(rounds - 1) == period:
        return period + 1
    return self._out_before(q, period)


@internal
@view
def _misses_before(set_id: uint256, round: uint256) -> uint256:
    low: uint256 = 0
    high: uint256 = self.miss_counts[set_id]
    for _: uint256 in range(64):
        if low >= high:
            break
        middle: uint256 = (low + high) // 2
        if self.misses[set_id][middle] < round:
            low = middle + 1
        else:
            high = middle
    return low


# Trees


@internal
@view
def _challenge(seed: bytes32, set_id: uint256, i: uint256, span: uint256) -> uint256:
    packed: Bytes[72] = concat(
        seed, convert(set_id, bytes32), convert(convert(i, uint64), bytes8)
    )
    return convert(keccak256(packed), uint256) % span


@internal
@view
def _climb(
    proof: Bytes[MAX_PROOF], position: uint256, height: uint256, index: uint256
) -> bytes32:
    """
    @dev The root above the leaf at a position of a proof, `height` siblings behind it.
    """
    node: bytes32 = extract32(proof, position)
    at: uint256 = position
    side: uint256 = index
    for _: uint256 in range(height, bound=MAX_HEIGHT):
        at = unsafe_add(at, 32)
        if side & 1 == 0:
            node = convert(
                convert(sha256(abi_encode(node, extract32(proof, at))), uint256) & TWO_BITS, bytes32
            )
        else:
            node = convert(
                convert(sha256(abi_encode(extract32(proof, at), node)), uint256) & TWO_BITS, bytes32
            )
        side = side >> 1
    return node


@internal
@view
def _find(set_id: uint256, leaf: uint256, pieces: uint256) -> (uint256, uint256, uint256):
    """
    @dev Descend the sum tree: the last piece before which no more than `leaf` leaves lie, what is
        left of `leaf` there, and the piece's height.
    """
    level: uint256 = 0
    width: uint256 = 1  # pieces of a block at this level
    for _: uint256 in range(LEVELS):
        if width << 2 >= pieces:
            break
        width = width << 2
        level += 1
    index: uint256 = 0
    rest: uint256 = leaf
    word: uint256 = empty(uint256)
    for _: uint256 in range(LEVELS):
        word = self.nodes[set_id][level << 40 | index]
        index = index << 2
        for place: uint256 in range(3):
            sum: uint256 = word >> 56 * place & M56
            # a block that is not full has no sum yet: what is left lies in it
            if rest < sum or (index + 1) * width > pieces:
                break
            rest -= sum
            index += 1
        if level == 0:
            break
        level -= 1
        width = width >> 2
    return index, rest, word >> 224 + 8 * (index & 3) & M8


@internal
@view
def _height(set_id: uint256, piece_id: uint256) -> uint256:
    return self.nodes[set_id][piece_id >> 2] >> 224 + 8 * (piece_id & 3) & M8


@internal
def _put_in(set_id: uint256, piece_id: uint256, leaves: uint256, height: uint256):
    """
    @dev Append a piece to the sum tree, and the sum of every block that it fills.
    """
    index: uint256 = piece_id
    word: uint256 = self.nodes[set_id][index >> 2] | height << 224 + 8 * (index & 3)
    sum: uint256 = leaves
    for level: uint256 in range(LEVELS):
        word |= sum << 56 * (index & 3)
        self.nodes[set_id][level << 40 | index >> 2] = word
        if index & 3 != 3:
            break
        sum = (word & M56) + (word >> 56 & M56) + (word >> 112 & M56) + (word >> 168 & M56)
        index = index >> 2
        word = self.nodes[set_id][level + 1 << 40 | index >> 2]


@internal
def _take_out(set_id: uint256, piece_id: uint256, leaves: uint256, pieces: uint256):
    """
    @dev Lower every sum of a full block that has a piece.
    """
    index: uint256 = piece_id
    for level: uint256 in range(LEVELS):
        if index + 1 << 2 * level > pieces:
            break
        self.nodes[set_id][level << 40 | index >> 2] -= leaves << 56 * (index & 3)
        index = index >> 2


@internal
def _roll(
    set_id: uint256, cursor: Cursor, queue: Queue, rounds: uint256, limit: uint256
) -> (Cursor, Queue):
    """
    @dev Apply due removals to the tree; the caller writes the cursor and the queue.
    """
    c: Cursor = cursor
    q: Queue = queue
    horizon: uint256 = self._horizon(c, q, rounds)
    for _: uint256 in range(limit, bound=MAX_ROLL):
        if q.head == q.tail:
            break
        entry: uint256 = self.removals[set_id][q.head]
        if entry >> 40 >= horizon:
            break
        piece_id: uint256 = entry & M40
        m: Meta = self._meta(set_id, piece_id, q)
        m.removed = APPLIED
        self._put_meta(set_id, piece_id, m)
        self._take_out(set_id, piece_id, m.leaves, q.pieces)
        if m.added == c.mark:
            c.fresh -= m.leaves
        c.total -= m.leaves
        q.leaves -= m.leaves
        q.head += 1
        log PieceRemoved(set_id=set_id, piece_id=piece_id)
    return c, q


# Storage words


@internal
@view
def _check_listener(set_id: uint256):
    assert msg.sender == self.listeners[set_id], "pdp: not the listener"


@internal
@view
def _check_known(set_id: uint256):
    assert self.listeners[set_id] != empty(address), "pdp: no such set"


@internal
@view
def _cursor(set_id: uint256) -> Cursor:
    word: uint256 = self.cursors[set_id]
    return Cursor(
        next_round=word >> 208,
        idle_before=word >> 168 & M40,
        mark=word >> 128 & M40,
        total=word >> 64 & M64,
        fresh=word & M64,
    )


@internal
def _put_cursor(set_id: uint256, c: Cursor):
    self.cursors[set_id] = (
        c.next_round << 208 | c.idle_before << 168 | c.mark << 128 | c.total << 64 | c.fresh
    )


@internal
@view
def _queue(set_id: uint256) -> Queue:
    word: uint256 = self.queues[set_id]
    return Queue(
        pieces=word >> 220,
        head=word >> 184 & M36,
        tail=word >> 148 & M36,
        leaves=word >> 84 & M64,
        latest=word >> 44 & M40,
        cleared=word >> 4 & M40,
        closed=word & 15,
    )


@internal
def _put_queue(set_id: uint256, q: Queue):
    self.queues[set_id] = (
        q.pieces << 220
        | q.head << 184
        | q.tail << 148
        | q.leaves << 84
        | q.latest << 44
        | q.cleared << 4
        | q.closed
    )


@internal
@view
def _meta(set_id: uint256, piece_id: uint256, q: Queue) -> Meta:
    assert piece_id < q.pieces, "pdp: no such piece"
    word: uint256 = self.metas[set_id][piece_id]
    return Meta(
        leaves=word & M64,
        added=word >> 64 & M40,
        removed=word >> 104,
    )


@internal
def _put_meta(set_id: uint256, piece_id: uint256, m: Meta):
    self.metas[set_id][piece_id] = m.leaves | m.added << 64 | m.removed << 104

# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Columns
@license Apache-2.0
@notice Whether what a trace says of one column of an epoch follows from what it says before: the
        weights of one node, their sums by row, the table of validators, a median and a rank, bonds,
        dividends. Asked by `disputes`, and by anyone who wants to know before.
@dev Stateless. Every function takes what the reckoning starts from, proves that the trace commits
     to it, reckons one leaf anew, and answers whether the trace has another one. So a true leaf is
     never false here, whatever is shown; and of the leaves that are false the first one always is,
     as all that it follows from is true and known to everybody. A leaf itself need not be known:
     its hash is enough, but for weights, which are read one by one.
     Threats: a proof that is no proof (checked against the header, which `disputes` checks against
     the roots); work without end (every vector and path is bounded); a division by zero (refused,
     and no leaf of a true trace leads to one).
     Trust: nobody; rows and rules come from the subnets, roots before from the prizes.
"""

from interfaces import IRoots
from interfaces import ISubnet
from modules import traced
from modules import yuma

initializes: traced

MAX_ROW: constant(uint256) = 16384
SIZE: constant(uint256) = 256
M28: constant(uint256) = 2**28 - 1
M32: constant(uint256) = 2**32 - 1
M34: constant(uint256) = 2**34 - 1
M64: constant(uint256) = 2**64 - 1
U16: constant(uint256) = 65535


@deploy
def __init__(prizes_: address, subnets_: address):
    traced.__init__(prizes_, subnets_)


@external
@view
def false_weight(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    shown: traced.Shown,
    index: uint256,
    raw: DynArray[uint256, 16],
    members: DynArray[uint256, 64],
    node: traced.Node,
    row: Bytes[MAX_ROW],
) -> bool:
    """
    @notice Whether a weight of a column is not the one that the validator at that index revealed.
    @param row What it revealed, empty where it did not; entries of uid and weight, 16 bits each.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, shown)
    assert uid < place.trace.count, "disputes: no such uid"
    assert traced.hash16(raw) == shown.leaf.raw, "disputes: other weights"
    if len(raw) != (place.trace.size + 15) // 16:
        return True
    assert index < len(raw) * 16, "disputes: no such validator"
    expected: uint256 = 0
    if index < place.trace.size:
        assert traced.hash64(members) == place.trace.members, "disputes: other members"
        assert traced.node_hash(node) == shown.leaf.node, "disputes: another node"
        expected = self._revealed(
            place.index + 1, header.epoch, self._uid(members, index), uid, node.registered, row
        )
    return raw[index >> 4] >> ((index & 15) << 4) & U16 != expected


@external
@view
def false_rows(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    before: traced.Shown,
    after: traced.Shown,
    rows: DynArray[uint256, 32],
    raw: DynArray[uint256, 16],
) -> bool:
    """
    @notice Whether the row sums before a uid are not those before the uid before, and its weights.
    @param before The leaf before; nothing of it counts for uid 0, nor of the vectors.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, after)
    size: uint256 = place.trace.size
    made: DynArray[uint256, 32] = []
    if uid != 0:
        traced.check_leaf(place.trace, uid - 1, before)
        assert traced.hash32(rows) == before.leaf.rows, "disputes: other sums"
        assert traced.hash16(raw) == before.leaf.raw, "disputes: other weights"
        made = rows
        for i: uint256 in range(size, bound=SIZE):
            weight: uint256 = raw[i >> 4] >> ((i & 15) << 4) & U16
            made[i >> 3] = made[i >> 3] + (weight << ((i & 7) << 5))
    else:
        for _: uint256 in range((size + 7) // 8, bound=32):
            made.append(0)
    return traced.hash32(made) != after.leaf.rows


@external
@view
def false_table(
    header: IRoots.Header,
    place: traced.Place,
    last: traced.Shown,
    members: DynArray[uint256, 64],
    rows: DynArray[uint256, 32],
) -> bool:
    """
    @notice Whether the table is not that of the members and the row sums behind the last uid.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, place.trace.count, last)
    assert traced.hash64(members) == place.trace.members, "disputes: other members"
    assert traced.hash32(rows) == last.leaf.rows, "disputes: other sums"
    size: uint256 = place.trace.size
    total: uint256 = 0
    for i: uint256 in range(size, bound=SIZE):
        total += self._active(members, i)
    made: DynArray[uint256, 64] = []
    word: uint256 = 0
    for i: uint256 in range(size, bound=SIZE):
        active: uint256 = self._active(members, i)
        if active != 0:
            active = (active << 32) // total
        row: uint256 = rows[i >> 3] >> ((i & 7) << 5) & M28
        word |= (active << 28 | row) << ((i & 3) << 6)
        if i & 3 == 3 or i + 1 == size:
            made.append(word)
            word = 0
    return traced.hash64(made) != place.trace.table


@external
@view
def false_column(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    shown: traced.Shown,
    raw: DynArray[uint256, 16],
    table: DynArray[uint256, 64],
    consensus: uint256,
) -> bool:
    """
    @notice Whether a column's median and rank are not those of its weights and the table.
    @param consensus The true one, which is checked.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, shown)
    assert uid < place.trace.count, "disputes: no such uid"
    assert traced.hash16(raw) == shown.leaf.raw, "disputes: other weights"
    assert traced.hash64(table) == place.trace.table, "disputes: another table"
    rules: ISubnet.Rules = self._rules(header, place)
    right: bool = False
    rank: uint256 = 0
    right, rank = yuma.median(raw, table, rules.kappa, consensus)
    assert right, "disputes: not the median"
    column: traced.Column = traced.Column(consensus=consensus, rank=rank)
    return traced.column_hash(column) != shown.leaf.column


@external
@view
def false_bond(
    header: IRoots.Header,
    place: traced.Place,
    past: IRoots.Header,
    before: traced.Place,
    uid: uint256,
    shown: traced.Shown,
    node: traced.Node,
    column: traced.Column,
    raw: DynArray[uint256, 16],
    table: DynArray[uint256, 64],
    members: DynArray[uint256, 64],
    held: traced.Shown,
    stored: DynArray[uint256, 16],
    gains: bytes32,
) -> bool:
    """
    @notice Whether a column's bonds and what they gain are not those that follow from its weights,
            its median, and the bonds of the trace before.
    @param held That trace's leaf of the uid, with its stored bonds and the hash of their gains; not
           read where there is none, or the node came after it.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, shown)
    assert uid < place.trace.count, "disputes: no such uid"
    assert traced.node_hash(node) == shown.leaf.node, "disputes: another node"
    assert traced.column_hash(column) == shown.leaf.column, "disputes: another column"
    assert traced.hash16(raw) == shown.leaf.raw, "disputes: other weights"
    assert traced.hash64(table) == place.trace.table, "disputes: another table"
    assert traced.hash64(members) == place.trace.members, "disputes: other members"
    old: uint256[SIZE] = empty(uint256[SIZE])
    if (
        traced.has_past(header, place.index, past, before)
        and node.registered < traced.start_of(header.since)
    ):
        traced.check_leaf(before.trace, uid, held)
        assert (
            traced.bond_hash(traced.hash16(stored), gains) == held.leaf.bond
        ), "disputes: other bonds"
        old = self._carried(members, place.trace.size, stored)
    return self._bond(self._rules(header, place), place.trace, column, raw, table, old) != (
        shown.leaf.bond
    )


@external
@view
def false_dividends(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    before: traced.Shown,
    after: traced.Shown,
    stored: bytes32,
    gains: DynArray[uint256, 64],
    dividends: DynArray[uint256, 64],
) -> bool:
    """
    @notice Whether the dividends from before a uid are not those from before the uid before, and
            what that one's bonds gain.
    @param before The leaf before; nothing of it counts for uid 0, nor of the vectors.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, after)
    made: DynArray[uint256, 64] = []
    if uid != 0:
        traced.check_leaf(place.trace, uid - 1, before)
        assert traced.hash64(dividends) == before.leaf.dividends, "disputes: other dividends"
        assert (
            traced.bond_hash(stored, traced.hash64(gains)) == before.leaf.bond
        ), "disputes: other gains"
        for i: uint256 in range((place.trace.size + 3) // 4, bound=64):
            # Lanes never overflow in a true trace, and no other is worth protecting.
            made.append(unsafe_add(dividends[i], gains[i]))
    else:
        for _: uint256 in range((place.trace.size + 3) // 4, bound=64):
            made.append(0)
    return traced.hash64(made) != after.leaf.dividends


@internal
@view
def _rules(header: IRoots.Header, place: traced.Place) -> ISubnet.Rules:
    return staticcall ISubnet(traced.subnets).rules_at(place.index + 1, header.epoch)


@internal
@pure
def _lane(words: DynArray[uint256, 64], index: uint256) -> uint256:
    return words[index >> 2] >> ((index & 3) << 6) & M64


@internal
@pure
def _uid(members: DynArray[uint256, 64], index: uint256) -> uint256:
    return self._lane(members, index) >> 48


@internal
@pure
def _active(members: DynArray[uint256, 64], index: uint256) -> uint256:
    lane: uint256 = self._lane(members, index)
    if lane >> 35 & 1 == 0:
        return 0
    return lane & M34


@internal
@view
def _revealed(
    id: uint256,
    epoch: uint256,
    validator: uint256,
    uid: uint256,
    registered: uint256,
    row: Bytes[MAX_ROW],
) -> uint256:
    # The weight that counts of what a validator revealed for a uid.
    hashed: bytes32 = empty(bytes32)
    committed: uint256 = 0
    hashed, committed = staticcall ISubnet(traced.subnets).row(id, epoch, validator)
    if hashed == empty(bytes32) or validator == uid or registered >= committed:
        return 0
    assert keccak256(row) == hashed, "disputes: another row"
    low: uint256 = 0
    high: uint256 = len(row) // 4
    for _: uint256 in range(13):
        if low >= high:
            break
        middle: uint256 = (low + high) // 2
        entry: uint256 = convert(slice(row, 4 * middle, 4), uint256)
        if entry >> 16 == uid:
            return entry & U16
        if entry >> 16 < uid:
            low = middle + 1
        else:
            high = middle
    return 0


@internal
@pure
def _carried(
    members: DynArray[uint256, 64], size: uint256, stored: DynArray[uint256, 16]
) -> uint256[SIZE]:
    # The bonds of the trace before, each where its validator is now.
    held: uint256[SIZE] = empty(uint256[SIZE])
    for i: uint256 in range(size, bound=SIZE):
        was: uint256 = self._lane(members, i) >> 36 & 511
        if was != 0:
            held[i] = stored[(was - 1) >> 4] >> (((was - 1) & 15) << 4) & U16
    return held


@internal
@pure
def _bond(
    rules: ISubnet.Rules,
    trace: traced.Trace,
    column: traced.Column,
    raw: DynArray[uint256, 16],
    table: DynArray[uint256, 64],
    held: uint256[SIZE],
) -> bytes32:
    stored: uint256[SIZE] = empty(uint256[SIZE])
    shares: uint256[SIZE] = empty(uint256[SIZE])
    stored, shares = yuma.bonds(
        rules, raw, table, held, trace.size, column.consensus, trace.consensus != 0
    )
    incentive: uint256 = 0
    if trace.ranks != 0:
        incentive = (column.rank << 32) // trace.ranks
    packed: DynArray[uint256, 16] = []
    gains: DynArray[uint256, 64] = []
    word: uint256 = 0
    gained: uint256 = 0
    for i: uint256 in range(trace.size, bound=SIZE):
        word |= stored[i] << ((i & 15) << 4)
        gained |= (shares[i] * incentive >> 32) << ((i & 3) << 6)
        ends: bool = i + 1 == trace.size
        if i & 15 == 15 or ends:
            packed.append(word)
            word = 0
        if i & 3 == 3 or ends:
            gains.append(gained)
            gained = 0
    return traced.bond_hash(traced.hash16(packed), traced.hash64(gains))

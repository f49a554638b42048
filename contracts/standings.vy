# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Standings
@license Apache-2.0
@notice Whether what a trace says of nodes follows from the ledger and from what it says before: who
        they are and what stands behind them, who validates now and in the next epoch, what ran up
        along the uids, what is paid to whom, who has to go. Asked by `disputes`, and by anyone who
        wants to know before.
@dev Stateless, and as `columns`: each function reckons one thing anew from what the trace is proven
     to commit to, and answers whether the trace says otherwise.
     Threats: as there. A uid whose holder changed is told by its generation: who came after the
     epoch is not in it, and who came since the trace before inherits neither permit nor bonds.
     Trust: nobody; stakes, holders, rules and budgets come from the subnets, roots before from the
     prizes.
"""

from interfaces import IRoots
from interfaces import ISubnet
from modules import traced

initializes: traced

struct Seat:
    uid: uint256
    shown: traced.Shown
    node: traced.Node


struct Paid:
    uid: uint256
    shown: traced.Shown
    node: traced.Node
    cell: traced.Cell


GRAIN: constant(uint256) = 10**9
BPS: constant(uint256) = 10**4
# What the subnets add up in one call; a longer span could be disputed by nobody.
MAX_SPAN: constant(uint256) = 1024
SIZE: constant(uint256) = 256
M34: constant(uint256) = 2**34 - 1
M39: constant(uint256) = 2**39 - 1
M64: constant(uint256) = 2**64 - 1
U16: constant(uint256) = 65535
BEST: constant(uint256) = 2**113 - 1
STAKE: constant(uint256) = 0
RANKS: constant(uint256) = 1
INCENTIVES: constant(uint256) = 2


@deploy
def __init__(prizes_: address, subnets_: address):
    traced.__init__(prizes_, subnets_)


@external
@view
def false_count(header: IRoots.Header, place: traced.Place) -> bool:
    """
    @notice Whether a trace has not as many uids as were given out by the end of its epoch.
    """
    traced.check_place(header, place)
    count: uint256 = place.trace.count
    id: uint256 = place.index + 1
    end: uint256 = traced.end_of(header.epoch)
    given: uint256 = (staticcall ISubnet(traced.subnets).subnet_of(id)).nodes
    if count > given or (count > 0 and self._since(id, count - 1, 1) >= end):
        return True
    return count < given and self._since(id, count, 1) < end


@external
@view
def false_node(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    shown: traced.Shown,
    generation: uint256,
) -> bool:
    """
    @notice Whether a node is not who held the uid at the end of the epoch, with the stake that
            stood behind it.
    @param generation Of that holder.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, shown)
    assert uid < place.trace.count, "disputes: no such uid"
    id: uint256 = place.index + 1
    end: uint256 = traced.end_of(header.epoch)
    account: address = empty(address)
    registered: uint256 = 0
    account, registered = staticcall ISubnet(traced.subnets).uid_at(id, uid, generation)
    assert registered != 0 and registered < end, "disputes: not its holder"
    if generation < staticcall ISubnet(traced.subnets).generation(id, uid):
        assert self._since(id, uid, generation + 1) >= end, "disputes: not its holder"
    stake: uint256 = staticcall ISubnet(traced.subnets).stake_at(id, header.epoch, uid)
    if stake < self._rules(header, place).min_stake:
        stake = 0
    node: traced.Node = traced.Node(
        account=account, generation=generation, registered=registered, stake=stake
    )
    return traced.node_hash(node) != shown.leaf.node


@external
@view
def false_sums(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    before: traced.Shown,
    after: traced.Shown,
    which: uint256,
    node: traced.Node,
    column: traced.Column,
    cell: traced.Cell,
) -> bool:
    """
    @notice Whether one of the sums before a uid is not that before the uid before, and that one's.
    @param which 0 stakes, of the node; 1 ranks and 2 incentives, of the column; 3 what is paid and
           the largest remainder, of the cell. The others are not read.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, after)
    found: uint256 = self._part(after.leaf.sums, which)
    if uid == 0:
        return found != 0
    traced.check_leaf(place.trace, uid - 1, before)
    last: uint256 = self._part(before.leaf.sums, which)
    if which == STAKE:
        assert traced.node_hash(node) == before.leaf.node, "disputes: another node"
        return found != last + node.stake
    if which == RANKS or which == INCENTIVES:
        assert traced.column_hash(column) == before.leaf.column, "disputes: another column"
        if which == INCENTIVES:
            return found != last + self._incentive(place.trace, column)
        flag: uint256 = last & ~M39
        if column.consensus != 0:
            flag = M39 + 1
        return found != flag | ((last & M39) + column.rank)
    assert traced.cell_hash(cell) == before.leaf.cell, "disputes: another cell"
    best: uint256 = last & (2**49 - 1)
    if cell.remainder > best >> 16:
        best = cell.remainder << 16 | (uid - 1)
    return found != (((last >> 49) + cell.server + cell.validator) << 49 | best)


@external
@view
def false_totals(header: IRoots.Header, place: traced.Place, last: traced.Shown) -> bool:
    """
    @notice Whether the totals of a trace are not what ran up behind the last uid, or anything else
            stands there.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, place.trace.count, last)
    trace: traced.Trace = place.trace
    for unused: bytes32 in [
        last.leaf.node, last.leaf.raw, last.leaf.column, last.leaf.bond, last.leaf.cell
    ]:
        if unused != empty(bytes32):
            return True
    sums: uint256 = last.leaf.sums
    ranks: uint256 = self._part(sums, RANKS)
    paid: uint256 = self._part(sums, 3)
    dust: uint256 = 0
    if paid & (2**49 - 1) != 0:
        if paid >> 49 > trace.emission:
            return True
        dust = trace.emission - (paid >> 49)
    return not (
        trace.stake == self._part(sums, STAKE)
        and trace.consensus == ranks >> 39
        and trace.ranks == ranks & M39
        and trace.incentives == self._part(sums, INCENTIVES)
        and trace.dust == dust
        and trace.dust_uid == sums & U16
        and trace.dividends == last.leaf.dividends
    )


@external
@view
def false_dividend_totals(
    header: IRoots.Header,
    place: traced.Place,
    table: DynArray[uint256, 64],
    dividends: DynArray[uint256, 64],
) -> bool:
    """
    @notice Whether the totals of the dividends, before and after normalisation, are not theirs.
    """
    traced.check_place(header, place)
    self._check_vectors(place.trace, table, dividends)
    yuma3: bool = self._rules(header, place).yuma3
    total: uint256 = 0
    for i: uint256 in range(place.trace.size, bound=SIZE):
        total += self._dividend(yuma3, table, dividends, i)
    if place.trace.dividend_total != total:
        return True
    rest: uint256 = 0
    if total != 0:
        for i: uint256 in range(place.trace.size, bound=SIZE):
            rest += (self._dividend(yuma3, table, dividends, i) << 32) // total
    return place.trace.dividend_sum != rest


@external
@view
def false_emission(header: IRoots.Header, place: traced.Place) -> bool:
    """
    @notice Whether a trace does not pay what its subnet has for the root's epochs, of which the
            last 1024 count. All of those must be closed, which anyone can do.
    """
    traced.check_place(header, place)
    since: uint256 = header.since
    if header.epoch - since >= MAX_SPAN:
        since = header.epoch + 1 - MAX_SPAN
    budget: uint256 = staticcall ISubnet(traced.subnets).budget(
        place.index + 1, since, header.epoch
    ) // GRAIN
    owner: uint256 = budget * self._rules(header, place).owner_bps // BPS
    return place.trace.owner_part != owner or place.trace.emission != budget - owner


@external
@view
def false_cell(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    shown: traced.Shown,
    node: traced.Node,
    column: traced.Column,
    members: DynArray[uint256, 64],
    table: DynArray[uint256, 64],
    dividends: DynArray[uint256, 64],
) -> bool:
    """
    @notice Whether what a node earns is not its share of the emission.
    """
    traced.check_place(header, place)
    traced.check_leaf(place.trace, uid, shown)
    assert uid < place.trace.count, "disputes: no such uid"
    assert traced.node_hash(node) == shown.leaf.node, "disputes: another node"
    assert traced.column_hash(column) == shown.leaf.column, "disputes: another column"
    assert traced.hash64(members) == place.trace.members, "disputes: other members"
    self._check_vectors(place.trace, table, dividends)
    at: uint256 = self._find(members, place.trace.size, uid)
    incentive: uint256 = self._incentive(place.trace, column)
    dividend: uint256 = 0
    if at < place.trace.size and place.trace.dividend_total != 0:
        yuma3: bool = self._rules(header, place).yuma3
        dividend = (
            self._dividend(yuma3, table, dividends, at) << 32
        ) // place.trace.dividend_total
    common: uint256 = place.trace.incentives + place.trace.dividend_sum
    server: uint256 = 0
    validator: uint256 = 0
    combined: uint256 = 0
    if common != 0:
        server = (incentive << 32) // common
        validator = (dividend << 32) // common
        combined = ((incentive + dividend) << 32) // common
    else:
        validator = self._fallback(place.trace, node, table, at)
        combined = validator
    emission: uint256 = place.trace.emission
    cell: traced.Cell = traced.Cell(
        server=server * emission >> 32,
        validator=validator * emission >> 32,
        combined=combined * emission >> 32,
        remainder=max(self._remainder(server, emission), self._remainder(validator, emission)),
    )
    return traced.cell_hash(cell) != shown.leaf.cell


@external
@view
def false_members(
    header: IRoots.Header, place: traced.Place, members: DynArray[uint256, 64]
) -> bool:
    """
    @notice Whether the members are no list of rising uids.
    """
    traced.check_place(header, place)
    size: uint256 = place.trace.size
    if size > SIZE:
        return True
    assert traced.hash64(members) == place.trace.members, "disputes: other members"
    if len(members) != (size + 3) // 4:
        return True
    least: uint256 = 0
    for i: uint256 in range(4 * len(members), bound=SIZE):
        lane: uint256 = self._lane(members, i)
        if i >= size:
            if lane != 0:
                return True
        else:
            if lane >> 48 < least or lane >> 48 >= place.trace.count:
                return True
            least = (lane >> 48) + 1
    return False


@external
@view
def false_member(
    header: IRoots.Header,
    place: traced.Place,
    past: IRoots.Header,
    before: traced.Place,
    now: Seat,
    then: Seat,
    permits: DynArray[uint256, 16],
    earlier: DynArray[uint256, 64],
    members: DynArray[uint256, 64],
) -> bool:
    """
    @notice Whether a uid is a member and must not be, or is none and must be, or is not told right:
            members are who got a permit in the trace before, still hold the uid, and have stake.
    @param then The uid's leaf in the trace before, with that one's permits and members; not read
           where it had no such trace or no such uid.
    """
    traced.check_place(header, place)
    assert traced.hash64(members) == place.trace.members, "disputes: other members"
    self._check_seat(place.trace, now)
    # No lane is this one; that of uid 0 may be 0.
    expected: uint256 = max_value(uint256)
    if traced.has_past(header, place.index, past, before) and now.uid < before.trace.count:
        assert then.uid == now.uid, "disputes: another uid"
        self._check_seat(before.trace, then)
        assert traced.hash16(permits) == before.trace.permits, "disputes: other permits"
        assert traced.hash64(earlier) == before.trace.members, "disputes: other members"
        if (
            now.node.stake > 0
            and now.node.generation == then.node.generation
            and self._permitted(permits, now.uid)
        ):
            expected = self._member(header, place, now, earlier, before.trace.size)
    at: uint256 = self._find(members, place.trace.size, now.uid)
    if at == place.trace.size:
        return expected != max_value(uint256)
    return expected != self._lane(members, at)


@external
@view
def false_permits(
    header: IRoots.Header, place: traced.Place, permits: DynArray[uint256, 16]
) -> bool:
    """
    @notice Whether the permits of the next epoch are no list of rising uids, or too many.
    """
    traced.check_place(header, place)
    assert traced.hash16(permits) == place.trace.permits, "disputes: other permits"
    least: uint256 = 1
    count: uint256 = 0
    for i: uint256 in range(16 * len(permits), bound=SIZE):
        found: uint256 = self._permit(permits, i)
        if found == 0:
            least = place.trace.count + 1
        else:
            if found < least or found > place.trace.count:
                return True
            least = found + 1
            count += 1
    return len(permits) != (count + 15) // 16 or count > self._rules(header, place).max_validators


@external
@view
def false_permit(
    header: IRoots.Header,
    place: traced.Place,
    permits: DynArray[uint256, 16],
    seated: DynArray[Seat, 1],
    other: DynArray[Seat, 1],
) -> bool:
    """
    @notice Whether somebody has a permit without stake, or none though a permit is left, or none
            though another one's stake is less, or as much under a lower uid.
    @param seated Who has a permit, and `other` who has none; either may be left out.
    """
    traced.check_place(header, place)
    assert traced.hash16(permits) == place.trace.permits, "disputes: other permits"
    least: uint256 = max_value(uint256)
    for seat: Seat in seated:
        self._check_seat(place.trace, seat)
        assert self._permitted(permits, seat.uid), "disputes: has no permit"
        least = self._standing(place.trace, seat)
        if least < 65536:
            return True
    for seat: Seat in other:
        self._check_seat(place.trace, seat)
        assert not self._permitted(permits, seat.uid), "disputes: has a permit"
        standing: uint256 = self._standing(place.trace, seat)
        if standing < 65536:
            return False
        if len(seated) > 0:
            return standing > least
        count: uint256 = 0
        for i: uint256 in range(16 * len(permits), bound=SIZE):
            if self._permit(permits, i) != 0:
                count += 1
        return count < self._rules(header, place).max_validators
    return False


@external
@view
def false_prune(
    header: IRoots.Header,
    place: traced.Place,
    at: uint256,
    listed: DynArray[Paid, 1],
    other: DynArray[Paid, 1],
) -> bool:
    """
    @notice Whether the list of who has to go is wrong at a place: no uid, or one a second time, or
            not the next one. The immune come last: they may have to go before the next list.
    @param listed Who stands there, and `other` who should; either may be left out.
    """
    traced.check_place(header, place)
    assert at < 16, "disputes: no such place"
    word: uint256 = place.trace.prune
    found: uint256 = self._pruned(word, at)
    if found == U16:
        if at < 15 and self._pruned(word, at + 1) != U16:
            return True
    elif found >= place.trace.count or self._before(word, at, found):
        return True
    end: uint256 = traced.end_of(header.epoch)
    immunity: uint256 = self._rules(header, place).immunity
    last: uint256 = max_value(uint256)
    for paid: Paid in listed:
        self._check_paid(place.trace, paid)
        assert paid.uid == found, "disputes: stands elsewhere"
        last = self._turn(paid, paid.node.registered + immunity > end)
    for paid: Paid in other:
        self._check_paid(place.trace, paid)
        if self._before(word, at + 1, paid.uid):
            return False
        turn: uint256 = self._turn(paid, paid.node.registered + immunity > end)
        return found == U16 or (len(listed) > 0 and turn < last)
    return False


@internal
@view
def _rules(header: IRoots.Header, place: traced.Place) -> ISubnet.Rules:
    return staticcall ISubnet(traced.subnets).rules_at(place.index + 1, header.epoch)


@internal
@view
def _since(id: uint256, uid: uint256, generation: uint256) -> uint256:
    account: address = empty(address)
    registered: uint256 = 0
    account, registered = staticcall ISubnet(traced.subnets).uid_at(id, uid, generation)
    return registered


@internal
@pure
def _part(sums: uint256, which: uint256) -> uint256:
    if which == STAKE:
        return sums >> 192
    if which == RANKS:
        return sums >> 152 & (2 * M39 + 1)
    if which == INCENTIVES:
        return sums >> 113 & M39
    return sums & BEST


@internal
@pure
def _incentive(trace: traced.Trace, column: traced.Column) -> uint256:
    if trace.ranks == 0:
        return 0
    return (column.rank << 32) // trace.ranks


@internal
@pure
def _remainder(share: uint256, emission: uint256) -> uint256:
    if share == 0:
        return 0
    return (share * emission & (2**32 - 1)) + 1


@internal
@pure
def _fallback(
    trace: traced.Trace, node: traced.Node, table: DynArray[uint256, 64], at: uint256
) -> uint256:
    # Where nobody's weights count, validators share by active stake, or all by stake.
    anybody: bool = False
    for i: uint256 in range(trace.size, bound=SIZE):
        if self._lane(table, i) >> 28 != 0:
            anybody = True
            break
    if anybody:
        if at == trace.size:
            return 0
        return self._lane(table, at) >> 28
    if node.stake == 0:
        return 0
    return (node.stake << 32) // trace.stake


@internal
@pure
def _lane(words: DynArray[uint256, 64], index: uint256) -> uint256:
    return words[index >> 2] >> ((index & 3) << 6) & M64


@internal
@pure
def _dividend(
    yuma3: bool,
    table: DynArray[uint256, 64],
    dividends: DynArray[uint256, 64],
    index: uint256,
) -> uint256:
    raw: uint256 = self._lane(dividends, index)
    if yuma3:
        return raw * (self._lane(table, index) >> 28) >> 32
    return raw


@internal
@pure
def _check_vectors(
    trace: traced.Trace, table: DynArray[uint256, 64], dividends: DynArray[uint256, 64]
):
    assert traced.hash64(table) == trace.table, "disputes: another table"
    assert traced.hash64(dividends) == trace.dividends, "disputes: other dividends"


@internal
@pure
def _check_seat(trace: traced.Trace, seat: Seat):
    traced.check_leaf(trace, seat.uid, seat.shown)
    assert seat.uid < trace.count, "disputes: no such uid"
    assert traced.node_hash(seat.node) == seat.shown.leaf.node, "disputes: another node"


@internal
@pure
def _check_paid(trace: traced.Trace, paid: Paid):
    self._check_seat(trace, Seat(uid=paid.uid, shown=paid.shown, node=paid.node))
    assert traced.cell_hash(paid.cell) == paid.shown.leaf.cell, "disputes: another cell"


@internal
@pure
def _find(members: DynArray[uint256, 64], size: uint256, uid: uint256) -> uint256:
    # Where a uid stands, `size` where it does not.
    for i: uint256 in range(size, bound=SIZE):
        if self._lane(members, i) >> 48 == uid:
            return i
    return size


@internal
@view
def _member(
    header: IRoots.Header,
    place: traced.Place,
    now: Seat,
    earlier: DynArray[uint256, 64],
    size: uint256,
) -> uint256:
    # A member's lane: uid 16, place in the trace before and one 12, active 1, share of stake 35.
    was: uint256 = self._find(earlier, size, now.uid) + 1
    if was > size:
        was = 0
    hashed: bytes32 = empty(bytes32)
    committed: uint256 = 0
    hashed, committed = staticcall ISubnet(traced.subnets).row(
        place.index + 1, header.epoch, now.uid
    )
    share: uint256 = (now.node.stake << 32) // place.trace.stake
    active: uint256 = convert(hashed != empty(bytes32), uint256)
    return now.uid << 48 | was << 36 | active << 35 | share


@internal
@pure
def _permit(permits: DynArray[uint256, 16], index: uint256) -> uint256:
    return permits[index >> 4] >> ((index & 15) << 4) & U16


@internal
@pure
def _permitted(permits: DynArray[uint256, 16], uid: uint256) -> bool:
    for i: uint256 in range(16 * len(permits), bound=SIZE):
        if self._permit(permits, i) == uid + 1:
            return True
    return False


@internal
@pure
def _standing(trace: traced.Trace, seat: Seat) -> uint256:
    # The order of permits: by share of stake, then by uid; below 65536 without a share.
    if seat.node.stake == 0:
        return seat.uid
    return ((seat.node.stake << 32) // trace.stake) << 16 | seat.uid


@internal
@pure
def _pruned(word: uint256, at: uint256) -> uint256:
    return word >> (240 - (at << 4)) & U16


@internal
@pure
def _before(word: uint256, at: uint256, uid: uint256) -> bool:
    for i: uint256 in range(at, bound=16):
        if self._pruned(word, i) == uid:
            return True
    return False


@internal
@pure
def _turn(paid: Paid, immune: bool) -> uint256:
    # The order of leaving: the immune last, by what was earned, by who came first, by uid.
    last: uint256 = convert(immune, uint256) << 255
    return last | paid.cell.combined << 128 | paid.node.registered << 16 | paid.uid

# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Storage
@license Apache-2.0
@notice The market of storage deals and the arbiter of their rails. A deal is one object, spread
        as n columns, k of which give it back, over n nodes. Every column is a piece in its node's
        proof set and a rail from the client to the node, which pays for proven periods only.
@dev Who may do what. The client opens with one signed acceptance of every node, renews with new
     ones, closes. A node leaves after notice, or when the payer ran dry. Anyone moves a column of
     a failed, owing or leaving node to another node within the client's mandate (the client need
     not be there) and anyone finishes what is over.
     Pay. `accepted` counts whole periods: those whose round the node answered in time, from the
     first period after the column's opening to the last that ended before the column did. Rails
     are settled at the boundaries of periods, so that settling often or seldom pays the same.
     Threats and what meets them.
     - A client that frames a node: nobody is charged with data whose acceptance they did not sign
       (bound to network, contract, client, token, root, size, price, term, deadline, to the one
       account that may submit it, and to a nonce used once).
     - A copied transaction: who did the work of a move is named in the acceptance, nobody else can
       use it to earn the fee.
     - Worthless pay: the acceptance names the token of the deal.
     - A node that lies about size: size, height and leaves must agree with each other.
     - A client that starves a node: the lockup period is paid for even then, and the node may
       leave without penalty.
     - A node that sheds a column when it has lost it: a moved or ended column keeps its stake
       locked until every round up to that of the period in which it ended is decided, or the node
       has failed.
     - A stranger who moves columns to nodes that do not have them: k columns of a deal always stay
       where the client or a good round since the move put them. A good round shows challenged
       leaves of all that a node holds, so a large node may pass one without the column.
     - A client that moves a sound column: the old rail ends as at closing, with the lockup period,
       and a repair that waits for its first good round is paid.
     - Draining the repair reserve: it pays one fee for one move, only at the new node's first good
       round, never where mover or new node have the old node's owner; at most `repairs` in all.
       Owners that hide behind several accounts can still earn it by leaving in turn after notice:
       a client loses at most the reserve, and picks nodes by their record.
     - Crowding: columns of a deal stay on different nodes, at most `per_owner` on one owner, at
       moves too. Owners are accounts; who hides behind several is not seen here.
     - Costs: every loop runs over the columns of one deal, at most 32; nothing grows with clients.
     - Re-entrance: functions that change state share one lock; the token moves in `payments`.
     Trust: the governor sets three parameters within hard bounds and may pause opening; deals keep
     their terms, and nothing else can be paused.
"""

from interfaces import IBeacon
from interfaces import IFaults
from interfaces import IPayments
from interfaces import IPdp
from interfaces import IRegistry
from interfaces import IStorage
from modules import typed

implements: IStorage

struct Parameters:
    lockup_period: uint256  # seconds of pay that stay locked for each column
    repair_owed: uint256  # rounds owed from which anyone may move a column
    cleanup_window: uint256  # seconds after which abandoned columns are cleaned


struct Mandate:
    max_price: uint256  # base units per TiB-month
    min_stake: uint256  # base units of active stake behind a node
    per_owner: uint8  # columns of the deal on nodes of one owner
    expiry: uint64  # until when others may move columns
    repair_fee: uint256  # base units for a move by others
    repairs: uint8  # how many such moves the reserve pays for


struct OpenRequest:
    object_id: bytes32
    token: address
    k: uint8
    size: uint64  # bytes of each column
    height: uint8  # of each column's tree, as in its PieceCID v2
    roots: DynArray[bytes32, 32]
    mandate: Mandate
    locator: Bytes[256]


struct Acceptance:
    node: address
    price: uint256
    term_end: uint64
    deadline: uint64
    nonce: uint256
    signature: Bytes[65]


struct Deal:
    client: address
    token: address
    object_id: bytes32
    k: uint8
    n: uint8
    size: uint64
    height: uint8
    opened_at: uint64
    term_end: uint64
    closed_at: uint64
    mandate: Mandate
    repairs_done: uint8
    reserve: uint256
    locator: Bytes[256]


# A deal in five words and its locator.
struct Terms:
    client: address  # word 0
    k: uint256  # 8 bits
    n: uint256  # 8
    height: uint256  # 8
    per_owner: uint256  # 8
    repairs: uint256  # 8
    repairs_done: uint256  # 8: moves that were paid or may still be
    unfinished: uint256  # 8: slots whose present column is not finished
    closed_at: uint256  # 40
    token: address  # word 1
    size: uint256  # 64
    claims: uint256  # 8: moves that were paid
    refunded: uint256  # 8
    opened_at: uint256  # word 2: 40
    term_end: uint256  # 40
    expiry: uint256  # 64
    max_price: uint256  # 96
    min_stake: uint256  # word 3: 128
    repair_fee: uint256  # 128


# A column in three words, kept by its rail; its root is the piece's.
struct Slot:
    node: address  # word 0
    slot: uint256  # 8 bits
    state: uint256  # 4
    claimed: uint256  # 1
    dropped: uint256  # 1
    moved: uint256  # 1: here by a move of somebody else than the client
    opened_period: uint256  # 40
    first_round: uint256  # 40: rounds that there were at its opening
    deal: uint256  # word 1: 40
    piece_id: uint256  # 40
    ended_at: uint256  # 40
    price: uint256  # 96
    set_id: uint256  # 40
    replacer: address  # word 2
    locked: uint256  # 96


event DealOpened:
    deal: indexed(uint256)
    client: indexed(address)
    object_id: indexed(bytes32)
    k: uint8
    n: uint8
    size: uint64
    height: uint8
    token: address
    term_end: uint64


event ColumnOpened:
    deal: indexed(uint256)
    slot: indexed(uint256)
    node: indexed(address)
    root: bytes32
    piece_id: uint256
    rail: uint256
    price: uint256


event ColumnReplaced:
    deal: indexed(uint256)
    slot: indexed(uint256)
    node: indexed(address)
    old_node: address
    rail: uint256
    piece_id: uint256
    replacer: address
    price: uint256


event ColumnEnded:
    deal: indexed(uint256)
    slot: indexed(uint256)
    node: indexed(address)
    rail: uint256
    reason: uint8


event ColumnFinished:
    deal: indexed(uint256)
    slot: indexed(uint256)
    rail: uint256
    compensation: uint256


event DealClosed:
    deal: indexed(uint256)


event DealRenewed:
    deal: indexed(uint256)
    term_end: uint64


event RepairPaid:
    deal: indexed(uint256)
    slot: indexed(uint256)
    replacer: address
    amount: uint256


event ParametersSet:
    parameters: Parameters


event PausedSet:
    paused: bool


ROLE_STORAGE: constant(uint256) = 1
PURPOSE_REFUND: constant(uint8) = 8
PURPOSE_REPAIR: constant(uint8) = 17
ACTIVE: constant(uint256) = 1
ENDED: constant(uint256) = 2
FINISHED: constant(uint256) = 3
CLOSED: constant(uint8) = 1
TERM: constant(uint8) = 2
EXIT: constant(uint8) = 3
FAILED: constant(uint8) = 4
REPLACED: constant(uint8) = 5
ABANDONED: constant(uint8) = 6
MAX_COLUMNS: constant(uint256) = 32
MAX_HEIGHT: constant(uint256) = 40
MAX_TERM: constant(uint256) = 10 * 366 * 86400
MAX_LOCKUP: constant(uint256) = 90 * 86400
MAX_REPAIR_OWED: constant(uint256) = 100
MAX_CLEANUP: constant(uint256) = 366 * 86400
M8: constant(uint256) = 2**8 - 1
M40: constant(uint256) = 2**40 - 1
M64: constant(uint256) = 2**64 - 1
M96: constant(uint256) = 2**96 - 1
M128: constant(uint256) = 2**128 - 1
M160: constant(uint256) = 2**160 - 1
ACCEPTANCE_TYPE: constant(bytes32) = keccak256(
    "Acceptance(address node,address client,address mover,address token,bytes32 root,uint64 size,uint8 height,uint256 price,uint64 term_end,uint64 deadline,uint256 nonce)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("Freehold storage")

registry: public(immutable(address))
payments: public(immutable(address))
pdp: public(immutable(address))
beacon: public(immutable(address))
faults: public(immutable(address))
governor: public(immutable(address))
network_id: public(immutable(bytes32))
GENESIS: immutable(uint256)
PERIOD: immutable(uint256)

paused: public(bool)
deal_count: public(uint256)
_parameters: Parameters
_deals: HashMap[uint256, uint256[4]]
_objects: HashMap[uint256, bytes32]
_locators: HashMap[uint256, Bytes[256]]
_rails: HashMap[uint256, uint256[8]]  # by deal: rails of its present columns, four a word
_columns: HashMap[uint256, uint256[3]]  # by rail
_nonces: HashMap[address, HashMap[uint256, uint256]]  # by node: 256 used nonces a word


@deploy
def __init__(
    registry_: address,
    payments_: address,
    pdp_: address,
    beacon_: address,
    faults_: address,
    governor_: address,
    network_id_: bytes32,
):
    """
    @dev Parameters start at defaults in proportion to the beacon's period.
    """
    assert empty(address) not in [
        registry_, payments_, pdp_, beacon_, faults_, governor_
    ], "storage: zero address"
    registry = registry_
    payments = payments_
    pdp = pdp_
    beacon = beacon_
    faults = faults_
    governor = governor_
    network_id = network_id_
    GENESIS = staticcall IBeacon(beacon_).genesis()
    PERIOD = staticcall IBeacon(beacon_).period_length()
    self._set_parameters(
        Parameters(lockup_period=10 * PERIOD, repair_owed=1, cleanup_window=30 * PERIOD)
    )


# The client


@external
@nonreentrant
def open(request: OpenRequest, acceptances: DynArray[Acceptance, 32]) -> uint256:
    """
    @notice Open all columns of an object, by the client, with one acceptance for every root in
            order. Collects the repair reserve and opens a rail to every node.
    @return The deal's id, from 1.
    """
    assert not self.paused, "storage: paused"
    assert len(request.roots) > 0, "storage: no columns"
    assert len(request.roots) == len(acceptances), "storage: one acceptance for every root"
    t: Terms = self._terms_of(request, convert(acceptances[0].term_end, uint256))
    deal: uint256 = self.deal_count + 1
    self.deal_count = deal
    self._save(deal, t)
    self._objects[deal] = request.object_id
    if len(request.locator) > 0:
        self._locators[deal] = request.locator
    if t.repairs * t.repair_fee > 0:
        extcall IPayments(payments).collect(t.token, t.client, t.repairs * t.repair_fee)
    log DealOpened(
        deal=deal,
        client=t.client,
        object_id=request.object_id,
        k=request.k,
        n=convert(t.n, uint8),
        size=request.size,
        height=request.height,
        token=t.token,
        term_end=acceptances[0].term_end,
    )
    self._open_columns(deal, t, request.roots, acceptances)
    return deal


@external
@nonreentrant
def renew(deal: uint256, term_end: uint64, acceptances: DynArray[Acceptance, 32]):
    """
    @notice Prolong a running deal at the same prices, by the client, with a new acceptance of the
            node of every active column, in the order of slots. Its mandate lasts as much longer.
    """
    t: Terms = self._running(deal)
    assert msg.sender == t.client, "storage: not the client"
    end: uint256 = convert(term_end, uint256)
    assert end > t.term_end, "storage: term must grow"
    assert end <= block.timestamp + MAX_TERM, "storage: term too long"
    t.expiry = min(t.expiry + end - t.term_end, M64)
    t.term_end = end
    given: uint256 = 0
    for slot: uint256 in range(t.n, bound=MAX_COLUMNS):
        c: Slot = self._load_column(self._rail_of(deal, slot))
        if c.state != ACTIVE:
            continue
        assert given < len(acceptances), "storage: one acceptance for every active column"
        a: Acceptance = acceptances[given]
        given += 1
        assert a.node == c.node and a.price == c.price, "storage: other node or price"
        self._use_acceptance(t, self._root_of(c), a)
    assert given == len(acceptances), "storage: one acceptance for every active column"
    assert given > 0, "storage: no active column"
    self._save(deal, t)
    log DealRenewed(deal=deal, term_end=term_end)


@external
@nonreentrant
def close(deal: uint256):
    """
    @notice End a deal, by the client. Its rails run out with the lockup period, and the nodes are
            paid for what they prove until then.
    """
    t: Terms = self._load(deal)
    assert msg.sender == t.client, "storage: not the client"
    assert t.closed_at == 0, "storage: deal is closed"
    t.closed_at = block.timestamp
    self._save(deal, t)
    for slot: uint256 in range(t.n, bound=MAX_COLUMNS):
        rail: uint256 = self._rail_of(deal, slot)
        c: Slot = self._load_column(rail)
        if c.state == ACTIVE:
            self._end(rail, c, extcall IPayments(payments).end_rail(rail), CLOSED)
    log DealClosed(deal=deal)


# The node


@external
@nonreentrant
def exit(deal: uint256, slot: uint256):
    """
    @notice Leave a column without penalty, by the node's key or owner: at once after notice, with
            the paid lockup period where the payer ran dry, at most until the term that the node
            signed: a renewal by others does not hold it.
    """
    rail: uint256 = self._rail_of(deal, slot)
    c: Slot = self._load_column(rail)
    assert msg.sender == c.node or msg.sender == staticcall IRegistry(registry).owner_of(
        c.node
    ), "storage: not the node or its owner"
    assert c.state == ACTIVE, "storage: column is not active"
    end: uint256 = empty(uint256)
    if staticcall IFaults(faults).may_leave(c.node):
        end = extcall IPayments(payments).stop_rail(rail, block.timestamp)
    else:
        t: Terms = self._load(deal)
        assert self._dry_since(t) < block.timestamp, "storage: give notice first"
        end = extcall IPayments(payments).stop_rail(rail, t.term_end)
    self._end(rail, c, end, EXIT)


# Anyone


@external
@nonreentrant
def replace(deal: uint256, slot: uint256, acceptance: Acceptance) -> uint256:
    """
    @notice Move a column to another node that holds the same root: by the client whenever they
            like, by anyone within the mandate when its node failed, owes rounds, gave notice or
            has left, and k columns stay that no stranger moved without a good round since. A sound
            column that its client moves is paid for the lockup period within its term, and so is
            who repaired it.
    @return The new rail.
    """
    t: Terms = self._running(deal)
    old: uint256 = self._rail_of(deal, slot)
    c: Slot = self._load_column(old)
    extcall IFaults(faults).evaluate(c.node)
    sound: bool = c.state == ACTIVE and not self._movable(c)
    if msg.sender != t.client:
        assert not sound, "storage: column is sound"
        assert block.timestamp <= t.expiry, "storage: mandate expired"
    replacer: address = self._paid_mover(t, c, acceptance.node)
    root: bytes32 = self._root_of(c)
    if c.state == FINISHED:
        t.unfinished += 1
    else:
        t, c = self._settle_repair(c, t, sound)
        if sound:
            self._end(old, c, extcall IPayments(payments).stop_rail(old, t.term_end), REPLACED)
        elif c.state == ACTIVE:
            end: uint256 = extcall IPayments(payments).stop_rail(old, block.timestamp)
            self._end(old, c, end, REPLACED)
        else:
            self._save_column(old, c)
    if replacer != empty(address):
        assert t.repairs_done < t.repairs, "storage: no repairs left"
        t.repairs_done += 1
    self._check_spread(deal, slot, t, acceptance.node)
    rail: uint256 = empty(uint256)
    piece_id: uint256 = empty(uint256)
    rail, piece_id = self._admit(deal, slot, t, root, acceptance, replacer)
    self._save(deal, t)
    word: uint256 = self._rails[deal][slot // 4]
    self._rails[deal][slot // 4] = self._with_rail(word, slot, rail)
    log ColumnReplaced(
        deal=deal,
        slot=slot,
        node=acceptance.node,
        old_node=c.node,
        rail=rail,
        piece_id=piece_id,
        replacer=replacer,
        price=acceptance.price,
    )
    return rail


@external
@nonreentrant
def claim_repair(deal: uint256, slot: uint256):
    """
    @notice Pay whoever moved the column, once its new node has a good round; by anyone.
    """
    rail: uint256 = self._rail_of(deal, slot)
    c: Slot = self._load_column(rail)
    assert c.replacer != empty(address) and c.claimed == 0, "storage: no repair to pay"
    t: Terms = self._load(deal)
    assert self._seconds(c, t, block.timestamp) > 0, "storage: no good round yet"
    t, c = self._settle_repair(c, t, True)
    self._save_column(rail, c)
    self._save(deal, t)


@external
@nonreentrant
def finish(deal: uint256, slot: uint256):
    """
    @notice Finish the present column of a slot, by anyone: once its rail has ended, the term is
            over or its node failed, and its rounds are decided. Settles the rail, releases the
            stake, pays the compensation of a failed node to the client.
    """
    self._finish(self._rail_of(deal, slot), True)


@external
@nonreentrant
def finish_rail(rail: uint256):
    """
    @notice As `finish`, by rail: for columns that were moved away from their node.
    """
    self._finish(rail, True)


@external
@nonreentrant
def abandon(rail: uint256):
    """
    @notice Clean up a column, present or moved away, by anyone, `cleanup_window` after its payer
            ran dry, its term ended or its rail did; whether or not its rounds are decided.
    """
    c: Slot = self._load_column(rail)
    assert c.state in [ACTIVE, ENDED], "storage: column is finished"
    t: Terms = self._load(c.deal)
    since: uint256 = c.ended_at
    if c.state == ACTIVE:
        since = min(self._dry_since(t), t.term_end)
    assert since < block.timestamp - self._parameters.cleanup_window, "storage: not abandoned"
    if c.state == ACTIVE:
        end: uint256 = extcall IPayments(payments).stop_rail(rail, min(t.term_end, block.timestamp))
        self._end(rail, c, end, ABANDONED)
    self._finish(rail, False)


# The governor


@external
def set_parameters(parameters_: Parameters):
    """
    @notice Change the parameters within their hard bounds; the governor. Rails keep the lockup
            period that they were opened with.
    """
    assert msg.sender == governor, "storage: not the governor"
    self._set_parameters(parameters_)


@external
def set_paused(paused_: bool):
    """
    @notice Stop or allow opening; the governor.
    """
    assert msg.sender == governor, "storage: not the governor"
    self.paused = paused_
    log PausedSet(paused=paused_)


# Views


@external
@view
def accepted(rail: uint256, until: uint256) -> (uint256, uint256):
    """
    @notice The arbiter of a column's rail: seconds of good periods that ended by a moment, since
            the rail was opened, and up to when this is final.
    """
    c: Slot = self._load_column(rail)
    t: Terms = self._load(c.deal)
    seconds: uint256 = self._seconds(c, t, until)
    decided: uint256 = staticcall IPdp(pdp).decided_until(c.set_id)
    if decided == max_value(uint256):
        return seconds, decided
    end: uint256 = self._end_of(c, t)
    boundary: uint256 = self._boundary(min(until, end))
    if until >= end and decided >= boundary:
        return seconds, max_value(uint256)
    return seconds, min(decided, boundary)


@external
@view
def parameters() -> Parameters:
    """
    @notice The parameters as they stand.
    """
    return self._parameters


@external
@view
def deal(id: uint256) -> Deal:
    """
    @notice A deal; `reserve` is what is left for repairs, base units.
    """
    t: Terms = self._load(id)
    reserve: uint256 = 0
    if t.refunded == 0:
        reserve = t.repair_fee * (t.repairs - t.claims)
    return Deal(
        client=t.client,
        token=t.token,
        object_id=self._objects[id],
        k=convert(t.k, uint8),
        n=convert(t.n, uint8),
        size=convert(t.size, uint64),
        height=convert(t.height, uint8),
        opened_at=convert(t.opened_at, uint64),
        term_end=convert(t.term_end, uint64),
        closed_at=convert(t.closed_at, uint64),
        mandate=Mandate(
            max_price=t.max_price,
            min_stake=t.min_stake,
            per_owner=convert(t.per_owner, uint8),
            expiry=convert(t.expiry, uint64),
            repair_fee=t.repair_fee,
            repairs=convert(t.repairs, uint8),
        ),
        repairs_done=convert(t.repairs_done, uint8),
        reserve=reserve,
        locator=self._locators[id],
    )


@external
@view
def column(deal: uint256, slot: uint256) -> IStorage.Column:
    """
    @notice The present column of a slot; state 1 active, 2 ended, 3 finished.
    """
    return self._view(self._rail_of(deal, slot))


@external
@view
def column_of(rail: uint256) -> IStorage.Column:
    """
    @notice A column by its rail, present or moved away.
    """
    return self._view(rail)


@external
@view
def rail_column(rail: uint256) -> (uint256, uint256):
    """
    @notice The deal and slot that a rail was opened for.
    """
    c: Slot = self._load_column(rail)
    return c.deal, c.slot


@external
@view
def nonce_used(node: address, nonce: uint256) -> bool:
    """
    @notice Whether an acceptance of a node with this nonce was used.
    """
    return self._nonces[node][nonce >> 8] >> (nonce & M8) & 1 == 1


# Opening


@internal
@view
def _terms_of(request: OpenRequest, term_end: uint256) -> Terms:
    mandate: Mandate = request.mandate
    n: uint256 = len(request.roots)
    k: uint256 = convert(request.k, uint256)
    assert k > 0 and k <= n, "storage: k must be between 1 and n"
    assert term_end > block.timestamp, "storage: term is over"
    assert term_end <= block.timestamp + MAX_TERM, "storage: term too long"
    assert mandate.per_owner > 0, "storage: no column for an owner"
    assert mandate.max_price <= M96, "storage: price out of bounds"
    assert mandate.min_stake <= M128 and mandate.repair_fee <= M96, "storage: mandate out of bounds"
    return Terms(
        client=msg.sender,
        k=k,
        n=n,
        height=convert(request.height, uint256),
        per_owner=convert(mandate.per_owner, uint256),
        repairs=convert(mandate.repairs, uint256),
        repairs_done=0,
        unfinished=n,
        closed_at=0,
        token=request.token,
        size=convert(request.size, uint256),
        claims=0,
        refunded=0,
        opened_at=block.timestamp,
        term_end=term_end,
        expiry=convert(mandate.expiry, uint256),
        max_price=mandate.max_price,
        min_stake=mandate.min_stake,
        repair_fee=mandate.repair_fee,
    )


@internal
def _open_columns(
    deal: uint256,
    t: Terms,
    roots: DynArray[bytes32, 32],
    acceptances: DynArray[Acceptance, 32],
):
    words: uint256[8] = empty(uint256[8])
    nodes: DynArray[address, 32] = []
    owners: DynArray[address, 32] = []
    for slot: uint256 in range(t.n, bound=MAX_COLUMNS):
        node: address = acceptances[slot].node
        owner: address = staticcall IRegistry(registry).owner_of(node)
        assert node not in nodes, "storage: two columns on one node"
        same: uint256 = 1
        for other: address in owners:
            if other == owner:
                same += 1
        assert same <= t.per_owner, "storage: too many columns of one owner"
        nodes.append(node)
        owners.append(owner)
        rail: uint256 = empty(uint256)
        piece_id: uint256 = empty(uint256)
        rail, piece_id = self._admit(
            deal, slot, t, roots[slot], acceptances[slot], empty(address)
        )
        words[slot // 4] = self._with_rail(words[slot // 4], slot, rail)
        log ColumnOpened(
            deal=deal,
            slot=slot,
            node=node,
            root=roots[slot],
            piece_id=piece_id,
            rail=rail,
            price=acceptances[slot].price,
        )
    for i: uint256 in range(8):
        if words[i] != 0:
            self._rails[deal][i] = words[i]


@internal
def _admit(
    deal: uint256, slot: uint256, t: Terms, root: bytes32, a: Acceptance, replacer: address
) -> (uint256, uint256):
    """
    @dev Put a column on a node that accepts it, and open its rail; the rail and the piece.
    """
    self._use_acceptance(t, root, a)
    assert a.price <= t.max_price, "storage: over the mandate's price"
    assert staticcall IRegistry(registry).active(a.node, ROLE_STORAGE), "storage: node not active"
    c: Slot = empty(Slot)
    c.set_id, c.piece_id, c.locked = extcall IFaults(faults).take(
        a.node,
        root,
        convert(t.height, uint8),
        self._leaves(t.size, t.height),
        convert(t.size, uint64),
        t.min_stake,
    )
    rail: uint256 = extcall IPayments(payments).open_rail(
        t.token,
        t.client,
        staticcall IRegistry(registry).payout_of(a.node),
        a.price * t.size,
        self._parameters.lockup_period,
        0,
    )
    c.node = a.node
    c.slot = slot
    c.state = ACTIVE
    c.opened_period = (block.timestamp - GENESIS) // PERIOD
    c.first_round = staticcall IBeacon(beacon).round_count()
    c.deal = deal
    c.price = a.price
    c.replacer = replacer
    c.moved = convert(msg.sender != t.client, uint256)
    self._save_column(rail, c)
    return rail, c.piece_id


@internal
def _use_acceptance(t: Terms, root: bytes32, a: Acceptance):
    """
    @dev A node's signed consent to hold one column on these terms, once, if the caller is the
        account that it named as the one who may submit it.
    """
    assert convert(a.term_end, uint256) == t.term_end, "storage: other term"
    assert convert(a.deadline, uint256) >= block.timestamp, "storage: acceptance expired"
    hashed: bytes32 = keccak256(
        abi_encode(
            ACCEPTANCE_TYPE,
            a.node,
            t.client,
            msg.sender,
            t.token,
            root,
            t.size,
            t.height,
            a.price,
            a.term_end,
            a.deadline,
            a.nonce,
        )
    )
    message: bytes32 = typed.digest(DOMAIN_NAME, network_id, hashed)
    assert a.node != empty(address), "storage: no node"
    assert typed.recover_packed(message, a.signature) == a.node, "storage: wrong acceptance"
    used: uint256 = self._nonces[a.node][a.nonce >> 8]
    bit: uint256 = 1 << (a.nonce & M8)
    assert used & bit == 0, "storage: acceptance was used"
    self._nonces[a.node][a.nonce >> 8] = used | bit


@internal
@pure
def _leaves(size: uint256, height: uint256) -> uint64:
    """
    @dev Leaves that hold data of a piece of `size` bytes, whose least height is `height`.
    """
    assert height >= 2 and height <= MAX_HEIGHT, "storage: height out of bounds"
    room: uint256 = 127 << (height - 2)
    assert size > 0 and size <= room, "storage: size and height disagree"
    assert height == 2 or size > room >> 1, "storage: size and height disagree"
    return convert((1 << height) - ((128 * (room - size) // 127) >> 5), uint64)


@internal
@view
def _check_spread(deal: uint256, slot: uint256, t: Terms, node: address):
    """
    @dev What a moved column must keep: other nodes, no owner with too many, and after a stranger's
        move k columns that nobody else moved without a good round since.
    """
    owner: address = staticcall IRegistry(registry).owner_of(node)
    same: uint256 = 1
    unproven: uint256 = 1
    for i: uint256 in range(t.n, bound=MAX_COLUMNS):
        if i == slot:
            continue
        other: Slot = self._load_column(self._rail_of(deal, i))
        if other.state != ACTIVE:
            unproven += 1
            continue
        if msg.sender != t.client and other.moved > other.claimed:
            if self._seconds(other, t, block.timestamp) == 0:
                unproven += 1
        assert other.node != node, "storage: two columns on one node"
        if staticcall IRegistry(registry).owner_of(other.node) == owner:
            same += 1
    assert same <= t.per_owner, "storage: too many columns of one owner"
    assert msg.sender == t.client or unproven + t.k <= t.n, "storage: too many unproven moves"


@internal
@view
def _paid_mover(t: Terms, c: Slot, node: address) -> address:
    """
    @dev Who earns the repair fee by a move: nobody for a move by the client or by the side that
        the column leaves, nor for one between nodes of one owner.
    """
    owner: address = staticcall IRegistry(registry).owner_of(c.node)
    if msg.sender in [t.client, c.node, owner]:
        return empty(address)
    if staticcall IRegistry(registry).owner_of(node) == owner:
        return empty(address)
    return msg.sender


# Ending


@internal
@view
def _movable(c: Slot) -> bool:
    n: IFaults.NodeState = staticcall IFaults(faults).node_state(c.node)
    if n.failed or n.notice_at != 0:
        return True
    return staticcall IPdp(pdp).owed(c.set_id) >= self._parameters.repair_owed


@internal
@view
def _dry_since(t: Terms) -> uint256:
    """
    @dev Up to when the client's account pays; in the past where it ran dry.
    """
    funds: uint256 = empty(uint256)
    available: uint256 = empty(uint256)
    until: uint256 = empty(uint256)
    funds, available, until = staticcall IPayments(payments).status(t.token, t.client)
    return until


@internal
def _end(rail: uint256, column: Slot, end: uint256, reason: uint8):
    """
    @dev Mark a column as ended at a moment; its piece leaves with it once the moment has come.
    """
    c: Slot = column
    c.state = ENDED
    c.ended_at = end
    if end <= block.timestamp:
        c = self._drop(c)
    self._save_column(rail, c)
    log ColumnEnded(deal=c.deal, slot=c.slot, node=c.node, rail=rail, reason=reason)


@internal
def _drop(column: Slot) -> Slot:
    c: Slot = column
    if c.dropped == 0:
        c.dropped = 1
        extcall IFaults(faults).drop(c.node, c.piece_id)
    return c


@internal
def _finish(rail: uint256, decided: bool):
    """
    @dev `decided`: demand that all rounds of the column are decided, and settle its rail.
    """
    c: Slot = self._load_column(rail)
    assert c.state in [ACTIVE, ENDED], "storage: column is finished"
    t: Terms = self._load(c.deal)
    extcall IFaults(faults).evaluate(c.node)
    failed: bool = (staticcall IFaults(faults).node_state(c.node)).failed
    over: bool = t.term_end <= block.timestamp
    if c.state == ACTIVE or (c.ended_at > block.timestamp and (over or failed)):
        assert over or failed, "storage: column is active"
        end: uint256 = extcall IPayments(payments).stop_rail(rail, min(t.term_end, block.timestamp))
        self._end(rail, c, end, FAILED if failed else TERM)
        c = self._load_column(rail)
    assert c.ended_at <= block.timestamp, "storage: rail runs on"
    if decided:
        # the piece was part of the round of the period in which the column ended
        assert staticcall IPdp(pdp).decided_until(c.set_id) >= PERIOD + self._boundary(
            self._end_of(c, t)
        ), "storage: rounds are undecided"
        extcall IPayments(payments).settle(rail)
    c = self._drop(c)
    c.state = FINISHED
    if self._rail_of(c.deal, c.slot) == rail:
        t, c = self._settle_repair(c, t, False)
        self._save(c.deal, self._count_finished(c.deal, t))
    self._save_column(rail, c)
    compensation: uint256 = extcall IFaults(faults).release(c.node, t.size, c.locked, t.client)
    log ColumnFinished(deal=c.deal, slot=c.slot, rail=rail, compensation=compensation)


@internal
def _count_finished(deal: uint256, terms: Terms) -> Terms:
    """
    @dev The last finished column gives the rest of the reserve back.
    """
    t: Terms = terms
    t.unfinished -= 1
    if t.unfinished == 0:
        if t.closed_at == 0:
            t.closed_at = block.timestamp
            log DealClosed(deal=deal)
        t.refunded = 1
        rest: uint256 = t.repair_fee * (t.repairs - t.claims)
        if rest > 0:
            extcall IPayments(payments).send(t.token, t.client, rest, PURPOSE_REFUND)
    return t


@internal
def _settle_repair(column: Slot, terms: Terms, due: bool) -> (Terms, Slot):
    """
    @dev Pay a column's mover where it has a good round or the pay is due without, else give the
        repair back to the mandate; the caller writes both.
    """
    t: Terms = terms
    c: Slot = column
    if c.replacer == empty(address) or c.claimed != 0:
        return t, c
    if not due and self._seconds(c, t, block.timestamp) == 0:
        t.repairs_done -= 1
        c.replacer = empty(address)
        return t, c
    c.claimed = 1
    t.claims += 1
    log RepairPaid(deal=c.deal, slot=c.slot, replacer=c.replacer, amount=t.repair_fee)
    if t.repair_fee > 0:
        extcall IPayments(payments).send(t.token, c.replacer, t.repair_fee, PURPOSE_REPAIR)
    return t, c


# Time


@internal
@view
def _end_of(c: Slot, t: Terms) -> uint256:
    """
    @dev From when a column is no longer paid.
    """
    if c.ended_at == 0:
        return t.term_end
    return min(c.ended_at, t.term_end)


@internal
@view
def _boundary(moment: uint256) -> uint256:
    """
    @dev The start of the period that a moment lies in.
    """
    return moment - (moment - GENESIS) % PERIOD


@internal
@view
def _first_round(c: Slot) -> uint256:
    """
    @dev The first round of a later period than that of the opening: of the rounds made since, only
        the first one can belong to the opening's period.
    """
    if c.first_round < staticcall IBeacon(beacon).round_count():
        made: IBeacon.Round = staticcall IBeacon(beacon).round(c.first_round)
        if convert(made.period, uint256) <= c.opened_period:
            return c.first_round + 1
    return c.first_round


@internal
@view
def _seconds(c: Slot, t: Terms, until: uint256) -> uint256:
    last: uint256 = staticcall IBeacon(beacon).rounds_ended(min(until, self._end_of(c, t)))
    good: uint256 = staticcall IPdp(pdp).good_rounds(c.set_id, self._first_round(c), last)
    return good * PERIOD


# Words


@internal
@view
def _running(deal: uint256) -> Terms:
    t: Terms = self._load(deal)
    assert t.closed_at == 0 and block.timestamp < t.term_end, "storage: deal is over"
    return t


@internal
@view
def _root_of(c: Slot) -> bytes32:
    return (staticcall IPdp(pdp).piece(c.set_id, c.piece_id)).root


@internal
@view
def _rail_of(deal: uint256, slot: uint256) -> uint256:
    # 0 where there is none: no column is loaded by that
    assert slot < MAX_COLUMNS, "storage: no such column"
    return self._rails[deal][slot // 4] >> (64 * (slot % 4)) & M64


@internal
@pure
def _with_rail(word: uint256, slot: uint256, rail: uint256) -> uint256:
    place: uint256 = 64 * (slot % 4)
    return (word & ~(M64 << place)) | rail << place


@internal
def _set_parameters(p: Parameters):
    assert p.lockup_period >= PERIOD and (
        p.lockup_period <= MAX_LOCKUP
    ), "storage: lockup out of bounds"
    assert 0 < p.repair_owed and p.repair_owed <= MAX_REPAIR_OWED, "storage: owed out of bounds"
    assert p.cleanup_window >= p.lockup_period, "storage: cleanup out of bounds"
    assert p.cleanup_window <= MAX_CLEANUP, "storage: cleanup out of bounds"
    self._parameters = p
    log ParametersSet(parameters=p)


@internal
@view
def _view(rail: uint256) -> IStorage.Column:
    c: Slot = self._load_column(rail)
    return IStorage.Column(
        node=c.node,
        root=self._root_of(c),
        piece_id=c.piece_id,
        rail=rail,
        price=c.price,
        first_round=self._first_round(c),
        opened_period=c.opened_period,
        ended_at=c.ended_at,
        state=convert(c.state, uint8),
        locked=c.locked,
        replacer=c.replacer,
        repair_claimed=c.claimed != 0,
    )


@internal
@view
def _load(deal: uint256) -> Terms:
    words: uint256[4] = self._deals[deal]
    assert words[0] != 0, "storage: no such deal"
    return Terms(
        client=convert(words[0] & M160, address),
        k=words[0] >> 160 & M8,
        n=words[0] >> 168 & M8,
        height=words[0] >> 176 & M8,
        per_owner=words[0] >> 184 & M8,
        repairs=words[0] >> 192 & M8,
        repairs_done=words[0] >> 200 & M8,
        unfinished=words[0] >> 208 & M8,
        closed_at=words[0] >> 216,
        token=convert(words[1] & M160, address),
        size=words[1] >> 160 & M64,
        claims=words[1] >> 224 & M8,
        refunded=words[1] >> 232,
        opened_at=words[2] & M40,
        term_end=words[2] >> 40 & M40,
        expiry=words[2] >> 80 & M64,
        max_price=words[2] >> 144,
        min_stake=words[3] & M128,
        repair_fee=words[3] >> 128,
    )


@internal
def _save(deal: uint256, t: Terms):
    self._deals[deal] = [
        convert(t.client, uint256)
        | t.k << 160
        | t.n << 168
        | t.height << 176
        | t.per_owner << 184
        | t.repairs << 192
        | t.repairs_done << 200
        | t.unfinished << 208
        | t.closed_at << 216,
        convert(t.token, uint256) | t.size << 160 | t.claims << 224 | t.refunded << 232,
        t.opened_at | t.term_end << 40 | t.expiry << 80 | t.max_price << 144,
        t.min_stake | t.repair_fee << 128,
    ]


@internal
@view
def _load_column(rail: uint256) -> Slot:
    words: uint256[3] = self._columns[rail]
    assert words[0] != 0, "storage: no such column"
    return Slot(
        node=convert(words[0] & M160, address),
        slot=words[0] >> 160 & M8,
        state=words[0] >> 168 & 15,
        claimed=words[0] >> 172 & 1,
        dropped=words[0] >> 173 & 1,
        moved=words[0] >> 174 & 1,
        opened_period=words[0] >> 176 & M40,
        first_round=words[0] >> 216,
        deal=words[1] & M40,
        piece_id=words[1] >> 40 & M40,
        ended_at=words[1] >> 80 & M40,
        price=words[1] >> 120 & M96,
        set_id=words[1] >> 216,
        replacer=convert(words[2] & M160, address),
        locked=words[2] >> 160,
    )


@internal
def _save_column(rail: uint256, c: Slot):
    assert c.locked <= M96, "storage: lock out of bounds"
    self._columns[rail] = [
        convert(c.node, uint256)
        | c.slot << 160
        | c.state << 168
        | c.claimed << 172
        | c.dropped << 173
        | c.moved << 174
        | c.opened_period << 176
        | c.first_round << 216,
        c.deal | c.piece_id << 40 | c.ended_at << 80 | c.price << 120 | c.set_id << 216,
        convert(c.replacer, uint256) | c.locked << 160,
    ]

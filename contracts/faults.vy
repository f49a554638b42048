# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Faults
@license Apache-2.0
@notice The ledger of storage nodes: what each holds and has locked for it, what its misses cost,
        when it has failed, and spot challenges. Deals and money are in `storage`, the only caller
        of `take`, `drop` and `release`; proofs are in `pdp`, where this contract is the listener.
@dev Every missed round costs a share of the node's locked stake, `faults_max` rounds owed at once
     end the node: its set is closed for ever and a larger share of the locked stake is slashed.
     Stake is locked per byte held, whoever the client is.
     Threats and what meets them.
     - Slashing oneself for profit (own client, own reporter): what comes back, compensation and
       bounty together, is bounded far below what is taken; the larger part always burns.
     - Leaving before a fault is charged: staking evaluates before stake leaves, `storage` before
       it releases a column, and a column's stake is released only when its rounds are decided.
     - Returning after a failure: a failed node's address never joins again.
     - Dilution by worthless bytes: they lock stake like any other, so that a miss costs in
       proportion to all bytes, at odds that fall in the same proportion.
     - Framing by spot challenges: only an active column of the node's own acceptance can be
       challenged, the answer's gas is prepaid to the node, silence costs at most once a period,
       and nothing where the piece was taken from the node meanwhile. Silence while the whole
       network stands still is none: a round must have come and gone since, and an answer is good
       until somebody expires the challenge.
     - A market that turns bad: there is exactly one, named once and for ever.
     - Rounding: locks round up, charges and shares round down; dust of a compensation pool stays.
     Trust: the governor sets parameters within hard bounds and may pause joining; it can stop no
     evaluation and take no stake.
"""

from interfaces import IBeacon
from interfaces import IEvaluator
from interfaces import IFaults
from interfaces import IPdp
from interfaces import IRegistry
from interfaces import IStaking
from interfaces import IStorage
from interfaces import IToken

implements: IEvaluator
implements: IFaults

struct Parameters:
    notice: uint256  # seconds from notice to a free exit
    faults_max: uint256  # rounds owed at once that end a node
    stake_per_tib: uint256  # base units locked for 2**40 bytes
    fault_fee_bps: uint256  # of the locked stake, each miss
    slash_bps: uint256  # of the locked stake, at failure
    compensation_bps: uint256  # of that slash, to the clients
    bounty_bps: uint256  # of a fee or slash, to the reporter
    spot_window: uint256  # seconds to answer a spot challenge
    spot_gas: uint256  # gas of an answer, prepaid


# Two words a node.
struct Node:
    set_id: uint256  # 40 bits
    size: uint256  # 64: bytes of its columns that are not finished
    columns: uint256  # 32
    notice_at: uint256  # 40
    charged: uint256  # 40: misses paid for
    spot_period: uint256  # 32: 1 + the last period charged for a silent spot challenge
    failed: uint256  # 8
    locked: uint256  # 128
    failed_round: uint256  # 64


struct Spot:
    node: address
    piece_id: uint256
    leaf: uint256
    deadline: uint256
    round: uint256  # rounds that there were at the challenge
    challenger: address
    prepaid: uint256


event NodeJoined:
    node: indexed(address)
    set_id: uint256


event NoticeGiven:
    node: indexed(address)
    at: uint256


event FaultsCharged:
    node: indexed(address)
    misses: uint256
    amount: uint256


event NodeFailed:
    node: indexed(address)
    round: uint256
    slashed: uint256


event SpotChallenged:
    id: indexed(uint256)
    deal: indexed(uint256)
    slot: indexed(uint256)
    leaf: uint256
    deadline: uint256
    prepaid: uint256


event SpotAnswered:
    id: indexed(uint256)


event SpotExpired:
    id: indexed(uint256)


event Movement:
    token: indexed(address)
    sender: indexed(address)
    recipient: indexed(address)
    amount: uint256
    purpose: uint8


event ParametersSet:
    parameters: Parameters


event PausedSet:
    paused: bool


event MarketSet:
    market: indexed(address)


ROLE_STORAGE: constant(uint256) = 1
PURPOSE_COMPENSATION: constant(uint8) = 14
BPS: constant(uint256) = 10**4
TIB: constant(uint256) = 2**40
LEAST_GAS_PRICE: constant(uint256) = 10**8
REFUND_GAS: constant(uint256) = 30_000
ACTIVE: constant(uint8) = 1
M32: constant(uint256) = 2**32 - 1
M40: constant(uint256) = 2**40 - 1
M64: constant(uint256) = 2**64 - 1
M128: constant(uint256) = 2**128 - 1
MAX_NOTICE: constant(uint256) = 90 * 86400
MAX_FAULTS: constant(uint256) = 100
MAX_STAKE_PER_TIB: constant(uint256) = 2**90
MAX_FAULT_FEE_BPS: constant(uint256) = 1000
MIN_SLASH_BPS: constant(uint256) = 1000
MAX_COMPENSATION_BPS: constant(uint256) = 4000
MAX_BOUNTY_BPS: constant(uint256) = 500
MIN_SPOT_WINDOW: constant(uint256) = 10
MAX_SPOT_WINDOW: constant(uint256) = 7 * 86400
MIN_SPOT_GAS: constant(uint256) = 50_000
MAX_SPOT_GAS: constant(uint256) = 2_000_000

token: public(immutable(address))
registry: public(immutable(address))
staking: public(immutable(address))
pdp: public(immutable(address))
beacon: public(immutable(address))
governor: public(immutable(address))
GENESIS: immutable(uint256)
PERIOD: immutable(uint256)

market: public(address)
paused: public(bool)
spot_count: public(uint256)
_parameters: Parameters
_duties: HashMap[address, uint256]
_stakes: HashMap[address, uint256]
_pools: HashMap[address, uint256]  # compensation at failure << 64 | bytes it is shared by
_spots: HashMap[uint256, Spot]


@deploy
def __init__(
    token_: address,
    registry_: address,
    staking_: address,
    pdp_: address,
    beacon_: address,
    governor_: address,
):
    """
    @dev Parameters start at defaults in proportion to the beacon's period.
    """
    assert empty(address) not in [
        token_, registry_, staking_, pdp_, beacon_, governor_
    ], "faults: zero address"
    token = token_
    registry = registry_
    staking = staking_
    pdp = pdp_
    beacon = beacon_
    governor = governor_
    GENESIS = staticcall IBeacon(beacon_).genesis()
    PERIOD = staticcall IBeacon(beacon_).period_length()
    self._set_parameters(
        Parameters(
            notice=2 * PERIOD,
            faults_max=3,
            stake_per_tib=100 * 10**18,
            fault_fee_bps=100,
            slash_bps=5000,
            compensation_bps=3000,
            bounty_bps=500,
            spot_window=max(PERIOD // 4, MIN_SPOT_WINDOW),
            spot_gas=250_000,
        )
    )


# Nodes


@external
def join(node: address) -> uint256:
    """
    @notice Offer a registered node for storage deals, by its owner; opens its proof set. A node
            that left without failing, and holds nothing, comes back by the same call.
    @return The set's id.
    """
    assert not self.paused, "faults: paused"
    assert msg.sender == staticcall IRegistry(registry).owner_of(node), "faults: not the owner"
    assert staticcall IRegistry(registry).active(node, ROLE_STORAGE), "faults: not a storage node"
    n: Node = self._load(node)
    assert n.failed == 0, "faults: node failed"
    if n.set_id == 0:
        n.set_id = extcall IPdp(pdp).create_set(node)
    else:
        assert n.notice_at != 0 and n.columns == 0, "faults: already joined"
        n.notice_at = 0
    self._save(node, n)
    log NodeJoined(node=node, set_id=n.set_id)
    return n.set_id


@external
def give_notice(node: address):
    """
    @notice Announce that a node leaves, by its owner or its own key: no new columns, those it has
            may be moved, and after `notice` seconds it may drop them without penalty.
    """
    n: Node = self._load(node)
    assert n.set_id != 0, "faults: not joined"
    assert msg.sender == node or msg.sender == staticcall IRegistry(registry).owner_of(
        node
    ), "faults: not the owner or the node"
    assert n.notice_at == 0, "faults: notice was given"
    n.notice_at = block.timestamp
    self._save(node, n)
    log NoticeGiven(node=node, at=block.timestamp)


@external
def evaluate(node: address):
    """
    @notice Charge a node's new misses, and end it when it owes too many rounds; by anyone, who
            gets the bounty. Does nothing for nodes that are unknown, sound or have failed.
    """
    reporter: address = msg.sender
    if msg.sender in [staking, self.market]:
        reporter = empty(address)
    self._evaluate(node, reporter)


@external
@view
def owed_since(node: address) -> uint256:
    """
    @notice No rewards are paid here: the present moment.
    """
    return block.timestamp


# The market's part


@external
def take(
    node: address, root: bytes32, height: uint8, leaves: uint64, size: uint64, least_stake: uint256
) -> (uint256, uint256, uint256):
    """
    @notice Put a column on a node and lock stake for its bytes, by the market, which has the
            node's acceptance.
    @return The node's set, the piece's id in it, and the stake locked.
    """
    self._only_market()
    n: Node = self._load(node)
    assert n.set_id != 0, "faults: not joined"
    assert n.failed == 0, "faults: node failed"
    assert n.notice_at == 0, "faults: node leaves"
    assert staticcall IStaking(staking).active(node) >= least_stake, "faults: too little stake"
    held: uint256 = convert(size, uint256)
    locked: uint256 = (held * self._parameters.stake_per_tib + TIB - 1) // TIB
    n.size += held
    n.columns += 1
    n.locked += locked
    self._save(node, n)
    extcall IStaking(staking).lock(node, locked)
    piece_id: uint256 = extcall IPdp(pdp).add_piece(n.set_id, root, height, leaves)
    return n.set_id, piece_id, locked


@external
def drop(node: address, piece_id: uint256):
    """
    @notice Take a piece out of a node's set from the next period on, by the market.
    """
    self._only_market()
    n: Node = self._load(node)
    if n.failed == 0:
        extcall IPdp(pdp).remove_piece(n.set_id, piece_id)


@external
def release(node: address, size: uint256, locked: uint256, client: address) -> uint256:
    """
    @notice Finish a column, by the market: unlock its stake and, after a failure, pay its client
            their share of the compensation.
    @return What the client got, base units.
    """
    self._only_market()
    n: Node = self._load(node)
    n.size -= size
    n.columns -= 1
    n.locked -= locked
    self._save(node, n)
    extcall IStaking(staking).unlock(node, locked)
    if n.failed == 0:
        return 0
    pool: uint256 = self._pools[node]
    share: uint256 = (pool >> 64) * size // (pool & M64)
    if share > 0:
        log Movement(
            token=token, sender=self, recipient=client, amount=share, purpose=PURPOSE_COMPENSATION
        )
        assert extcall IToken(token).transfer(
            client, share, default_return_value=True
        ), "faults: transfer failed"
    return share


# Spot challenges


@external
@payable
def spot_challenge(deal: uint256, slot: uint256, leaf_index: uint256) -> uint256:
    """
    @notice Ask the node of an active column for one leaf, by anyone, with the gas of the answer
            prepaid at this transaction's gas price.
    @return The challenge's id, from 1.
    """
    c: IStorage.Column = staticcall IStorage(self.market).column(deal, slot)
    assert c.state == ACTIVE, "faults: column is not active"
    n: Node = self._load(c.node)
    assert n.failed == 0, "faults: node failed"
    piece: IPdp.Piece = staticcall IPdp(pdp).piece(n.set_id, c.piece_id)
    assert leaf_index < convert(piece.leaves, uint256), "faults: no such leaf"
    price: uint256 = max(tx.gasprice, LEAST_GAS_PRICE)
    assert msg.value >= self._parameters.spot_gas * price, "faults: prepay the answer's gas"
    id: uint256 = self.spot_count + 1
    self.spot_count = id
    deadline: uint256 = block.timestamp + self._parameters.spot_window
    self._spots[id] = Spot(
        node=c.node,
        piece_id=c.piece_id,
        leaf=leaf_index,
        deadline=deadline,
        round=staticcall IBeacon(beacon).round_count(),
        challenger=msg.sender,
        prepaid=msg.value,
    )
    log SpotChallenged(
        id=id, deal=deal, slot=slot, leaf=leaf_index, deadline=deadline, prepaid=msg.value
    )
    return id


@external
def answer_spot(id: uint256, proof: Bytes[1312]):
    """
    @notice Answer a spot challenge with the leaf and its siblings, by anyone, until it is expired;
            the prepayment goes to the node's key.
    """
    spot: Spot = self._spots[id]
    assert spot.deadline != 0, "faults: no such challenge"
    set_id: uint256 = self._load(spot.node).set_id
    assert staticcall IPdp(pdp).verify_leaf(
        set_id, spot.piece_id, spot.leaf, proof
    ), "faults: wrong proof"
    self._spots[id] = empty(Spot)
    log SpotAnswered(id=id)
    send(spot.node, spot.prepaid)


@external
def expire_spot(id: uint256):
    """
    @notice After its deadline and the end of a round's period that began since, give the prepayment
            back and charge the node one fault, by anyone. The challenger gets the bounty. No fault where the piece was taken from the node, the
            node has failed, or it was charged for silence in this period already.
    """
    spot: Spot = self._spots[id]
    assert spot.deadline != 0, "faults: no such challenge"
    assert block.timestamp > spot.deadline, "faults: too early"
    assert (
        staticcall IBeacon(beacon).rounds_ended(block.timestamp) > spot.round
    ), "faults: no round since"
    self._spots[id] = empty(Spot)
    log SpotExpired(id=id)
    n: Node = self._load(spot.node)
    mark: uint256 = (block.timestamp - GENESIS) // PERIOD + 1
    piece: IPdp.Piece = staticcall IPdp(pdp).piece(n.set_id, spot.piece_id)
    if n.failed == 0 and piece.removed == 0 and n.spot_period != mark:
        n.spot_period = mark
        self._save(spot.node, n)
        self._charge(spot.node, n.locked, 1, spot.challenger)
    refunded: bool = raw_call(
        spot.challenger, b"", value=spot.prepaid, gas=REFUND_GAS, revert_on_failure=False
    )


# The governor


@external
def set_parameters(parameters_: Parameters):
    """
    @notice Change the parameters within their hard bounds; the governor. Stake that is locked
            stays as it was locked.
    """
    self._only_governor()
    self._set_parameters(parameters_)


@external
def set_market(market_: address, allowed: bool):
    """
    @notice Name the market, once and for ever; the governor.
    """
    self._only_governor()
    assert self.market == empty(address), "faults: market is set"
    assert allowed and market_.is_contract, "faults: market has no code"
    self.market = market_
    log MarketSet(market=market_)


@external
def set_paused(paused_: bool):
    """
    @notice Stop or allow joining; the governor.
    """
    self._only_governor()
    self.paused = paused_
    log PausedSet(paused=paused_)


# Views


@external
@view
def parameters() -> Parameters:
    """
    @notice The parameters as they stand.
    """
    return self._parameters


@external
@view
def set_of(node: address) -> uint256:
    """
    @notice A node's proof set, 0 where it never joined.
    """
    return self._load(node).set_id


@external
@view
def node_state(node: address) -> IFaults.NodeState:
    """
    @notice What a node holds, has locked, and was charged.
    """
    n: Node = self._load(node)
    return IFaults.NodeState(
        set_id=n.set_id,
        bytes=n.size,
        columns=n.columns,
        notice_at=n.notice_at,
        failed_at_round=n.failed_round,
        failed=n.failed != 0,
        misses_charged=n.charged,
        locked=n.locked,
    )


@external
@view
def may_leave(node: address) -> bool:
    """
    @notice Whether a node gave notice long enough ago.
    """
    notice_at: uint256 = self._load(node).notice_at
    return notice_at != 0 and block.timestamp >= notice_at + self._parameters.notice


@external
@view
def pool(node: address) -> (uint256, uint256):
    """
    @notice The compensation set aside at a node's failure, and the bytes it is shared by.
    """
    word: uint256 = self._pools[node]
    return word >> 64, word & M64


@external
@view
def spot(id: uint256) -> Spot:
    """
    @notice An open spot challenge; deadline 0 where it is answered, expired or unknown.
    """
    return self._spots[id]


# Internals


@internal
@view
def _only_governor():
    assert msg.sender == governor, "faults: not the governor"


@internal
@view
def _only_market():
    assert msg.sender == self.market, "faults: not the market"


@internal
def _evaluate(node: address, reporter: address):
    n: Node = self._load(node)
    if n.set_id == 0 or n.failed != 0:
        return
    missed: uint256 = staticcall IPdp(pdp).missed(n.set_id)
    fails: bool = (
        missed > 0 and staticcall IPdp(pdp).owed(n.set_id) >= self._parameters.faults_max
    )
    if missed > n.charged:
        fresh: uint256 = missed - n.charged
        n.charged = missed
        self._save(node, n)
        self._charge(node, n.locked, fresh, reporter)
    if fails:
        self._fail(node, n, reporter)


@internal
def _charge(node: address, locked: uint256, misses: uint256, reporter: address):
    fee: uint256 = min(locked * self._parameters.fault_fee_bps * misses // BPS, locked)
    taken: uint256 = 0
    if fee > 0:
        bounty: uint256 = fee * self._parameters.bounty_bps // BPS
        taken = extcall IStaking(staking).slash(node, fee, empty(address), 0, reporter, bounty)
    log FaultsCharged(node=node, misses=misses, amount=taken)


@internal
def _fail(node: address, before: Node, reporter: address):
    n: Node = before
    n.failed = 1
    n.failed_round = staticcall IPdp(pdp).next_round(n.set_id)
    self._save(node, n)
    self._pools[node] = n.size
    extcall IPdp(pdp).close_set(n.set_id)
    amount: uint256 = n.locked * self._parameters.slash_bps // BPS
    taken: uint256 = 0
    if amount > 0:
        compensation: uint256 = amount * self._parameters.compensation_bps // BPS
        bounty: uint256 = amount * self._parameters.bounty_bps // BPS
        held: uint256 = staticcall IToken(token).balanceOf(self)
        taken = extcall IStaking(staking).slash(node, amount, self, compensation, reporter, bounty)
        got: uint256 = staticcall IToken(token).balanceOf(self) - held
        self._pools[node] = got << 64 | n.size
    log NodeFailed(node=node, round=n.failed_round, slashed=taken)


@internal
def _set_parameters(p: Parameters):
    assert p.notice <= MAX_NOTICE, "faults: notice out of bounds"
    assert 0 < p.faults_max and p.faults_max <= MAX_FAULTS, "faults: faults out of bounds"
    assert p.stake_per_tib <= MAX_STAKE_PER_TIB, "faults: stake out of bounds"
    assert p.fault_fee_bps <= MAX_FAULT_FEE_BPS, "faults: fee out of bounds"
    assert MIN_SLASH_BPS <= p.slash_bps and p.slash_bps <= BPS, "faults: slash out of bounds"
    assert p.compensation_bps <= MAX_COMPENSATION_BPS, "faults: compensation out of bounds"
    assert p.bounty_bps <= MAX_BOUNTY_BPS, "faults: bounty out of bounds"
    assert MIN_SPOT_WINDOW <= p.spot_window, "faults: spot window out of bounds"
    assert p.spot_window <= MAX_SPOT_WINDOW, "faults: spot window out of bounds"
    assert MIN_SPOT_GAS <= p.spot_gas, "faults: spot gas out of bounds"
    assert p.spot_gas <= MAX_SPOT_GAS, "faults: spot gas out of bounds"
    self._parameters = p
    log ParametersSet(parameters=p)


@internal
@view
def _load(node: address) -> Node:
    duty: uint256 = self._duties[node]
    stake: uint256 = self._stakes[node]
    return Node(
        set_id=duty & M40,
        size=duty >> 40 & M64,
        columns=duty >> 104 & M32,
        notice_at=duty >> 136 & M40,
        charged=duty >> 176 & M40,
        spot_period=duty >> 216 & M32,
        failed=duty >> 248,
        locked=stake & M128,
        failed_round=stake >> 128,
    )


@internal
def _save(node: address, n: Node):
    self._duties[node] = (
        n.set_id
        | n.size << 40
        | n.columns << 104
        | n.notice_at << 136
        | n.charged << 176
        | n.spot_period << 216
        | n.failed << 248
    )
    self._stakes[node] = n.locked | n.failed_round << 128

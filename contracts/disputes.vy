# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Disputes
@license Apache-2.0
@notice The judge of what models are paid. A root of rewards commits to a trace of every subnet's
        epoch, each leaf of which follows from leaves before it; whoever shows one that does not
        makes the root void in one transaction, and gets part of the proposer's bond by another
        (`settle` of the roots), so that the first one stays short.
@dev What is false is told by three contracts without state: `columns`, `standings`, `payouts`. Each
     of their functions begins with the root's header and answers whether one leaf is not what it
     follows from. This contract sees to it that the root is open, believes the answer, and tells
     the roots (`prizes`).
     Threats and what meets them:
     - A true root made void: a checker reckons by itself and only compares; it knows nothing but
       what the header commits to and the ledger. Only those three are asked, whose every function
       is such a one, and only a whole word of 1 counts as yes.
     - A false root that stands: the first false leaf follows from true ones, which everybody can
       reckon, so its hash and a path are enough to disprove it. Where the trace, a leaf, weights or
       lists are not served, they are demanded here, with the gas of the answer prepaid; silence
       makes the root void, and until then it cannot become final, nor within an answer window
       after the last answer. Who has to ask several times over must do so within the root's window,
       which should hold twelve answer windows: a search that looks at 63 places at once takes
       some nine rounds.
     - A root of true leaves alone that still nobody else could make, nor build on: nothing may stand
      behind the last leaf of a tree, or it is no answer; what follows from nothing is empty.
    - Flooding by demands: each pays for its answer, by anyone; one for something that does not
       exist is answered by showing that.
     - Budgets that are not known yet: an epoch of a subnet is closed by anyone.
     - An old list of who has to go: only a later final root replaces it.
     - Re-entrance: state is written before anything is called or ether moves.
     Trust: nobody. There is no owner, no parameter, nothing to upgrade; subnets and prizes are
     fixed. Who sees a dispute on its way can send the same; the root is void all the same.
"""

from interfaces import IPruner
from interfaces import IRoots
from modules import traced

implements: IPruner
initializes: traced

exports: (traced.prizes, traced.subnets)


struct Opening:
    place: traced.Place
    shown: traced.Shown
    words: DynArray[uint256, 64]
    pay: traced.Pay
    path: DynArray[bytes32, 32]


struct Demand:
    header: bytes32
    kind: uint256
    trace: uint256  # its index in the batch
    index: uint256
    deadline: uint256
    challenger: address
    prepaid: uint256


struct State:
    final: uint256
    tip: uint256
    next_epoch: uint256
    tip_total: uint256
    final_total: uint256
    unsettled: uint256


struct Parameters:
    window: uint256
    answer_window: uint256
    bond: uint256
    growth: uint256
    reward_bps: uint256


interface IPrizes:
    def state() -> State: view
    def parameters() -> Parameters: view


# What the checker was asked; the event of the roots tells by whom, and who it was.
event Disproved:
    header: indexed(bytes32)
    selector: bytes4


event Demanded:
    id: indexed(uint256)
    header: indexed(bytes32)
    kind: uint256
    trace: uint256
    index: uint256
    deadline: uint256
    prepaid: uint256


event Answered:
    id: indexed(uint256)
    opening: Opening


event Expired:
    id: indexed(uint256)


event Settled:
    subnet: indexed(uint256)
    prune: uint256
    ended_at: uint256


BATCH: public(constant(uint256)) = 0
TRACE: public(constant(uint256)) = 1
LEAF: public(constant(uint256)) = 2
WEIGHTS: public(constant(uint256)) = 3
MEMBERS: public(constant(uint256)) = 4
PERMITS: public(constant(uint256)) = 5
PAY: public(constant(uint256)) = 6
MAX_PROOF: constant(uint256) = 8192
MAX_LONG_PROOF: constant(uint256) = 32768
ANSWER_GAS: public(constant(uint256)) = 250_000
LEAST_GAS_PRICE: constant(uint256) = 10**9
REFUND_GAS: constant(uint256) = 30_000
HEAD: constant(uint256) = 324  # bytes of a selector and a header

columns: public(immutable(address))
standings: public(immutable(address))
payouts: public(immutable(address))

demand_count: public(uint256)
_demands: HashMap[uint256, Demand]
_prune: HashMap[uint256, uint256]
_ended: HashMap[uint256, uint256]


@deploy
def __init__(
    prizes_: address,
    subnets_: address,
    columns_: address,
    standings_: address,
    payouts_: address,
):
    """
    @param prizes_ The roots that pay models; this contract must be named their judge.
    @param columns_ And the other checkers, which were made for the same prizes and subnets.
    """
    assert empty(address) not in [
        prizes_, subnets_, columns_, standings_, payouts_
    ], "disputes: zero address"
    traced.__init__(prizes_, subnets_)
    columns = columns_
    standings = standings_
    payouts = payouts_


@external
def disprove(checker: uint256, proof: Bytes[MAX_PROOF]):
    """
    @notice Make an open root void of which something is false, for part of its bond.
    @param checker Who tells: 0 columns, 1 standings, 2 payouts.
    @param proof The call of one of its functions; the first argument is the root's header.
    """
    told: Bytes[32] = raw_call(
        self._checker(checker), proof, max_outsize=32, is_static_call=True
    )
    self._void(checker, told, slice(proof, 0, HEAD))


@external
def disprove_long(checker: uint256, proof: Bytes[MAX_LONG_PROOF]):
    """
    @notice As `disprove`, for longer proofs, whose memory costs gas: of whole rows, and of bonds
            among many validators.
    """
    told: Bytes[32] = raw_call(
        self._checker(checker), proof, max_outsize=32, is_static_call=True
    )
    self._void(checker, told, slice(proof, 0, HEAD))


@external
@payable
def demand(header: IRoots.Header, kind: uint256, trace: uint256, index: uint256) -> uint256:
    """
    @notice Ask for a piece of a root's traces, by anyone, while it can be disputed, with the gas of
            the answer prepaid at this transaction's gas price.
    @param kind BATCH; TRACE; LEAF of an index, its uid; WEIGHTS of a uid; MEMBERS; PERMITS; or PAY
           of an index. `trace` is the index of a trace among the batch's.
    @return The demand's id, from 1.
    """
    assert staticcall IRoots(traced.prizes).pending(header), "disputes: no open root"
    assert block.timestamp <= header.until, "disputes: too late"
    assert kind <= PAY, "disputes: no such kind"
    price: uint256 = max(tx.gasprice, LEAST_GAS_PRICE)
    assert msg.value >= ANSWER_GAS * price, "disputes: prepay the answer's gas"
    id: uint256 = self.demand_count + 1
    self.demand_count = id
    hashed: bytes32 = keccak256(abi_encode(header))
    window: uint256 = (staticcall IPrizes(traced.prizes).parameters()).answer_window
    deadline: uint256 = block.timestamp + window
    self._demands[id] = Demand(
        header=hashed,
        kind=kind,
        trace=trace,
        index=index,
        deadline=deadline,
        challenger=msg.sender,
        prepaid=msg.value,
    )
    log Demanded(
        id=id,
        header=hashed,
        kind=kind,
        trace=trace,
        index=index,
        deadline=deadline,
        prepaid=msg.value,
    )
    extcall IRoots(traced.prizes).hold(hashed)
    return id


@external
def answer(id: uint256, header: IRoots.Header, opening: Opening):
    """
    @notice Answer a demand, by anyone, until it is expired; the prepayment goes to the proposer.
    """
    found: Demand = self._close_demand(id, header)
    assert self._opens(found, header, opening), "disputes: no answer"
    log Answered(id=id, opening=opening)
    extcall IRoots(traced.prizes).release(found.header)
    self._refund(header.proposer, found.prepaid)


@external
def expire(id: uint256, header: IRoots.Header):
    """
    @notice After its deadline make the root void whose demand was not answered, by anyone; the
            demander gets the prepayment back and the reward. Only the former, where it is void.
    """
    found: Demand = self._close_demand(id, header)
    assert block.timestamp > found.deadline, "disputes: can be answered"
    log Expired(id=id)
    extcall IRoots(traced.prizes).release(found.header)
    if staticcall IRoots(traced.prizes).pending(header):
        extcall IRoots(traced.prizes).void(header, found.challenger, "not served")
    self._refund(found.challenger, found.prepaid)


@external
def settle(header: IRoots.Header, place: traced.Place):
    """
    @notice Take over from a final root whom a newcomer of a subnet replaces, by anyone.
    """
    state: State = staticcall IPrizes(traced.prizes).state()
    assert header.position <= state.final, "disputes: root is not final"
    assert staticcall IRoots(traced.prizes).headers(header.position) == keccak256(
        abi_encode(header)
    ), "disputes: no such root"
    traced.check_place(header, place)
    subnet: uint256 = place.index + 1
    end: uint256 = traced.end_of(header.epoch)
    assert end > self._ended[subnet], "disputes: a later one is settled"
    self._prune[subnet] = place.trace.prune
    self._ended[subnet] = end
    log Settled(subnet=subnet, prune=place.trace.prune, ended_at=end)


@external
@view
def prune_list(subnet: uint256) -> (uint256, uint256):
    """
    @notice Whom a newcomer replaces: 16 uids of 16 bits, the first in the upper ones, 65535 where
            there are fewer; and when that trace's last epoch ended, 0 where none was settled.
    """
    return self._prune[subnet], self._ended[subnet]


@external
@view
def demanded(id: uint256) -> Demand:
    """
    @notice An open demand; deadline 0 where it is answered, expired or unknown.
    """
    return self._demands[id]


@internal
@view
def _checker(number: uint256) -> address:
    if number == 0:
        return columns
    if number == 1:
        return standings
    assert number == 2, "disputes: no such checker"
    return payouts


@internal
def _void(checker: uint256, told: Bytes[32], head: Bytes[HEAD]):
    # The roots refuse a header that is not of an open root; what a checker reads does not matter.
    assert len(told) == 32 and convert(told, uint256) == 1, "disputes: nothing is false"
    encoded: Bytes[320] = slice(head, 4, 320)
    log Disproved(header=keccak256(encoded), selector=convert(slice(head, 0, 4), bytes4))
    reason: String[16] = "column"
    if checker == 1:
        reason = "standing"
    elif checker == 2:
        reason = "payout"
    header: IRoots.Header = abi_decode(encoded, IRoots.Header)
    extcall IRoots(traced.prizes).void(header, msg.sender, reason)


@internal
@view
def _opens(found: Demand, header: IRoots.Header, opening: Opening) -> bool:
    # Whether something is what was demanded, or shows that there is no such thing.
    place: traced.Place = opening.place
    traced.check_batch(header, place.batch)
    if found.kind == BATCH:
        return True
    if found.kind == PAY:
        if found.index < place.batch.cell_count:
            traced.check_pay(place.batch, found.index, opening.pay, opening.path)
            traced.check_edge(found.index, place.batch.cell_count, opening.path)
        return True
    if found.trace >= place.batch.subnet_count:
        return True
    if place.index != found.trace:
        return False
    traced.check_place(header, place)
    traced.check_edge(place.index, place.batch.subnet_count, place.path)
    if found.kind == TRACE:
        return True
    if found.kind == MEMBERS:
        return traced.hash64(opening.words) == place.trace.members
    # Longer ones could not be shown to a checker.
    if len(opening.words) > 16:
        return False
    if found.kind == PERMITS:
        return traced.hash64(opening.words) == place.trace.permits
    if found.index > place.trace.count:
        return True
    traced.check_leaf(place.trace, found.index, opening.shown)
    traced.check_edge_leaf(found.index, place.trace.count + 1, opening.shown.path)
    return (
        found.kind == LEAF
        or found.index == place.trace.count
        or traced.hash64(opening.words) == opening.shown.leaf.raw
    )


@internal
def _close_demand(id: uint256, header: IRoots.Header) -> Demand:
    found: Demand = self._demands[id]
    assert found.deadline != 0, "disputes: no such demand"
    assert found.header == keccak256(abi_encode(header)), "disputes: another root"
    self._demands[id] = empty(Demand)
    return found


@internal
def _refund(to: address, amount: uint256):
    # A receiver that refuses ether holds up nothing: it goes without.
    sent: bool = raw_call(to, b"", value=amount, gas=REFUND_GAS, revert_on_failure=False)

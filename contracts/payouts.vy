# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Payouts
@license Apache-2.0
@notice Whether a root of rewards pays what its traces say: every subnet once, every cell once, and
        to every account what it had before and exactly its cells. Asked by `disputes`, and by
        anyone who wants to know before.
@dev Stateless, and as `columns`. What is paid is a list, sorted by account, subnet and uid, with
     what the same account got before in it; a subnet's owner stands under uid 65535. That an
     account or a cell is missing is shown by the two neighbours between which it would stand, or
     the first or the last one.
     Threats: as in `columns`. A subnet left out or put in twice (a trace's place is its id); a cell
     paid twice (the list rises), to somebody else, not at all, or as another sum.
     Trust: nobody; subnets and their owners come from their contract, the tree of rewards and its
     order are disputed in `roots`.
"""

from interfaces import IRoots
from interfaces import ISubnet
from modules import traced

initializes: traced


struct Paid:
    index: uint256
    pay: traced.Pay
    path: DynArray[bytes32, 32]


struct Seat:
    shown: traced.Shown
    node: traced.Node
    cell: traced.Cell


struct Proof:
    account: address
    grains: uint256
    index: uint256
    path: DynArray[uint256, 32]


OWNER: constant(uint256) = 65535
LEAF: constant(bytes32) = keccak256("Freehold reward leaf")
NODE: constant(bytes32) = keccak256("Freehold reward node")
M64: constant(uint256) = 2**64 - 1
HASH: constant(uint256) = max_value(uint256) - M64
MOST: constant(uint256) = 2**32


@deploy
def __init__(prizes_: address, subnets_: address):
    traced.__init__(prizes_, subnets_)


@external
@view
def false_batch(header: IRoots.Header, batch: traced.Batch) -> bool:
    """
    @notice Whether a batch is of another version, too large, or has not as many subnets as were
            created by the end of its epoch, or something in a tree of nothing.
    """
    traced.check_batch(header, batch)
    if batch.version != traced.VERSION or batch.cell_count > MOST:
        return True
    if batch.cell_count == 0 and batch.cells != empty(bytes32):
        return True
    if batch.subnet_count == 0 and batch.subnets != empty(bytes32):
        return True
    count: uint256 = batch.subnet_count
    created: uint256 = staticcall ISubnet(traced.subnets).count()
    end: uint256 = traced.end_of(header.epoch)
    if count > created or (count > 0 and self._created(count) >= end):
        return True
    return count < created and self._created(count + 1) < end


@external
@view
def false_order(
    header: IRoots.Header, batch: traced.Batch, first: DynArray[Paid, 1], second: Paid
) -> bool:
    """
    @notice Whether two neighbours in the list do not rise, or the second one's sum is not that of
            the first; without a first one, whether the list begins with a sum. Or pays nothing, or
            more than there can be.
    """
    traced.check_batch(header, batch)
    traced.check_pay(batch, second.index, second.pay, second.path)
    before: uint256 = 0
    if len(first) == 0:
        assert second.index == 0, "disputes: not the first"
    else:
        traced.check_pay(batch, first[0].index, first[0].pay, first[0].path)
        assert first[0].index + 1 == second.index, "disputes: not neighbours"
        if self._rank(first[0].pay) >= self._rank(second.pay):
            return True
        if first[0].pay.account == second.pay.account:
            before = first[0].pay.before + first[0].pay.grains
    # A root pays less than 2**64 in all: sums of more could not be reckoned at the next place.
    grains: uint256 = second.pay.grains
    return grains == 0 or grains > M64 or second.pay.before != before


@external
@view
def false_pay(
    header: IRoots.Header, place: traced.Place, paid: Paid, seat: DynArray[Seat, 1]
) -> bool:
    """
    @notice Whether what is paid is no cell of its subnet's trace, or not to its node, or not as
            much.
    @param place The trace of the subnet; only its batch where there is no such subnet.
    @param seat The uid's leaf, unless it is the owner's part or no uid.
    """
    batch: traced.Batch = place.batch
    traced.check_batch(header, batch)
    traced.check_pay(batch, paid.index, paid.pay, paid.path)
    pay: traced.Pay = paid.pay
    if pay.subnet == 0 or pay.subnet > batch.subnet_count:
        return True
    assert pay.subnet == place.index + 1, "disputes: another subnet"
    traced.check_place(header, place)
    if pay.uid != OWNER and pay.uid >= place.trace.count:
        return True
    account: address = empty(address)
    grains: uint256 = 0
    account, grains = self._cell(place, pay.uid, seat)
    return pay.account != account or pay.grains != grains


@external
@view
def false_lack(
    header: IRoots.Header,
    place: traced.Place,
    uid: uint256,
    seat: DynArray[Seat, 1],
    beside: DynArray[Paid, 2],
) -> bool:
    """
    @notice Whether a cell that pays something is missing from the list.
    @param beside The neighbours between which it would stand, or the first or last one; none where
           the list is empty.
    """
    traced.check_place(header, place)
    account: address = empty(address)
    grains: uint256 = 0
    account, grains = self._cell(place, uid, seat)
    for paid: Paid in beside:
        traced.check_pay(place.batch, paid.index, paid.pay, paid.path)
    sought: uint256 = self._rank(
        traced.Pay(account=account, subnet=place.index + 1, uid=uid, grains=grains, before=0)
    )
    return grains > 0 and self._is_lacking(place.batch.cell_count, sought, beside)


@external
@view
def false_growth(
    header: IRoots.Header,
    batch: traced.Batch,
    past: IRoots.Header,
    account: address,
    before: DynArray[Proof, 2],
    beside: DynArray[Paid, 2],
    after: DynArray[Proof, 2],
) -> bool:
    """
    @notice Whether an account has another sum in the root than in the one before, and its cells; or
            has a leaf without ever having earned.
    @param before Its leaf in the root before, or the neighbours between which it would stand, or
           the first or last one; not read where there is no root before. `after` in this root.
    @param beside Its last cell, and the one behind; or its neighbours as above.
    """
    traced.check_batch(header, batch)
    grains: uint256 = self._earned(batch, account, beside)
    stands: bytes32 = staticcall IRoots(traced.prizes).headers(header.position - 1)
    if stands != empty(bytes32):
        assert keccak256(abi_encode(past)) == stands, "disputes: not the root before"
        grains += self._sum(past, account, before)
    told: uint256 = self._sum(header, account, after)
    return told != grains or (told == 0 and after[0].account == account)


@internal
@view
def _created(id: uint256) -> uint256:
    return (staticcall ISubnet(traced.subnets).subnet_of(id)).created_at


@internal
@view
def _cell(
    place: traced.Place, uid: uint256, seats: DynArray[Seat, 1]
) -> (address, uint256):
    # Who gets how much for a uid of a trace, or as its owner.
    if uid == OWNER:
        owner: address = (staticcall ISubnet(traced.subnets).subnet_of(place.index + 1)).owner
        return owner, place.trace.owner_part
    seat: Seat = seats[0]
    traced.check_leaf(place.trace, uid, seat.shown)
    assert uid < place.trace.count, "disputes: no such uid"
    assert traced.node_hash(seat.node) == seat.shown.leaf.node, "disputes: another node"
    assert traced.cell_hash(seat.cell) == seat.shown.leaf.cell, "disputes: another cell"
    grains: uint256 = seat.cell.server + seat.cell.validator
    if uid == place.trace.dust_uid:
        grains += place.trace.dust
    return seat.node.account, grains


@internal
@pure
def _rank(pay: traced.Pay) -> uint256:
    assert pay.subnet < 2**64 and pay.uid <= OWNER, "disputes: no such uid"
    return convert(pay.account, uint256) << 96 | pay.subnet << 16 | pay.uid


@internal
@pure
def _is_lacking(count: uint256, sought: uint256, beside: DynArray[Paid, 2]) -> bool:
    if len(beside) == 0:
        return count == 0
    first: uint256 = self._rank(beside[0].pay)
    if len(beside) == 2:
        return (
            beside[1].index == beside[0].index + 1
            and first < sought
            and sought < self._rank(beside[1].pay)
        )
    if sought < first:
        return beside[0].index == 0
    return first < sought and beside[0].index + 1 == count


@internal
@pure
def _earned(batch: traced.Batch, account: address, beside: DynArray[Paid, 2]) -> uint256:
    # Grains of all cells of an account.
    for paid: Paid in beside:
        traced.check_pay(batch, paid.index, paid.pay, paid.path)
    if len(beside) > 0 and beside[0].pay.account == account:
        if len(beside) == 2:
            assert beside[1].index == beside[0].index + 1, "disputes: not neighbours"
            assert beside[1].pay.account != account, "disputes: not its last"
        else:
            assert beside[0].index + 1 == batch.cell_count, "disputes: not its last"
        return beside[0].pay.before + beside[0].pay.grains
    # Below every cell that it could have, above all of those before.
    sought: uint256 = convert(account, uint256) << 96
    assert self._is_lacking(batch.cell_count, sought, beside), "disputes: not lacking"
    if len(beside) == 2:
        assert beside[1].pay.account != account, "disputes: not lacking"
    return 0


@internal
@pure
def _sum(header: IRoots.Header, account: address, proofs: DynArray[Proof, 2]) -> uint256:
    # Grains of an account in a tree of rewards, 0 where it is shown to be missing.
    for proof: Proof in proofs:
        self._check_proof(header, proof)
    assert len(proofs) > 0, "disputes: nothing shown"
    if proofs[0].account == account:
        return proofs[0].grains
    sought: uint256 = convert(account, uint256)
    first: uint256 = convert(proofs[0].account, uint256)
    if len(proofs) == 2:
        assert proofs[1].index == proofs[0].index + 1, "disputes: not neighbours"
        second: uint256 = convert(proofs[1].account, uint256)
        assert first < sought and sought < second, "disputes: not lacking"
    elif sought < first:
        assert proofs[0].index == 0, "disputes: not lacking"
    else:
        assert proofs[0].index + 1 == header.count, "disputes: not lacking"
    return 0


@internal
@pure
def _check_proof(header: IRoots.Header, proof: Proof):
    # As in `roots`.
    depth: uint256 = len(proof.path)
    assert proof.index < header.count, "disputes: no such leaf"
    assert header.count <= 1 << depth, "disputes: wrong depth"
    assert depth == 0 or header.count > 1 << (depth - 1), "disputes: wrong depth"
    assert proof.grains <= M64, "disputes: wrong proof"
    hashed: bytes32 = keccak256(abi_encode(LEAF, proof.account, proof.grains))
    word: uint256 = convert(hashed, uint256) & HASH | proof.grains
    place: uint256 = proof.index
    total: uint256 = proof.grains
    for beside: uint256 in proof.path:
        total += beside & M64
        assert total <= M64, "disputes: wrong proof"
        if place & 1 == 0:
            word = convert(keccak256(abi_encode(NODE, word, beside)), uint256) & HASH | total
        else:
            word = convert(keccak256(abi_encode(NODE, beside, word)), uint256) & HASH | total
        place >>= 1
    assert word == header.root, "disputes: wrong proof"

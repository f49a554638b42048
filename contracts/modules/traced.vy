# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Traces of epochs
@license Apache-2.0
@notice What an epoch's root commits to besides money, and how a piece of it is shown.
@dev `data` of a root's header is the hash of a batch. A batch names the traces of all subnets (leaf
     i is that of subnet i + 1) and the cells that are paid. A trace names its nodes: leaf u is of
     uid u, and one more leaf stands behind the last, in which only what ran up to there counts.
     Vectors over validators are arrays of words, the first in the lowest bits: weights, stored
     bonds and uids of 16 bits; row sums of 32; everything else of 64. Places behind the last
     validator are zero. A tree's node is the hash of two; there are ceil(log2 count) levels over
     the leaves, so an index and a count name one place. Python: `freehold.markets.models.trace`.
"""

from interfaces import IRoots
from interfaces import ISubnet

struct Batch:
    version: uint256
    subnets: bytes32  # root over the hashes of traces
    subnet_count: uint256
    cells: bytes32  # root over what is paid, by account, subnet, uid
    cell_count: uint256


struct Trace:
    nodes: bytes32  # root over the leaves, one more than there are uids
    count: uint256  # uids
    permits: bytes32  # of the next epoch: uids
    members: bytes32  # validators of this one: uid, place in the trace before, activity, stake
    size: uint256  # how many of them
    table: bytes32  # their active stake and row sums
    dividends: bytes32  # their dividends before normalisation
    stake: uint256  # grains, of all who count
    consensus: uint256  # 1 where any is not zero
    ranks: uint256
    incentives: uint256
    dividend_total: uint256
    dividend_sum: uint256  # of what normalisation left
    emission: uint256  # grains for nodes
    owner_part: uint256  # grains for the subnet's owner
    dust: uint256  # grains that floors lost, for dust_uid
    dust_uid: uint256
    prune: uint256  # 16 uids, the first in the upper bits, 65535 where there are fewer


struct Leaf:
    node: bytes32
    raw: bytes32  # the weights that validators gave it
    rows: bytes32  # sums of the validators' weights for uids before
    column: bytes32
    sums: uint256  # of uids before, from the upper bits: stake 64, whether any consensus 1, ranks
    # 39, incentives 39, grains paid 64, largest remainder and one 33, its uid 16
    bond: bytes32
    dividends: bytes32  # of the validators from uids before
    cell: bytes32


struct Place:
    batch: Batch
    trace: Trace
    index: uint256  # of the trace among the batch's
    path: DynArray[bytes32, 32]


struct Shown:
    leaf: Leaf
    path: DynArray[bytes32, 13]


struct Node:
    account: address
    generation: uint256
    registered: uint256  # seconds
    stake: uint256  # grains; 0 where too little or none was recorded


struct Pay:
    account: address
    subnet: uint256  # its id
    uid: uint256  # 65535 for the subnet's owner
    grains: uint256
    before: uint256  # grains of the account before in this list


struct Column:
    consensus: uint256
    rank: uint256


struct Cell:
    server: uint256  # grains of its incentive
    validator: uint256  # of its dividends
    combined: uint256  # of both shares together, by which nodes are pruned
    remainder: uint256  # the larger one of what the first two lost, of 2**32, and one; 0 for none


VERSION: constant(uint256) = 1
BATCH: constant(bytes32) = keccak256("Freehold batch of traces")
TRACE: constant(bytes32) = keccak256("Freehold trace")
LEAF: constant(bytes32) = keccak256("Freehold trace leaf")
NODE: constant(bytes32) = keccak256("Freehold trace node")
COLUMN: constant(bytes32) = keccak256("Freehold trace column")
BOND: constant(bytes32) = keccak256("Freehold trace bond")
PAY: constant(bytes32) = keccak256("Freehold trace pay")
CELL: constant(bytes32) = keccak256("Freehold trace cell")

prizes: public(immutable(address))
subnets: public(immutable(address))
genesis: immutable(uint256)
epoch_length: immutable(uint256)


interface IClock:
    def genesis() -> uint256: view
    def epoch_length() -> uint256: view


@deploy
def __init__(prizes_: address, subnets_: address):
    prizes = prizes_
    subnets = subnets_
    genesis = staticcall IClock(prizes_).genesis()
    epoch_length = staticcall IClock(prizes_).epoch_length()


@internal
@view
def end_of(epoch: uint256) -> uint256:
    """
    @notice When an epoch ends, seconds.
    """
    return genesis + (epoch + 1) * epoch_length


@internal
@view
def start_of(epoch: uint256) -> uint256:
    """
    @notice When an epoch begins, seconds.
    """
    return genesis + epoch * epoch_length


@internal
@pure
def fold(leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, 32]) -> bytes32:
    """
    @notice The root that a path leads to, of a tree of that many leaves.
    """
    depth: uint256 = len(path)
    assert index < count, "disputes: no such leaf"
    assert count <= 1 << depth, "disputes: wrong depth"
    assert depth == 0 or count > 1 << (depth - 1), "disputes: wrong depth"
    node: bytes32 = leaf
    place: uint256 = index
    for beside: bytes32 in path:
        if place & 1 == 0:
            node = keccak256(abi_encode(node, beside))
        else:
            node = keccak256(abi_encode(beside, node))
        place >>= 1
    return node


@internal
@pure
def fold_leaf(
    leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, 13]
) -> bytes32:
    # As `fold`; paths of nodes are short, and memory costs gas.
    depth: uint256 = len(path)
    assert index < count, "disputes: no such leaf"
    assert count <= 1 << depth, "disputes: wrong depth"
    assert depth == 0 or count > 1 << (depth - 1), "disputes: wrong depth"
    node: bytes32 = leaf
    place: uint256 = index
    for beside: bytes32 in path:
        if place & 1 == 0:
            node = keccak256(abi_encode(node, beside))
        else:
            node = keccak256(abi_encode(beside, node))
        place >>= 1
    return node


@internal
@pure
def check_edge(index: uint256, count: uint256, path: DynArray[bytes32, 32]):
    """
    @notice Refuses the last leaf of a tree in which something stands behind it.
    @dev Else a tree of nothing but true leaves could have any root.
    """
    if index + 1 != count:
        return
    place: uint256 = index
    for beside: bytes32 in path:
        assert place & 1 == 1 or beside == empty(bytes32), "disputes: something behind"
        place >>= 1


@internal
@pure
def check_edge_leaf(index: uint256, count: uint256, path: DynArray[bytes32, 13]):
    # As `check_edge`.
    if index + 1 != count:
        return
    place: uint256 = index
    for beside: bytes32 in path:
        assert place & 1 == 1 or beside == empty(bytes32), "disputes: something behind"
        place >>= 1


@internal
@pure
def check_batch(header: IRoots.Header, batch: Batch):
    """
    @notice Refuses a batch that is not the header's.
    """
    assert keccak256(abi_encode(BATCH, batch)) == header.data, "disputes: another batch"


@internal
@pure
def check_place(header: IRoots.Header, place: Place):
    """
    @notice Refuses a trace that is not the header's at that index.
    """
    self.check_batch(header, place.batch)
    hashed: bytes32 = keccak256(abi_encode(TRACE, place.trace))
    assert (
        self.fold(hashed, place.index, place.batch.subnet_count, place.path) == place.batch.subnets
    ), "disputes: another trace"


@internal
@pure
def check_leaf(trace: Trace, uid: uint256, shown: Shown):
    """
    @notice Refuses a leaf that is not the trace's of that uid; that of `count` stands behind all.
    """
    hashed: bytes32 = keccak256(abi_encode(LEAF, shown.leaf))
    assert (
        self.fold_leaf(hashed, uid, trace.count + 1, shown.path) == trace.nodes
    ), "disputes: another leaf"


@internal
@view
def has_past(
    header: IRoots.Header, index: uint256, past: IRoots.Header, place: Place
) -> bool:
    """
    @notice Whether the subnet has a trace in the root before, which is then the one that is shown;
            an untrue answer is refused.
    """
    stands: bytes32 = staticcall IRoots(prizes).headers(header.position - 1)
    if stands == empty(bytes32):
        return False
    assert keccak256(abi_encode(past)) == stands, "disputes: not the root before"
    self.check_batch(past, place.batch)
    if place.batch.subnet_count <= index:
        return False
    assert place.index == index, "disputes: another subnet"
    self.check_place(past, place)
    return True


@internal
@pure
def node_hash(node: Node) -> bytes32:
    return keccak256(abi_encode(NODE, node))


@internal
@pure
def column_hash(column: Column) -> bytes32:
    return keccak256(abi_encode(COLUMN, column))


@internal
@pure
def cell_hash(cell: Cell) -> bytes32:
    return keccak256(abi_encode(CELL, cell))


@internal
@pure
def bond_hash(stored: bytes32, gains: bytes32) -> bytes32:
    return keccak256(abi_encode(BOND, stored, gains))


@internal
@pure
def hash16(words: DynArray[uint256, 16]) -> bytes32:
    """
    @notice Hash of a vector of 16 bits each.
    """
    return keccak256(abi_encode(words))


@internal
@pure
def hash32(words: DynArray[uint256, 32]) -> bytes32:
    """
    @notice Hash of a vector of 32 bits each.
    """
    return keccak256(abi_encode(words))


@internal
@pure
def hash64(words: DynArray[uint256, 64]) -> bytes32:
    """
    @notice Hash of a vector of 64 bits each.
    """
    return keccak256(abi_encode(words))


@internal
@pure
def check_pay(batch: Batch, index: uint256, pay: Pay, path: DynArray[bytes32, 32]):
    """
    @notice Refuses what is not paid at an index of a batch's list.
    """
    hashed: bytes32 = keccak256(abi_encode(PAY, pay))
    assert self.fold(hashed, index, batch.cell_count, path) == batch.cells, "disputes: another pay"

"""The largest proofs and answers that there can be fit into a transaction."""

from __future__ import annotations

from random import Random

import pytest
from eth_utils.crypto import keccak

from contracts.disputed import Court, deploy_court, tree_of
from contracts.evm import Chain, Reverted
from contracts.roots import GAS_PRICE
from contracts.test_disputes import LEAF, MEMBERS, WEIGHTS
from contracts.world import carol, guardian, mallory
from freehold.domain.ids import Address, address
from freehold.markets.models.trace.batch import Bundle
from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.values import (
    EMPTY,
    Batch,
    Column,
    Header,
    Leaf,
    Node,
    Row,
    Trace,
    pack,
    tagged,
    vector,
)
from unit.markets.models.trace.chance import OWNERS

NODES, SEATS = 4_096, 256
UID = 2_049
PATH = tuple(keccak(bytes([k])) for k in range(13))
NONE = Merkle.of([])
GAS_LIMIT = 16_777_216
"""Gas of a transaction at most (EIP-7825)."""
PICK = Random(4)
WEIGHTS_GIVEN = pack([PICK.randint(30_000, 65_535) for _ in range(SEATS)], 16)
STORED = pack([PICK.randint(0, 65_535) for _ in range(SEATS)], 16)
GAINS = pack([PICK.randint(0, 2**32) for _ in range(SEATS)], 64)
SHARE = 2**32 // SEATS
TABLE = pack([SHARE << 28 | 65_535 * 4_000 for _ in range(SEATS)], 64)
MEMBER_WORDS = pack([16 * k << 48 | (k + 1) << 36 | 1 << 35 | SHARE for k in range(SEATS)], 64)
COLUMN = Column(1_000, 500)
LIQUID = (256, 0, 32_767, 65_535, 900_000, True, True, 45_875, 58_982, 1_000, 0, 0)


def root_of(leaf: Leaf) -> bytes:
    """Of a tree of one more leaf than nodes, of which one is known."""
    node = leaf.hash()
    for level, beside in enumerate(PATH):
        node = keccak(beside + node if UID >> level & 1 else node + beside)
    return node


def trace_of(leaf: Leaf) -> Trace:
    """A trace of which one leaf is known, and the vectors over validators."""
    return Trace(
        nodes=root_of(leaf), count=NODES, permits=vector(WEIGHTS_GIVEN), size=SEATS,
        members=vector(MEMBER_WORDS), table=vector(TABLE), dividends=vector(GAINS),
        stake=2**60, consensus=1, ranks=2**32, incentives=2**32, dividend_total=2**32,
        dividend_sum=2**32, emission=2**50, owner_part=0, dust=0, dust_uid=0, prune=0,
    )  # fmt: skip


def leaf_of(registered: int) -> tuple[Leaf, Node]:
    """A node and its leaf."""
    node = Node(address(OWNERS[0]), 1, registered, 10**9)
    bond = tagged("trace bond", vector(STORED), vector(GAINS))
    weights = vector(WEIGHTS_GIVEN)
    leaf = Leaf(node.hash(), weights, EMPTY, COLUMN.hash(), 0, bond, EMPTY, EMPTY)
    return leaf, node


def proposed(court: Court, epoch: int, trace: Trace, total: int) -> tuple[Header, Batch]:
    """A root over one trace."""
    batch = Batch(trace.hash(), 1, EMPTY, 0)
    tree = tree_of({Address(OWNERS[0]): total})
    return court.propose(epoch, Bundle(batch, (), (), NONE, NONE), tree), batch


@pytest.fixture
def court(chain: Chain) -> Court:
    made = deploy_court(chain)

    def write(*told: object) -> None:
        made.subnets.send(*told, sender=guardian.address)  # type: ignore[arg-type]

    write("set_subnet", 1, OWNERS[0], made.genesis + 1)
    for epoch in (0, 1):
        write("set_rules", 1, epoch, LIQUID)
    return made


def test_the_longest_row_is_shown(court: Court) -> None:
    """A validator that weighed all of 4,096 nodes, and one weight of it that is told wrong."""
    leaf, node = leaf_of(court.genesis + 1)
    trace = trace_of(leaf)
    header, batch = proposed(court, 0, trace, 5)
    row = Row(tuple((uid, 1 + uid % 60_000) for uid in range(NODES)), court.genesis + 500)
    by = 16 * 255
    told = (keccak(row.packed()), row.committed, 10**9)
    court.subnets.send("set_record", 1, 0, by, told, sender=guardian.address)
    place, shown = (batch.words(), trace.words(), 0, ()), (leaf.words(), PATH)
    proof = court.checkers[0].data(
        "false_weight", header.words(), place, UID, shown, 255, WEIGHTS_GIVEN, MEMBER_WORDS,
        node.words(), row.packed(),
    )  # fmt: skip
    assert len(row.packed()) == 16_384
    assert len(proof) < 32_768
    with pytest.raises(Reverted):
        court.disputes.send("disprove", 0, proof, sender=carol.address)
    done = court.disputes.send("disprove_long", 0, proof, sender=carol.address)
    calldata = sum(16 if byte else 4 for byte in proof)
    print(f"longest row: {len(proof)} bytes, {done.gas_used} gas, {calldata} of calldata")
    assert done.one("Voided").reason == "column"
    assert done.gas_used < GAS_LIMIT // 4


def test_the_dearest_column_is_reckoned(court: Court) -> None:
    """Bonds of 256 validators, each with a rate of its own."""
    leaf, node = leaf_of(court.genesis + 1)
    trace = trace_of(leaf)
    past, before = proposed(court, 0, trace, 5)
    header, batch = proposed(court, 1, trace, 6)
    place, shown = (batch.words(), trace.words(), 0, ()), (leaf.words(), PATH)
    earlier = (before.words(), trace.words(), 0, ())
    proof = court.checkers[0].data(
        "false_bond", header.words(), place, past.words(), earlier, UID, shown, node.words(),
        COLUMN.words(), WEIGHTS_GIVEN, TABLE, MEMBER_WORDS, shown, STORED, vector(GAINS),
    )  # fmt: skip
    done = court.disputes.send("disprove_long", 0, proof, sender=carol.address)
    print(f"dearest column: {len(proof)} bytes, {done.gas_used} gas")
    assert done.one("Voided").reason == "column"
    assert done.gas_used < GAS_LIMIT // 4


@pytest.mark.parametrize("kind", [LEAF, WEIGHTS, MEMBERS])
def test_an_answer_costs_no_more_than_is_prepaid(court: Court, kind: int) -> None:
    leaf, _ = leaf_of(court.genesis + 1)
    trace = trace_of(leaf)
    header, batch = proposed(court, 0, trace, 5)
    prepaid = court.disputes.call("ANSWER_GAS")
    court.chain.give_ether(carol.address, prepaid * GAS_PRICE)
    asked = (header.words(), kind, 0, UID)
    id = court.disputes.send(
        "demand", *asked, sender=carol.address, value=prepaid * GAS_PRICE
    ).value
    words = {LEAF: (), WEIGHTS: WEIGHTS_GIVEN, MEMBERS: MEMBER_WORDS}[kind]
    place, shown = (batch.words(), trace.words(), 0, ()), (leaf.words(), PATH)
    opening = (place, shown, words, (OWNERS[0], 0, 0, 0, 0), ())
    done = court.disputes.send("answer", id, header.words(), opening, sender=mallory.address)
    print(f"answer of kind {kind}: {done.gas_used} gas of {prepaid}")
    assert done.one("Answered").id == id
    assert done.gas_used <= prepaid

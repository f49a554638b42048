"""The verifier: sum tree, challenges, proofs, the freeze rule, misses.

The vectors of FilOzone/pdp (pdp_verifier.json) are used where they apply. Our schedule differs by
design: a round of the beacon takes the place of a proving period counted in blocks, so "before the
challenge epoch" is "the round does not exist", "after the deadline" is not a refusal but an answer
that resolves the round as a miss, and a void period asks for nothing. The vectors' fault counts
are mapped accordingly: every round without an answer in time is one fault, however many there are.
"""

from __future__ import annotations

import json
import os
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from contracts import merkle
from contracts.evm import GENESIS_TIME, ZERO, Chain
from contracts.proving import CHALLENGES, GRACE, PERIOD, WINDOW, Prover, World
from contracts.world import Puppet, alice, fake, refused

FOREVER = 2**256 - 1


@pytest.fixture
def net(chain: Chain) -> World:
    """A world in its second period."""
    world = World(chain)
    world.to_period(1)
    return world


@pytest.fixture
def held(net: World) -> Prover:
    """A set of three pieces, in the period after they were added."""
    prover = net.create()
    for seed, size in ((1, 300), (2, 127), (3, 1000)):
        net.add(prover, merkle.sample(seed, size))
    net.to_period(net.period + 1)
    return prover


VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"


def vectors() -> dict[str, Any]:
    """The file of FilOzone/pdp, from the first folder that has it."""
    named = os.environ.get("FREEHOLD_VECTORS", "").split(":")
    for folder in [name for name in named if name] or [str(VECTORS)]:
        path = Path(folder) / "pdp_verifier.json"
        if path.exists():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    pytest.skip("pdp_verifier.json is in no folder of FREEHOLD_VECTORS")


# Deployment


@pytest.mark.parametrize(
    ("challenges", "window", "reason"),
    [
        (4, WINDOW, "pdp: at least 5 challenges"),
        (33, WINDOW, "pdp: at most 32 challenges"),
        (5, 0, "pdp: no window"),
        (5, PERIOD - GRACE + 1, "pdp: grace and window exceed a period"),
    ],
)
def test_is_deployed_within_bounds(net: World, challenges: int, window: int, reason: str) -> None:
    arguments = (net.beacon.address, net.keeper)
    with refused(reason):
        net.chain.deploy("pdp", *arguments, challenges, window, ZERO, sender=net.keeper)


def test_takes_the_bounds_themselves(net: World) -> None:
    arguments = (net.beacon.address, net.keeper)
    net.chain.deploy("pdp", *arguments, 5, 1, ZERO, sender=net.keeper)
    for challenges in (5, 32):
        pdp = net.chain.deploy(
            "pdp", *arguments, challenges, PERIOD - GRACE, ZERO, sender=net.keeper
        )
        assert pdp.call("challenges") == challenges
        assert pdp.call("window") == PERIOD - GRACE
        assert pdp.call("beacon") == net.beacon.address
        assert pdp.call("governor") == net.keeper


# Sets and pieces


def test_a_new_set_is_empty(net: World) -> None:
    outcome = net.pdp.send("create_set", net.prover, sender=net.listener)
    assert outcome.value == 1
    assert outcome.one("SetCreated").args == {
        "set_id": 1,
        "listener": net.listener,
        "prover": net.prover,
    }
    assert net.pdp.call("set", 1) == {
        "listener": net.listener,
        "prover": net.prover,
        "next_round": 0,
        "span": 0,
        "leaves": 0,
        "pieces": 0,
        "misses": 0,
        "created_period": 1,
        "closed": False,
    }
    assert net.pdp.send("create_set", net.prover, sender=net.listener).value == 2
    assert net.pdp.call("set_count") == 2


def test_an_unknown_set_is_refused(net: World) -> None:
    for view in ("set", "next_round", "owed", "missed", "waiting", "decided_until"):
        with refused("pdp: no such set"):
            net.pdp.call(view, 1)
    with refused("pdp: no such set"):
        net.roll(Prover(net.pdp, 1))


def test_only_the_listener_changes_a_set(net: World) -> None:
    prover = net.create()
    net.add(prover, merkle.sample(1))
    for sender in (net.prover, net.keeper):
        for function, arguments in (
            ("add_piece", (b"\x01" * 32, 2, 4)),
            ("remove_piece", (0,)),
            ("close_set", ()),
        ):
            with refused("pdp: not the listener"):
                net.pdp.send(function, prover.set_id, *arguments, sender=sender)


@pytest.mark.parametrize(
    ("root", "height", "leaves", "reason"),
    [
        (bytes(32), 2, 4, "pdp: no root"),
        (b"\x01" * 32, 41, 4, "pdp: height"),
        (b"\x01" * 32, 2, 0, "pdp: leaves and height disagree"),
        (b"\x01" * 32, 2, 5, "pdp: leaves and height disagree"),
        (b"\x01" * 32, 0, 2, "pdp: leaves and height disagree"),
    ],
)
def test_a_wrong_piece_is_refused(
    net: World, root: bytes, height: int, leaves: int, reason: str
) -> None:
    prover = net.create()
    with refused(reason):
        net.pdp.send("add_piece", prover.set_id, root, height, leaves, sender=net.listener)


def test_proofs_of_the_largest_piece_fit(net: World) -> None:
    prover = net.create()
    net.pdp.send("add_piece", prover.set_id, b"\x01" * 32, 40, 2**40, sender=net.listener)
    pdp = net.chain.deploy(
        "pdp", net.beacon.address, net.keeper, 12, WINDOW, ZERO, sender=net.keeper
    )
    set_id = pdp.send("create_set", net.prover, sender=net.listener).value
    pdp.send("add_piece", set_id, b"\x01" * 32, 31, 2**31, sender=net.listener)
    with refused("pdp: height"):
        pdp.send("add_piece", set_id, b"\x01" * 32, 32, 2**31, sender=net.listener)


def test_proofs_of_many_challenges_fit(net: World) -> None:
    pdp = net.chain.deploy(
        "pdp", net.beacon.address, net.keeper, 11, WINDOW, ZERO, sender=net.keeper
    )
    set_id = pdp.send("create_set", net.prover, sender=net.listener).value
    pdp.send("add_piece", set_id, b"\x01" * 32, 33, 2**31, sender=net.listener)
    with refused("pdp: height"):
        pdp.send("add_piece", set_id, b"\x01" * 32, 34, 2**31, sender=net.listener)


def test_a_contract_listens_for_itself(net: World) -> None:
    """The listener is who calls, not who sent the transaction."""
    puppet = Puppet(net.chain.deploy_artifact(fake("puppet"), sender=net.keeper))
    set_id = puppet.act(net.pdp, "create_set", net.prover).value
    assert net.pdp.call("set", set_id).listener == puppet.address
    piece = (set_id, b"\x01" * 32, 2, 4)
    with refused("pdp: not the listener"):
        net.pdp.send("add_piece", *piece, sender=alice.address)
    assert puppet.act(net.pdp, "add_piece", *piece).value == 0


def test_the_first_second_counts(chain: Chain) -> None:
    world = World(chain)
    assert chain.now == GENESIS_TIME
    prover = world.create()
    world.add(prover, merkle.sample(1))
    assert world.pdp.call("set", 1).created_period == 0
    assert world.prove(prover, world.next_round()).one("Proven").in_time


def test_a_piece_is_kept_as_it_was_added(net: World) -> None:
    prover = net.create()
    piece = merkle.sample(4, 500)
    arguments = (prover.set_id, piece.root, piece.height, piece.leaves)
    outcome = net.pdp.send("add_piece", *arguments, sender=net.listener)
    assert outcome.one("PieceAdded").args == {
        "set_id": 1,
        "piece_id": 0,
        "root": piece.root,
        "height": piece.height,
        "leaves": piece.leaves,
    }
    assert net.pdp.call("piece", 1, 0) == {
        "root": piece.root,
        "height": piece.height,
        "leaves": piece.leaves,
        "added_period": 1,
        "removed": 0,
    }
    with refused("pdp: no such piece"):
        net.pdp.call("piece", 1, 1)


def test_a_piece_is_removed_once(net: World, held: Prover) -> None:
    outcome = net.remove(held, 1)
    assert outcome.one("PieceRemovalQueued").args == {"set_id": 1, "piece_id": 1, "period": 2}
    assert net.pdp.call("piece", 1, 1).removed == 1
    assert net.pdp.call("waiting", 1) == (1, 0)
    with refused("pdp: already removed"):
        net.remove(held, 1)
    with refused("pdp: no such piece"):
        net.remove(held, 3)
    net.to_period(3)
    assert net.pdp.call("waiting", 1) == (1, 1)
    done = net.pdp.send("roll", 1, 1, sender=net.keeper)
    assert done.value == 1
    assert done.one("PieceRemoved").args == {"set_id": 1, "piece_id": 1}
    assert net.pdp.call("piece", 1, 1).removed == 2
    assert net.pdp.call("waiting", 1) == (0, 0)
    with refused("pdp: already removed"):
        net.remove(held, 1)


def test_a_closed_set_takes_nothing(net: World, held: Prover) -> None:
    round_id = net.round()
    net.late()
    assert net.pdp.call("owed", 1) == 1
    outcome = net.pdp.send("close_set", 1, sender=net.listener)
    assert outcome.one("SetClosed").set_id == 1
    assert net.pdp.call("set", 1).closed
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("decided_until", 1) == FOREVER
    for attempt in (
        lambda: net.add(held, merkle.sample(9)),
        lambda: net.remove(held, 0),
        lambda: net.roll(held),
        lambda: net.prove(held, round_id, b""),
        lambda: net.pdp.send("close_set", 1, sender=net.listener),
        lambda: net.pdp.call("challenged", 1, round_id),
    ):
        with refused("pdp: set closed"):
            attempt()


# The sum tree


def sums(net: World, prover: Prover, count: int) -> list[int]:
    """The nodes of a Fenwick tree over the pieces: node i covers i & (i + 1) to i.

    Ours is four wide; what it says of the leaves before a piece gives the same sums.
    """
    before = [net.pdp.call("sum_before", prover.set_id, i) for i in range(count + 1)]
    return [before[i + 1] - before[i & (i + 1)] for i in range(count)]


def test_the_tree_of_the_vectors(net: World) -> None:
    """sum_tree.multi_add, add_then_remove and small of pdp_verifier.json."""
    case = vectors()["sum_tree"]
    several = case["multi_add"]
    prover = net.create()
    for leaves in several["leaf_counts"]:
        net.add_leaves(prover, leaves)
    assert net.pdp.call("set", 1).leaves == several["total"]
    assert net.pdp.call("set", 1).pieces == several["next_piece_id"]
    assert sums(net, prover, 8)[7] == several["sum_at_7"]
    assert net.pdp.call("piece", 1, 7).leaves == several["leaf_count_7"]
    small = net.create()
    for leaves in case["small"]["leaf_counts"]:
        net.add_leaves(small, leaves)
    for leaf, piece_id, offset in case["small"]["find"]:
        assert net.pdp.call("find", small.set_id, leaf) == (piece_id, offset)


def test_the_tree_of_the_vectors_after_removals(net: World) -> None:
    """sum_tree.add_then_remove; removals are applied at the period's boundary, not at once."""
    case = vectors()["sum_tree"]["add_then_remove"]
    prover = net.create()
    for leaves in case["leaf_counts"]:
        net.add_leaves(prover, leaves)
    for piece_id in case["removed"]:
        net.remove(prover, piece_id)
    net.to_period(net.period + 1)
    assert net.roll(prover) == len(case["removed"])
    assert sums(net, prover, 8) == case["sums_after"]
    for leaf, piece_id, offset in case["find"]:
        assert net.pdp.call("find", 1, leaf) == (piece_id, offset)
    with refused("pdp: no such leaf"):
        net.pdp.call("find", 1, 820)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 70])
def test_the_tree_holds_any_number_of_pieces(net: World, count: int) -> None:
    """sum_tree.height_from_index_plus_1 (OEIS A001511) has no counterpart in a tree four wide:
    blocks are full at multiples of 4, 16, 64 instead of 2, 4, 8."""
    prover = net.create()
    counts = [3 * i % 7 + 1 for i in range(count)]
    for leaves in counts:
        net.add_leaves(prover, leaves)
    before = [0, *accumulate(counts)]
    for i in range(count + 1):
        assert net.pdp.call("sum_before", 1, i) == before[i]
    with refused("pdp: no such piece"):
        net.pdp.call("sum_before", 1, count + 1)
    for i in range(count):
        assert net.pdp.call("find", 1, before[i]) == (i, 0)
        assert net.pdp.call("find", 1, before[i + 1] - 1) == (i, counts[i] - 1)
        assert net.pdp.call("piece", 1, i).height == max(counts[i] - 1, 0).bit_length()
    gone = set(range(0, count, 3))
    for i in gone:
        net.remove(prover, i)
    net.to_period(net.period + 1)
    net.roll(prover)
    live = [(i, counts[i]) for i in range(count) if i not in gone]
    total = sum(leaves for _, leaves in live)
    assert net.pdp.call("set", 1).leaves == total
    assert net.pdp.call("sum_before", 1, count) == total
    for leaf in range(0, total, 5):
        assert net.pdp.call("find", 1, leaf) == merkle.locate(live, leaf)


def test_every_leaf_is_found(net: World) -> None:
    prover = net.create()
    counts = [1, 3, 2, 7, 1, 4, 1, 2, 9]
    for leaves in counts:
        net.add_leaves(prover, leaves)
    for removed in (0, 3, 8):
        net.remove(prover, removed)
    net.to_period(net.period + 1)
    net.roll(prover)
    live = [(i, n) for i, n in enumerate(counts) if i not in (0, 3, 8)]
    total = sum(n for _, n in live)
    assert net.pdp.call("set", 1).leaves == total
    for leaf in range(total):
        assert net.pdp.call("find", 1, leaf) == merkle.locate(live, leaf)


# Leaves and proofs


def test_zero_subtree_of_the_vectors() -> None:
    """merkle.zero_2KiB_root: 2 KiB of zeros are a tree of 64 leaves."""
    assert merkle.zero(6).hex() == vectors()["merkle"]["zero_2KiB_root"]


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 13, 31, 32, 33, 59])
def test_a_leaf_verifies_at_its_own_place_only(net: World, width: int) -> None:
    """merkle.rule: widths 2..59, and single_leaf (there "height 1" counts levels; ours is 0)."""
    height = (width - 1).bit_length()
    leaves = [bytes([i]) * 31 + b"\x07" for i in range(width)]
    tree = merkle.tree_of(leaves, height)
    prover = net.create()
    net.pdp.send("add_piece", prover.set_id, tree.root, height, width, sender=net.listener)
    step = max(1, width // 6)
    for shown in range(0, width, step):
        for asked in range(0, width, step):
            verdict = net.pdp.call("verify_leaf", 1, 0, asked, tree.proof(shown))
            assert verdict == (asked == shown)


def test_a_proof_is_exactly_as_long_as_the_tree_is_high(net: World) -> None:
    piece = merkle.sample(5, 300)
    prover = net.create()
    net.add(prover, piece)
    good = piece.proof(3)
    assert len(good) == 32 * (piece.height + 1)
    assert net.pdp.call("verify_leaf", 1, 0, 3, good)
    for wrong in (b"", good[:-32], good + bytes(32), good[:-1], good[32:]):
        assert not net.pdp.call("verify_leaf", 1, 0, 3, wrong)
    inner = b"".join(piece.tree.at(level, 0 if level == 1 else 1) for level in (1, 1, 2, 3))
    assert not net.pdp.call("verify_leaf", 1, 0, 0, inner)


def test_only_leaves_that_hold_data_are_shown(net: World) -> None:
    piece = merkle.sample(6, 100)
    assert (piece.height, piece.leaves) == (2, 4)
    short = merkle.piece_of(bytes(range(1, 32)))
    assert (short.height, short.leaves) == (2, 1)
    prover = net.create()
    net.add(prover, short)
    assert net.pdp.call("verify_leaf", 1, 0, 0, short.proof(0))
    assert not net.pdp.call("verify_leaf", 1, 0, 1, short.proof(1))


def test_a_removed_piece_still_answers(net: World, held: Prover) -> None:
    net.remove(held, 0)
    net.to_period(3)
    net.roll(held)
    assert net.pdp.call("verify_leaf", 1, 0, 2, held.pieces[0].proof(2))


# Proving


def asked(net: World, prover: Prover, round_id: int, live: list[int]) -> list[tuple[int, int]]:
    """What a round asks by the stated rule."""
    seed = net.beacon.call("round", round_id).seed
    counts = [(i, prover.pieces[i].leaves) for i in live]
    span = sum(n for _, n in counts)
    draws = [merkle.challenge(seed, prover.set_id, i, span) for i in range(CHALLENGES)]
    return [merkle.locate(counts, draw) for draw in draws]


def test_the_challenges_follow_the_rule(net: World, held: Prover) -> None:
    """challenge.rule of pdp_verifier.json."""
    for _ in range(4):
        round_id = net.round()
        found = net.pdp.call("challenged", 1, round_id)
        assert [tuple(each.values()) for each in found] == asked(net, held, round_id, [0, 1, 2])
        net.prove(held, round_id)
        net.to_period(net.period + 1)


def test_a_set_proves_every_round(net: World, held: Prover) -> None:
    total = sum(piece.leaves for piece in held.pieces.values())
    for index in range(3):
        round_id = net.next_round()
        outcome = net.prove(held, round_id)
        assert outcome.one("Proven").args == {
            "set_id": 1,
            "round": index,
            "span": total,
            "in_time": True,
        }
        assert net.pdp.call("next_round", 1) == index + 1
    assert net.pdp.call("missed", 1) == 0
    assert net.pdp.call("good_rounds", 1, 0, 99) == 3


def test_anyone_may_hand_in_a_proof(net: World, held: Prover) -> None:
    """Unlike the vectors' "caller is not the provider": a proof proves whoever brings it."""
    round_id = net.round()
    net.pdp.send("prove", 1, round_id, held.proof(round_id), sender=net.keeper)
    assert net.pdp.call("next_round", 1) == 1


def test_wrong_answers_are_refused(net: World, held: Prover) -> None:
    """challenge.refused of pdp_verifier.json, as far as it applies."""
    with refused("beacon: no such round"):
        net.prove(held, 0, b"")
    round_id = net.round()
    good = held.proof(round_id)
    with refused("pdp: proof too short"):
        net.prove(held, round_id, b"")
    with refused("pdp: proof too short"):
        net.prove(held, round_id, good[:-1])
    with refused("pdp: proof too long"):
        net.prove(held, round_id, good + b"\0")
    for place in (0, 31, 40, len(good) - 1):
        broken = bytearray(good)
        broken[place] ^= 1
        with refused("pdp: wrong proof"):
            net.prove(held, round_id, bytes(broken))
    other = net.create()
    for piece in held.pieces.values():
        net.add(other, piece)
    net.prove(held, round_id, good)
    with refused("pdp: not the next round"):
        net.prove(held, round_id, good)


def test_the_first_challenges_do_not_stand_for_all(net: World, held: Prover) -> None:
    round_id = net.round()
    found = net.pdp.call("challenged", 1, round_id)
    shown = [held.pieces[each.piece_id].proof(each.offset) for each in found]
    with refused("pdp: proof too short"):
        net.prove(held, round_id, b"".join(shown[:4]))
    if shown[0] != shown[4]:
        with pytest.raises(Exception, match="pdp"):
            net.prove(held, round_id, b"".join([*shown[:4], shown[0]]))


def test_a_proof_of_another_set_is_refused(net: World) -> None:
    first, second = net.create(), net.create()
    piece = merkle.sample(7, 4000)
    for prover in (first, second):
        net.add(prover, piece)
    round_id = net.next_round()
    with refused("pdp: wrong proof"):
        net.prove(second, round_id, first.proof(round_id))
    net.prove(second, round_id)


def test_a_proof_of_another_round_is_refused(net: World, held: Prover) -> None:
    first = net.round()
    proof = held.proof(first)
    net.prove(held, first)
    second = net.next_round()
    with pytest.raises(Exception, match=r"pdp: (wrong proof|proof too)"):
        net.prove(held, second, proof)
    with refused("pdp: not the next round"):
        net.prove(held, first, proof)


def test_rounds_are_answered_in_order(net: World, held: Prover) -> None:
    first = net.round()
    second = net.next_round()
    with refused("pdp: not the next round"):
        net.prove(held, second, b"")
    with refused("pdp: not the next round"):
        net.pdp.call("challenged", 1, second)
    net.prove(held, first)
    net.prove(held, second)
    assert net.pdp.call("set", 1).misses == 1
    assert net.pdp.call("miss", 1, 0) == first


# Deadlines, misses, decisions


def test_the_deadline_is_a_second(net: World, held: Prover) -> None:
    round_id = net.round()
    with net.chain.anchor():
        net.chain.warp(WINDOW - 1)
        assert net.pdp.call("owed", 1) == 0
        assert net.prove(held, round_id).one("Proven").in_time
    net.chain.warp(WINDOW)
    assert net.pdp.call("owed", 1) == 1
    assert net.pdp.call("missed", 1) == 1
    assert not net.prove(held, round_id).one("Proven").in_time
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("missed", 1) == 1
    with refused("pdp: no such miss"):
        net.pdp.call("miss", 1, 1)


def test_every_round_without_an_answer_is_owed(net: World, held: Prover) -> None:
    """schedule.cases: k skipped periods without a proof are k faults; here rounds, also when the
    last one was proven."""
    net.prove(held, net.round())
    for owed in range(1, 5):
        net.next_round()
        assert net.pdp.call("owed", 1) == owed - 1
        net.late()
        assert net.pdp.call("owed", 1) == owed
        assert net.pdp.call("missed", 1) == owed
    for round_id in range(1, 5):
        net.prove(held, round_id)
        assert net.pdp.call("owed", 1) == 4 - round_id
        assert net.pdp.call("missed", 1) == 4
    assert net.pdp.call("good_rounds", 1, 0, 9) == 1


def test_void_periods_are_no_faults(net: World, held: Prover) -> None:
    net.prove(held, net.round())
    net.to_period(40)
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("decided_until", 1) == net.start(40)
    net.prove(held, net.round())
    assert net.pdp.call("missed", 1) == 0


def test_good_rounds_are_counted_between_any_two(net: World, held: Prover) -> None:
    late = {1, 2, 5, 7}
    for index in range(9):
        round_id = net.next_round()
        if index in late:
            net.late()
        net.prove(held, round_id)
    assert [net.pdp.call("miss", 1, i) for i in range(4)] == sorted(late)
    for first in range(11):
        for last in range(11):
            expected = len([r for r in range(first, min(last, 9)) if r not in late])
            assert net.pdp.call("good_rounds", 1, first, last) == expected


def test_what_is_decided(net: World, held: Prover) -> None:
    assert net.pdp.call("decided_until", 1) == net.start(2)
    round_id = net.round()
    net.to_period(2, 500)
    assert net.pdp.call("decided_until", 1) == net.start(2)
    net.prove(held, round_id)
    assert net.pdp.call("decided_until", 1) == net.start(2)
    net.to_period(3)
    assert net.pdp.call("decided_until", 1) == net.start(3)
    owed = net.round()
    net.to_period(6)
    net.round()
    assert net.pdp.call("decided_until", 1) == net.start(3)
    net.prove(held, owed)
    assert net.pdp.call("decided_until", 1) == net.start(6)


# The freeze rule


def span(net: World, prover: Prover) -> int:
    return int(net.pdp.call("set", prover.set_id).span)


def leaves_of(prover: Prover, *ids: int) -> int:
    return sum(prover.pieces[i].leaves for i in ids)


def test_an_addition_counts_from_the_next_period(net: World, held: Prover) -> None:
    before = leaves_of(held, 0, 1, 2)
    net.add(held, merkle.sample(8, 2000))
    assert span(net, held) == before
    round_id = net.round()
    net.add(held, merkle.sample(9, 700))
    assert span(net, held) == before
    assert net.prove(held, round_id).one("Proven").span == before
    net.add(held, merkle.sample(10, 40))
    round_id = net.next_round()
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, *range(6))


def test_a_removal_counts_from_the_next_period(net: World, held: Prover) -> None:
    before = leaves_of(held, 0, 1, 2)
    net.remove(held, 2)
    assert net.roll(held) == 0
    round_id = net.round()
    assert net.roll(held) == 0
    assert net.prove(held, round_id).one("Proven").span == before
    net.to_period(3)
    round_id = net.round()
    with refused("pdp: roll first"):
        net.prove(held, round_id, b"")
    with refused("pdp: roll first"):
        net.pdp.call("challenged", 1, round_id)
    assert net.roll(held) == 1
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, 0, 1)


def test_nothing_leaves_in_the_very_first_period(chain: Chain) -> None:
    world = World(chain)
    assert world.period == 0
    prover = world.create()
    for seed in (1, 2):
        world.add(prover, merkle.sample(seed, 300))
    world.remove(prover, 0)
    assert world.roll(prover) == 0
    world.to_period(1)
    assert world.roll(prover) == 1


def test_a_resolved_period_lets_its_removals_go(net: World, held: Prover) -> None:
    net.prove(held, net.round())
    net.remove(held, 2)
    assert net.pdp.call("waiting", 1) == (1, 1)
    assert net.roll(held) == 1
    assert net.prove(held, net.next_round()).one("Proven").span == leaves_of(held, 0, 1)


def test_nothing_leaves_while_a_round_is_owed(net: World, held: Prover) -> None:
    """What is owed does not shrink: a round that began in debt asks for all of the last one."""
    net.remove(held, 0)
    before = leaves_of(held, 0, 1, 2)
    owed = net.round()
    net.remove(held, 1)
    net.to_period(5)
    later = net.round()
    net.remove(held, 2)
    assert net.pdp.call("waiting", 1) == (3, 0)
    assert net.roll(held) == 0
    assert net.prove(held, owed).one("Proven").span == before
    assert net.roll(held) == 0
    in_time = net.prove(held, later).one("Proven")
    assert (in_time.span, in_time.in_time) == (before, True)
    assert net.roll(held) == 3
    assert net.pdp.call("set", 1).leaves == 0


def test_a_debt_paid_in_its_own_period_holds_nothing_back(net: World, held: Prover) -> None:
    net.remove(held, 0)
    owed = net.round()
    net.late()
    net.prove(held, owed)
    round_id = net.next_round()
    with refused("pdp: roll first"):
        net.prove(held, round_id, b"")
    assert net.roll(held) == 1
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, 1, 2)


def test_what_was_held_back_leaves_with_the_next_period(net: World, held: Prover) -> None:
    owed = net.round()
    net.remove(held, 0)
    net.to_period(3, 250)
    net.prove(held, owed)
    assert net.pdp.call("waiting", 1) == (1, 0)
    round_id = net.next_round()
    assert net.pdp.call("waiting", 1) == (1, 1)
    assert net.roll(held) == 1
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, 1, 2)


def test_nobody_chooses_how_many_removals_apply(net: World, held: Prover) -> None:
    for piece_id in (0, 1):
        net.remove(held, piece_id)
    round_id = net.next_round()
    assert net.roll(held, 0) == 0
    assert net.roll(held, 1) == 1
    with refused("pdp: roll first"):
        net.prove(held, round_id, b"")
    net.roll(held, 1)
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, 2)


def test_rolls_are_bounded(net: World, held: Prover) -> None:
    with refused(""):
        net.roll(held, 65)


def test_nothing_is_added_while_rounds_are_owed(net: World, held: Prover) -> None:
    round_id = net.round()
    with net.chain.anchor():
        net.add(held, merkle.sample(8))
    net.late()
    with refused("pdp: rounds owed"):
        net.add(held, merkle.sample(8))
    net.prove(held, round_id)
    net.add(held, merkle.sample(8))


def test_a_late_round_keeps_the_span_of_its_period(net: World, held: Prover) -> None:
    """Being late on purpose changes nothing: what came in its period stays outside."""
    before = leaves_of(held, 0, 1, 2)
    owed = net.round()
    net.add(held, merkle.sample(8, 900))
    net.to_period(4)
    later = net.round()
    assert span(net, held) == before
    assert net.prove(held, owed).one("Proven").span == before
    net.add(held, merkle.sample(9, 900))
    in_time = net.prove(held, later).one("Proven")
    assert (in_time.span, in_time.in_time) == (leaves_of(held, 0, 1, 2, 3), True)


def test_a_piece_that_came_and_went_in_one_period_is_never_asked(net: World, held: Prover) -> None:
    before = leaves_of(held, 0, 1, 2)
    net.remove(held, net.add(held, merkle.sample(8, 900)))
    round_id = net.round()
    assert net.prove(held, round_id).one("Proven").span == before
    assert net.roll(held) == 1
    assert span(net, held) == before
    net.add(held, merkle.sample(9, 200))
    assert span(net, held) == before
    round_id = net.next_round()
    expected = leaves_of(held, 0, 1, 2, 4)
    assert net.prove(held, round_id).one("Proven").span == expected


# Empty sets


def test_an_empty_set_owes_nothing(net: World) -> None:
    prover = net.create()
    for _ in range(3):
        net.next_round()
        net.late()
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("next_round", 1) == 3
    assert net.pdp.call("decided_until", 1) == net.start(net.period)
    with refused("pdp: not the next round"):
        net.prove(prover, 2, b"")
    with refused("pdp: nothing to prove"):
        net.prove(prover, 0, b"")


@pytest.mark.parametrize("round_first", [True, False])
def test_the_first_piece_is_asked_from_the_next_period(net: World, round_first: bool) -> None:
    prover = net.create()
    net.round()
    net.to_period(3)
    if round_first:
        net.round()
    net.add(prover, merkle.sample(1))
    if not round_first:
        net.round()
        with refused("pdp: nothing to prove"):
            net.prove(prover, 1, b"")
    net.late()
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("next_round", 1) == 2
    assert net.pdp.call("decided_until", 1) == net.start(3)
    round_id = net.next_round()
    assert net.pdp.call("next_round", 1) == round_id == 2
    net.late()
    assert net.pdp.call("owed", 1) == 1
    net.to_period(net.period + 1)
    net.round()
    with refused("pdp: not the next round"):
        net.prove(prover, 3, b"")
    net.prove(prover, 2)
    assert net.prove(prover, 3).one("Proven").in_time


def empty_out(net: World, prover: Prover) -> None:
    for piece_id in (0, 1, 2):
        net.remove(prover, piece_id)


def test_a_set_that_runs_empty_in_debt_owes_on(net: World, held: Prover) -> None:
    """Moving the pieces of a node that is late elsewhere does not end what it owes."""
    empty_out(net, held)
    owed = net.round()
    for _ in range(3):
        net.next_round()
        net.late()
    assert net.pdp.call("owed", 1) == 4
    assert net.pdp.call("missed", 1) == 4
    assert net.pdp.call("decided_until", 1) == net.start(2)
    assert net.roll(held) == 0
    with refused("pdp: rounds owed"):
        net.add(held, merkle.sample(8))
    for i in range(4):
        net.prove(held, owed + i)
        assert net.pdp.call("owed", 1) == 3 - i
        assert net.pdp.call("missed", 1) == 4
    assert net.pdp.call("next_round", 1) == 4
    assert net.pdp.call("decided_until", 1) == net.start(net.period)
    assert net.pdp.call("waiting", 1) == (3, 3)
    net.next_round()
    net.late()
    assert net.pdp.call("owed", 1) == 0


def test_a_set_that_runs_empty_owes_nothing_more(net: World, held: Prover) -> None:
    empty_out(net, held)
    net.prove(held, net.round())
    for _ in range(3):
        net.next_round()
        net.late()
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("next_round", 1) == 4
    assert net.pdp.call("waiting", 1) == (3, 3)
    with refused("pdp: roll first"):
        net.prove(held, 1, b"")


def test_a_piece_comes_to_a_set_that_pays_its_debt_while_it_empties(
    net: World, held: Prover
) -> None:
    owed = net.round()
    empty_out(net, held)
    net.to_period(4)
    later = net.round()
    net.prove(held, owed)
    new = net.add(held, merkle.sample(8, 900))
    assert net.prove(held, later).one("Proven").span == leaves_of(held, 0, 1, 2)
    assert net.roll(held) == 3
    assert net.prove(held, net.next_round()).one("Proven").span == leaves_of(held, new)


def test_a_set_that_ran_empty_starts_anew(net: World, held: Prover) -> None:
    net.prove(held, net.round())
    empty_out(net, held)
    for _ in range(3):
        net.next_round()
        net.late()
    new = net.add(held, merkle.sample(8, 900))
    assert net.pdp.call("piece", 1, 2).removed == 2
    assert net.pdp.call("owed", 1) == 0
    assert net.pdp.call("next_round", 1) == 4
    round_id = net.next_round()
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, new)
    assert net.pdp.call("missed", 1) == 0


def test_a_new_piece_in_the_period_of_the_last_removal(net: World, held: Prover) -> None:
    before = leaves_of(held, 0, 1, 2)
    empty_out(net, held)
    new = net.add(held, merkle.sample(8, 900))
    round_id = net.round()
    assert net.prove(held, round_id).one("Proven").span == before
    assert net.roll(held) == 3
    round_id = net.next_round()
    assert net.prove(held, round_id).one("Proven").span == leaves_of(held, new)


def test_too_many_due_removals_are_rolled_first(net: World) -> None:
    prover = net.create()
    for _ in range(9):
        net.add_leaves(prover, 4)
    for piece_id in range(9):
        net.remove(prover, piece_id)
    net.to_period(2)
    with refused("pdp: roll first"):
        net.add_leaves(prover, 4)
    assert net.roll(prover, 1) == 1
    net.add_leaves(prover, 4)
    assert net.pdp.call("set", 1).leaves == 4


def test_before_genesis_nothing_runs(chain: Chain) -> None:
    world = World(chain)
    chain.now = GENESIS_TIME - 1
    chain.mine()
    with refused("pdp: before genesis"):
        world.create()

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, UsageError, VersionError
from freehold.markets.storage import commp
from freehold.markets.storage.commp import UNIT_RAW
from freehold.markets.storage.piece import (
    Committer,
    Piece,
    commit,
    leaf_count,
    parse_cid,
    raw_size_of,
)
from freehold.markets.storage.proof import (
    CachedTree,
    build,
    challenge_index,
    odds,
    prove,
    read_size,
    verify,
)
from unit.markets.storage import vectors
from unit.markets.storage.strategies import seeded

EMPTY = "bafkzcibcp4bdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy"


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


def cached(data: bytes) -> CachedTree:
    roots = bytearray()
    committer = Committer(sink=roots.extend)
    committer.update(data)
    return CachedTree.of(committer.finish(), bytes(roots))


LARGE = seeded(9)(5 * UNIT_RAW + 12_345)
TREE = cached(LARGE)


@pytest.mark.parametrize("file", vectors.matching(lambda file: "merkle" in file))
def test_merkle_vectors(file: dict[str, Any]) -> None:
    zeros = file["merkle"]["zero_2KiB_root"]
    assert commp.ZERO_ROOTS[6].hex() == zeros
    assert commit(bytes(raw_size_of(64))).root.hex() == zeros


@pytest.mark.parametrize("width", range(1, 60))
def test_a_leaf_verifies_at_its_own_index_and_at_no_other(width: int) -> None:
    data = seeded(width)(raw_size_of(width))
    tree = cached(data)
    piece = tree.piece
    assert leaf_count(piece) == width
    for index in range(width):
        proof = prove(index, tree, reader(data))
        assert len(proof) == 32 * (1 + piece.height)
        places = [i for i in range(1 << piece.height) if verify(piece.root, piece.height, i, proof)]
        assert places == [index]


def test_a_single_leaf_is_a_tree_of_height_zero() -> None:
    assert verify(b"r" * 32, 0, 0, b"r" * 32)
    assert not verify(b"r" * 32, 0, 1, b"r" * 32)
    assert not verify(b"r" * 32, 0, 0, b"")


@settings(deadline=None, max_examples=25)
@given(st.integers(0, leaf_count(TREE.piece) - 1))
def test_leaves_of_a_larger_piece(index: int) -> None:
    piece, ranges = TREE.piece, list[tuple[int, int]]()

    def read(offset: int, length: int) -> bytes:
        ranges.append((offset, length))
        return LARGE[offset : offset + length]

    proof = prove(index, TREE, read)
    assert verify(piece.root, piece.height, index, proof)
    assert not verify(piece.root, piece.height, index ^ 1, proof)
    assert not verify(piece.root, piece.height, index + (1 << piece.height), proof)
    ((offset, length),) = ranges
    assert offset % UNIT_RAW == 0
    assert length <= read_size(piece) == UNIT_RAW


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_changed_proof_fails(data: st.DataObject) -> None:
    piece = TREE.piece
    index = data.draw(st.integers(0, leaf_count(piece) - 1))
    proof = bytearray(prove(index, TREE, reader(LARGE)))
    at = data.draw(st.integers(0, len(proof) - 1))
    proof[at] ^= data.draw(st.integers(1, 255))
    assert not verify(piece.root, piece.height, index, bytes(proof))


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_the_length_of_a_proof_is_exact(change: int) -> None:
    piece = TREE.piece
    proof = prove(0, TREE, reader(LARGE))
    wrong = proof[:change] if change < 0 else proof + bytes(change)
    assert not verify(piece.root, piece.height, 0, wrong)
    assert not verify(piece.root, piece.height + 1, 0, proof)


@pytest.mark.parametrize("index", [-1, leaf_count(TREE.piece), 1 << TREE.piece.height])
def test_padding_has_no_proof(index: int) -> None:
    with pytest.raises(UsageError, match="has no leaf"):
        prove(index, TREE, reader(LARGE))


def test_damage_is_named_by_its_range() -> None:
    damaged = bytearray(LARGE)
    damaged[UNIT_RAW + 5] ^= 1
    assert prove(0, TREE, reader(bytes(damaged)))
    with pytest.raises(IntegrityError, match=f"{UNIT_RAW} to {2 * UNIT_RAW}"):
        prove(2048, TREE, reader(bytes(damaged)))


@pytest.mark.parametrize("answer", [b"", LARGE[: UNIT_RAW - 1], LARGE[: UNIT_RAW + 1]])
def test_a_read_of_another_length_is_damage(answer: bytes) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        prove(0, TREE, lambda offset, length: answer)


def test_build_writes_what_load_reads() -> None:
    sink = io.BytesIO()
    piece = build(io.BytesIO(LARGE), sink)
    assert piece == TREE.piece == commit(LARGE)
    assert CachedTree.load(sink.getvalue(), piece) == TREE
    assert len(sink.getvalue()) == 48 + 6 * 32


@pytest.mark.parametrize("size", [1, 127, 128, UNIT_RAW - 1, UNIT_RAW, UNIT_RAW + 1])
def test_trees_of_small_pieces(size: int) -> None:
    data = seeded(size)(size)
    tree = cached(data)
    last = leaf_count(tree.piece) - 1
    again = CachedTree.load(tree.to_bytes(), tree.piece)
    assert verify(tree.piece.root, tree.piece.height, last, prove(last, again, reader(data)))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_tree_is_never_used(data: st.DataObject) -> None:
    form = bytearray(TREE.to_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(form) - 1).filter(lambda i: i != 7))
        form[at] ^= data.draw(st.integers(1, 255))
    else:
        del form[data.draw(st.integers(0, len(form) - 1)) :]
    with pytest.raises(IntegrityError):
        CachedTree.load(bytes(form), TREE.piece)


def test_a_tree_of_another_version_or_piece_is_refused() -> None:
    form = TREE.to_bytes()
    with pytest.raises(VersionError):
        CachedTree.load(form[:4] + b"\x02" + form[5:], TREE.piece)
    with pytest.raises(IntegrityError, match="another piece"):
        CachedTree.load(form, commit(LARGE[:-1]))
    with pytest.raises(IntegrityError, match="another root"):
        CachedTree.of(TREE.piece, bytes(6 * 32))


def test_an_empty_piece_cannot_be_proven() -> None:
    with pytest.raises(UsageError, match="empty"):
        CachedTree.of(parse_cid(EMPTY), b"")


def test_padding_that_is_counted_in_a_taller_tree() -> None:
    data = seeded(1)(300)
    low = commit(data)
    root = commp.subtree_root(data, height=low.height + 2)
    tall = Piece.of(root, 300, low.height + 2)
    tree = CachedTree.of(tall, root)
    assert leaf_count(tall) == leaf_count(low)
    assert verify(root, tall.height, 9, prove(9, tree, reader(data)))


@settings(deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(1, 2**256),
)
def test_a_challenge_is_the_packed_hash_modulo_the_range(
    seed: bytes, set_id: int, i: int, leaf_range: int
) -> None:
    packed = bytes.fromhex(f"{seed.hex()}{set_id:064x}{i:016x}")
    assert len(packed) == 72
    expected = int(keccak(packed).hex(), 16) % leaf_range
    assert challenge_index(seed, set_id, i, leaf_range) == expected


@pytest.mark.parametrize(("seed", "leaf_range"), [(bytes(31), 5), (bytes(32), 0), (bytes(32), -1)])
def test_no_challenge_without_a_seed_and_a_range(seed: bytes, leaf_range: int) -> None:
    with pytest.raises(UsageError):
        challenge_index(seed, 1, 0, leaf_range)


def test_odds() -> None:
    assert odds(5, 0.01, 1) == pytest.approx(0.049, abs=0.0001)
    assert odds(5, 0.5, 1) == 1 - 1 / 32
    assert (odds(5, 0, 100), odds(5, 1, 1), odds(0, 1, 5)) == (0, 1, 0)
    with pytest.raises(UsageError):
        odds(5, 1.1, 1)

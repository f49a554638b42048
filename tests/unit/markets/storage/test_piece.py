from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import CapacityError, ConflictError, UsageError
from freehold.markets.storage import commp
from freehold.markets.storage.piece import (
    BytesLike,
    Committer,
    Piece,
    capacity,
    cid_from,
    commit,
    height_of,
    leaf_count,
    parse_cid,
    parse_cid_bytes,
    raw_size_of,
)
from unit.markets.storage import vectors
from unit.markets.storage.strategies import seeded

# From go-fil-commp-hashhash (made with Lotus) and FRC-0069: what must hold without any folder.
KNOWN = [
    (b"\xcc" * 127, "baga6ea4seaqmfldjtozgne6adk7eve2vdxte7vzlivae7nzsbrawobo546zkijq"),
    (b"\xcc" * 1024, "baga6ea4seaqdlpnhgsndrgjeu4p46hahlsr4lybg6du4d56ooppdpxhcofxeuoi"),
    (b"\0" * 128, "bafkzcibcpybwiktap34inmaex4wbs6cghlq5i2j2yd2bb2zndn5ep7ralzphkdy"),
    (
        b"".join(bytes([value]) * 127 for value in range(4)) + bytes(5),
        "bafkzcibd64bqlxticxolgseegik2stpfgkkuwyf6kufex3doorkvmzpjuxwe4dz4",
    ),
]
EMPTY = "bafkzcibcp4bdomn3tgwgrh3g532zopskstnbrd2n3sxfqbze7rxt7vqn7veigmy"

unlimited = settings(deadline=None, max_examples=40)
roots = st.binary(min_size=32, max_size=32).map(lambda raw: raw[:31] + bytes([raw[31] & 0x3F]))
heights = st.integers(2, 63)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    height = draw(heights)
    return Piece.of(draw(roots), draw(st.integers(1, capacity(height))), height)


def is_commp(file: dict[str, Any]) -> bool:
    cases = file.get("cases")
    return isinstance(cases, list) and any(
        isinstance(case, dict) and {"size", "piece_cid_v1"} <= case.keys() for case in cases
    )


@pytest.mark.parametrize("file", vectors.matching(is_commp))
def test_commp_vectors(file: dict[str, Any]) -> None:
    for case in file["cases"]:
        data = vectors.payload(file, case)
        piece = commit(data)
        assert piece.cid_v1 == case["piece_cid_v1"], case
        assert 32 << piece.height == case.get("padded_size", 32 << piece.height), case
        assert piece.cid == case.get("piece_cid_v2", piece.cid), case
        assert piece.raw_size == case["size"]
        assert commit(io.BytesIO(data)) == piece


@pytest.mark.parametrize("file", vectors.matching(lambda file: "invalid_v2_hex" in file))
def test_piece_cid_vectors(file: dict[str, Any]) -> None:
    for case in file["cases"]:
        piece = parse_cid(case["v2"])
        assert piece.height == case.get("height", piece.height)
        assert piece.padding == case.get("padding", piece.padding)
        assert piece.cid_v1 == case.get("v1", piece.cid_v1)
        assert cid_from(piece.root, piece.raw_size, piece.height) == case["v2"]
        assert 32 << piece.height == case.get("piece_size", 32 << piece.height)
        if "v2_hex" in case:
            assert parse_cid_bytes(bytes.fromhex(case["v2_hex"])) == piece
        data = b"".join(bytes([value]) * count for value, count in case.get("runs", []))
        if data:
            assert commit(data) == piece
    for text in file["invalid_v2_hex"]:
        with pytest.raises(UsageError):
            parse_cid_bytes(bytes.fromhex(text))


@pytest.mark.parametrize("file", vectors.matching(lambda file: "arithmetic" in file))
def test_piece_arithmetic_vectors(file: dict[str, Any]) -> None:
    rules = file["arithmetic"]
    for padding, height, raw_size in rules["raw_piece_size"]:
        assert capacity(height) - padding == raw_size
    for padding, height, excessive in rules["padding_excessive"]:
        assert (padding >= capacity(height)) == excessive
    for padding, height, leaves in rules["leaf_count"]:
        if padding < capacity(height):
            piece = Piece.of(bytes(32), capacity(height) - padding, height)
            assert leaf_count(piece) == leaves
    for leaves, raw_size in rules["leaf_count_to_raw"]:
        assert raw_size_of(leaves) == raw_size


@pytest.mark.parametrize(("data", "cid"), KNOWN)
def test_known_pieces(data: bytes, cid: str) -> None:
    piece = commit(data)
    assert cid in {piece.cid, piece.cid_v1}
    assert parse_cid(piece.cid) == piece


def test_an_empty_piece_has_a_name_but_cannot_be_committed_to() -> None:
    assert cid_from(commp.ZERO_ROOTS[2], 0, 2) == EMPTY
    empty = parse_cid(EMPTY)
    assert (empty.raw_size, leaf_count(empty)) == (0, 0)
    for source in (b"", io.BytesIO(b"")):
        with pytest.raises(UsageError, match="empty"):
            commit(source)


@unlimited
@given(
    size=st.one_of(st.integers(1, 3_000), st.integers(1, 4 * commp.UNIT_RAW)),
    chunks=st.lists(st.integers(0, 3 * commp.UNIT_RAW), max_size=8),
)
def test_streaming_in_any_chunks_is_one_shot(size: int, chunks: list[int]) -> None:
    data = seeded(size)(size)
    committer, at = Committer(size), 0
    for chunk in chunks:
        committer.update(memoryview(data)[at : at + chunk])
        at += chunk
    committer.update(data[at:])
    assert committer.size == size
    assert committer.finish() == commit(data)


@pytest.mark.parametrize("units", [1, 2, 3, 16, 17, 33])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_sizes_around_whole_units(units: int, extra: int) -> None:
    data = seeded(units)(units * commp.UNIT_RAW + extra)
    height = height_of(len(data))
    assert commit(data) == Piece.of(commp.subtree_root(data, height=height), len(data), height)


def test_every_kind_of_source_names_the_same_piece() -> None:
    data = seeded(1)(200_000)
    wide = memoryview(b"".join(bytes([value, 0]) for value in data))[::2]
    sources: list[Any] = [
        bytearray(data), memoryview(data), memoryview(data).cast("I"), wide, io.BytesIO(data)
    ]  # fmt: skip
    assert {commit(source) for source in sources} == {commit(data)}


def test_text_is_refused() -> None:
    with pytest.raises(UsageError, match="str"):
        commit("text")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="str"):
        commit(io.StringIO("text"))  # type: ignore[arg-type]


def test_a_finished_committer_takes_nothing_more() -> None:
    committer = Committer()
    committer.update(b"once")
    piece = committer.finish()
    with pytest.raises(ConflictError):
        committer.update(b"again")
    assert committer.finish() is piece


@unlimited
@given(pieces())
def test_parsing_reverses_encoding(piece: Piece) -> None:
    assert parse_cid(piece.cid) == piece
    assert cid_from(piece.root, piece.raw_size, piece.height) == piece.cid


@unlimited
@given(pieces(), st.data())
def test_a_changed_cid_is_refused_or_names_another_piece(piece: Piece, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(piece.cid) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567A=1 "))
    changed = piece.cid[:at] + other + piece.cid[at + 1 :]
    try:
        assert (parse_cid(changed) == piece) == (changed == piece.cid)
    except UsageError:
        assert changed != piece.cid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        KNOWN[0][1],
        EMPTY.upper(),
        EMPTY + "a",
        EMPTY[:-1],
        EMPTY[:-1] + "z",
        "b" + "a" * 10_000,
        "bé",
        "z" + EMPTY[1:],
    ],
)
def test_text_that_is_no_piece_cid(text: str) -> None:
    with pytest.raises(UsageError, match="is not a PieceCID v2") as caught:
        parse_cid(text)
    assert len(caught.value.message) < 250


@pytest.mark.parametrize(
    ("head", "root"),
    [
        ("0155912022 00 01", bytes(32)),
        ("0155912022 00 40", bytes(32)),
        ("0155912023 fe00 03", bytes(32)),
        ("0155912022 7f 02", b"\x01" + bytes(31)),
        ("0155912023 fe01 03", bytes(32)),
        ("0155912022 00 02", bytes(31) + b"\x40"),
        ("015591202c ffffffffffffffffffff01 3f", bytes(32)),
        ("0155912021 00 02", bytes(31)),
        ("0155122022 00 02", bytes(32)),
    ],
    ids=[
        "height 1",
        "height 64",
        "long form",
        "false empty root",
        "empty but tall",
        "255 bits",
        "padding beyond 64 bits",
        "short root",
        "another hash",
    ],
)
def test_bytes_that_are_no_piece_cid(head: str, root: bytes) -> None:
    with pytest.raises(UsageError):
        parse_cid_bytes(bytes.fromhex(head.replace(" ", "")) + root)


@pytest.mark.parametrize(("raw_size", "height"), [(-1, 2), (128, 2), (0, 3), (1, 1), (1, 64)])
def test_sizes_that_do_not_fit(raw_size: int, height: int) -> None:
    with pytest.raises(UsageError):
        cid_from(bytes(32), raw_size, height)


@unlimited
@given(st.integers(1, 5_000))
def test_leaf_count_is_the_number_of_leaves_with_payload(size: int) -> None:
    data: BytesLike = b"\xff" * size
    assert leaf_count(commit(data)) == len(commp.leaves(data))


@unlimited
@given(st.integers(1, capacity(63)))
def test_the_height_is_the_smallest_that_fits(raw_size: int) -> None:
    height = height_of(raw_size)
    assert raw_size <= capacity(height)
    assert height == 2 or raw_size > capacity(height - 1)


def test_no_tree_is_taller_than_63() -> None:
    with pytest.raises(CapacityError):
        height_of(capacity(63) + 1)

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import (
    CapacityError,
    IntegrityError,
    NotEnoughShardsError,
    UsageError,
    VersionError,
)
from freehold.markets.storage.column import (
    MAX_HEADER_LENGTH,
    MAX_SEGMENTS,
    PREFIX_LENGTH,
    ColumnLayout,
    pad,
    padded_size,
    regenerate,
)
from freehold.markets.storage.erasure import Code
from freehold.markets.storage.seal import MAX_SEGMENT_LENGTH, open_segment, seal_segment

_KEY, _ID = b"k" * 32, b"o" * 32


@st.composite
def layouts(draw: st.DrawFn) -> ColumnLayout:
    k = draw(st.integers(1, 20))
    n = draw(st.integers(k, 32))
    full = draw(st.integers(1, MAX_SEGMENT_LENGTH))
    return ColumnLayout(
        k,
        n,
        draw(st.integers(1, MAX_SEGMENTS)),
        full,
        draw(st.integers(1, full)),
        draw(st.integers(1, MAX_HEADER_LENGTH)),
    )


@settings(deadline=None)
@given(layouts())
def test_a_prefix_parses_to_its_layout(layout: ColumnLayout) -> None:
    prefix = layout.prefix()
    assert len(prefix) == PREFIX_LENGTH
    assert ColumnLayout.parse(prefix) == layout


@settings(deadline=None)
@given(st.binary(max_size=40) | st.binary(min_size=28, max_size=28).map(lambda b: b"FHC1" + b))
def test_any_other_prefix_is_a_typed_error(prefix: bytes) -> None:
    try:
        layout = ColumnLayout.parse(prefix)
    except IntegrityError:
        return
    assert layout.prefix() == prefix


@settings(deadline=None)
@given(layouts(), st.integers(0, 31), st.integers(1, 255))
def test_an_altered_prefix_never_parses_to_the_same_layout(
    layout: ColumnLayout, at: int, change: int
) -> None:
    prefix = bytearray(layout.prefix())
    prefix[at] ^= change
    with contextlib.suppress(IntegrityError):
        assert ColumnLayout.parse(bytes(prefix)) != layout


def _prefix(**changes: int) -> bytes:
    fields = {"k": 4, "n": 6, "header": 100, "count": 2, "full": 9, "last": 9} | changes
    return struct.pack(">4sBBBBIIQQ", b"FHC1", 1, fields["k"], fields["n"], 0, *list(
        fields.values())[2:])  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 0},
        {"k": 7},
        {"n": 33},
        {"header": 0},
        {"header": 2**32 - 1},
        {"count": 0},
        {"count": 2**32 - 1},
        {"full": 0, "last": 0},
        {"full": 2**63},
        {"last": 0},
        {"last": 10},
    ],
)
def test_hostile_prefixes_are_refused(changes: dict[str, int]) -> None:
    assert ColumnLayout.parse(_prefix()).k == 4
    with pytest.raises(IntegrityError, match="no column has"):
        ColumnLayout.parse(_prefix(**changes))


def test_newer_columns_are_told_from_foreign_ones() -> None:
    prefix = _prefix()
    for newer in (b"FHC2" + prefix[4:], prefix[:4] + b"\2" + prefix[5:]):
        with pytest.raises(VersionError):
            ColumnLayout.parse(newer)
    with pytest.raises(VersionError):
        ColumnLayout.parse(prefix[:7] + b"\1" + prefix[8:])


@settings(deadline=None)
@given(st.integers(1, 2**44))
def test_padded_sizes_are_few_and_near(size: int) -> None:
    padded = padded_size(size, least=1)
    assert size <= padded <= size * 1.12 + 1
    assert padded_size(padded, least=1) == padded
    if size > 2**20:
        assert padded <= size * 1.032


def test_padded_sizes_are_those_of_the_paper() -> None:
    """Padmé of Nikitin et al.: 9 becomes 10; powers of two stay; 4 KiB is the least here."""
    assert [padded_size(n, least=1) for n in (1, 2, 8, 9, 17, 33, 100)] == [
        1,
        2,
        8,
        10,
        18,
        36,
        104,
    ]
    assert padded_size(0) == padded_size(4096) == 4096
    assert padded_size(2**26) == 2**26


@settings(deadline=None)
@given(layouts())
def test_shards_follow_each_other_to_the_end(layout: ColumnLayout) -> None:
    few = ColumnLayout(
        layout.k, layout.n, 3, layout.segment_length, layout.last_length, layout.header_length
    )
    at = few.data_offset
    for segment in range(3):
        assert few.shard_offset(segment) == at
        assert few.shard_length(segment) == math.ceil(few.sealed_length(segment) / few.k)
        at += few.shard_length(segment)
    assert few.total == at


@settings(deadline=None)
@given(
    st.integers(0, 200_000),
    st.integers(4000, 30_000),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_slices_cover_a_range_exactly(
    size: int, segment_length: int, ends: tuple[float, float]
) -> None:
    layout = ColumnLayout.plan(size, k=4, n=6, header_length=9, segment_length=segment_length)
    assert layout.size == padded_size(size)
    start, stop = sorted(int(layout.size * end) for end in ends)
    at = start
    for part in layout.slices(start, stop):
        assert part.segment * layout.segment_length + part.start == at
        assert part.start < part.stop <= layout.plain_length(part.segment)
        at += part.stop - part.start
    assert at == stop


def test_ranges_and_segments_outside_are_refused() -> None:
    layout = ColumnLayout.plan(5000, k=4, n=6, header_length=9)
    with pytest.raises(UsageError):
        list(layout.slices(0, layout.size + 1))
    with pytest.raises(UsageError):
        list(layout.slices(2, 1))
    with pytest.raises(UsageError):
        layout.shard_offset(1)
    with pytest.raises(UsageError):
        layout.plain_length(-1)


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(UsageError):
        ColumnLayout.plan(-1, k=4, n=6, header_length=9)
    with pytest.raises(UsageError):
        ColumnLayout.plan(1, k=4, n=6, header_length=9, segment_length=0)
    with pytest.raises(CapacityError):
        ColumnLayout.plan(2**63, k=4, n=6, header_length=9)
    ColumnLayout.plan(2**46, k=4, n=6, header_length=9)


def _columns(layout: ColumnLayout, header: bytes, data: bytes) -> list[bytes]:
    columns = [layout.prefix() + header for _ in range(layout.n)]
    data, code = pad(data, layout.size), Code(layout.k, layout.n)
    for segment in range(layout.segments):
        start = segment * layout.segment_length
        part = data[start : start + layout.plain_length(segment)]
        sealed = seal_segment(part, key=_KEY, object_id=_ID, index=segment, count=layout.segments)
        columns = [c + s for c, s in zip(columns, code.encode(sealed), strict=True)]
    return columns


def _reader(column: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: column[offset : offset + length]


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(0, 12_000), st.integers(1500, 9000), st.integers(100, 5000))
def test_any_k_columns_regenerate_any_other(
    data: st.DataObject, size: int, segment_length: int, block: int
) -> None:
    k, n = data.draw(st.sampled_from([(1, 2), (3, 5), (4, 6)]))
    layout = ColumnLayout.plan(size, k=k, n=n, header_length=5, segment_length=segment_length)
    columns = _columns(layout, b"heads", bytes(range(256)) * 47)
    assert {len(column) for column in columns} == {layout.total}
    lost = data.draw(st.integers(0, n - 1))
    others = [i for i in range(n) if i != lost]
    kept = data.draw(st.permutations(others))[:k]
    readers = {i: _reader(columns[i]) for i in kept}
    assert b"".join(regenerate(layout, lost, readers, block=block)) == columns[lost]


def test_the_column_to_be_replaced_is_never_read() -> None:
    layout = ColumnLayout.plan(100, k=4, n=6, header_length=5)
    columns = _columns(layout, b"heads", b"data")
    readers = {i: _reader(column) for i, column in enumerate(columns)}
    readers[1] = _reader(b"")
    assert b"".join(regenerate(layout, 1, readers)) == columns[1]


def test_shards_of_columns_open_to_the_data() -> None:
    layout = ColumnLayout.plan(9000, k=4, n=6, header_length=5, segment_length=4000)
    data = bytes(range(250)) * 36
    columns = _columns(layout, b"heads", data)
    found = b""
    for segment in range(layout.segments):
        begin, length = layout.shard_offset(segment), layout.shard_length(segment)
        shards = {i: columns[i][begin : begin + length] for i in (1, 2, 4, 5)}
        sealed = Code(4, 6).decode(shards, layout.sealed_length(segment))
        found += open_segment(sealed, key=_KEY, object_id=_ID, index=segment, count=layout.segments)
    assert found[:9000] == data
    assert found[9000:] == bytes(layout.size - 9000)


def test_repair_refuses_too_few_short_or_disagreeing_columns() -> None:
    layout = ColumnLayout.plan(9000, k=4, n=6, header_length=5, segment_length=4000)
    columns = _columns(layout, b"heads", b"data")
    readers = {i: _reader(column) for i, column in enumerate(columns)}
    with pytest.raises(NotEnoughShardsError, match="only 3"):
        list(regenerate(layout, 3, {i: readers[i] for i in range(4)}))
    with pytest.raises(IntegrityError, match="column 2 gave"):
        list(regenerate(layout, 5, {**readers, 2: _reader(columns[2][:-1])}))
    lying = columns[1][:32] + b"other" + columns[1][37:]
    with pytest.raises(IntegrityError, match="column 1 does not begin"):
        list(regenerate(layout, 5, {**readers, 1: _reader(lying)}))
    foreign = ColumnLayout.plan(9000, k=4, n=6, header_length=5, segment_length=5000)
    with pytest.raises(IntegrityError, match="does not begin"):
        list(regenerate(foreign, 5, readers))
    with pytest.raises(UsageError):
        list(regenerate(layout, 6, readers))

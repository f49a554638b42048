"""Every shard of an object is read; the node and byte that differ are named."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.audit import data
from freehold.audit.data import DataReport, Target, verify_object
from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import checksum
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.erasure import Code
from freehold.markets.storage.piece import commit

K, N = 4, 6


@dataclass
class Nodes:
    """Columns in memory; a node may be down."""

    columns: dict[int, bytes]
    down: set[int] = field(default_factory=set)

    def read(self, target: Target, offset: int, length: int) -> bytes:
        if target.slot in self.down:
            raise UnavailableError(f"node {target.node} is down", remedy="Wait.")
        return self.columns[target.slot][offset : offset + length]


@dataclass
class Keys:
    """Checks that what is opened is what was sealed."""

    header: bytes
    segments: list[bytes]

    def open_head(self, header: bytes) -> None:
        if header != self.header:
            raise IntegrityError("the manifest is not ours", remedy="None.")

    def open_segment(self, index: int, count: int, sealed: memoryview) -> None:
        if bytes(sealed) != self.segments[index] or count != len(self.segments):
            raise IntegrityError(f"segment {index} is not ours", remedy="None.")


def stored(*, segment: int = 6_000, size: int = 20_000) -> tuple[list[Target], Nodes, Keys]:
    header = hashlib.shake_256(b"header").digest(500)
    layout = ColumnLayout.plan(size, k=K, n=N, header_length=len(header), segment_length=segment)
    sealed = [
        hashlib.shake_256(bytes([i])).digest(layout.sealed_length(i))
        for i in range(layout.segments)
    ]
    columns = {slot: bytearray(layout.prefix() + header) for slot in range(N)}
    for each in sealed:
        for slot, shard in enumerate(Code(K, N).encode(each)):
            columns[slot] += bytes(shard)
    found = {slot: bytes(column) for slot, column in columns.items()}
    targets = []
    for slot, column in found.items():
        piece = commit(column)
        node = checksum(bytes([slot + 1]) * 20)
        targets.append(Target(slot, node, piece.root, len(column), piece.height))
    return targets, Nodes(found), Keys(header, sealed)


def check(targets: list[Target], nodes: Nodes, keys: Keys | None = None) -> DataReport:
    return verify_object(targets, k=K, source=nodes, keys=keys)


def test_a_whole_object_passes_with_and_without_keys() -> None:
    targets, nodes, keys = stored()
    report = check(targets, nodes, keys)
    assert report.passed, report
    assert (report.segments, report.subsets, report.opened) == (4, 2, True)
    assert sum(column.bytes_read for column in report.columns) == sum(t.size for t in targets)
    assert check(targets, nodes).passed
    assert report.to_json()["passed"] is True


def holding(layout: ColumnLayout, at: int) -> int | None:
    for segment in range(layout.segments):
        start = layout.shard_offset(segment)
        if start <= at < start + layout.shard_length(segment):
            return segment
    return None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_changed_byte_of_a_shard_names_its_node_column_and_place(draw: st.DataObject) -> None:
    targets, nodes, keys = stored()
    slot = draw.draw(st.integers(0, N - 1))
    column = bytearray(nodes.columns[slot])
    at = draw.draw(st.integers(0, len(column) - 1))
    column[at] ^= draw.draw(st.integers(1, 255))
    nodes.columns[slot] = bytes(column)
    report = check(targets, nodes, keys)
    assert not report.passed
    (wrong,) = report.differing
    assert (wrong.slot, wrong.node, wrong.offset) == (slot, targets[slot].node, at)
    layout = ColumnLayout.parse(nodes.columns[(slot + 1) % N][:32])
    assert wrong.segment == holding(layout, at)
    assert "commits to" in str(wrong.fault)


def test_a_node_that_is_down_or_gives_too_little_is_named() -> None:
    targets, nodes, keys = stored()
    nodes.down = {2}
    nodes.columns[5] = nodes.columns[5][:-10]
    report = check(targets, nodes, keys)
    assert [column.slot for column in report.differing] == [2, 5]
    assert "is down" in str(report.differing[0].fault)
    assert report.fault is None


def test_too_few_whole_columns_are_said() -> None:
    targets, nodes, keys = stored()
    nodes.down = {0, 1, 2}
    report = check(targets, nodes, keys)
    assert not report.passed
    assert "only 3 columns are whole" in str(report.fault)


def recommitted(targets: list[Target], nodes: Nodes) -> list[Target]:
    """The targets as a client would have opened them for these very bytes."""
    pieces = {slot: commit(column) for slot, column in nodes.columns.items()}
    return [replace(t, root=pieces[t.slot].root, height=pieces[t.slot].height) for t in targets]


def test_a_parity_column_that_was_stored_wrongly_is_found() -> None:
    targets, nodes, _ = stored()
    column = bytearray(nodes.columns[5])
    column[-1] ^= 1
    nodes.columns[5] = bytes(column)
    report = check(recommitted(targets, nodes), nodes)
    assert "decodes differently" in str(report.fault)


def test_two_manifests_are_found() -> None:
    targets, nodes, _ = stored()
    column = bytearray(nodes.columns[3])
    column[40] ^= 1
    nodes.columns[3] = bytes(column)
    report = check(recommitted(targets, nodes), nodes)
    assert "another manifest" in str(report.fault)


def test_a_manifest_or_segment_that_is_not_the_owners_is_found() -> None:
    targets, nodes, keys = stored()
    report = check(targets, nodes, Keys(keys.header[::-1], keys.segments))
    assert report.fault == "the manifest is not ours"
    report = check(targets, nodes, Keys(keys.header, keys.segments[::-1]))
    assert report.fault == "segment 0 is not ours"


def test_columns_of_another_code_than_the_deal_names() -> None:
    targets, nodes, _ = stored()
    report = verify_object(targets[:5], k=K, source=nodes)
    assert "the deal says 4 of 5" in str(report.fault)


@pytest.mark.parametrize(("count", "k"), [(6, 4), (14, 10), (30, 20), (4, 4), (9, 2), (1, 1)])
def test_every_column_takes_part_in_some_choice(count: int, k: int) -> None:
    subsets = data._subsets(list(range(count)), k)
    assert {slot for subset in subsets for slot in subset} == set(range(count))
    assert all(len(subset) == k for subset in subsets)

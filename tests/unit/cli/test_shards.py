"""``verify --data`` opens what it reads with the owner's keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.cli.screen import Screen
from freehold.cli.shards import read_columns
from freehold.client.client import Client
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.erasure import Code
from freehold.markets.storage.piece import commit, parse_cid
from unit.client.fakes import World

SIZE = 600_000
SCREEN = Screen(as_json=True)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def stored(world: World) -> Client:
    client = world.client(world.wallet())
    client.put(secrets.token_bytes(SIZE), "b/x")
    return client


def restore(world: World, columns: dict[int, bytearray]) -> None:
    """Let the deal name these very bytes, as a client that stored them would have."""
    for slot, column in columns.items():
        record = world.ledger.columns[1, slot]
        piece = commit(bytes(column))
        world.by_address(record.node).pieces[piece.cid] = bytes(column)
        world.ledger.columns[1, slot] = replace(record, root=piece.root)


def columns_of(world: World) -> dict[int, bytearray]:
    found = {}
    for slot in range(6):
        record = world.ledger.columns[1, slot]
        pieces = world.by_address(record.node).pieces
        found[slot] = bytearray(
            next(p for c, p in pieces.items() if parse_cid(c).root == record.root)
        )
    return found


def test_a_whole_object_opens_also_under_another_name_and_out_of_a_pack(world: World) -> None:
    client = stored(world)
    client.put(b"small", "b/small")
    client.mv("b/x", "c/y")
    client.flush()
    for name in ("c/y", "b/small"):
        report = read_columns(client, name, SCREEN)
        assert (report.passed, report.opened, report.fault) == (True, True, None)


def test_a_byte_that_all_columns_agree_on_is_found_in_its_segment(world: World) -> None:
    client = stored(world)
    columns = columns_of(world)
    layout = ColumnLayout.parse(bytes(columns[0][:32]))
    assert layout.segments == 3
    start, length = layout.shard_offset(1), layout.shard_length(1)
    code = Code(layout.k, layout.n)
    shards = {slot: bytes(columns[slot][start : start + length]) for slot in range(layout.k)}
    sealed = bytearray(code.decode(shards, layout.sealed_length(1)))
    sealed[100] ^= 1
    for slot, shard in enumerate(code.encode(bytes(sealed))):
        columns[slot][start : start + length] = bytes(shard).ljust(length, b"\0")
    restore(world, columns)
    report = read_columns(client, "b/x", SCREEN)
    assert not report.passed
    assert report.differing == (), "each column is what the ledger says"
    assert "segment 1" in str(report.fault)


def test_a_head_that_all_columns_agree_on_must_be_the_owners(world: World) -> None:
    client = stored(world)
    columns = columns_of(world)
    for column in columns.values():
        column[200] ^= 1
    restore(world, columns)
    assert "does not open" in str(read_columns(client, "b/x", SCREEN).fault)

"""Probes over pinned TLS of nodes that misbehave, and the speeds of nodes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from freehold.client.connection import Peer, Timeouts
from freehold.client.reading import Library
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import Key
from freehold.ledger.contracts.storage import ACTIVE, Column, Deal, Mandate
from freehold.node.watcher.columns import Columns, Placed
from freehold.node.watcher.observe.reach import Reach, Speeds, answers, doublings
from unit.client.fakes import FakeNode, network

TIMEOUTS = Timeouts(connect=2.0, idle=2.0)
DEVICE = checksum(b"\x03" * 20)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    key = Key.from_secret(b"\x31" * 32)
    made = FakeNode(key, key.address, network(), tmp_path)
    made.refuse = lambda method, path: (200, "")
    made.start()
    yield made
    made.stop()


def test_a_node_that_answers_is_reached(node: FakeNode) -> None:
    assert answers(node.peer(), TIMEOUTS)
    assert node.calls == [("GET", "/health")]


@pytest.mark.parametrize(("status", "reached"), [(503, True), (404, False), (500, False)])
def test_a_node_that_is_not_well_is_reached_and_another_server_is_not(
    node: FakeNode, status: int, reached: bool
) -> None:
    node.refuse = lambda method, path: (status, "")
    assert answers(node.peer(), TIMEOUTS) is reached


def test_another_certificate_or_endpoint_or_nobody_is_no_answer(node: FakeNode) -> None:
    assert not answers(replace(node.peer(), fingerprint=b"\x01" * 32), TIMEOUTS)
    assert not answers(replace(node.peer(), endpoint="http://127.0.0.1:1"), TIMEOUTS)
    peer = node.peer()
    node.stop()
    assert not answers(peer, TIMEOUTS)


def test_shares_are_of_the_probes_that_were_made() -> None:
    reached = iter([True, True, False, True, False, False])
    reach = Reach(knock=lambda peer, _: next(reached))
    peer = Peer(DEVICE, "https://x", b"\x01" * 32)
    for _ in range(6):
        reach.probe([peer], seconds=1)
    assert (reach.shares(), reach.probes) == ({DEVICE: 5_000}, 6)
    reach.begin()
    assert (reach.shares(), reach.probes) == ({}, 0)


@pytest.mark.parametrize(
    ("count", "seconds", "found"),
    [(1024, 1.0, 0), (2047, 1.0, 0), (2048, 1.0, 1), (65_536, 0.01, 12), (10, 9.0, 0)],
)
def test_speeds_are_doublings_of_a_kibibyte_a_second(
    count: int, seconds: float, found: int
) -> None:
    assert doublings(count, seconds) == found


@dataclass
class Shelf:
    """Columns of nodes, and a library that reads one of them as it is told."""

    columns: list[Placed] = field(default_factory=list)
    fails: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    def on(self, node: Address) -> Iterator[Placed]:
        return (placed for placed in self.columns if placed.column.node == node)

    def columns_of(self, deal: int) -> dict[int, SimpleNamespace]:
        return {0: SimpleNamespace(fetch=self.fetch)}

    def fetch(self, start: int, size: int) -> bytes:
        if self.fails:
            raise UnavailableError("gone", remedy="-")
        self.asked.append((start, size))
        return bytes(size)


def speeds(shelf: Shelf, *, seconds: float) -> Speeds:
    times = iter([0.0, seconds])
    library = SimpleNamespace(columns=shelf.columns_of)
    return Speeds(
        cast("Columns", shelf), cast("Library", library), draw=random.Random(1),
        timer=lambda: next(times),
    )  # fmt: skip


def held(size: int, *, closed: int = 0) -> Placed:
    mandate = Mandate(0, 0, 1, 0, 0, 0)
    deal = Deal(DEVICE, DEVICE, bytes(32), 4, 6, size, 4, 0, 0, closed, mandate, 0, 0, b"")
    column = Column(DEVICE, bytes(32), 0, 1, 1, 0, 0, 0, ACTIVE, 0, DEVICE, False)
    return Placed(1, 0, deal, column)


def test_a_part_of_a_column_is_read_to_measure_a_node() -> None:
    shelf = Shelf([held(2**20, closed=1), held(2**17)])
    assert speeds(shelf, seconds=0.125).measure([DEVICE]) == {DEVICE: 9}
    ((start, size),) = shelf.asked
    assert size == 2**16
    assert 0 <= start <= 2**16


def test_a_small_column_is_read_whole() -> None:
    shelf = Shelf([held(300)])
    assert speeds(shelf, seconds=0.001).measure([DEVICE]) == {DEVICE: 8}
    assert shelf.asked == [(0, 300)]


def test_a_node_that_serves_nothing_has_no_speed_and_one_that_holds_nothing_is_left_out() -> None:
    assert speeds(Shelf([held(300)], fails=True), seconds=1.0).measure([DEVICE]) == {DEVICE: 0}
    assert speeds(Shelf(), seconds=1.0).measure([DEVICE]) == {}

"""Columns on their way to nodes: what runs side by side, and what a watcher sees of it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from freehold.client.session import Body
from freehold.client.source import open_source
from freehold.client.timing import Timing
from freehold.client.upload import PART, Blueprint, Outcome, Sealer, spread
from freehold.domain.buffers import Buffers
from freehold.domain.errors import UnavailableError
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.erasure import room
from freehold.markets.storage.piece import Piece, commit

SLOTS = range(3)
PATIENCE = 20.0


MEMORY = Buffers(room, kept=2)


class Shelf:
    """A channel that keeps what it is sent, some of which it may have already."""

    def __init__(self, held: bytes = b"") -> None:
        self.data = bytearray(held)

    @property
    def held(self) -> int:
        return len(self.data)

    def send(self, offset: int, body: Body) -> None:
        assert offset == len(self.data)
        for part in body.parts(0):
            self.data += part


def blueprint(size: int) -> Blueprint:
    layout = ColumnLayout.plan(size, k=2, n=3, header_length=7, segment_length=4 * PART)
    return Blueprint(layout, b"header!", bytes(32), bytes(range(32)))


def run(
    plan: Blueprint,
    data: bytes,
    connect: Callable[[], Mapping[int, Shelf]],
    *,
    timing: Timing | None = None,
    memory: Buffers | None = None,
    then: Callable[[int, Piece], None] = lambda slot, piece: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, Outcome]:
    source = open_source(data, scratch=Path())
    timing = timing or Timing()
    with Sealer(source, plan, memory or MEMORY, timing=timing) as sealer:
        return spread(sealer, SLOTS, connect, then=then, progress=progress)


def test_columns_are_the_same_whatever_was_hashed_before_they_were_sent() -> None:
    data = secrets.token_bytes(9 * PART)
    plan = blueprint(len(data))
    seen = list[int]()
    ready = threading.Event()
    shelves = {slot: Shelf() for slot in SLOTS}

    def connect() -> Mapping[int, Shelf]:
        assert ready.wait(PATIENCE), "nothing is hashed ahead"
        assert not seen, "progress tells of what was not sent"
        return shelves

    class Ahead(Timing):
        @contextmanager
        def stage(self, name: str) -> Iterator[None]:
            yield
            if name == "hash":
                ready.set()

    outcomes = run(plan, data, connect, timing=Ahead(), progress=lambda done, _: seen.append(done))
    for slot, outcome in outcomes.items():
        assert outcome.piece == commit(bytes(shelves[slot].data))
    assert seen[-1] == plan.layout.total * 3


def test_what_a_node_holds_is_hashed_and_not_sent_again() -> None:
    data = secrets.token_bytes(9 * PART)
    plan = blueprint(len(data))
    first = {slot: Shelf() for slot in SLOTS}
    run(plan, data, lambda: first)
    again = {slot: Shelf(bytes(first[slot].data[: 3 * PART + slot])) for slot in SLOTS}
    outcomes = run(plan, data, lambda: again)
    for slot in SLOTS:
        assert again[slot].data == first[slot].data
        assert outcomes[slot].piece == commit(bytes(first[slot].data))


def test_columns_end_side_by_side() -> None:
    data = secrets.token_bytes(PART)
    all_here = threading.Barrier(3)

    def meet(_slot: int, _piece: Piece) -> None:
        all_here.wait(PATIENCE)

    outcomes = run(
        blueprint(len(data)),
        data,
        lambda: {slot: Shelf() for slot in SLOTS},
        then=meet,
    )
    assert all(outcome.error is None for outcome in outcomes.values())


def test_no_thread_waits_for_nodes_that_could_not_be_reached() -> None:
    data = secrets.token_bytes(9 * PART)

    def connect() -> Mapping[int, Shelf]:
        raise UnavailableError("no nodes", remedy="Wait.")

    with pytest.raises(UnavailableError):
        run(blueprint(len(data)), data, connect)
    assert not [each for each in threading.enumerate() if each.name in ("column", "seal")]


def test_memory_that_columns_still_send_from_is_nobody_elses() -> None:
    given: list[memoryview] = []

    class Watched(Buffers):
        def give(self, buffer: memoryview) -> None:
            given.append(buffer)
            super().give(buffer)

    data, memory = secrets.token_bytes(PART), Watched(room, kept=2)
    plan = blueprint(len(data))

    def interrupted() -> Mapping[int, Shelf]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, data, interrupted, memory=memory)
    assert not given
    run(plan, data, lambda: {slot: Shelf() for slot in SLOTS}, memory=memory)
    assert given


class Boaster(Shelf):
    """Says, once a column was broken off, that it holds more than it was sent."""

    def send(self, offset: int, body: Body) -> None:
        for part in body.parts(0):
            self.data += part
            break
        for part in body.parts(min(body.length, 4 * PART)):
            self.data += part


def test_a_node_that_says_it_holds_more_than_it_was_sent_does_not_change_the_root() -> None:
    data = secrets.token_bytes(40 * PART)
    layout = ColumnLayout.plan(len(data), k=2, n=3, header_length=7, segment_length=20 * PART)
    plan = Blueprint(layout, b"header!", bytes(32), bytes(range(32)))
    good = {slot: Shelf() for slot in SLOTS}
    run(plan, data, lambda: good)
    outcomes = run(plan, data, lambda: {0: Boaster(), 1: Shelf(), 2: Shelf()})
    assert outcomes[1].piece == commit(bytes(good[1].data))
    assert outcomes[0].piece == commit(bytes(good[0].data))

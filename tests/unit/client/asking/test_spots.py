"""Spot checks and the journal: who agreed with whom, and what is on the disk after a crash."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from freehold.client.asking.candidate import Agreement, Effort
from freehold.client.asking.journal import Cause, Journal
from freehold.client.asking.spots import Canary, Shares
from freehold.domain.errors import UnavailableError, UsageError, VersionError
from freehold.markets.models.agree import Quorum
from unit.client.asking.fakes import (
    BAD,
    INPUTS,
    SUBNET,
    FakeNode,
    World,
    answer_body,
    hang,
    number,
    says,
)
from unit.client.asking.test_asking import run

LIE = says(200, answer_body((0.9, 0.05, 0.05)))
EVERY = Shares(again=1.0, canary=0.0, delay=0.0)
TRUTH = {"y": np.array([[0.1, 0.7, 0.2]], dtype=np.float32)}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "seen.db", now=lambda: 5_000)
    yield made
    made.close()


class Known:
    """Canaries with one answer."""

    def draw(self, subnet: str, chance: random.Random, /) -> Canary | None:
        inputs: Mapping[str, object] = {"x": np.full((1, 2), chance.random(), dtype=np.float32)}
        return Canary(inputs, TRUTH)


def test_attempts_are_written_down_with_how_they_ended(journal: Journal) -> None:
    async def work() -> None:
        nodes = [FakeNode(1, BAD["500"], score=1.0), FakeNode(2, score=0.05)]
        async with World(*nodes, journal=journal) as world:
            await world.router.ask(SUBNET, INPUTS)
            await world.router.settle()
            first, second = journal.read(SUBNET)
            assert (first.node, first.failure, first.agreed) == (number(1), "broken", None)
            assert (second.node, second.failure, second.agreed) == (number(2), "", None)
            assert (second.cause, second.at, second.uid) == (Cause.REQUEST, 5_000, 2)
            assert second.micros > 0
            assert journal.read(SUBNET, after=first.id) == [second]
            assert journal.read("other") == []

    run(work())


def test_a_re_executed_request_finds_the_liar(journal: Journal) -> None:
    async def work() -> None:
        nodes = [FakeNode(1, LIE), FakeNode(2), FakeNode(3)]
        async with World(*nodes, journal=journal, shares=EVERY) as world:
            for _ in range(12):
                await world.router.ask(SUBNET, INPUTS)
                await world.router.settle()
            records = {each.node: each for each in journal.tally(SUBNET)}
            liar = records[number(1)]
            assert (liar.agreed, liar.differed > 0) == (0, True)
            for honest in (number(2), number(3)):
                assert (records[honest].agreed > 0, records[honest].differed) == (True, 0)

    run(work())


def test_of_two_that_differ_nobody_is_accused(journal: Journal) -> None:
    async def work() -> None:
        async with World(FakeNode(1, LIE), FakeNode(2), journal=journal, shares=EVERY) as world:
            await world.router.ask(SUBNET, INPUTS)
            await world.router.settle()
            again = [row for row in journal.read(SUBNET) if row.cause is Cause.AGAIN]
            assert [row.agreed for row in again] == [None, None]

    run(work())


def test_a_check_looks_as_the_request_does(journal: Journal) -> None:
    async def work() -> None:
        shares = Shares(again=1.0, canary=1.0, delay=0.0)
        nodes = [FakeNode(1), FakeNode(2), FakeNode(3)]
        world = World(*nodes, journal=journal, shares=shares, canaries=Known())
        async with world:
            for _ in range(10):
                await world.router.ask(SUBNET, INPUTS)
            await world.router.settle()
            got = [each for node in nodes for each in node.got]
            assert len(got) > 20
            looks = {
                (each.method, each.path, tuple(sorted(set(each.headers) - {"host"})))
                for each in got
            }
            assert len(looks) == 1
            canaries = [row for row in journal.read(SUBNET) if row.cause is Cause.CANARY]
            assert len(canaries) == 10
            assert all(row.agreed for row in canaries)

    run(work())


def test_canaries_and_failures_of_checks_are_noted(journal: Journal) -> None:
    async def work() -> None:
        node = FakeNode(1)
        shares = Shares(again=0.0, canary=1.0, delay=0.0)
        async with World(node, journal=journal, shares=shares, canaries=Known()) as world:
            await world.router.ask(SUBNET, INPUTS)
            await world.router.settle()
            node.behave = LIE
            await world.router.ask(SUBNET, INPUTS)
            await world.router.settle()
            rows = [row.agreed for row in journal.read(SUBNET) if row.cause is Cause.CANARY]
            assert rows == [True, False]

            async def once(one: FakeNode, got: object, writer: asyncio.StreamWriter) -> None:
                one.behave = BAD["drops"]
                await says()(one, got, writer)  # type: ignore[arg-type]

            node.behave = once
            await world.router.ask(SUBNET, INPUTS)
            await world.router.settle()
            last = journal.read(SUBNET)[-1]
            assert (last.cause, last.failure) == (Cause.CANARY, "dropped")

    run(work())


def test_agreement_notes_who_differed_also_late(journal: Journal) -> None:
    async def work() -> None:
        release = asyncio.Event()

        async def late(node: FakeNode, got: object, writer: asyncio.StreamWriter) -> None:
            await release.wait()
            await LIE(node, got, writer)  # type: ignore[arg-type]

        nodes = [FakeNode(1, late, score=1.0), FakeNode(2), FakeNode(3)]
        async with World(*nodes, journal=journal) as world:
            await world.router.ask(
                SUBNET, INPUTS, agreement=Agreement(Quorum(2, 3)), effort=Effort(deadline=10)
            )
            release.set()
            await world.router.settle()
            found = {row.node: row.agreed for row in journal.read(SUBNET)}
            assert found == {number(1): False, number(2): True, number(3): True}

    run(work())


@pytest.mark.parametrize("room", [0, 64])
def test_who_is_late_for_a_vote_is_not_left_running_for_ever(
    journal: Journal, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        monkeypatch.setattr("freehold.client.asking.spots.BACKGROUND", room)
        nodes = [FakeNode(1, hang, score=1.0), FakeNode(2), FakeNode(3)]
        async with World(*nodes, journal=journal) as world:
            await world.router.ask(
                SUBNET, INPUTS, agreement=Agreement(Quorum(2, 3)), effort=Effort(deadline=10)
            )
            await world.router.close()
            while world.router.measures.of(number(1)).flying:
                await asyncio.sleep(0)

    run(work())


def test_a_crash_loses_only_what_was_not_written(tmp_path: Path) -> None:
    path = tmp_path / "seen.db"
    one = Journal(path, now=lambda: 1)
    one.add(SUBNET, number(1), 1, cause=Cause.REQUEST, seconds=0.5)
    assert one.flush() == 1
    one.add(SUBNET, number(2), 2, cause=Cause.REQUEST, seconds=0.5)
    other = Journal(path, now=lambda: 2)
    assert [row.node for row in other.read(SUBNET)] == [number(1)]
    other.close()
    one.close()


def test_the_oldest_rows_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "seen.db", now=lambda: 1, rows=10)
    for n in range(25):
        journal.add(SUBNET, number(n), n, cause=Cause.REQUEST, seconds=0.1)
    journal.flush()
    assert [row.uid for row in journal.read(SUBNET)] == list(range(15, 25))
    journal.close()


def test_a_disk_that_fails_is_tried_again_and_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.client.asking.journal.WAITING_MAX", 50)
    journal = Journal(tmp_path / "seen.db", now=lambda: 1)

    def full(rows: object) -> None:
        raise UnavailableError("no room", remedy="Free space.")

    with monkeypatch.context() as broken:
        broken.setattr(journal, "_append", full)
        for n in range(55):
            journal.add(SUBNET, number(1), n, cause=Cause.REQUEST, seconds=0.1)
        assert journal.flush() == 0
        assert journal.dropped == 5
    assert journal.flush() == 50
    journal.close()


def test_a_file_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "seen.db", now=lambda: 1)
    journal.run("PRAGMA user_version=9")
    journal.close()
    with pytest.raises(VersionError):
        Journal(tmp_path / "seen.db", now=lambda: 1)


@pytest.mark.parametrize("odd", [{"again": 1.1}, {"canary": -0.1}, {"delay": 31.0}])
def test_odd_shares_are_refused(odd: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Shares(**odd)

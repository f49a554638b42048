"""Scores out of the file that a proposer serves, or reckoned from the chain where nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from freehold.client.asking import scores
from freehold.client.asking.scores import ROOTS_MAX, FinalScores
from freehold.domain.errors import IntegrityError, NotFoundError
from freehold.ledger import roster
from freehold.ledger.contracts.registry import VALIDATOR, Node
from freehold.ledger.contracts.subnet import Seat
from freehold.ledger.ledger import Ledger
from freehold.markets.models.trace.batch import Bundle, bundle
from freehold.markets.models.trace.build import build
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.served import serve
from freehold.markets.models.trace.values import Header, Sums
from freehold.markets.models.yuma.values import ONE
from unit.client.asking.fakes import number
from unit.client.asking.test_ledger_ranking import Answers, answering
from unit.markets.models.trace.chance import Competition

EPOCH, ENDED = 7, 18_000
PROPOSER = number(1)


def ranked() -> tuple[Built, Built]:
    """Two subnets' traces of an epoch in which somebody earns."""
    made = []
    for seed in range(30):
        subnet = Competition(Random(seed), 1, 10_000)
        subnet.begin()
        first = build(subnet.facts(0, 0))
        made.append(build(subnet.facts(1, 1), first))
    earning = [built for built in made if built.trace.ranks]
    return earning[0], earning[1]


@dataclass
class World:
    """A ledger with a final root, and a validator that serves something."""

    bundle: Bundle
    url: str
    position: int = 2
    registered_at: int = 10
    reckoned: int = 0
    false: bool = False
    lost: bool = False
    extra: list[Seat] = field(default_factory=list)

    @property
    def header(self) -> Header:
        data = self.bundle.batch.hash()
        return Header(self.position, EPOCH, EPOCH, 0, 1, 1, data, PROPOSER, 0, 0)

    def root(self, _: int) -> Any:
        self.reckoned += 1
        if self.false:
            raise IntegrityError("false", remedy="")
        return SimpleNamespace(bundle=self.bundle), None

    def at(self, position: int) -> Header | None:
        if self.lost:
            raise NotFoundError("the root is not in the index", remedy="")
        return self.header if position > 1 else None

    def court(self, _: Ledger) -> Any:
        return SimpleNamespace(
            sync=lambda: None,
            state=lambda: SimpleNamespace(final=self.position),
            header=self.at,
            root=self.root,
            calendar=SimpleNamespace(begin=lambda _: ENDED),
        )

    def seats(self, subnet: int, _: int = 0) -> list[Seat]:
        nodes = self.bundle.traces[subnet - 1].nodes
        seats = [Seat(node.account, self.registered_at, node.generation) for node in nodes]
        return seats + self.extra

    def call_many(self, views: list[Any]) -> list[object]:
        if not views:
            return []
        if views[0].function == "at":
            return [PROPOSER]
        entry = Node(PROPOSER, PROPOSER, VALIDATOR, 1, 1, False, self.url, bytes(32), bytes(32))
        return [asdict(entry)]

    @property
    def ledger(self) -> Ledger:
        made = SimpleNamespace(
            network=SimpleNamespace(contracts={"prizes": "", "subnet": ""}),
            subnet=SimpleNamespace(seats=self.seats),
            registry=SimpleNamespace(count=lambda: 1),
            call_many=self.call_many,
        )
        return cast("Ledger", made)


@pytest.fixture(scope="module")
def made() -> Bundle:
    return bundle(ranked())


@pytest.fixture
def proposer() -> Iterator[Answers]:
    with answering() as answers:
        yield answers


@pytest.fixture
def world(made: Bundle, proposer: Answers, monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(made, proposer.url)
    monkeypatch.setattr(scores, "Court", found.court)
    return found


def expected(built: Built) -> list[float]:
    """Of the trace itself: each uid's incentive over all."""
    total = built.trace.incentives
    runs = [each.incentives for each in built.sums]
    return [(b - a) / total for a, b in pairwise(runs)]


def test_the_served_file_tells_who_earned_what(world: World, proposer: Answers) -> None:
    proposer.by_path[f"/traces/{EPOCH}"] = 200, serve(world.bundle)
    final = FinalScores(world.ledger, plain=True)
    for subnet, built in enumerate(world.bundle.traces, start=1):
        found = final.incentives(subnet)
        assert [share for _, share in found.values()] == pytest.approx(expected(built))
        assert sum(share for _, share in found.values()) == pytest.approx(1)
        assert [generation for generation, _ in found.values()] == [
            node.generation for node in built.nodes
        ]
        assert all(column.rank <= ONE for column in built.columns)
    assert proposer.asked == [f"/traces/{EPOCH}"]
    assert world.reckoned == 0
    assert final.incentives(3) == {}


def test_a_leaf_tells_its_incentives_among_its_other_sums() -> None:
    full = Sums(2**64 - 1, True, 2**39 - 1, 0, 2**64 - 1, 2**33 - 1, 2**16 - 1)
    for incentives in (0, 1, 2**39 - 1):
        assert scores._incentives(replace(full, incentives=incentives).word()) == incentives


def test_another_file_is_not_believed(world: World, proposer: Answers) -> None:
    other = bundle(tuple(reversed(world.bundle.traces)))
    for body in (serve(other), b"", b"FREETRC1", serve(world.bundle) + b"\0"):
        proposer.by_path[f"/traces/{EPOCH}"] = 200, body
        world.reckoned = 0
        found = FinalScores(world.ledger, plain=True).incentives(1)
        assert [s for _, s in found.values()] == pytest.approx(expected(world.bundle.traces[0]))
        assert world.reckoned == 1


def test_so_many_nodes_are_looked_through_and_no_more(
    world: World, proposer: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "NODES_MAX", 0)
    assert FinalScores(world.ledger, plain=True).incentives(1) != {}
    assert (proposer.asked, world.reckoned) == ([], 1)


def test_many_roots_are_not_reckoned(world: World) -> None:
    world.position = ROOTS_MAX + 1
    assert FinalScores(world.ledger, plain=True).incentives(1) == {}
    assert world.reckoned == 0
    world.position, world.false = 2, True
    assert FinalScores(world.ledger, plain=True).incentives(1) == {}
    world.position = 1
    assert FinalScores(world.ledger, plain=True).incentives(1) == {}


def test_who_came_after_the_epoch_has_no_share(world: World, proposer: Answers) -> None:
    proposer.by_path[f"/traces/{EPOCH}"] = 200, serve(world.bundle)
    world.extra = [Seat(number(5), 10, 1)]
    final = FinalScores(world.ledger, plain=True)
    assert len(final.incentives(1)) == len(world.bundle.traces[0].nodes)
    world.registered_at = ENDED
    assert final.incentives(1) == {}


def test_a_broken_root_leaves_nodes_without_scores(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.lost = True
    assert FinalScores(world.ledger, plain=True).incentives(1) == {}
    assert "no scores: the root is not in the index" in caplog.text


def test_a_network_without_subnets_has_no_scores(world: World) -> None:
    ledger = world.ledger
    ledger.network = SimpleNamespace(contracts={})  # type: ignore[assignment]
    assert FinalScores(ledger).incentives(1) == {}

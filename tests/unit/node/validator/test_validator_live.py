"""Rounds over real model servers: the good earn, the bad, the copier and who hangs do not."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from contracts.evm import Chain, Signer
from contracts.subnets import EPOCH
from freehold.client.asking.caller import Caller
from freehold.client.asking.journal import Cause, Journal
from freehold.client.token import Identity
from freehold.domain.errors import ConflictError, UnavailableError
from freehold.domain.ids import address, keccak
from freehold.markets.models.weights import weights
from freehold.node.validator.book import Mark
from freehold.node.validator.documents import find
from freehold.node.validator.evidence import JournalWitness
from freehold.node.validator.examiner import Examiner, Reach
from freehold.node.validator.metrics import Metrics
from freehold.node.validator.questioner import LIMITS
from freehold.node.validator.referee import Patience, Referee
from freehold.node.validator.vault import packed
from unit.node.validator.arena import Town, build
from unit.node.validator.scorers import BODIES, HANGS, SCORER, write_model, write_subnet
from unit.node.workloads.models.served import begin, until

NAMES = ("good", "fair", "copier", "bad", "hanging")
pytestmark = pytest.mark.xdist_group("validator rounds")  # one field of servers serves all


@dataclass(frozen=True, slots=True)
class Field:
    """Model servers that run, by name."""

    urls: dict[str, str]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    root = tmp_path_factory.mktemp("field")
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name in NAMES:
            home = root / name
            home.mkdir()
            body = BODIES.get(name, HANGS)
            model = write_model(home / "model.py", body)
            running.append(begin(home, f"{model}:answer", subnet="digits", max_batch=1))
        for name, process in zip(NAMES, running, strict=True):
            ready = root / name / "ready.json"
            until(lambda r=ready, p=process: r.exists() or p.poll() is not None)
        yield Field({n: json.loads((root / n / "ready.json").read_text())["url"] for n in NAMES})
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait(30)


@pytest.fixture(scope="module")
def founded(field: Field) -> Town:
    town = build(Chain(), models=len(NAMES))
    for name, hot in zip(NAMES, town.models, strict=True):
        announce(town, hot, field.urls[name])
    return town


@pytest.fixture
def town(founded: Town) -> Iterator[Town]:
    with founded.chain.anchor():
        founded.ledgers.clear()
        yield founded


def announce(town: Town, hot: Signer, url: str) -> None:
    registry = town.arena.world.registry
    registry.send("announce", hot.address, url, bytes(32), sender=hot.address)


class Bench:
    """A validator's examiner over the files of a home."""

    def __init__(self, town: Town, home: Path, *, scorer: str = SCORER, call: float = 20.0) -> None:
        self.town, self.home = town, home
        file = write_subnet(home / "subnet", scorer=scorer)
        documents = find(f"{file}:score", "", uri="", local=False)
        self.referee = Referee(documents.source, Patience(call=call))
        self.shelf = town.shelf(home)
        self.metrics = Metrics()
        self.examiner = Examiner(
            town.ledger(),  # type: ignore[arg-type]
            town.place(),
            documents,
            self.referee,
            epochs=town.epochs,
            shelf=self.shelf,
            reach=Reach(self._asking),
            metrics=self.metrics,
            chance=random.Random(11),
            witness=JournalWitness(home / "asked.sqlite", now=lambda: 0),
        )
        self.clerk = town.clerk(home, shelf=self.shelf)

    def _asking(self) -> AbstractContextManager[tuple[Caller, None]]:
        ledger = self.town.ledger()
        identity = Identity(
            ledger.key, ledger.network.domain("registry"), ledger, random.Random(3).randbytes
        )
        return nullcontext((Caller(identity=identity, plain=True, limits=LIMITS), None))

    def round(self) -> dict[str, Mark]:
        """This epoch's round, at a moment where little of it is left."""
        self.town.to(0.494)
        self.examiner.step()
        return self.marks()

    def marks(self) -> dict[str, Mark]:
        known = {address(hot.address): name for name, hot in self.named().items()}
        return {known[mark.node]: mark for mark in self.shelf.book.marks}

    def named(self) -> dict[str, Signer]:
        return dict(zip(NAMES, self.town.models, strict=False))


@pytest.fixture
def bench(town: Town, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(town, tmp_path)
    yield made
    made.referee.close()


def test_three_epochs(town: Town, bench: Bench) -> None:
    for _ in range(3):
        marks = bench.round()
        bench.clerk.step()
        row = packed(weights({mark.uid: mark.standing for mark in marks.values()}))
        epoch = town.arena.next()
        bench.clerk.step()
        assert town.record(epoch, 0).row == keccak(row)
    assert marks["good"].standing > marks["fair"].standing > 0.3
    assert marks["good"].standing == pytest.approx(1 - 0.5**3, abs=0.01)
    assert [marks[name].standing for name in ("copier", "bad", "hanging")] == [0, 0, 0]
    assert marks["copier"].copy_of == town.uid(town.models[0])
    assert marks["hanging"].reasons["silent"] >= 1
    assert marks["hanging"].reasons["asked no more"] > 0
    assert marks["bad"].reasons["missed the canaries"] == 1
    assert len(row) == 8
    assert bench.shelf.book == town.shelf(bench.home).book


def test_what_users_saw_counts_once(town: Town, bench: Bench) -> None:
    journal = Journal(bench.home / "asked.sqlite", now=lambda: 1)
    fair = address(town.models[1].address)
    for place in range(8):
        journal.add("digits", fair, 2, cause=Cause.AGAIN, seconds=0.1, agreed=place > 5)
    journal.close()
    marks = bench.round()
    assert marks["fair"].standing == 0
    assert marks["fair"].reasons["differed when users asked"] == 6
    assert marks["good"].standing > 0.4
    town.arena.next()
    assert bench.round()["fair"].standing > 0.1


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ("raise ValueError('no')", 20.0),
        ("return float('nan')", 20.0),
        ("__import__('time').sleep(60)", 0.2),
    ],
    ids=["raises", "nan", "hangs"],
)
def test_a_broken_scorer_stops_nothing(
    town: Town, bench: Bench, tmp_path: Path, body: str, call: float
) -> None:
    before = bench.round()
    bench.clerk.step()
    town.arena.next()
    head = SCORER.partition("def score")[0]
    broken = Bench(town, tmp_path, scorer=f"{head}def score(t, a, s):\n    {body}\n", call=20.0)
    try:
        next(broken.referee.tasks(*map(np.random.default_rng, (1, 2))))  # it takes a while to start
        broken.referee._patience = Patience(call=call)
        after = broken.round()
        assert broken.shelf.book.epoch == town.arena.epoch
        assert after["good"].standing == before["good"].standing > 0.4
        assert after["hanging"].standing == 0
        broken.clerk.step()
        row = packed(weights({mark.uid: mark.standing for mark in after.values()}))
        epoch = town.arena.next()
        broken.clerk.step()
        assert town.record(epoch, 0).row == keccak(row)
    finally:
        broken.referee.close()


def test_a_round_is_held_once_an_epoch_and_never_late(town: Town, bench: Bench) -> None:
    bench.round()
    book = bench.shelf.book
    bench.examiner.step()
    assert bench.shelf.book is book
    town.arena.next()
    town.to(0.6)
    bench.examiner.step()
    bench.examiner.step()
    assert bench.shelf.book is book
    missed = [s.value for m in bench.metrics.rounds.collect() for s in m.samples
              if s.labels == {"outcome": "missed"} and s.name.endswith("_total")]  # fmt: skip
    assert missed == [1.0]


def test_without_a_theme_there_is_no_round(
    town: Town, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next step tries again; what is too late says why."""
    ledger = town.ledger()
    ledger.rests = True
    assert bench.round() == {}
    assert ledger.sent == ["transfer"]
    assert bench.round()["good"].score is not None
    town.arena.next()

    def down(since: int) -> None:
        raise UnavailableError("no RPC answered", remedy="-")

    monkeypatch.setattr(ledger, "first_block", down)
    before = bench.shelf.book
    with pytest.raises(UnavailableError):
        bench.round()
    town.to(0.6)
    with caplog.at_level("WARNING"):
        bench.examiner.step()
    assert bench.shelf.book is before
    told = [record.__dict__["fields"] for record in caplog.records if record.msg == "no round"]
    assert [each["reason"] for each in told] == ["its theme could not be read"]


def test_a_round_waits_until_the_theme_has_settled(
    town: Town, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(bench.examiner, "_begin", begun.append)
    settled = bench.examiner._themes.settled / EPOCH
    epoch = town.to(0.9 * settled)
    bench.examiner._drawn = (epoch, 0.0)  # it would begin at once
    bench.examiner.step()
    assert begun == []
    town.to(1.1 * settled)
    bench.examiner.step()
    assert begun == [epoch]


def test_the_scorer_is_loaded_before_any_round(town: Town, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    bench = Bench(town, tmp_path, scorer=f"{SCORER}\nopen({str(loaded)!r}, 'a').write('x')")
    try:
        town.to(0.01)
        for _ in range(2):
            bench.examiner.step()
        assert loaded.read_text() == "x"
        assert not bench.marks()
    finally:
        bench.referee.close()


def test_truths_that_come_later_are_scored_then(town: Town, tmp_path: Path) -> None:
    drawn, known = tmp_path / "drawn", tmp_path / "known"
    drawn.write_text("1")
    known.write_text("0")
    late = (
        f"    if task.truth['drawn'][0] > int(open({str(known)!r}).read()):\n"
        "        raise NotYetError\n"
    )
    body = SCORER.replace("    return max(", late + "    return max(")
    body = body.replace(
        '{"y": 2 * shown}',
        f'{{"y": 2 * shown, "drawn": np.array([int(open({str(drawn)!r}).read())])}}',
    )
    bench = Bench(town, tmp_path, scorer=body)
    try:
        marks = bench.round()
        assert [marks[name].score for name in ("good", "fair", "copier")] == [None] * 3
        assert (marks["good"].waiting, marks["good"].smoothed) == (13, 0)
        drawn.write_text("2")
        known.write_text("1")
        town.arena.next()
        marks = bench.round()
        assert marks["good"].waiting == 13
        assert marks["good"].smoothed == pytest.approx(0.5, abs=0.02)
        assert marks["copier"].standing == 0
        town.arena.next()  # what is scored once is not scored again
        marks = bench.round()
        assert marks["good"].score is None
        assert marks["good"].smoothed == pytest.approx(0.5, abs=0.02)
    finally:
        bench.referee.close()


def test_a_validator_that_is_cut_off_says_nothing_of_anyone(town: Town, bench: Bench) -> None:
    before = bench.round()
    town.arena.next()
    for hot in town.models:
        announce(town, hot, "http://127.0.0.1:1")
    after = bench.round()
    assert {name: mark.standing for name, mark in after.items()} == {
        name: mark.standing for name, mark in before.items()
    }
    town.arena.next()
    for hot in town.models[1:]:
        announce(town, hot, "")
    after = bench.round()
    assert [mark.standing for mark in after.values()] == [0] * 5
    assert after["fair"].reasons == {"announces no endpoint": 1}
    assert "unreachable" in next(iter(after["good"].reasons))


def test_another_schema_stops_the_rounds(town: Town, bench: Bench) -> None:
    changed = {"schema": b"\x05" * 32, "scorer": b"\x06" * 32}
    town.arena.revise(town.subnet, town.arena.epoch + 2, task=changed)
    town.arena.next(2)
    town.to(0.4)
    with pytest.raises(ConflictError, match="another schema"):
        bench.examiner.step()


def test_a_round_is_given_up_at_the_end(town: Town, bench: Bench) -> None:
    bench.examiner._stop = lambda: True
    assert bench.round() == {}
    assert bench.shelf.book.epoch == -1

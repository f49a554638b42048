"""`model why` says what the trace says, validator by validator."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from freehold.audit.competing import Court
from freehold.cli.model.explained import ONE, explain
from freehold.cli.model.why import FINAL, OPEN, RECKONED, newest
from freehold.cli.subnet.named import Found
from freehold.domain.errors import IntegrityError, NotFoundError, RefusedError
from freehold.markets.models.trace.build import build
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.values import Facts, Node, Row, Terms
from freehold.markets.models.yuma.values import Rules
from unit.markets.models.trace.chance import Competition, account

RULES = Terms(Rules(max_validators=8, activity_cutoff=0), 0, 0)


def epoch(number: int, rows: dict[int, Row], **changes: Any) -> Facts:
    """Three validators with a stake of 50, 30 and 20, and three nodes without any."""
    stakes = (50, 30, 20, 0, 0, 0)
    nodes = tuple(Node(account(uid), 1, 10, stake) for uid, stake in enumerate(stakes))
    facts = Facts(1, account(99), RULES, nodes, rows, 10_000, 1_000 * number, 1_000 * (number + 1))
    return replace(facts, **changes)


def row(number: int, **weights: int) -> Row:
    told = tuple((int(name[1:]), weight) for name, weight in weights.items())
    return Row(told, 1_000 * number - 1)


@pytest.fixture(scope="module")
def built() -> tuple[Built, Built]:
    first = build(epoch(0, {}))
    rows = {0: row(1, u3=3, u4=1), 1: row(1, u3=3, u4=1), 2: row(1, u5=1)}
    second = build(epoch(1, rows), first)
    later = {0: row(2, u3=1, u4=1), 1: row(2, u3=1, u4=3)}
    return second, build(epoch(2, later), second)


def test_a_lone_voice_is_clipped(built: tuple[Built, Built]) -> None:
    told = explain(built[0], None, 5)
    assert (told.now.consensus, told.now.incentive, told.now.grains) == (0, 0, 0)
    alone = told.opinions[2]
    assert (alone.uid, alone.given, alone.weight, alone.counted, alone.clipped) == (
        2, 1, 1.0, 0.0, True,
    )  # fmt: skip
    assert [each.given for each in told.opinions[:2]] == [0, 0]
    assert "too little stake agrees" in told.notes[0]


def test_what_is_agreed_on_counts_and_the_rest_is_named(built: tuple[Built, Built]) -> None:
    now, before = built[1], built[0]
    told = explain(now, before, 4)
    assert told.before is not None
    assert [each.given for each in told.opinions] == [1, 3, None]
    assert [round(each.before or 0, 6) for each in told.opinions[:2]] == [0.25, 0.25]
    assert [each.clipped for each in told.opinions] == [False, True, False]
    assert any("validator uid 1 gave more than the consensus" in each for each in told.notes)
    assert told.now.consensus == now.columns[4].consensus / ONE
    validator = explain(now, before, 1)
    assert validator.now.trust == pytest.approx(0.75, abs=1e-4)
    assert validator.now.dividend_grains == now.cells[1].validator
    assert not explain(now, before, 2).opinions[2].stake


def test_who_came_late_and_who_holds_an_old_uid(built: tuple[Built, Built]) -> None:
    facts = built[1].facts
    nodes = list(facts.nodes)
    nodes[4] = replace(nodes[4], generation=2, registered=facts.opened + 5)
    told = explain(build(replace(facts, nodes=tuple(nodes)), built[0]), built[0], 4)
    assert told.before is None
    assert all(each.before is None for each in told.opinions)
    assert "came after validators uid 0, 1 committed" in " ".join(told.notes)
    assert "nobody held a permit" in explain(build(epoch(0, {})), None, 3).notes[0]
    assert (
        "no validator revealed"
        in explain(build(epoch(1, {}), build(epoch(0, {}))), None, 3).notes[0]
    )


def test_random_epochs_add_up() -> None:
    """Of all uids together: incentives are one or none, what each is paid is the budget."""
    for seed in range(20):
        subnet, past = Competition(Random(seed), 1, 10_000), None
        subnet.begin()
        for number in range(3):
            now = build(subnet.facts(number, number), past)
            all_told = [explain(now, past, uid) for uid in range(len(now.nodes))]
            total = sum(each.now.incentive for each in all_told)
            assert total == 0 or total == pytest.approx(1, abs=1e-6)
            paid = sum(each.now.grains for each in all_told)
            assert paid <= now.trace.emission
            for each in all_told:
                given = sum(o.stake * o.counted for o in each.opinions)
                assert given == pytest.approx(each.now.rank, abs=1e-6)
                assert each.to_json()["uid"] == each.uid
            past = now


def court(*, tip: int, final: int, roots: dict[int, Built], ended: int = 3) -> Court:
    """A court whose roots are given; others are false."""

    def root(position: int) -> Any:
        if position < 2:
            return None
        if position not in roots:
            raise IntegrityError("false", remedy="")
        built = roots[position]
        header = SimpleNamespace(since=position, epoch=position)
        return SimpleNamespace(header=header, bundle=SimpleNamespace(traces=(built,))), None

    def draft(_: int) -> Any:
        raise RefusedError("a budget is not fixed", remedy="")

    state = SimpleNamespace(tip=tip, final=final, next_epoch=tip + 1)
    made = SimpleNamespace(
        sync=lambda: None, state=lambda: state, root=root, draft=draft, ended=lambda: ended
    )
    return cast("Court", made)


def test_the_newest_true_root_is_told_of(built: tuple[Built, Built]) -> None:
    found = cast("Found", SimpleNamespace(id=1, name="digits"))
    roots = {2: built[0], 3: built[1]}
    told = newest(court(tip=3, final=2, roots=roots), found)
    assert (told.epoch, told.state, told.past) == (3, OPEN, built[0])
    told = newest(court(tip=3, final=3, roots=roots), found)
    assert told.state == FINAL
    told = newest(court(tip=3, final=2, roots={2: built[0]}), found)
    assert (told.epoch, told.state, told.past) == (2, FINAL, None)
    other = cast("Found", SimpleNamespace(id=2, name="words"))
    with pytest.raises(NotFoundError, match="no epoch of words"):
        newest(court(tip=3, final=3, roots=roots), other)
    draft = court(tip=1, final=1, roots={})
    fields = SimpleNamespace(since=0, epoch=2, bundle=SimpleNamespace(traces=(built[0],)))
    draft.draft = lambda _: fields  # type: ignore[method-assign, assignment, return-value]
    told = newest(draft, found)
    assert (told.state, told.epoch, told.past) == (RECKONED, 2, None)
    ahead = court(tip=2, final=2, roots={2: built[0]}, ended=4)
    fields = SimpleNamespace(since=3, epoch=3, bundle=SimpleNamespace(traces=(built[1],)))
    ahead.draft = lambda _: fields  # type: ignore[method-assign, assignment, return-value]
    told = newest(ahead, found)
    assert (told.state, told.since, told.past) == (RECKONED, 3, built[0])
    ahead.ended = lambda: 3  # type: ignore[method-assign]
    assert newest(ahead, found).state == FINAL

"""Roots reckoned from the chain alone: old epochs, changed holders, void roots, cold starts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from contracts.subnets import RULES
from contracts.world import carol
from freehold.audit import competing
from freehold.audit.competing import Court, FalseRootError, header_hash, named
from freehold.domain.errors import NotFoundError, RefusedError, UnavailableError
from freehold.domain.ids import address
from freehold.economics.trees import GRAIN
from freehold.ledger.contracts.subnet import SPAN_MAX
from freehold.markets.models.trace.claims import Claim
from unit.node.judging.arena import Scene, with_accounts


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A full subnet of eight with three honest roots, of four that it may have."""
    made = Scene(tmp_path, seats=8)
    made.grant()
    for _ in range(3):
        made.play()
        made.accept()
    return made


def cold(scene: Scene) -> Court:
    """A court that remembers nothing."""
    made = Court(scene.ledger(carol))
    made.sync()
    return made


def test_a_cold_court_finds_the_same(scene: Scene) -> None:
    for position in (4, 2, 3):
        found, known = cold(scene).root(position), scene.court.root(position)
        assert found is not None
        assert known is not None
        assert found[1].bundle.batch == known[1].bundle.batch
        assert found[1].is_in(found[0].header)
    assert cold(scene).root(1) is None
    assert cold(scene).judge(4) is None


def test_it_remembers_few_roots(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(competing, "KEPT", 1)
    court = cold(scene)
    for position in (4, 2, 4):
        assert court.root(position) is not None
        assert len(court._memory.roots) == 1


def test_who_held_a_uid_at_the_end_counts(scene: Scene) -> None:
    """A newcomer takes the uid of the worst after an epoch's end; the epoch stays what it was."""
    arena, ledger = scene.field.arena, scene.ledger(carol)
    before = cold(scene).facts(1, 2, 2)
    word, _ = ledger.disputes.prune_list(1)
    worst = word >> 240
    newcomer = arena.node("newcomer")
    assert arena.enter(1, newcomer).value == worst
    assert cold(scene).facts(1, 2, 2) == before
    arena.next()
    ledger.subnet.close_epoch(3)
    now = cold(scene).facts(1, 3, 3)
    assert (now.nodes[worst].generation, now.nodes[worst].account) == (
        2, address(newcomer.address),
    )  # fmt: skip
    assert cold(scene).facts(1, 2, 2) == before


def test_uids_that_nobody_held_yet_are_left_out(scene: Scene) -> None:
    made = Scene(scene.folder / "other", seats=140)
    arena = made.field.arena
    many = [arena.node(f"more {k}") for k in range(130)]
    for each in many[:125]:
        arena.enter(1, each)
    arena.next()
    for each in many[125:]:
        arena.enter(1, each)
    made.ledger(carol).subnet.close_epoch(0)
    facts = cold(made).facts(1, 0, 0)
    assert len(facts.nodes) == 133
    assert facts.nodes[132].account == address(many[124].address)
    arena.next()
    made.ledger(carol).subnet.close_epoch(1)
    assert len(cold(made).facts(1, 0, 1).nodes) == 138
    assert cold(made).facts(1, 0, 0) == facts


def test_a_void_root_is_passed_over(scene: Scene) -> None:
    scene.play()
    scene.proposer().step()
    draft = scene.court.draft(3)
    somebody = max(draft.earned, key=lambda each: draft.earned[each])
    moved = {somebody: draft.earned[somebody] - 5, address(carol.address): 5}
    scene.lie(with_accounts(draft, dict(draft.earned) | moved))
    false = scene.court.header(5)
    assert false is not None
    with pytest.raises(FalseRootError):
        cold(scene).root(5)
    finding = cold(scene).judge(5, leaves=scene.desk.shelf.leaves(3))
    assert finding is not None
    assert finding.name.startswith("growth of account ")
    scene.challenger().step()
    assert cold(scene).position(3) is None
    with pytest.raises(NotFoundError):
        cold(scene).known(bytes(32))
    assert cold(scene).known(header_hash(false)) == false
    scene.town.watch.world.fund(false.proposer.lower(), scene.field.court.market.bond() + 10**22)
    made = scene.proposer(most_bond=10**23)
    made.step()
    scene.sign()
    made.step()
    again = cold(scene)
    assert again.judge(5) is None
    assert again.position(3) == 5


def test_what_is_not_known_yet_is_refused(scene: Scene) -> None:
    scene.play()
    with pytest.raises(RefusedError, match="not closed"):
        cold(scene).draft(3)
    scene.town.index.log[:] = [each for each in scene.town.index.log if each.name != "Revealed"]
    with pytest.raises(UnavailableError, match="uid 0 in subnet 1, epoch 2, are not in the index"):
        cold(scene).facts(1, 2, 2)
    with pytest.raises(NotFoundError):
        cold(scene).standing(9)


def test_of_a_long_span_the_last_epochs_count(scene: Scene) -> None:
    """As the contract reckons, which adds up no more."""
    arena, ledger = scene.field.arena, scene.ledger(carol)
    arena.next(SPAN_MAX + 2)
    for epoch in cold(scene).reader.unclosed(0, 5):
        ledger.subnet.close_epoch(epoch)
    told = {first: ledger.subnet.budget(1, first, SPAN_MAX) // GRAIN for first in (1, 2)}
    assert told[1] > told[2] > 0
    found = cold(scene).reader
    assert found.budget(1, 1, SPAN_MAX) == found.budget(1, 0, SPAN_MAX) == told[1]
    assert found.budget(1, 0, SPAN_MAX + 1) == ledger.subnet.budget(1, 2, SPAN_MAX + 1) // GRAIN


def test_a_subnet_counts_from_the_epoch_in_which_it_was_created(scene: Scene) -> None:
    running = scene.field.arena.epoch
    scene.field.arena.create("letters", rules=asdict(RULES))
    found = cold(scene).reader
    assert [found.count(epoch) for epoch in (0, running - 1, running, running + 5)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (Claim("batch"), "batch"),
        (Claim("order", index=3), "order of place 3"),
        (Claim("dividend_totals", 1), "dividend totals of subnet 2"),
        (Claim("permit", 0, -1, 7), "permit of subnet 1, uid 7"),
        (Claim("pay", 2, 4), "pay of subnet 3, place 4"),
    ],
)
def test_claims_have_names(claim: Claim, words: str) -> None:
    assert named(claim) == words

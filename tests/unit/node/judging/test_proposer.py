"""Epochs on the real contracts: an honest proposer gets its roots through, whatever befalls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.evm import Reverted
from contracts.subnets import BOND
from contracts.world import carol
from freehold.audit.competing import Draft, FalseRootError
from freehold.audit.competing import told as asking
from freehold.audit.competing_openings import BATCH, LEAF, PAY, TRACE, WEIGHTS
from freehold.domain.files import write_whole
from freehold.domain.ids import address
from freehold.ledger.contracts.roots import header_words
from freehold.node.judging import shelf
from freehold.node.judging.proposer import Proposer
from unit.node.judging.arena import PROPOSER, CourtLedger, Scene, with_accounts


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.grant()
    return made


def test_honest_roots_become_final_epoch_after_epoch(scene: Scene) -> None:
    for turn in range(3):
        scene.play()
        scene.accept()
        state = scene.court.state()
        assert (state.final, state.tip) == (turn + 2, turn + 2)
        scene.challenger().step()
    found = scene.court.root(4)
    assert found is not None
    assert len(found[0].bundle.traces[0].members) == 3
    assert scene.count("disprove") == scene.count("demand") == 0
    assert scene.bond() == BOND


def test_a_full_subnet_hears_who_has_to_go(tmp_path: Path) -> None:
    scene = Scene(tmp_path, seats=8)
    scene.grant()
    for _ in range(2):
        scene.play()
        scene.accept()
    ledger = scene.ledger(carol)
    word, ended = ledger.disputes.prune_list(scene.field.id)
    root = scene.court.root(3)
    assert root is not None
    assert word == root[0].bundle.traces[0].trace.prune
    assert ended == scene.court.calendar.begin(2)
    assert scene.count("settle") == 2


def test_what_the_proposer_earned_is_claimed(scene: Scene) -> None:
    scene.play()
    scene.accept()
    root = scene.court.root(2)
    assert root is not None
    leaf = root[0].tree.leaf(0)
    made = scene.proposer()
    made._account = leaf.account
    made._conclude(scene.court.state())
    assert scene.ledger(carol).prizes.claimed(leaf.account) == leaf.grains


def test_an_epoch_without_money_is_covered_by_the_next_root(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.field.arena.next()
    scene.proposer().step()
    assert scene.court.state().next_epoch == 0
    # Registrations of epoch 0 burned something: its root must come first.
    scene.sign()
    scene.proposer().step()
    assert scene.court.state().next_epoch == 1
    scene.field.arena.next(3)
    before = scene.count("close_epoch")
    scene.proposer().step()
    assert scene.desk.listing()["waiting"] is None
    assert scene.count("close_epoch") == before  # nothing to close there
    scene.grant(1)
    for uid in range(3):
        scene.field.arena.subnet.send("record", 1, uid, sender=carol.address)
    scene.field.arena.next()
    scene.pass_window()
    scene.accept()
    header = scene.court.header(3)
    assert header is not None
    assert (header.since, header.epoch) == (1, 4)


def test_no_more_is_posted_than_was_allowed(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.play()
    scene.proposer(most_bond=BOND - 1).step()
    scene.sign()
    scene.proposer(most_bond=BOND - 1).step()
    assert (scene.bond(), scene.court.state().tip) == (0, 1)
    assert caplog.records[-1].__dict__["fields"]["lacking"] == BOND
    scene.proposer(most_bond=BOND).step()
    assert (scene.bond(), scene.court.state().tip) == (BOND, 2)


def test_a_lacking_bond_is_said_once_an_epoch(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.play()
    made = scene.proposer(most_bond=BOND - 1)
    made.step()
    scene.sign()
    for turn in (1, 2):
        for _ in range(3):
            made.step()
        assert sum(record.message == "no bond" for record in caplog.records) == turn
        scene.field.arena.next()
    assert "Allow the bond" in caplog.records[-1].__dict__["fields"]["remedy"]


def test_a_root_with_a_late_answer_waits(scene: Scene) -> None:
    """What the chain would refuse is not sent."""
    scene.play()
    scene.proposer().step()
    scene.sign()
    scene.proposer().step()
    scene.town.chain.warp_to(until(scene) - 5)
    demand(scene, BATCH, 0)
    scene.town.chain.warp_to(until(scene) + 1)
    for _ in range(2):
        scene.proposer().step()
    assert (scene.count("answer"), scene.count("finalize")) == (1, 0)
    assert scene.court.state().final == 1
    scene.town.chain.warp(299)
    scene.proposer().step()
    assert not any(name == "finalize" for name, _ in scene.town.refused)
    scene.town.chain.warp(10)
    scene.proposer().step()
    assert scene.court.state().final == 2


def test_a_flood_of_demands_is_answered_at_once(scene: Scene) -> None:
    scene.play()
    scene.proposer().step()
    scene.sign()
    scene.proposer().step()
    for index in range(300):
        demand(scene, (BATCH, TRACE, LEAF, WEIGHTS, PAY)[index % 5], index % 9)
    scene.proposer().step()
    assert scene.count("answer") == 300
    header = scene.court.header(2)
    assert header is not None
    assert not scene.proposer()._held(header)
    told = [e.number("id") for e in scene.town.index.events("disputes", "Answered")]
    assert told == sorted(told)


def demand(scene: Scene, kind: int, index: int) -> None:
    header, price = scene.court.header(2), 250_000 * 10**9
    assert header is not None
    scene.town.chain.give_ether(carol.address, price)
    told = (header_words(asking(header)), kind, 0, index)
    scene.ledger(carol).send("disputes", "demand", told, value=price)


def test_a_list_that_is_used_up_is_renewed(tmp_path: Path) -> None:
    """Newcomers of a full subnet need another root, even where there is nothing to pay."""
    scene = Scene(tmp_path, seats=8)
    scene.grant(2)
    for _ in range(2):
        scene.play()
        scene.accept()
    arena, world = scene.field.arena, scene.field.arena.world
    # What newcomers burn backs nothing from now on.
    world.setup(world.token, "set_minter", arena.issuance.address, False)
    before = scene.court.state()
    for turn in range(8):
        arena.enter(scene.field.id, arena.node(f"newcomer {turn}"))
    one_more = arena.node("one more")
    with pytest.raises(Reverted, match="full for now"):
        arena.enter(scene.field.id, one_more)
    arena.next()
    scene.accept()
    after = scene.court.state()
    assert (before.final, after.final, after.next_epoch) == (3, 4, 3)
    assert after.tip_total == before.tip_total
    # Once they are not immune any more. Other names are left: no root for the empty epochs.
    arena.chain.warp(1_500)
    arena.enter(scene.field.id, arena.node("late"))
    arena.next()
    scene.accept()
    assert scene.court.state() == after


def test_a_bond_that_was_lost_is_not_posted_again(scene: Scene) -> None:
    scene.play()
    scene.proposer().step()
    scene.lie(stolen(scene.court.draft(0)))
    scene.challenger().step()
    assert scene.bond() == 0
    scene.town.watch.world.fund(PROPOSER.address, BOND)
    scene.proposer().step()
    scene.sign()
    scene.proposer().step()
    assert scene.court.state().tip == 1
    scene.proposer(most_bond=2 * BOND).step()
    assert scene.court.state().tip == 2


def stolen(draft: Draft) -> Draft:
    """Carol has grains of somebody."""
    somebody = max(draft.earned, key=lambda each: draft.earned[each])
    moved = {somebody: draft.earned[somebody] - 5, address(carol.address): 5}
    return with_accounts(draft, dict(draft.earned) | moved)


def test_nothing_is_put_on_a_false_root(scene: Scene) -> None:
    scene.play()
    scene.proposer().step()
    scene.lie(stolen(scene.court.draft(0)))
    scene.play()
    with pytest.raises(FalseRootError, match="epoch 0"):
        scene.proposer().step()
    scene.sign()
    assert scene.court.state().tip == 2


# A process that dies


def dying(at: int, *, after: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Lets a call go through only so often, counted over all that are wrapped with it."""
    left = [at]

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*told: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Killed
            found = call(*told, **more)
            if left[0] == 0:
                raise Killed
            return found

        return counted

    return wrap


@pytest.mark.parametrize("after", [False, True])
def test_a_proposer_that_dies_anywhere_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    """At every write to the disk and every transaction of an epoch, before and behind it."""
    scene = Scene(tmp_path, seats=8)
    scene.grant()
    scene.play()
    send = CourtLedger.send
    deaths = 0
    for at in range(1, 20):
        wrap = dying(at, after=after)
        with scene.town.chain.anchor():
            log = list(scene.town.index.log)
            monkeypatch.setattr(CourtLedger, "send", wrap(send))
            monkeypatch.setattr(shelf, "write_whole", wrap(write_whole))
            for _ in range(6):
                deaths += _killed(scene.proposer())
                if scene.court.state().tip == 1:
                    _killed_sign(scene)
                elif scene.town.chain.now <= until(scene):
                    scene.pass_window()
            assert scene.court.state().final == 2
            assert scene.bond() == BOND
            assert scene.desk.shelf.trace(0) == scene.court.standing(2).own.file()
            scene.town.index.log[:] = log
        for file in (tmp_path / "traces").iterdir():
            file.unlink()
    assert deaths >= 8


def until(scene: Scene) -> int:
    header = scene.court.header(2)
    return header.until if header else 0


def _killed(proposer: Proposer) -> int:
    try:
        proposer.step()
    except Killed:
        return 1
    return 0


def _killed_sign(scene: Scene) -> None:
    try:
        for each in scene.cosigners:
            each._again.clear()
        scene.sign()
    except Killed:
        """The proposer died while it took a signature."""

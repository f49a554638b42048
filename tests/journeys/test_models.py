"""The model market with real processes: eight model nodes and three validators over ten epochs, and
a proposer that lies when nobody holds a power any more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from freehold.audit.competing import Court
from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.economics.trees import GRAIN
from freehold.markets.models.trace.built import Built
from freehold.node.validator.book import Mark, Shelf
from journeys.competition import (
    BAD,
    BOND,
    GOOD,
    JUDGES,
    MODELS,
    MORTAL,
    NAME,
    THIEF,
    Contest,
    Visitor,
    open_contest,
    visitor,
)
from journeys.court import NOBODY
from journeys.field import wait_for
from journeys.liar import lie

pytestmark = pytest.mark.journey
EPOCHS, DEATH = 10, 5
SURVIVOR = GOOD[-1]


def test_the_good_earn_and_a_liar_loses_its_bond(tmp_path: Path) -> None:
    with open_contest(tmp_path / "home") as contest:
        try:
            _story(contest)
        except BaseException:
            print(contest.tails())
            raise


def _story(contest: Contest) -> None:
    open_up(contest, GOOD[0])
    with visitor(contest) as guest:
        start(contest)
        compete(contest, guest)
        judged(contest)
        survive(contest, guest)
    last = settled(contest)
    paid(contest, last)
    verified(contest)
    dethroned(contest)


def open_up(contest: Contest, name: str) -> None:
    """The first node serves, and the ledger says where."""
    contest.serve(name)
    contest.ready(name)
    registry, node = contest.founder.registry, contest.entrants[name].node
    wait_for(f"{name} is announced", lambda: registry.node(node).endpoint != "")


def start(contest: Contest) -> None:
    """Everybody serves; the first validator proposes who is paid, two of three watchers look."""
    for name in MODELS:
        if not contest.runs(name):
            contest.serve(name)
    for name in JUDGES:
        contest.validate(name, propose=BOND if name == JUDGES[0] else 0)
    for name in ("watcher-1", "watcher-2"):
        contest.watch(name)
    contest.ready(*MODELS, *JUDGES, "watcher-1", "watcher-2")


def compete(contest: Contest, guest: Visitor) -> None:
    """Ten epochs; a good node dies half-way."""
    for turn in range(EPOCHS):
        contest.live() if turn else contest.begin()
        guest.ranking.refresh()
        if turn + 1 == DEATH:
            contest.kill(MORTAL)
    ranked = {each.node: each.score for each in guest.ranking.candidates(NAME)}
    # Themes move the good by a sixth from epoch to epoch; the others stay at nothing.
    assert min(ranked[contest.entrants[name].node] for name in GOOD) > 0.5
    assert [ranked[contest.entrants[name].node] for name in (*BAD, THIEF)] == [0, 0, 0]


def survive(contest: Contest, guest: Visitor) -> None:
    """All good nodes but one die, and whoever asks does not notice."""
    for name in GOOD[:-1]:
        contest.kill(name)
    before = len(guest.answers)
    wait_for("twenty more are answered", lambda: len(guest.answers) > before + 20)
    assert guest.failed == []
    late = Counter(node for node, _ in guest.answers[before + 1 :])
    assert late.most_common(1)[0][0] == contest.entrants[SURVIVOR].node
    good = {contest.entrants[name].node for name in (*GOOD, MORTAL)}
    middle = guest.answers[before // 2 : before]
    assert sum(node in good for node, _ in middle) > 0.8 * len(middle)
    assert np.mean([right for _, right in middle]) > 0.7


def settled(contest: Contest) -> int:
    """Time goes on until the root of the last full epoch is final; that epoch."""
    last, prizes = contest.epoch() - 1, contest.founder.prizes
    wait_for(f"epoch {last} is proposed", lambda: prizes.state().next_epoch > last)
    tip = prizes.state().tip
    contest.live()
    wait_for(f"epoch {last} is final", lambda: prizes.state().final >= tip)
    assert prizes.final_root(last) != 0
    return last


def court_of(contest: Contest) -> Court:
    court = Court(contest.founder)
    court.sync()
    return court


def paid(contest: Contest, last: int) -> None:
    """Whoever claims is paid what ten epochs came to; the bad have nothing to claim."""
    ledger, court = contest.founder, court_of(contest)
    found = court.root(court.state().final)
    assert found is not None
    root, draft = found
    assert root.header.epoch >= last
    for index in range(root.tree.count):
        leaf = root.tree.leaf(index)
        if leaf.grains > ledger.prizes.claimed(Address(leaf.account)):
            ledger.prizes.claim(
                root.header.epoch, leaf.account, leaf.grains, index, root.tree.path(index)
            )
    got = {name: ledger.token.balance_of(contest.entrants[name].node) for name in MODELS}
    for name in (*GOOD, MORTAL):
        assert got[name] == draft.earned[contest.entrants[name].node] * GRAIN > 0
    assert [got[name] for name in (*BAD, THIEF)] == [0, 0, 0]
    assert got[MORTAL] < min(got[name] for name in GOOD)
    trace = root.bundle.traces[contest.subnet - 1]
    assert _earning(contest, trace) == set(GOOD), "who is dead earns no more"


def _earning(contest: Contest, trace: Built) -> set[str]:
    return {name for name in MODELS if trace.grains(contest.entrants[name].uid)}


def judged(contest: Contest) -> None:
    """What validators hold against those who earned nothing."""
    for judge in JUDGES:
        marks = _marks(contest, judge)
        assert marks[THIEF].copy_of == contest.entrants[GOOD[0]].uid
        assert marks["random"].answered > 0
        assert marks["random"].score == 0
        assert marks["garbage"].answered == 0
        assert marks[MORTAL].standing == 0


def _marks(contest: Contest, judge: str) -> Mapping[str, Mark]:
    folder = contest.entrants[judge].folder
    book = Shelf(folder, network=contest.network.network_id, subnet=contest.subnet).book
    uids = {entrant.uid: name for name, entrant in contest.entrants.items()}
    return {uids[mark.uid]: mark for mark in book.marks}


def verified(contest: Contest) -> None:
    """`freehold verify --subnet` finds the same ranking by itself."""
    told = subnet_verdict(contest)
    root, ranking = told["root"], told["ranking"]
    assert isinstance(root, dict)
    assert isinstance(ranking, list)
    assert (root["same"], told["first_false"]) == (True, None)
    earning = {each["node"] for each in ranking if each["incentive"]}
    assert earning <= {contest.entrants[name].node for name in GOOD}


def subnet_verdict(contest: Contest) -> Mapping[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "freehold.cli", "verify", "--subnet", NAME, "--json",
         "--home", str(contest.home.root)],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert isinstance(found, dict), done.stderr
    return found


def dethroned(contest: Contest) -> None:
    """The proposer has a good node's pay go to the copier, and two of three watchers sign that. The
    third one's process sees it; the next proposer goes on from the truth."""
    ledger = contest.founder
    contracts = {*contest.network.contracts.values(), NOBODY}
    assert {power.holder for power in ledger.governor.powers()} <= contracts
    with pytest.raises(RefusedError):
        ledger.governor.pause(ledger.prizes.address)
    for name in (JUDGES[0], "watcher-2"):
        contest.stop(name)
    before = ledger.prizes.state()
    contest.enter(contest.epoch() + 1)
    liar, honest = contest.entrants[JUDGES[0]].node, contest.entrants["watcher-1"].node
    assert ledger.prizes.bond_of(liar).amount == BOND
    with lie(contest, by=JUDGES[0], signers=("watcher-2", "watcher-3")):
        wait_for("the bond is lost", lambda: ledger.prizes.bond_of(liar).amount == 0)
    assert ledger.prizes.state() == before
    assert ledger.token.balance_of(honest) == BOND * 3_000 // 10_000
    ledger.index.sync()
    assert len(ledger.index.events("disputes", "Disproved", limit=10)) == 1
    (void,) = ledger.index.events("prizes", "Voided", limit=10)
    assert void.address("winner") == honest
    goes_on(contest, before.next_epoch)


def goes_on(contest: Contest, epoch: int) -> None:
    """Another validator proposes, and the truth becomes final."""
    ledger, heir = contest.founder, JUDGES[1]
    ledger.token.transfer(contest.entrants[heir].node, BOND)
    contest.stop(heir)
    contest.validate(heir, propose=BOND)
    contest.watch("watcher-2")
    contest.ready(heir)
    prizes = ledger.prizes
    wait_for(f"epoch {epoch} is proposed again", lambda: prizes.state().next_epoch > epoch)
    tip = prizes.state().tip
    contest.enter(contest.epoch() + 2)
    wait_for(f"epoch {epoch} is final", lambda: prizes.state().final >= tip)
    found = court_of(contest).root(prizes.state().final)
    assert found is not None
    assert contest.entrants[THIEF].node not in found[1].earned

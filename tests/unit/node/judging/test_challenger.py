"""Proposers that lie, with watchers who signed it: whoever looks makes the root void."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from random import Random

import pytest

from contracts.cheating import LIES, growth_lies, pay_lies
from contracts.roots import Forged
from contracts.subnets import BOND
from contracts.world import carol, mallory
from freehold.audit import competing_leaves
from freehold.audit.competing import Draft
from freehold.audit.competing_openings import BATCH, opening
from freehold.domain.errors import RefusedError, UnavailableError
from freehold.domain.ids import address
from freehold.economics.trees import GRAIN
from freehold.ledger.verdicts import unsettled
from freehold.markets.models.trace.batch import Bundle, bundle, grown
from freehold.markets.models.trace.served import read, serve
from freehold.node.settling import _settle, settle
from unit.node.judging.arena import PROPOSER, Scene, with_accounts

THIEF = address(mallory.address)
KINDS = ("node", "permits", "members", "weights_of", "column", "bond", "emission", "cell", "prune")


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Two honest roots, and a third epoch that has ended."""
    made = Scene(tmp_path_factory.mktemp("judging"))
    made.grant()
    for _ in range(2):
        made.play()
        made.accept()
    made.play()
    made.proposer().step()
    # Room for lies that pay more than there is, which the roots refuse by themselves.
    made.field.court.market.fund(10 * GRAIN)
    return made


@pytest.fixture
def scene(arena: Scene) -> Iterator[Scene]:
    """As often as it is asked for."""
    with again(arena):
        yield arena


@contextmanager
def again(arena: Scene) -> Iterator[None]:
    """Undo what is done meanwhile."""
    log, sent = list(arena.town.index.log), list(arena.town.sent)
    files = {file: file.read_bytes() for file in (arena.folder / "traces").iterdir()}
    with arena.town.chain.anchor():
        yield
    arena.town.index.log[:], arena.town.sent[:] = log, sent
    # Blocks come again that the court has read already.
    arena.court._read = 0
    for file in (arena.folder / "traces").iterdir():
        file.unlink()
    for file, data in files.items():
        file.write_bytes(data)
    arena.source.hidden.clear()
    for each in arena.cosigners:
        each._again.clear()


def honest(scene: Scene) -> Draft:
    return scene.court.draft(scene.court.state().next_epoch)


def saying(scene: Scene, told: Bundle) -> Draft:
    """A draft over a batch, with the accounts that follow from it."""
    past = scene.court.root(scene.court.state().tip)
    assert past is not None
    draft = replace(honest(scene), bundle=told)
    return with_accounts(draft, grown(past[1].earned, told.pays))


def lied(scene: Scene, part: str) -> Draft:
    """A draft that tells one part wrong, and everything else as it follows from that."""
    draft = honest(scene)
    past = scene.court.root(scene.court.state().tip)
    assert past is not None
    (lie,) = (each for each in LIES if each.part == part)
    before = past[0].bundle.traces[0]
    facts = scene.court.facts(1, draft.since, draft.epoch)
    told = bundle([lie.told(Random(3), facts, before).built()])
    assert told.batch != draft.bundle.batch
    return saying(scene, told)


def lost(scene: Scene) -> None:
    """The root is void, the bond gone, Carol has her part."""
    event = scene.town.index.last("prizes", "BondLost")
    assert event is not None
    assert event.address("proposer").lower() == PROPOSER.address
    assert event.address("winner").lower() == carol.address
    state = scene.court.state()
    assert (state.tip, state.unsettled) == (3, 0)
    assert scene.bond() == 0
    assert scene.field.arena.world.balance(carol.address) == BOND * 3_000 // 10_000


@pytest.mark.parametrize("part", KINDS)
def test_a_lie_is_disproved_in_one_transaction(scene: Scene, part: str) -> None:
    scene.lie(lied(scene, part))
    scene.challenger().step()
    assert scene.count("disprove") == 1
    lost(scene)
    scene.challenger().step()
    assert scene.count("disprove") == 1


def test_whoever_comes_next_settles(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A challenger stops between the verdict and the bond: its own next start takes it, or whoever
    wants to propose; for the one who won it."""
    scene.lie(lied(scene, "column"))
    scene.challenger()._act()
    assert (scene.count("disprove"), scene.count("settle")) == (1, 0)
    assert (scene.bond(), scene.court.state().unsettled) == (BOND, 1)
    for after in (scene.challenger, scene.proposer):
        with again(scene):
            after().step()
            assert scene.count("settle") == 1
            lost(scene)
            after().step()
            assert scene.count("settle") == 1
    # Who is late finds it settled, and goes on.
    (waiting,) = unsettled(scene.ledger(carol).index, scene.ledger(carol).prizes)
    scene.ledger(mallory).prizes.settle(waiting.header, waiting.winner)
    assert not _settle(scene.ledger(carol).prizes, waiting)
    assert "not settled" in caplog.messages
    lost(scene)


def test_what_a_challenger_cannot_judge_holds_up_no_bond(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it fails at the rest at every step."""
    scene.lie(lied(scene, "column"))
    scene.challenger()._act()

    def fail() -> None:
        raise UnavailableError("nothing can be read", remedy="-")

    challenger = scene.challenger()
    monkeypatch.setattr(challenger, "_act", fail)
    with pytest.raises(UnavailableError):
        challenger.step()
    lost(scene)


def test_verdicts_that_wait_are_found_among_roots_that_came_again(scene: Scene) -> None:
    """Two on roots at the same place, one settled; the newer one is what waits."""
    prizes, index = scene.ledger(carol).prizes, scene.ledger(carol).index
    scene.lie(lied(scene, "column"))
    scene.challenger().step()
    assert unsettled(index, prizes) == []
    scene.town.chain.warp(1)
    scene.field.court.market.post(BOND, by=PROPOSER)
    scene.lie(lied(scene, "bond"))
    scene.challenger()._act()
    (waiting,) = unsettled(index, prizes)
    assert waiting.winner.lower() == carol.address
    assert waiting.header.verdict(waiting.winner) == prizes.stands(waiting.header.position)
    assert settle(scene.ledger(mallory), prizes) == 1
    assert unsettled(index, prizes) == []
    assert scene.town.chain.ether(mallory.address) == 0


def test_watchers_who_reckon_do_not_sign_it(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    told = lied(scene, "column")
    (scene.folder / "traces" / f"{told.epoch}.trace").write_bytes(told.file())
    scene.sign()
    offer = scene.desk.shelf.offer(told.epoch)
    assert offer is not None
    assert scene.desk.signed(offer) == []
    reasons = [record.__dict__["fields"]["reason"] for record in caplog.records]
    assert reasons[0].startswith("what is offered differs: column of subnet 1, uid ")


def test_wrong_payments_are_disproved(scene: Scene) -> None:
    kinds: dict[str, Bundle] = {}
    for kind, told in pay_lies(honest(scene).bundle, Random(2), THIEF):
        kinds.setdefault(kind, told)
    for told in kinds.values():
        with again(scene):
            scene.lie(saying(scene, told))
            scene.challenger().step()
            lost(scene)


def test_wrong_accounts_are_disproved(scene: Scene) -> None:
    draft = honest(scene)
    past = scene.court.root(scene.court.state().tip)
    assert past is not None
    for earned in growth_lies(past[1].earned, draft.bundle, Random(5), THIEF):
        with again(scene):
            scene.lie(with_accounts(draft, earned))
            scene.challenger().step()
            lost(scene)


# What is kept back


def until_void(scene: Scene, *, answers: bool) -> int:
    """Steps until the root is void."""
    for turn in range(60):
        if scene.court.state().tip == 3:
            return turn
        scene.challenger().step()
        if answers:
            scene.proposer()._defend(scene.court.state())
        else:
            scene.town.chain.warp(301)
    pytest.fail("the root still stands")


def test_silence_makes_a_root_void(scene: Scene) -> None:
    scene.lie(lied(scene, "column"))
    scene.source.hidden |= {"trace", "leaves"}
    assert until_void(scene, answers=False) == 2
    assert (scene.count("demand"), scene.count("expire")) == (2, 2)
    lost(scene)


@pytest.mark.parametrize("places", [1, 63])
@pytest.mark.parametrize("part", [each.part for each in LIES])
def test_a_proposer_who_answers_only_on_the_chain_loses_too(
    scene: Scene, part: str, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(competing_leaves, "SPREAD", places)
    scene.lie(lied(scene, part))
    scene.source.hidden |= {"trace", "leaves"}
    until_void(scene, answers=True)
    assert scene.count("disprove") == 1
    assert scene.count("answer") == scene.count("demand") > 1
    lost(scene)


def test_hidden_accounts_are_found_by_halves(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(competing_leaves, "SPREAD", 1)
    draft = honest(scene)
    past = scene.court.root(scene.court.state().tip)
    assert past is not None
    for earned in growth_lies(past[1].earned, draft.bundle, Random(5), THIEF):
        with again(scene):
            scene.source.hidden |= {"leaves"}
            before = scene.count("demand")
            scene.lie(with_accounts(draft, earned))
            until_void(scene, answers=True)
            assert scene.count("demand") - before <= draft.count.bit_length() + 1
            lost(scene)


def test_a_served_file_of_something_else_is_as_good_as_none(scene: Scene) -> None:
    told = lied(scene, "column")
    scene.lie(told, file=serve(honest(scene).bundle), leaves=b"\x00" * 28)
    scene.challenger().step()
    assert scene.count("demand") == 2


def test_a_true_root_stands_whatever_is_served(scene: Scene) -> None:
    scene.sign()
    scene.proposer().step()
    scene.source.hidden |= {"trace", "leaves"}
    scene.challenger().step()
    scene.pass_window()
    scene.proposer().step()
    assert scene.court.state().final == 4
    assert scene.count("demand") == scene.count("disprove") == 0


# Trees that are none


def fight(scene: Scene, forged: Forged) -> None:
    """A proposer over the true batch that answers what it can with its own tree, until it lost."""
    draft, ledger = honest(scene), scene.ledger(PROPOSER)
    scene.source.hidden |= {"leaves"}
    scene.put_down(draft.epoch, forged.root, forged.count, draft.data)
    header = scene.court.header(4)
    assert header is not None
    for _ in range(40):
        scene.challenger().step()
        if scene.court.state().tip == 3:
            return
        for event in scene.town.index.events("prizes", "Demanded"):
            with suppress(RefusedError, IndexError):
                proof = forged.proof(event.number("index"))
                ledger.send("prizes", "answer", (event.number("id"), header.words(), proof))
        scene.town.chain.warp(150)
    pytest.fail("the root still stands")


@pytest.mark.parametrize(
    "kind", ["more", "fewer", "twice", "again", "disorder", "sum", "leaf", "behind", "missing"]
)
def test_a_tree_that_is_none_falls(scene: Scene, kind: str) -> None:
    true = honest(scene).tree
    assert true is not None
    pairs = [(each.account.lower(), each.grains) for each in map(true.leaf, range(true.count))]
    first, second, *rest = pairs
    scene.field.court.market.fund(10**12)
    grains = first[1]
    forged = {
        "more": Forged(pairs, claimed_count=len(pairs) + 1),
        "fewer": Forged(pairs, claimed_count=len(pairs) - 1),
        "twice": Forged([(first[0], grains - 4), (first[0], 4), second, *rest]),
        "again": Forged([first, first, second, *rest]),
        "disorder": Forged([second, first, *rest]),
        "sum": Forged([(first[0], grains - 4), second, *rest], lies={(1, 0): 4}),
        "leaf": Forged([(first[0], grains - 4), second, *rest], lies={(0, 0): 4}),
        "behind": Forged([*pairs[:-1], (pairs[-1][0], pairs[-1][1] - 4), ("0x" + "ff" * 20, 4)],
                         claimed_count=len(pairs)),
        "missing": Forged(pairs[:-1]),
    }[kind]  # fmt: skip
    fight(scene, forged)
    lost(scene)


def test_hidden_payments_are_found_by_halves(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(competing_leaves, "SPREAD", 1)
    # Room for all of it, of which the roots would refuse a part by themselves.
    scene.field.court.market.fund(10**12)
    for kind, told in pay_lies(honest(scene).bundle, Random(2), THIEF):
        with again(scene):
            before = scene.count("demand")
            scene.lie(saying(scene, told))
            scene.source.hidden |= {"trace", "leaves"}
            until_void(scene, answers=True)
            assert (kind, scene.count("disprove")) == (kind, 1)
            assert scene.count("demand") - before <= len(told.pays).bit_length() + 3
            lost(scene)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2}, {"cell_count": 2**33}, {"cell_count": 2**30}, {"cell_count": 1},
        {"subnet_count": 2}, {"subnet_count": 0}, {"subnet_count": 2**16 + 1},
    ],
)  # fmt: skip
def test_a_batch_of_impossible_numbers_falls(scene: Scene, changes: dict[str, int]) -> None:
    told = honest(scene).bundle
    batch = replace(told.batch, **changes)  # type: ignore[arg-type]
    scene.lie(saying(scene, replace(told, batch=batch)))
    scene.source.hidden |= {"leaves"}
    for _ in range(8):
        scene.challenger().step()
        if scene.court.state().tip == 3:
            break
        with suppress(Exception):  # what it serves is no batch: it cannot answer either
            scene.proposer()._defend(scene.court.state())
        answer_batch(scene, told, changes)
        scene.town.chain.warp(150)
    lost(scene)


def answer_batch(scene: Scene, told: Bundle, changes: dict[str, int]) -> None:
    """Answer what is demanded of the batch alone, which a cheat can."""
    header, batch = scene.court.header(4), replace(told.batch, **changes)  # type: ignore[arg-type]
    if header is None:
        return
    piece = list(opening(read(serve(told), told.batch.hash()), BATCH, 0, 0))
    piece[0] = (batch.words(), *piece[0][1:])  # type: ignore[index]
    for event in scene.town.index.events("disputes", "Demanded", where={"kind": BATCH}):
        with suppress(RefusedError):
            given = (event.number("id"), header.words(), piece)
            scene.ledger(PROPOSER).send("disputes", "answer", given)

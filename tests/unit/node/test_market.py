"""The node's side of a deal's life: accept, follow, prove, settle, finish, collect, leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from freehold.domain.errors import AccessError, ConflictError, IntegrityError, NotFoundError
from freehold.domain.keys import Key
from freehold.ledger.contracts.beacon import Round
from freehold.ledger.contracts.pdp import Spot
from freehold.ledger.contracts.storage import ACTIVE, ENDED, FINISHED
from freehold.markets.storage import proof
from freehold.markets.storage.piece import Piece, leaf_count
from freehold.node.acceptance import LATE
from freehold.node.announcer import Announcer
from freehold.node.collector import Collector
from freehold.node.keeper import Keeper
from freehold.node.leaving import LEFT
from freehold.node.refusals import QuarantinedError, QuotaError
from freehold.node.scrubber import Scrubber
from freehold.node.tls import Certificate
from freehold.node.treasury import ENDINGS_A_STEP
from unit.node.test_store import put
from unit.node.world import CLIENT, NODE, NOW, STRANGER, World, event, make

DATA = bytes(range(256)) * 1000


@pytest.fixture
def piece(world: World) -> Piece:
    return put(world, DATA)


def open_deal(world: World, piece: Piece, *, rail: int = 1, deal: int = 1) -> None:
    world.chain.open_column(
        deal=deal, slot=0, rail=rail, root=piece.root, size=piece.raw_size, height=piece.height
    )
    world.chain.payments.open_voucher(rail, CLIENT.address, collateral=0)
    world.chain.index.reached += 1
    world.node.follower.step()


def start_round(world: World, *spots: Spot) -> None:
    world.chain.beacon.rounds.append(Round(b"\x09" * 32, len(world.chain.beacon.rounds), NOW))
    world.chain.pdp.spots = list(spots)


def collector(world: World) -> Collector:
    node = world.node
    return Collector(
        node.store, node.uploads, node.acceptor, gate=node.gate, till=node.till,
        metrics=node.metrics, clock=world.clock, seen_until=lambda: node.follower.seen_until,
    )  # fmt: skip


# --- proving -------------------------------------------------------------------------------------


def test_rounds_are_answered_in_order_with_proofs_that_verify(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    leaves = [0, 7, leaf_count(piece) - 1]
    for _ in range(2):
        start_round(world, *(Spot(1, leaf) for leaf in leaves))
    world.node.answerer.step()
    assert [number for number, _ in world.chain.pdp.proven] == [0, 1]
    size = 32 * (1 + piece.height)
    packed = world.chain.pdp.proven[0][1]
    for i, leaf in enumerate(leaves):
        part = packed[i * size : (i + 1) * size]
        assert proof.verify(piece.root, piece.height, leaf, part)


def test_a_proof_does_not_read_the_piece_again(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    file = world.node.store.piece_file(piece.cid)
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1  # far from the leaf that is asked for
    file.write_bytes(whole)
    start_round(world, Spot(1, 0))
    world.node.answerer.step()
    assert len(world.chain.pdp.proven) == 1


def test_removals_are_rolled_before_a_proof(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.chain.pdp.due = 120
    start_round(world, Spot(1, 0))
    world.node.answerer.step()
    assert (world.chain.pdp.due, len(world.chain.pdp.proven)) == (0, 1)


def test_a_quiet_chain_is_asked_one_question(
    world: World, piece: Piece, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_deal(world, piece)
    start_round(world, Spot(1, 0))
    world.node.answerer.step()
    monkeypatch.setattr(world.chain.faults, "set_of", None)
    for _ in range(20):
        world.node.answerer.step()


def test_an_answer_that_a_reorganisation_undid_is_given_again(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    start_round(world, Spot(1, 0))
    world.node.answerer.step()
    world.chain.pdp.proven.clear()
    for _ in range(30):
        world.node.answerer.step()
    assert len(world.chain.pdp.proven) == 1


def test_damaged_bytes_are_not_proven_but_quarantined(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.node.store.piece_file(piece.cid).write_bytes(b"x" + DATA[1:])
    start_round(world, Spot(1, 0))
    with pytest.raises(IntegrityError, match="damaged"):
        world.node.answerer.step()
    assert world.chain.pdp.proven == []
    with pytest.raises(QuarantinedError):
        world.node.store.sound(piece.cid)


def test_a_piece_that_is_not_there_is_named(world: World) -> None:
    world.chain.pdp.pieces[1] = SimpleNamespace(root=b"\x01" * 32, height=9, removed=0)
    start_round(world, Spot(1, 0))
    with pytest.raises(NotFoundError, match="0x0101"):
        world.node.answerer.step()


def test_a_closed_set_is_left_alone(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.chain.pdp.closed = True
    start_round(world, Spot(1, 0))
    world.node.answerer.step()
    assert world.chain.pdp.proven == []


def test_a_spot_challenge_is_answered_once(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    late = NOW - 10**6  # the network stood still since: the answer is good until it is expired
    for number, deal, deadline in ((5, 1, NOW + 60), (6, 2, NOW + 60), (7, 1, late), (8, 1, late)):
        world.chain.index.log.append(
            event(
                "SpotChallenged", contract="faults", id=number, deal=deal, slot=0, leaf=3,
                deadline=deadline, prepaid=1,
            )
        )  # fmt: skip
    world.chain.index.log.append(event("SpotExpired", contract="faults", id=8))
    for reached in (101, 102, 103):
        world.node.spots.step(reached)
    assert [number for number, _ in world.chain.faults.answered] == [5, 7]
    assert proof.verify(piece.root, piece.height, 3, world.chain.faults.answered[0][1])


# --- the beacon ----------------------------------------------------------------------------------


def test_the_beacon_is_kept_once_a_period(world: World) -> None:
    keeper = Keeper(world.chain, NODE.address)
    beacon = world.chain.beacon
    for second in range(21):
        world.clock.time = NOW + second
        beacon.head += 1
        keeper.step()
    assert list(beacon.fixed) == [0]
    assert [r.period for r in beacon.rounds] == [0]


def test_the_beacon_is_left_alone_outside_the_grace(world: World) -> None:
    keeper = Keeper(world.chain, NODE.address)
    for moment in (NOW - 5, NOW + 21, NOW + 59):
        world.clock.time = moment
        keeper.step()
    assert world.chain.beacon.fixed == {}


def test_a_lost_block_hash_is_fixed_again(world: World) -> None:
    keeper = Keeper(world.chain, NODE.address)
    world.clock.time = NOW + 15
    keeper.step()
    world.chain.beacon.head += 300
    del world.chain.beacon.fixed[0]
    keeper.step()
    assert world.chain.beacon.fixed == {0: 402}


# --- following -----------------------------------------------------------------------------------


def test_a_deal_is_followed_from_opening_to_the_end(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    (column,) = world.node.deals.all()
    assert (column.cid, column.client, column.state) == (piece.cid, CLIENT.address, ACTIVE)
    chain = world.chain
    chain.storage.columns[1] = replace(chain.storage.columns[1], state=ENDED)
    chain.index.log.append(
        event("ColumnEnded", 2, deal=1, slot=0, node=NODE.address, rail=1, reason=1)
    )
    chain.index.reached += 1
    world.node.follower.step()
    assert [c.state for c in world.node.deals.all()] == [ENDED]
    world.node.treasury.finish_ended()
    assert chain.storage.finished == [1]
    world.node.treasury.finish_ended()
    assert list(world.node.deals.all())  # its removal is not applied: it may still be asked for
    chain.pdp.pieces[1].removed = 2
    world.node.treasury.finish_ended()
    assert list(world.node.deals.all()) == []
    chain.index.reached += 1
    world.node.follower.step()
    assert list(world.node.deals.all()) == []  # read again near the head, and known to be past
    world.clock.time += 10**6
    collector(world).step()
    with pytest.raises(NotFoundError):
        world.node.store.find(piece.cid)


def test_an_opening_that_a_reorganisation_undid_is_forgotten(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.chain.index.log.clear()
    world.chain.storage.columns.clear()
    world.chain.index.undone += 1
    world.node.follower.step()
    assert list(world.node.deals.all()) == []
    open_deal(world, piece, rail=2)
    assert [c.rail for c in world.node.deals.all()] == [2]


def test_an_ending_that_a_reorganisation_undid_is_forgotten(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.node.deals.set_state(1, ENDED)
    world.chain.index.undone += 1
    world.node.follower.step()
    assert [c.state for c in world.node.deals.all()] == [ACTIVE]


def test_a_column_is_finished_once_its_rounds_are_decided(world: World, piece: Piece) -> None:
    """Not before: the chain would refuse, and the gas would be lost."""
    open_deal(world, piece)
    chain, period = world.chain, world.chain.beacon.period
    chain.storage.columns[1] = replace(chain.storage.columns[1], state=ENDED, ended_at=NOW + 90)
    world.node.deals.set_state(1, ENDED)
    chain.pdp.decided = NOW + 2 * period - 1
    world.node.treasury.finish_ended()
    assert chain.storage.finished == []
    chain.pdp.decided += 1
    world.node.treasury.finish_ended()
    assert chain.storage.finished == [1]


def moved_away(world: World, piece: Piece) -> None:
    """Our column is finished and its removal applied; another node has the slot."""
    open_deal(world, piece)
    chain = world.chain
    old = replace(chain.storage.columns[1], state=FINISHED, ended_at=NOW)
    chain.storage.columns[1] = old
    chain.storage.columns[2] = replace(old, node=STRANGER.address, rail=2, state=ACTIVE)
    chain.pdp.pieces[1].removed = 2
    world.node.deals.set_state(1, FINISHED)


def test_a_moved_column_is_kept_until_its_new_node_has_proven(world: World, piece: Piece) -> None:
    """Whoever moved it may have moved it to a node without the bytes: ours may be the last."""
    moved_away(world, piece)
    world.node.treasury.finish_ended()
    assert world.node.store.bound(piece.cid)
    used = world.node.store.usage().used
    assert used >= piece.raw_size
    world.chain.pdp.good = 1
    world.node.treasury.finish_ended()
    assert not world.node.store.bound(piece.cid)


def test_a_moved_column_is_not_kept_for_ever(world: World, piece: Piece) -> None:
    moved_away(world, piece)
    world.clock.time = NOW + world.node.settings.keep_moved * world.chain.beacon.period - 1
    world.node.treasury.finish_ended()
    assert world.node.store.bound(piece.cid)
    world.clock.time += 1
    world.node.treasury.finish_ended()
    assert not world.node.store.bound(piece.cid)


def test_a_moved_column_of_a_closed_deal_is_not_kept(world: World, piece: Piece) -> None:
    moved_away(world, piece)
    deals = world.chain.storage.deals
    deals[1] = replace(deals[1], closed_at=NOW)
    world.node.treasury.finish_ended()
    assert not world.node.store.bound(piece.cid)


def test_columns_that_wait_hold_up_no_others(world: World, piece: Piece) -> None:
    for number in range(1, ENDINGS_A_STEP + 3):
        open_deal(world, piece, rail=number, deal=number)
        world.node.deals.set_state(number, ENDED)
        column = world.chain.storage.columns[number]
        waits = number <= ENDINGS_A_STEP
        world.chain.storage.columns[number] = replace(
            column, state=ENDED, ended_at=NOW + (10**6 if waits else 0)
        )
        world.node.deals.set_term(number, NOW + 10**7)
    world.chain.pdp.decided = NOW + 10**5
    for _ in range(2):
        world.node.treasury.finish_ended()
    assert world.chain.storage.finished == [ENDINGS_A_STEP + 1, ENDINGS_A_STEP + 2]


def test_a_renewal_moves_the_term(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.chain.index.log.append(event("DealRenewed", 2, deal=1, term_end=NOW + 10**6))
    world.chain.index.reached += 1
    world.node.follower.step()
    assert [c.term_end for c in world.node.deals.all()] == [NOW + 10**6]


def test_a_column_that_came_back_keeps_its_new_rail(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    chain = world.chain
    chain.storage.columns[1] = replace(chain.storage.columns[1], state=ENDED)
    chain.index.log.append(
        event("ColumnEnded", 2, deal=1, slot=0, node=NODE.address, rail=1, reason=5)
    )
    chain.index.reached += 1
    world.node.follower.step()
    open_deal(world, piece, rail=9)
    assert [(c.rail, c.state) for c in world.node.deals.all()] == [(1, ENDED), (9, ACTIVE)]


# --- acceptances and starvation ------------------------------------------------------------------


def accept(world: World, piece: Piece, *, term: int = 3600, by: Key = CLIENT) -> int:
    made = world.node.acceptor.accept(
        by.address, client=CLIENT.address, cid=piece.cid, term_end=world.clock.now() + term
    )
    return made.nonce


def test_an_unopened_acceptance_is_kept_until_it_is_useless(world: World, piece: Piece) -> None:
    accept(world, piece)
    clean, window = collector(world), world.node.settings.acceptance_window
    world.clock.time += world.node.settings.hold + window
    clean.step()
    assert world.node.store.find(piece.cid)  # the chain was not looked at: it may be open
    world.node.follower.step()
    clean.step()
    with pytest.raises(NotFoundError):
        world.node.store.find(piece.cid)


def test_an_acceptance_near_its_deadline_is_kept(world: World, piece: Piece) -> None:
    accept(world, piece)
    world.clock.time += world.node.settings.acceptance_window + LATE - 1
    world.node.follower.step()
    collector(world).step()
    assert world.node.store.bound(piece.cid)


def test_an_opened_deal_outlives_its_acceptance(world: World, piece: Piece) -> None:
    accept(world, piece, term=86_400)
    open_deal(world, piece)
    world.clock.time += 10**6
    world.node.follower.step()
    collector(world).step()
    assert world.node.store.find(piece.cid)


def test_a_client_has_a_quota(tmp_path: Path) -> None:
    world = make(tmp_path / "home", client_quota=len(DATA) + 10)
    first, second = put(world, DATA), put(world, DATA[:20])
    accept(world, first)
    with pytest.raises(QuotaError):
        accept(world, second)
    open_deal(world, first)
    with pytest.raises(QuotaError):
        accept(world, second)
    world.node.close()


def test_only_the_client_or_who_stored_it_asks(world: World, piece: Piece) -> None:
    with pytest.raises(AccessError, match="has not stored"):
        accept(world, piece, by=STRANGER)
    world.node.store.claim(piece.cid, STRANGER.address, until=NOW + 60)
    accept(world, piece, by=STRANGER)


def test_an_acceptance_names_who_may_submit_it(world: World, piece: Piece) -> None:
    """What was signed for a repairer is not handed to another, whose it would be to earn from."""
    world.node.store.claim(piece.cid, STRANGER.address, until=NOW + 60)
    given = {
        by.address: world.node.acceptor.accept(
            by.address, client=CLIENT.address, cid=piece.cid, term_end=NOW + 3600
        )
        for by in (CLIENT, STRANGER)
    }
    assert {account: made.mover for account, made in given.items()} == {a: a for a in given}
    assert len({made.nonce for made in given.values()}) == 2


def ask(world: World, piece: Piece, by: Key, *, term: int) -> None:
    """As ``by`` on its own account."""
    world.node.acceptor.accept(
        by.address, client=by.address, cid=piece.cid, term_end=world.clock.now() + term
    )


def test_who_sent_nothing_gets_no_promise_on_the_bytes_of_others(
    world: World, piece: Piece
) -> None:
    accept(world, piece, term=86_400)
    open_deal(world, piece)
    with pytest.raises(AccessError, match="has no deal"):
        ask(world, piece, STRANGER, term=1000)


def test_nobody_keeps_a_client_from_renewing(world: World, piece: Piece) -> None:
    accept(world, piece, term=86_400)
    open_deal(world, piece)
    world.node.store.claim(piece.cid, STRANGER.address, until=NOW + 60)
    for term in range(1000, 1004):
        ask(world, piece, STRANGER, term=term)
    with pytest.raises(QuotaError, match="nobody opened"):
        ask(world, piece, STRANGER, term=1004)
    accept(world, piece, term=2 * 86_400)


def test_a_renewal_needs_no_more_stake_and_no_claim(world: World) -> None:
    free = [10**30]
    world.chain.faults.stake_per_tib = 2**40
    world.chain.staking.free = lambda node: free[0]
    piece = put(world, DATA)
    accept(world, piece, term=86_400)
    open_deal(world, piece)
    world.node.database.run("DELETE FROM claims")
    free[0], world.clock.time = 0, world.clock.time + 10
    accept(world, piece, term=2 * 86_400)
    world.node.deals.set_state(1, ENDED)
    with pytest.raises(AccessError):
        accept(world, piece, term=3 * 86_400)


def test_nobody_uses_up_the_quota_of_another(tmp_path: Path) -> None:
    world = make(tmp_path / "home", client_quota=len(DATA))
    piece = put(world, DATA)
    world.node.store.claim(piece.cid, STRANGER.address, until=NOW + 60)
    accept(world, piece, by=STRANGER, term=3601)
    with pytest.raises(QuotaError):
        accept(world, piece, by=STRANGER, term=3602)
    accept(world, piece)
    world.node.close()


def test_one_piece_is_not_promised_without_end(world: World, piece: Piece) -> None:
    for term in range(100, 104):
        accept(world, piece, term=term)
    with pytest.raises(QuotaError, match="nobody opened"):
        accept(world, piece, term=104)


def test_stake_covers_every_promise(world: World, piece: Piece) -> None:
    world.chain.faults.stake_per_tib = 2**40
    world.chain.staking.free = lambda node: len(DATA)
    accept(world, piece)
    other = put(world, DATA[:500])
    with pytest.raises(ConflictError, match="stake"):
        accept(world, other)


def test_an_opened_acceptance_is_not_given_again(world: World, piece: Piece) -> None:
    first = accept(world, piece, term=86_400)
    open_deal(world, piece)
    assert accept(world, piece, term=86_400) != first


# --- money ---------------------------------------------------------------------------------------


def test_rails_are_settled_when_it_is_time(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.clock.time += 1
    world.node.treasury.step()
    assert world.chain.payments.settled == [1]
    world.node.treasury.step()
    assert world.chain.payments.settled == [1]
    world.clock.time += world.node.settings.settle_every
    world.node.treasury.step()
    assert world.chain.payments.settled == [1, 1]


def test_one_rail_that_refuses_does_not_hold_up_the_others(world: World, piece: Piece) -> None:
    for number in (1, 2, 3):
        open_deal(world, piece, rail=number, deal=number)
    world.chain.payments.broken = {2}
    world.node.treasury.settle()
    assert world.chain.payments.settled == [1, 3]


def test_low_gas_and_dry_clients_are_warned_of(
    world: World, piece: Piece, caplog: pytest.LogCaptureFixture
) -> None:
    open_deal(world, piece)
    world.chain.gas = 1
    world.chain.payments.solvent_until[CLIENT.address] = NOW + 10
    for _ in range(3):
        world.node.treasury.step()
    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said == ["gas runs low", "a client's deposit runs low"]
    assert world.node.treasury.low_gas
    assert world.chain.storage.exited == []


def test_a_client_long_dry_is_left(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.chain.payments.solvent_until[CLIENT.address] = NOW
    world.clock.time += world.node.settings.dry_patience + 1
    world.node.treasury.step()
    assert world.chain.storage.exited == [(1, 0)]


def test_a_failed_nodes_columns_are_finished(world: World, piece: Piece) -> None:
    open_deal(world, piece)
    world.chain.faults.failed = world.chain.pdp.closed = True
    world.node.treasury.finish_ended()
    world.node.treasury.finish_ended()
    assert world.chain.storage.finished == [1]
    assert list(world.node.deals.all()) == []


# --- leaving -------------------------------------------------------------------------------------


def test_leaving_gives_notice_waits_and_exits(world: World, piece: Piece) -> None:
    chain, leaver = world.chain, world.node.leaver
    open_deal(world, piece)
    chain.faults.columns = 1
    leaver.step()
    assert chain.faults.notice_at == 0
    leaver.ask()
    leaver.step()
    assert chain.faults.notice_at == NOW
    world.clock.time = NOW + chain.faults.notice - 1
    leaver.step()
    assert chain.storage.exited == []
    world.clock.time += 1
    leaver.step()
    assert chain.storage.exited == [(1, 0)]
    chain.faults.columns = 0
    leaver.step()
    assert leaver.state != LEFT  # the column is still in the books
    world.node.deals.forget(1)
    leaver.step()
    assert leaver.state == LEFT


def test_leaving_survives_a_restart(tmp_path: Path) -> None:
    world = make(tmp_path / "home")
    world.node.leaver.ask()
    world.node.close()
    again = make(tmp_path / "home")
    again.node.leaver.step()
    assert again.chain.faults.notice_at == NOW
    again.node.close()


# --- scrubbing and announcing --------------------------------------------------------------------


def scrubber(world: World) -> Scrubber:
    node = world.node
    return Scrubber(
        node.store, node.database, node.settings, metrics=node.metrics, clock=world.clock,
        wait=lambda seconds: False,
    )  # fmt: skip


def test_rot_is_found_and_healing_too(world: World, piece: Piece) -> None:
    scrub, file = scrubber(world), world.node.store.piece_file(piece.cid)
    file.write_bytes(DATA[:-1] + b"x")
    scrub.step()
    assert world.node.store.sound(piece.cid)  # it was looked at a moment ago
    world.clock.time += world.node.settings.scrub_every
    scrub.step()
    with pytest.raises(QuarantinedError):
        world.node.store.sound(piece.cid)
    file.write_bytes(DATA)
    scrub.step()
    with pytest.raises(QuarantinedError):
        world.node.store.sound(piece.cid)
    world.clock.time += world.node.settings.scrub_every
    scrub.step()
    assert world.node.store.sound(piece.cid)


def test_a_damaged_tree_is_mended_from_sound_bytes(world: World, piece: Piece) -> None:
    tree = world.node.store.tree_file(piece.cid)
    before = tree.read_bytes()
    tree.write_bytes(b"rubbish")
    assert scrubber(world).check(world.node.store.find(piece.cid))
    assert tree.read_bytes() == before


def test_an_emptied_or_missing_file_is_rot(world: World, piece: Piece) -> None:
    scrub, store = scrubber(world), world.node.store
    store.piece_file(piece.cid).write_bytes(b"")
    assert not scrub.check(store.find(piece.cid))
    store.piece_file(piece.cid).unlink()
    assert not scrub.check(store.find(piece.cid))
    assert store.find(piece.cid).fault == "its file is gone"


def test_a_new_place_is_announced_once(world: World, tmp_path: Path) -> None:
    made = Certificate(tmp_path / "tls.pem", b"\x0a" * 32)
    entries = world.chain.registry.entries
    announcer = Announcer(
        world.chain, NODE, endpoint="https://node:1", fingerprint=made.fingerprint
    )
    announcer.step()
    assert (entries[NODE.address].endpoint, entries[NODE.address].tls) == (
        "https://node:1", b"\x0a" * 32,
    )  # fmt: skip
    world.chain.registry.announce = None  # type: ignore[assignment, method-assign]
    announcer.step()
    entries.clear()
    announcer.step()

"""Objects given to another account, and everything brought back from the account's key alone."""

from __future__ import annotations

import io
import secrets
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from freehold.client.recovery import check_kit, recover_wallet
from freehold.client.retrieval import Budget
from freehold.domain.errors import (
    AccessError,
    IntegrityError,
    NotEnoughShardsError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.domain.keys import Key
from freehold.domain.money import TIB
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.header import Header
from freehold.markets.storage.kit import RecoveryKit
from freehold.markets.storage.locator import Locator
from unit.client.fakes import OPTIONS, World, network

SIZE = 300_000


def fetched(client: object, shared: object, **options: object) -> bytes:
    out = io.BytesIO()
    client.get_shared(shared, out, **options)  # type: ignore[attr-defined]
    return out.getvalue()


def test_an_object_is_shared_with_one_account_only(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    eve = world.client(world.wallet(3), home="e")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/dir/x")
    token = alice.share("b/dir/x", bob.recipient())
    [shared] = bob.open_share(token).objects
    assert (shared.put.name, shared.owner) == ("b/dir/x", alice.wallet.account)
    assert fetched(bob, shared) == data
    assert fetched(bob, shared, span=(5, 9)) == data[5:9]
    with pytest.raises(AccessError):
        eve.open_share(token)


def test_one_member_of_a_pack_is_shared_without_the_others(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    alice.put(b"for bob", "b/bob")
    alice.put(b"for nobody", "b/nobody")
    alice.flush()
    [shared] = bob.open_share(alice.share("b/bob", bob.recipient())).objects
    assert fetched(bob, shared) == b"for bob"
    place = shared.put.location
    other = replace(shared.put, location=replace(place, offset=place.stored_size, size=10))
    with pytest.raises(IntegrityError):
        fetched(bob, replace(shared, put=other))


def test_a_directory_is_shared_with_all_under_it(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    objects = {f"b/dir/{i}": secrets.token_bytes(SIZE) for i in range(2)}
    for name, data in objects.items():
        alice.put(data, name)
    alice.put(secrets.token_bytes(SIZE), "b/else")
    found = bob.open_share(alice.share("b/dir", bob.recipient())).objects
    assert {shared.put.name for shared in found} == set(objects)
    assert all(fetched(bob, shared) == objects[shared.put.name] for shared in found)


def test_a_moved_object_can_be_shared(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    alice.mv("b/x", "c/y")
    alice.flush()
    [shared] = bob.open_share(alice.share("c/y", bob.recipient())).objects
    assert fetched(bob, shared) == data


def test_a_token_of_another_network_is_refused(world: World, tmp_path: Path) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    alice.put(secrets.token_bytes(SIZE), "b/x")
    token = alice.share("b/x", bob.recipient())
    world.ledger.net = replace(world.ledger.net, network_id=b"\x0a" * 32)
    with pytest.raises(AccessError, match="is of network 0x0707"):
        bob.open_share(token)


def test_a_token_of_an_object_that_is_gone_says_so(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    alice.put(secrets.token_bytes(SIZE), "b/x")
    token = alice.share("b/x", bob.recipient())
    world.ledger.opened[1] = replace(world.ledger.opened[1], object_id=bytes(32))
    with pytest.raises(NotFoundError, match="none of the deals"):
        bob.open_share(token)
    with pytest.raises(UsageError):
        bob.open_share(token[:-4])
    with pytest.raises(UsageError):
        alice.share("b/x", "not a recipient")


# --- paying for it -------------------------------------------------------------------------------


def priced(world: World, price: int) -> None:
    for node in world.nodes:
        node.retrieval_price = price


def test_a_stranger_pays_by_voucher_and_the_owner_does_not(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    priced(world, 3)
    out = io.BytesIO()
    alice.get("b/x", out)
    assert not world.ledger.cheques
    [shared] = bob.open_share(alice.share("b/x", bob.recipient())).objects
    assert fetched(bob, shared) == data
    rails = set(world.ledger.cheques)
    assert 4 <= len(rails) <= 6
    assert all(payer == bob.wallet.account for payer in world.ledger.payers.values())
    assert fetched(bob, shared) == data
    assert set(world.ledger.cheques) == rails


def test_the_signed_amount_is_on_disk_before_it_is_sent_and_never_falls(world: World) -> None:
    alice, wallet = world.client(world.wallet(1), home="a"), world.wallet(2)
    bob = world.client(wallet, home="b")
    alice.put(secrets.token_bytes(SIZE), "b/x")
    priced(world, 3)
    token = alice.share("b/x", bob.recipient())
    [shared] = bob.open_share(token).objects
    fetched(bob, shared)
    spent = {n.key.address: max(n.spent.values(), default=0) for n in world.nodes}
    bob.close()
    again = world.client(wallet, home="b")
    fetched(again, shared)
    for node, amount in spent.items():
        known = again._journal.cheque(node)
        assert known is None or known[1] >= amount
        again._journal.save_cheque(node, known[0] if known else 1, 0)
        assert again._journal.cheque(node) == known or known is None


def test_a_journal_from_an_older_copy_catches_up_with_what_was_signed(world: World) -> None:
    alice, wallet = world.client(world.wallet(1), home="a"), world.wallet(2)
    bob = world.client(wallet, home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    priced(world, 3)
    [shared] = bob.open_share(alice.share("b/x", bob.recipient())).objects
    fetched(bob, shared)
    bob.close()
    copy = world.folder / "copy"
    shutil.copytree(world.folder / "b", copy)
    later = world.client(wallet, home="b")
    for _ in range(3):
        assert fetched(later, shared) == data
    later.close()
    older = world.client(wallet, home="copy")
    assert fetched(older, shared) == data
    for node in world.nodes:
        node.best = {rail: (10**18, signed) for rail, (_, signed) in node.best.items()}
        node.spent = {rail: amount + 10**12 for rail, amount in node.spent.items()}
    with pytest.raises(NotEnoughShardsError, match="where"):
        fetched(older, shared)


def test_nodes_that_are_too_dear_are_not_paid(world: World) -> None:
    alice = world.client(world.wallet(1), home="a")
    options = replace(OPTIONS, budget=Budget(max_price=2))
    bob = world.client(world.wallet(2), home="b", options=options)
    alice.put(secrets.token_bytes(SIZE), "b/x")
    token = alice.share("b/x", bob.recipient())
    priced(world, 3)
    with pytest.raises(NotEnoughShardsError, match="per TiB read, above"):
        bob.open_share(token)
    assert not world.ledger.cheques
    assert options.budget.max_price * TIB


def test_a_node_that_asks_for_more_than_it_served_is_not_paid(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    token = alice.share("b/x", bob.recipient())
    priced(world, 3)
    greedy = world.by_address(world.ledger.columns[1, 0].node)
    greedy.spent[0] = 10**18
    [shared] = bob.open_share(token).objects
    assert fetched(bob, shared) == data
    assert bob._journal.cheque(greedy.key.address) in (None, (1, 0))


def test_collateral_grows_with_what_is_read(world: World) -> None:
    alice = world.client(world.wallet(1), home="a")
    options = replace(OPTIONS, budget=Budget(ahead=1))
    bob = world.client(world.wallet(2), home="b", options=options)
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    priced(world, 3)
    [shared] = bob.open_share(alice.share("b/x", bob.recipient())).objects
    assert fetched(bob, shared) == data
    assert any(cheque.collateral > 3 for cheque in world.ledger.cheques.values())


@pytest.mark.parametrize("shared", ["b/d", "b/d/x"])
def test_a_malformed_head_of_one_node_hides_no_share(world: World, shared: str) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/d/x")
    token = alice.share(shared, bob.recipient())
    liar = world.by_address(world.ledger.columns[1, 0].node)
    longer = _longer_header(next(iter(liar.pieces.values())))
    for at, lie in ((32, bytes(32)), (0, longer)):
        liar.tamper = partial(_lying, at, lie)
        [given] = bob.open_share(token).objects
        assert (given.put.name, fetched(bob, given)) == ("b/d/x", data)


def _lying(at: int, lie: bytes, cid: str, start: int, found: bytes) -> bytes:
    return lie[: len(found)] + found[32:] if start == at else found


def _longer_header(column: bytes) -> bytes:
    """A prefix that moves the shards of a column a little, within the same length."""
    layout = ColumnLayout.parse(column[:32])
    return replace(
        layout, last_length=layout.last_length - layout.k, header_length=layout.header_length + 1
    ).prefix()


def _without_doors(cid: str, start: int, found: bytes) -> bytes:
    """A head whose doors are noise: what a directory's key opens in it seems not to be there."""
    if start != 32:
        return found
    header = Header.parse(found)
    noise = tuple(secrets.token_bytes(len(door)) for door in header.doors)
    return replace(header, doors=noise).render()


@pytest.mark.parametrize("liars", [1, 2])
def test_nodes_that_leave_entries_out_hide_no_share(world: World, liars: int) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/d/x")
    token = alice.share("b/d", bob.recipient())
    for slot in range(liars):
        world.by_address(world.ledger.columns[1, slot].node).tamper = _without_doors
    [given] = bob.open_share(token).objects
    assert fetched(bob, given) == data


@pytest.mark.parametrize("liar", [0, 5])
def test_of_two_heads_the_one_that_hashes_to_its_root_counts(world: World, liar: int) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    alice.put(secrets.token_bytes(SIZE), "b/d/x")
    token = alice.share("b/d", bob.recipient())
    for slot in range(1, 5):
        world.by_address(world.ledger.columns[1, slot].node).stop()
    world.by_address(world.ledger.columns[1, liar].node).tamper = _without_doors
    assert [s.put.name for s in bob.open_share(token).objects] == ["b/d/x"]


def test_a_dead_deal_of_a_shared_directory_is_shown_and_hides_no_other(world: World) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    data = secrets.token_bytes(SIZE)
    alice.put(secrets.token_bytes(SIZE), "b/d/dead")
    alice.put(data, "b/d/live")
    alice.mv("b/d/dead", "b/d/moved")
    alice.flush()
    token = alice.share("b/d", bob.recipient())
    cids = {column.cid for column in bob.library.columns(1).values()}
    for node in world.nodes:
        node.pieces = {cid: piece for cid, piece in node.pieces.items() if cid not in cids}
    received = bob.open_share(token)
    assert [gap.deal for gap in received.unread] == [1]
    live, moved = received.objects
    assert (live.put.name, fetched(bob, live)) == ("b/d/live", data)
    assert (moved.put.name, moved.page) == ("b/d/moved", None)
    with pytest.raises(UnavailableError, match="no node of 'b/d/moved' answers"):
        fetched(bob, moved)


# --- recovery ------------------------------------------------------------------------------------


def test_the_key_alone_brings_everything_back(world: World) -> None:
    wallet = world.wallet()
    first = world.client(wallet)
    data = secrets.token_bytes(SIZE)
    first.put(data, "b/x")
    first.put(b"small", "b/s")
    first.mv("b/x", "b/y")
    first.flush()
    world.nodes[0].stop()
    chain = world.chain(wallet)
    found = recover_wallet(chain, first.library, wallet.key, random=secrets.token_bytes)
    assert found.seed == wallet.seed
    empty = world.client(found, home="empty")
    assert empty.refresh() == []
    assert [(n.name, n.size) for n in empty.ls()] == [(n.name, n.size) for n in first.ls()]
    out = io.BytesIO()
    empty.get("b/y", out)
    assert out.getvalue() == data


def test_an_account_without_deals_gets_a_seed_and_one_with_silent_nodes_does_not(
    world: World,
) -> None:
    wallet = world.wallet()
    client = world.client(wallet)
    chain = world.chain(wallet)
    recover_wallet(chain, client.library, wallet.key, random=secrets.token_bytes)
    client.put(secrets.token_bytes(SIZE), "b/x")
    for node in world.nodes:
        node.stop()
    with pytest.raises(NotEnoughShardsError, match="none of the account's 1 deals"):
        recover_wallet(chain, client.library, wallet.key, random=secrets.token_bytes)


def test_a_node_that_serves_an_old_or_altered_head_is_passed_over(world: World) -> None:
    wallet = world.wallet()
    client = world.client(wallet)
    client.put(secrets.token_bytes(SIZE), "b/x")
    client.put(secrets.token_bytes(SIZE), "b/y")
    first, second = world.ledger.columns[1, 0], world.ledger.columns[2, 0]
    node = world.by_address(second.node)
    old = next(p for n in world.nodes for c, p in n.pieces.items() if c)
    node.tamper = lambda cid, start, data: old[start : start + len(data)]
    world.by_address(first.node).tamper = lambda cid, start, data: bytes(len(data))
    empty = world.client(wallet, home="empty")
    assert [n.name for n in empty.ls()] == ["b/x", "b/y"]


def test_deals_whose_nodes_are_silent_are_told_and_tried_again(world: World) -> None:
    wallet = world.wallet()
    client = world.client(wallet)
    client.put(secrets.token_bytes(SIZE), "b/x")
    for node in world.nodes:
        node.refuse = lambda method, path: (404, "gone")
    empty = world.client(wallet, home="empty")
    assert [unread.deal for unread in empty.refresh()] == [1]
    for node in world.nodes:
        node.refuse = lambda method, path: None
    assert empty.refresh() == []
    assert [n.name for n in empty.ls()] == ["b/x"]


def test_a_damaged_catalog_is_rebuilt(world: World) -> None:
    wallet = world.wallet()
    client = world.client(wallet)
    client.put(secrets.token_bytes(SIZE), "b/x")
    client.close()
    (world.folder / "home" / "catalog.db").write_bytes(b"not a database" * 1000)
    for suffix in ("-wal", "-shm"):
        (world.folder / "home" / f"catalog.db{suffix}").unlink(missing_ok=True)
    assert [n.name for n in world.client(wallet).ls()] == ["b/x"]


def test_two_processes_see_each_other_s_objects(world: World) -> None:
    wallet = world.wallet()
    one, two = world.client(wallet), world.client(wallet)
    one.put(secrets.token_bytes(SIZE), "b/1")
    two.put(secrets.token_bytes(SIZE), "b/2")
    assert [n.name for n in one.ls()] == [n.name for n in two.ls()] == ["b/1", "b/2"]
    one.rm("b/2")
    assert [n.name for n in two.ls()] == ["b/1"]


def test_a_kit_of_another_network_is_refused(world: World) -> None:
    wallet = world.wallet()
    other = network(b"\x0b" * 32)
    phrase = "test test test test test test test test test test test junk"
    kit = RecoveryKit(phrase, Locator.of(other))
    with pytest.raises(AccessError, match="recovery kit is of network"):
        check_kit(kit, world.chain(wallet))
    check_kit(RecoveryKit(phrase, Locator.of(world.ledger.net)), world.chain(wallet))
    assert Key.from_phrase(phrase)

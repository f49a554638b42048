from __future__ import annotations

import errno
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from freehold.domain.errors import ConflictError, IntegrityError, NotFoundError
from freehold.domain.ids import Address
from freehold.markets.storage.piece import Piece, commit
from freehold.node.blockfile import BLOCK
from freehold.node.refusals import DiskFullError, QuotaError, TooLargeError
from freehold.node.settings import MIB
from freehold.node.store import Held
from freehold.node.uploads import OffsetError, Upload, Uploads
from unit.node.world import CLIENT, STRANGER, World, make

ME = CLIENT.address


def fill(uploads: Uploads, upload: str, data: bytes, *, at: int = 0, keep: bool = False) -> Upload:
    writer = uploads.write_from(upload, ME, at)
    try:
        writer.write(data)
    finally:
        done = writer.keep() if keep else writer.close()
    return done


@given(
    st.binary(min_size=1, max_size=3000),
    st.lists(st.tuples(st.integers(1, 1500), st.booleans(), st.booleans()), max_size=8),
)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cuts_and_restarts_give_the_same_piece(
    world: World, data: bytes, cuts: list[tuple[int, bool, bool]]
) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, len(data))
    offset = durable = 0
    for length, keep, restart in [*cuts, (len(data), False, False)]:
        part = data[offset : offset + length]
        if part:
            done = fill(uploads, made.id, part, at=offset, keep=keep)
            assert (done.offset, done.durable) == (offset + len(part), done.durable)
            assert done.durable == (done.offset if keep else durable)
            offset, durable = done.offset, done.durable
        if restart:
            uploads.close()
            durable = offset
        assert uploads.offset(made.id, ME).offset == offset
        assert uploads.offset(made.id, ME).durable == durable
    held = uploads.finish(made.id, ME, commit(data).cid)
    with world.node.store.opened(held.cid) as handle, open(handle, "rb", closefd=False) as file:
        assert file.read() == data
    world.node.store.give_up(held.cid, ME)


def test_a_long_request_is_made_durable_on_its_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.node.uploads.CHECKPOINT", 2 * BLOCK)
    made = world.node.uploads.create(ME, 4 * BLOCK)
    writer = world.node.uploads.write_from(made.id, ME, 0)
    offsets = []
    for _ in range(7):
        writer.write(bytes(BLOCK // 2))
        offsets.append(world.node.uploads.find(made.id, ME).offset)
    assert offsets == [0, 0, 0, *[2 * BLOCK] * 4]
    assert writer.close().offset == 7 * BLOCK // 2


def test_two_writers_do_not_meet(world: World) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 10)
    writer = uploads.write_from(made.id, ME, 0)
    with pytest.raises(ConflictError, match="another request"):
        uploads.write_from(made.id, ME, 0)
    with pytest.raises(ConflictError, match="writes to this upload"):
        uploads.discard(made.id, ME)
    writer.close()
    uploads.write_from(made.id, ME, 0).close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda uploads, name: uploads.offset(name, ME),
        lambda uploads, name: uploads.write_from(name, ME, 3),
        lambda uploads, name: uploads.finish(name, ME, commit(b"abc").cid),
    ],
)
def test_an_upload_that_goes_while_it_is_asked_for_opens_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Uploads, str], object]
) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 3)
    fill(uploads, made.id, b"abc")
    real = uploads.find
    drop = threading.Thread(target=uploads.discard, args=(made.id, ME))

    def find_and_lose(upload: str, account: Address) -> Upload:
        monkeypatch.setattr(uploads, "find", real)
        found = real(upload, account)
        drop.start()
        if not uploads._lock.locked():  # else the one who asks keeps the other one out
            drop.join()
        return found

    monkeypatch.setattr(uploads, "find", find_and_lose)
    with suppress(NotFoundError):
        ask(uploads, made.id)
    drop.join()
    assert uploads._sessions == {}
    assert list(world.node.store.incoming.iterdir()) == []


def test_nobody_else_gets_the_file_of_an_upload_that_becomes_a_piece(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, store, data = world.node.uploads, world.node.store, bytes(range(256)) * 1000
    made = uploads.create(ME, len(data))
    fill(uploads, made.id, data[:1000])
    stale = uploads.find(made.id, ME)
    fill(uploads, made.id, data[1000:], at=1000)
    adopt = store.adopt

    def watched(*args: Piece, **more: Any) -> Held:
        with pytest.raises(ConflictError, match="another request"):
            uploads._held_session(stale, stale.offset)
        assert uploads.offset(made.id, ME).offset == len(data)
        held = adopt(*args, **more)
        with pytest.raises(NotFoundError):
            uploads._held_session(stale, stale.offset)
        with pytest.raises(NotFoundError):
            uploads.offset(made.id, ME)
        return held

    monkeypatch.setattr(store, "adopt", watched)
    held = uploads.finish(made.id, ME, commit(data).cid)
    assert store.piece_file(held.cid).read_bytes() == data
    assert uploads._sessions == {}


def test_an_upload_whose_file_is_lost_starts_again(world: World) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 3)
    fill(uploads, made.id, b"ab")
    uploads.close()
    (world.node.store.incoming / made.id).unlink()
    assert uploads.offset(made.id, ME).offset == 0
    fill(uploads, made.id, b"abc")
    assert uploads.finish(made.id, ME, commit(b"abc").cid).size == 3


def test_a_writer_starts_where_the_upload_stands(world: World) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 10)
    fill(uploads, made.id, b"abc")
    for wrong in (0, 2, 4):
        with pytest.raises(OffsetError) as caught:
            uploads.write_from(made.id, ME, wrong)
        assert caught.value.offset == 3


def test_nothing_goes_past_the_promised_size(world: World) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 3)
    with pytest.raises(TooLargeError):
        fill(uploads, made.id, b"abcd")
    assert uploads.offset(made.id, ME).offset == 0


def test_an_unfinished_upload_is_not_a_piece(world: World) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 3)
    fill(uploads, made.id, b"ab")
    with pytest.raises(OffsetError):
        uploads.finish(made.id, ME, commit(b"abc").cid)
    fill(uploads, made.id, b"c", at=2)
    assert uploads.finish(made.id, ME, commit(b"abc").cid).size == 3


def test_lying_about_the_name_costs_the_upload(world: World) -> None:
    uploads = world.node.uploads
    made = uploads.create(ME, 3)
    fill(uploads, made.id, b"abc")
    with pytest.raises(IntegrityError, match=commit(b"abc").cid):
        uploads.finish(made.id, ME, commit(b"abd").cid)
    with pytest.raises(NotFoundError):
        uploads.find(made.id, ME)
    assert list(world.node.store.incoming.iterdir()) == []


def test_the_same_piece_twice_is_kept_once(world: World) -> None:
    uploads, store = world.node.uploads, world.node.store
    cid = commit(b"same").cid
    for account in (ME, STRANGER.address):
        made = uploads.create(account, 4)
        writer = uploads.write_from(made.id, account, 0)
        writer.write(b"same")
        writer.close()
        uploads.finish(made.id, account, cid)
    assert world.node.database.number("SELECT count(*) FROM pieces") == 1
    store.give_up(cid, ME)
    assert store.find(cid).size == 4  # the other account still keeps it
    store.give_up(cid, STRANGER.address)
    with pytest.raises(NotFoundError):
        store.find(cid)


def test_uploads_expire_and_give_their_room_back(world: World) -> None:
    uploads, store = world.node.uploads, world.node.store
    made = uploads.create(ME, MIB)
    fill(uploads, made.id, b"abc")
    assert store.usage().reserved > MIB
    world.clock.time += world.node.settings.upload_expiry
    busy = uploads.write_from(made.id, ME, 3)
    assert uploads.expire() == 0  # somebody is at it
    busy.close()
    assert uploads.expire() == 1
    assert store.usage().reserved == 0
    assert list(store.incoming.iterdir()) == []


def test_one_account_cannot_take_every_slot(tmp_path: Path) -> None:
    world = make(tmp_path / "home", account_uploads=2, max_uploads=3, staged=1000)
    try:
        uploads = world.node.uploads
        uploads.create(ME, 10)
        uploads.create(ME, 10)
        with pytest.raises(QuotaError):
            uploads.create(ME, 10)
        uploads.create(STRANGER.address, 10)
        with pytest.raises(QuotaError):
            uploads.create(STRANGER.address, 10)
        assert len(list(world.node.store.incoming.iterdir())) == 3
    finally:
        world.node.close()


def test_one_account_cannot_stage_without_end(tmp_path: Path) -> None:
    world = make(tmp_path / "home", staged=1000)
    try:
        uploads, store = world.node.uploads, world.node.store
        made = uploads.create(ME, 600)
        with pytest.raises(QuotaError):
            uploads.create(ME, 600)
        fill(uploads, made.id, bytes(600))
        piece = commit(bytes(600))
        uploads.finish(made.id, ME, piece.cid)
        with pytest.raises(QuotaError):  # stored, but no deal pays for it yet
            uploads.create(ME, 600)
        world.chain.open_column(
            deal=1, slot=0, rail=1, root=piece.root, size=600, height=piece.height
        )
        world.node.follower.step()
        uploads.create(ME, 600)
        assert store.bound(piece.cid)
    finally:
        world.node.close()


def test_capacity_is_promised_only_once(tmp_path: Path) -> None:
    world = make(tmp_path / "home", capacity=3 * MIB)
    try:
        uploads = world.node.uploads
        first = uploads.create(ME, 2 * MIB)
        with pytest.raises(DiskFullError, match="left to offer"):
            uploads.create(ME, 2 * MIB)
        uploads.discard(first.id, ME)
        uploads.create(ME, 2 * MIB)
    finally:
        world.node.close()


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file of this process may grow past ``limit`` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_loses_nothing_that_was_acknowledged(world: World) -> None:
    uploads, data = world.node.uploads, bytes(range(256)) * 8192
    made = uploads.create(ME, len(data))
    kept = fill(uploads, made.id, data[: MIB // 2], keep=True).durable
    with small_files(MIB), pytest.raises(DiskFullError) as caught:
        fill(uploads, made.id, data[kept:], at=kept)
    assert caught.value.remedy
    assert uploads.offset(made.id, ME).offset == kept
    fill(uploads, made.id, data[kept:], at=kept)
    assert uploads.finish(made.id, ME, commit(data).cid).size == len(data)


def test_a_disk_that_fills_while_finishing_keeps_the_upload(world: World) -> None:
    uploads, data = world.node.uploads, bytes(5 * 65_024)
    made = uploads.create(ME, len(data))
    fill(uploads, made.id, data)
    with small_files(100), pytest.raises(DiskFullError):
        uploads.finish(made.id, ME, commit(data).cid)
    assert uploads.offset(made.id, ME).offset == len(data)
    assert uploads.finish(made.id, ME, commit(data).cid).size == len(data)


def sent(uploads: Uploads, data: bytes) -> Upload:
    made = uploads.create(ME, len(data))
    return fill(uploads, made.id, data)


def test_a_piece_whose_sync_failed_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, data = world.node.uploads, bytes(range(200)) * 50
    made = sent(uploads, data)

    def full(_: int) -> None:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fdatasync", full)
    with pytest.raises(DiskFullError):
        uploads.finish(made.id, ME, commit(data).cid)
    with pytest.raises(OffsetError):
        uploads.finish(made.id, ME, commit(data).cid)
    assert uploads.offset(made.id, ME).offset == 0
    fill(uploads, made.id, data)
    assert uploads.finish(made.id, ME, commit(data).cid).size == len(data)


def test_what_is_told_to_be_durable_is_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, told = world.node.uploads, list[int]()
    made = uploads.create(ME, 10)

    def record(upload: str, offset: int) -> None:
        told.append(uploads.offset(upload, ME).durable)

    monkeypatch.setattr(uploads, "record", record)
    assert fill(uploads, made.id, bytes(10), keep=True).durable == 10
    assert told == [0]


def test_nothing_is_left_of_an_upload_whose_tree_had_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads, data = world.node.uploads, bytes(10)
    made = sent(uploads, data)

    def full(handle: int, _: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("freehold.node.files.write_all", full)
        with pytest.raises(DiskFullError):
            uploads.finish(made.id, ME, commit(data).cid)
    uploads.discard(made.id, ME)
    assert not list(world.node.store.incoming.iterdir())


def test_a_piece_that_was_published_twice_leaves_with_all_its_names(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, data = world.node, bytes(10)
    made, cid = sent(node.uploads, data), commit(data).cid

    def full(*_: object, **__: object) -> None:
        raise DiskFullError("full", remedy="-")

    with monkeypatch.context() as patch:
        patch.setattr(node.store, "_record", full)
        with pytest.raises(DiskFullError):
            node.uploads.finish(made.id, ME, cid)
    node.uploads.finish(made.id, ME, cid)
    node.store.give_up(cid, ME)
    assert not list(node.store.piece_file(cid).parent.iterdir())
    assert not list(node.store.tree_file(cid).parent.iterdir())

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import ConflictError, NotFoundError, UsageError, VersionError
from freehold.markets.storage.piece import Piece, commit
from freehold.node.database import Database
from freehold.node.files import replace_file
from freehold.node.refusals import DiskFullError, QuarantinedError
from freehold.node.store import footprint
from unit.node.world import CLIENT, NOW, World, make

ME = CLIENT.address


def put(world: World, data: bytes) -> Piece:
    piece = commit(data)
    made = world.node.uploads.create(ME, len(data))
    writer = world.node.uploads.write_from(made.id, ME, 0)
    writer.write(data)
    writer.close()
    world.node.uploads.finish(made.id, ME, piece.cid)
    return piece


def test_a_restart_finds_what_was_held(tmp_path: Path) -> None:
    first = make(tmp_path / "home")
    piece = put(first, b"kept")
    first.node.close()
    second = make(tmp_path / "home")
    second.node.recover()
    assert second.node.store.sound(piece.cid).root == piece.root
    assert second.node.store.usage().used > 0
    second.node.close()


def test_leftovers_are_swept_and_losses_reported(world: World) -> None:
    store = world.node.store
    kept, lost = put(world, b"kept"), put(world, b"lost")
    store.piece_file(lost.cid).unlink()
    for folder in ("pieces", "trees", "incoming"):
        (store.incoming.parent / folder / "junk").write_bytes(b"x")
    found = store.recover()
    assert (found.leftovers, found.lost) == (3, (lost.cid,))
    assert store.sound(kept.cid)
    with pytest.raises(QuarantinedError, match="gone"):
        store.sound(lost.cid)


@given(st.text(max_size=80))
def test_only_a_cid_makes_a_file_name(name: str) -> None:
    from freehold.markets.storage.piece import parse_cid

    try:
        parsed = parse_cid(name).cid
    except UsageError:
        return
    assert parsed.isalnum()


@pytest.mark.parametrize("name", ["../key.json", "/etc/passwd", "", ".", "a\0b", "b" * 300])
def test_paths_are_no_cids(world: World, name: str) -> None:
    with pytest.raises(UsageError):
        world.node.store.piece_file(name)


def test_a_piece_under_a_deal_stays(world: World) -> None:
    piece = put(world, b"bound")
    world.chain.open_column(deal=1, slot=0, rail=1, root=piece.root, size=5, height=piece.height)
    world.node.follower.step()
    with pytest.raises(ConflictError):
        world.node.store.remove(piece.cid)
    with pytest.raises(ConflictError):
        world.node.store.give_up(piece.cid, ME)
    world.clock.time += 10**7
    assert world.node.store.unclaimed(world.clock.now()) == []


def test_an_unclaimed_piece_is_found(world: World) -> None:
    piece = put(world, b"forgotten")
    store = world.node.store
    assert store.unclaimed(NOW) == []
    assert store.unclaimed(NOW + world.node.settings.hold) == [piece.cid]
    store.remove(piece.cid)
    with pytest.raises(NotFoundError):
        store.find(piece.cid)
    assert not store.piece_file(piece.cid).exists()
    assert not store.tree_file(piece.cid).exists()


def test_the_footprint_covers_a_piece_and_its_tree(world: World) -> None:
    for size in (1, 127, 65_024, 300_001):
        put(world, bytes([size % 251]) * size)
    total = sum(footprint(size) for size in (1, 127, 65_024, 300_001))
    assert world.node.store.usage().used <= total


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    database.run("PRAGMA user_version=9")
    database.close()
    with pytest.raises(VersionError, match="version 9"):
        Database(tmp_path / "a.sqlite")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    from unit.node.test_uploads import small_files

    file = tmp_path / "file"
    replace_file(file, b"old")
    with small_files(100), pytest.raises(DiskFullError):
        replace_file(file, bytes(200))
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

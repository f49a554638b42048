"""Puts and packs whose process died: finished or cleaned, never lost, never opened twice."""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.client.chain import Opened
from freehold.client.client import Client
from freehold.client.packer import Limits
from freehold.client.wallet import Wallet
from freehold.domain.errors import CapacityError, FreeholdError, RefusedError, UnavailableError
from freehold.ledger.contracts.storage import Acceptance, OpenRequest
from unit.client.fakes import OPTIONS, FakeChain, World

SIZE = 700_000


class Killed(BaseException):
    """As kill -9: no handler of ours may catch it."""


class DyingChain(FakeChain):
    """A chain during whose opening the process dies, before or after the chain has it."""

    die: str = ""

    def open(self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str) -> Opened:
        if self.die == "before":
            raise Killed
        opened = super().open(request, acceptances, tag=tag)
        if self.die == "after":
            raise Killed
        return opened


def read(client: Client, name: str) -> bytes:
    out = io.BytesIO()
    client.get(name, out)
    return out.getvalue()


def dead(client: Client) -> None:
    """What the system does to a process that was killed."""
    client._liveness.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(secrets.token_bytes(SIZE))
    return path


def patches(world: World) -> int:
    return sum(method == "PATCH" for node in world.nodes for method, _ in node.calls)


def killed_at_opening(world: World, source: Path, when: str) -> Wallet:
    """A wallet whose put of ``source`` died right before or after its deal opened."""
    wallet = world.wallet()
    chain = DyingChain(world.ledger, wallet.account)
    chain.die = when
    first = world.client(wallet, chain=chain)
    with pytest.raises(Killed):
        first.put(source, "b/x")
    dead(first)
    return wallet


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_put_killed_at_its_opening_opens_once(world: World, source: Path, when: str) -> None:
    wallet = killed_at_opening(world, source, when)
    sent = patches(world)
    second = world.client(wallet)
    assert second.put(source, "b/x").deal == 1
    assert len(world.ledger.opened) == 1
    assert patches(world) == sent
    assert read(second, "b/x") == source.read_bytes()


@pytest.mark.parametrize("when", ["before", "after"])
def test_resume_needs_no_bytes_once_every_node_accepted(
    world: World, source: Path, when: str
) -> None:
    wallet = killed_at_opening(world, source, when)
    second = world.client(wallet)
    data = source.read_bytes()
    source.unlink()
    assert second.resume() == [1]
    assert read(second, "b/x") == data
    assert second.resume() == []


def kill_at(world: World, method: str, count: int) -> None:
    """Refuse everything from the ``count``-th request of a method on."""
    left = [count]

    def refuse(called: str, path: str) -> tuple[int, str] | None:
        if called == method:
            left[0] -= 1
        return (400, "gone") if left[0] < 0 else None

    for node in world.nodes:
        node.refuse = refuse


@pytest.mark.parametrize(("method", "count"), [("PATCH", 9), ("PUT", 2), ("POST", 8)])
def test_a_put_killed_while_sending_goes_on_where_it_stopped(
    world: World, source: Path, method: str, count: int
) -> None:
    wallet = world.wallet()
    first = world.client(wallet)
    kill_at(world, method, count)
    with pytest.raises(FreeholdError):
        first.put(source, "b/x")
    dead(first)
    for node in world.nodes:
        node.refuse = lambda called, path: None
    before = {id(upload): len(upload) for node in world.nodes for upload in node.uploads.values()}
    second = world.client(wallet)
    assert second.put(source, "b/x").deal == 1
    assert read(second, "b/x") == source.read_bytes()
    assert len(world.ledger.opened) == 1
    assert before or method == "POST"


def test_changed_bytes_are_never_sealed_with_the_old_key(world: World, source: Path) -> None:
    wallet = killed_at_opening(world, source, "before")
    world.ledger.time += 4_000
    source.write_bytes(secrets.token_bytes(SIZE))
    second = world.client(wallet)
    second.put(source, "b/x")
    assert read(second, "b/x") == source.read_bytes()
    roots = [column.root for column in world.ledger.columns.values()]
    assert len(roots) == len(set(roots)) == 6


def test_a_source_that_changes_while_it_is_read_is_refused(world: World, source: Path) -> None:
    client = world.client(world.wallet())

    def grow(method: str, path: str) -> None:
        if method == "PATCH":
            source.write_bytes(secrets.token_bytes(SIZE))

    world.nodes[0].before = grow
    with pytest.raises(FreeholdError, match="changed while it was being stored"):
        client.put(source, "b/x")
    assert not world.ledger.opened


def test_expired_acceptances_are_asked_for_again(world: World, source: Path) -> None:
    wallet = killed_at_opening(world, source, "before")
    world.ledger.time += 4_000
    sent = patches(world)
    second = world.client(wallet)
    assert second.put(source, "b/x").deal == 1
    assert patches(world) == sent


def test_another_living_process_s_put_is_left_alone(world: World, source: Path) -> None:
    wallet = world.wallet()
    chain = DyingChain(world.ledger, wallet.account)
    chain.die = "before"
    alive = world.client(wallet, chain=chain)
    with pytest.raises(Killed):
        alive.put(source, "b/x")
    assert world.client(wallet).resume() == []
    assert not world.ledger.opened


# --- packs ---------------------------------------------------------------------------------------


def test_small_objects_share_a_deal(world: World) -> None:
    client = world.client(world.wallet())
    objects = {f"b/{i}": secrets.token_bytes(i) for i in range(40)}
    for name, data in objects.items():
        assert client.put(data, name).pending
    assert {n.name for n in client.ls() if n.pending} == set(objects)
    results = client.flush()
    assert {r.name: r.size for r in results} == {n: len(d) for n, d in objects.items()}
    assert {r.deal for r in results} == {1}
    assert all(read(client, name) == data for name, data in objects.items())
    assert client.flush() == []


def test_only_the_last_promise_about_a_name_counts(world: World) -> None:
    client = world.client(world.wallet())
    for data in (b"one", b"two", b"three"):
        client.put(data, "b/x")
    client.put(b"gone", "b/y")
    client.rm("b/y")
    client.flush()
    assert [n.name for n in client.ls()] == ["b/x"]
    assert read(client, "b/x") == b"three"


def test_deleting_what_was_never_stored_needs_no_deal(world: World) -> None:
    client = world.client(world.wallet())
    client._packer.delete("b/x", modified=0)
    assert client.flush() == []
    assert not world.ledger.opened


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_pack_killed_at_its_opening_neither_loses_nor_doubles(world: World, when: str) -> None:
    wallet = world.wallet()
    chain = DyingChain(world.ledger, wallet.account)
    chain.die = when
    first = world.client(wallet, chain=chain)
    first.put(b"one", "b/1")
    first.put(b"two", "b/2")
    with pytest.raises(Killed):
        first.flush()
    dead(first)
    second = world.client(wallet)
    second.flush()
    assert [(n.name, n.pending) for n in second.ls()] == [("b/1", False), ("b/2", False)]
    assert read(second, "b/2") == b"two"
    assert len(world.ledger.opened) == 1


@pytest.mark.parametrize(("method", "count"), [("POST", 2), ("PATCH", 3), ("PUT", 1)])
def test_a_pack_that_fails_before_its_opening_waits_again(
    world: World, method: str, count: int
) -> None:
    client = world.client(world.wallet())
    client.put(b"one", "b/1")
    kill_at(world, method, count)
    with pytest.raises(FreeholdError):
        client.flush()
    assert [(n.name, n.pending) for n in client.ls()] == [("b/1", True)]
    assert read(client, "b/1") == b"one"
    for node in world.nodes:
        node.refuse = lambda called, path: None
    client.flush()
    assert read(client, "b/1") == b"one"
    assert len(world.ledger.opened) == 1


def test_a_pack_whose_process_died_before_it_had_a_record(world: World) -> None:
    wallet = world.wallet()
    first = world.client(wallet)
    first.put(b"one", "b/1")
    assert first._packer.load(secrets.token_bytes(32)) is not None
    dead(first)
    second = world.client(wallet)
    second.flush()
    assert read(second, "b/1") == b"one"
    assert [n.pending for n in second.ls()] == [False]


def test_a_refused_opening_is_tried_again_with_the_same_acceptances(world: World) -> None:
    client = world.client(world.wallet())
    client.put(b"one", "b/1")
    world.ledger.refuse_open = lambda request: "storage: paused"
    with pytest.raises(RefusedError, match="paused"):
        client.flush()
    world.ledger.refuse_open = lambda request: None
    client.flush()
    assert len(world.ledger.opened) == 1
    assert [n.pending for n in client.ls()] == [False]


def test_packs_flush_by_themselves_when_they_are_due(world: World) -> None:
    options = replace(OPTIONS, limits=Limits(count=3, wait=10**9))
    client = world.client(world.wallet(), options=options)
    assert [client.put(b"x", f"b/{i}").pending for i in range(3)] == [True, True, False]


def test_a_promise_stands_when_its_pack_cannot_be_put(world: World) -> None:
    options = replace(OPTIONS, limits=Limits(count=2, wait=10**9))
    client = world.client(world.wallet(), options=options)
    client.put(b"one", "b/1")
    for node in world.nodes:
        node.refuse = lambda method, path: (400, "not now")
    result = client.put(b"two", "b/2")
    assert result.pending
    assert isinstance(result.trouble, CapacityError)
    for node in world.nodes:
        node.refuse = lambda method, path: None
    client.peers.candidates(fresh=True)
    assert not client.put(b"three", "b/3").pending
    assert len(client.ls()) == 3


def test_the_chain_being_down_loses_no_promise(world: World) -> None:
    wallet = world.wallet()
    chain = world.chain(wallet)
    client = world.client(wallet, chain=chain)
    client.put(b"one", "b/1")

    def down(**_: bool) -> list[object]:
        raise UnavailableError("no RPC answers", remedy="wait")

    chain.nodes = down  # type: ignore[method-assign,assignment]
    with pytest.raises(UnavailableError):
        client.flush()
    assert read(client, "b/1") == b"one"
    del chain.nodes
    client.flush()
    assert [n.pending for n in client.ls()] == [False]

"""Removals and puts that are cut short: what is acknowledged later holds against them."""

from __future__ import annotations

import secrets

import pytest

from freehold.client.client import Client
from freehold.client.upload import silent
from freehold.client.wallet import Wallet
from freehold.domain.errors import FreeholdError, NotFoundError
from unit.client.fakes import FakeChain, World
from unit.client.test_resume import DyingChain, Killed, dead, kill_at, read

SIZE = 700_000


class ClosingChain(FakeChain):
    """A chain that has closed the deal when the process dies."""

    def close(self, deal: int) -> str:
        super().close(deal)
        raise Killed


def killed_putting(world: World, wallet: Wallet, data: bytes, when: str) -> None:
    """A process that dies while it opens the deal of ``b/x``."""
    chain = DyingChain(world.ledger, wallet.account)
    chain.die = when
    client = world.client(wallet, chain=chain)
    with pytest.raises(Killed):
        client.put(data, "b/x")
    dead(client)


@pytest.fixture
def wallet(world: World) -> Wallet:
    return world.wallet()


@pytest.fixture
def stored(world: World, wallet: Wallet) -> bytes:
    """What ``b/x`` holds, by a process that ended."""
    data = secrets.token_bytes(SIZE)
    with world.client(wallet) as client:
        client.put(data, "b/x")
    return data


def removing_dies(world: World, wallet: Wallet) -> None:
    client = world.client(wallet, chain=ClosingChain(world.ledger, wallet.account))
    with pytest.raises(Killed):
        client.rm("b/x")
    dead(client)


def test_a_removal_cut_short_is_finished_by_the_next(
    world: World, wallet: Wallet, stored: bytes
) -> None:
    removing_dies(world, wallet)
    client = world.client(wallet)
    assert client.rm("b/x") == [1]
    assert client.ls() == []


def test_a_closing_cut_short_does_not_stand_in_the_way_of_puts(
    world: World, wallet: Wallet, stored: bytes
) -> None:
    client = world.client(wallet, chain=ClosingChain(world.ledger, wallet.account))
    with pytest.raises(Killed):
        client.put(stored + b"2", "b/x")
    dead(client)
    client = world.client(wallet)
    client.put(stored + b"3", "b/y")
    assert read(client, "b/x") == stored + b"2"
    assert [deal.closed_at > 0 for deal in world.ledger.opened.values()] == [True, False, False]


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_removed_does_not_come_back(
    world: World, wallet: Wallet, stored: bytes, when: str
) -> None:
    killed_putting(world, wallet, stored + b"2", when)
    client = world.client(wallet)
    client.rm("b/x")
    client.resume()
    client.put(stored, "b/y")
    client.flush()
    with pytest.raises(NotFoundError):
        client.info("b/x")
    assert [named.name for named in client.ls()] == ["b/y"]
    live = [number for number, deal in world.ledger.opened.items() if not deal.closed_at]
    assert len(live) == 1


def test_a_put_that_was_overtaken_is_begun_anew(world: World, wallet: Wallet) -> None:
    data = secrets.token_bytes(SIZE)
    first = world.client(wallet)
    kill_at(world, "PUT", 2)
    with pytest.raises(FreeholdError):
        first.put(data, "b/x")
    dead(first)
    for node in world.nodes:
        node.refuse = lambda called, path: None
    small(world.client(wallet))
    client = world.client(wallet)
    client.put(data, "b/x")
    assert read(client, "b/x") == data
    assert read(world.client(wallet), "b/x") == data


def test_a_whole_object_holds_against_what_was_promised_before_and_packed_meanwhile(
    world: World, wallet: Wallet
) -> None:
    """Another process of the account packs an older removal while the object is being sent."""
    data = secrets.token_bytes(SIZE)
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"1", "b/x")
    client.put(b"2", "b/y")
    client.flush()
    client.rm("b/x")
    packed: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        packed.extend(each.name for each in ([] if packed else other.flush()))

    client.put(data, "b/x", progress=meanwhile)
    assert packed == ["b/x"]
    assert read(client, "b/x") == data
    client.flush()
    assert [(named.name, named.pending) for named in client.ls()] == [
        ("b/x", False),
        ("b/y", False),
    ]
    assert read(other, "b/x") == data


@pytest.mark.parametrize("moment", ["page", "intent"])
def test_a_deal_that_has_just_opened_is_not_closed_for_an_older_page_that_ranks_above_it(
    world: World, wallet: Wallet, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another process tidies once the page is listed, or once the put is forgotten."""
    data = secrets.token_bytes(SIZE)
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"1", "b/x")
    packed: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        packed.extend(each.name for each in ([] if packed else other.flush()))

    at, name = (
        (client._catalog, "add") if moment == "page" else (client._storing._putter, "_settle")
    )
    done = getattr(at, name)

    def then_tidied(*given: object) -> object:
        result = done(*given)
        other.tidy()
        return result

    monkeypatch.setattr(at, name, then_tidied)
    client.put(data, "b/x", progress=meanwhile)
    assert packed == ["b/x"]
    assert read(client, "b/x") == data
    client.flush()
    other.tidy()
    assert read(other, "b/x") == data


def test_a_whole_object_holds_against_a_pack_that_died(world: World, wallet: Wallet) -> None:
    data = secrets.token_bytes(SIZE)
    first = world.client(wallet)
    first.put(b"small", "b/x")
    kill_at(world, "PUT", 2)
    with pytest.raises(FreeholdError):
        first.flush()
    first._journal.run("UPDATE entries SET pack = ?", (b"p" * 32,))  # as if killed just before
    dead(first)
    for node in world.nodes:
        node.refuse = lambda called, path: None
    client = world.client(wallet)
    client.put(data, "b/x")
    client._journal.release_pack(b"p" * 32)
    client.flush()
    assert read(client, "b/x") == data


def test_a_pack_that_fails_gives_back_nothing_that_a_later_one_overrode(
    world: World, wallet: Wallet
) -> None:
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"old", "b/x")
    load = client._packer.load()
    assert load is not None
    other.put(b"new", "b/x")
    other.flush()
    client._journal.release_pack(load.object_id)
    client.flush()
    assert read(client, "b/x") == b"new"


def test_a_pack_that_fails_gives_back_nothing_that_is_overridden_on_its_way(
    world: World, wallet: Wallet
) -> None:
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"0", "b/x")
    client.put(b"1", "b/y")
    client.flush()
    client.put(b"2", "b/x")
    failing = client._packer.load()
    assert failing is not None
    other.rm("b/x")
    sending = other._packer.load()
    assert sending is not None
    client._journal.release_pack(failing.object_id)
    client.flush()
    other._storing._put_pack(sending, silent)
    assert [named.name for named in client.ls()] == ["b/y"]


def small(client: Client) -> None:
    client.put(b"small", "b/x")
    client.flush()
    assert read(client, "b/x") == b"small"
    client.close()

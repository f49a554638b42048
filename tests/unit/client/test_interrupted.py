"""Removals and puts that are cut short: what is acknowledged later holds against them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier

import pytest

from freehold.client.catalog import Catalog, Page
from freehold.client.chain import Opened
from freehold.client.client import Client
from freehold.client.journal import Entry
from freehold.client.packer import Limits, Load
from freehold.client.upload import silent
from freehold.client.view import Named
from freehold.client.wallet import Wallet
from freehold.domain.errors import FreeholdError, NotFoundError, UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.ledger.contracts.storage import Acceptance, OpenRequest
from freehold.markets.storage.keys import DataSeed
from unit.client.fakes import OPTIONS, FakeChain, World
from unit.client.test_resume import DyingChain, Killed, dead, kill_at, read

SIZE = 700_000


class ClosingChain(FakeChain):
    """A chain that has closed the deal when the process dies."""

    def close(self, deal: int) -> str:
        super().close(deal)
        raise Killed


@dataclass
class DeafChain(FakeChain):
    """A chain that does what it is asked to and says nothing."""

    deaf: bool = True

    def open(self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str) -> Opened:
        opened = super().open(request, acceptances, tag=tag)
        if self.deaf:
            raise UnavailableError("no RPC answered", remedy="Try again.")
        return opened


@dataclass
class SlowChain(FakeChain):
    """A chain whose answer, what deals there are, is old by the time it arrives."""

    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def deals(self, client: Address) -> Sequence[int]:
        found = super().deals(client)
        if self.meanwhile:
            self.meanwhile.pop()()
        return found


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


@pytest.mark.parametrize("later", ["nothing", "small", "whole"])
def test_what_was_removed_does_not_come_back_with_a_pack_on_its_way(
    world: World, wallet: Wallet, later: str
) -> None:
    """The name is removed, perhaps after it was put anew, while its first bytes are being sent."""
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"old", "b/x")
    sending = client._packer.load(secrets.token_bytes(32))
    assert sending is not None
    if later != "nothing":
        other.put(b"new" if later == "small" else secrets.token_bytes(SIZE), "b/x")
        other.flush()
    other.rm("b/x")
    other.flush()
    other.tidy()
    client._storing._put_pack(sending, silent)
    assert client.ls() == []
    client.flush()
    client.tidy()
    assert client.ls() == other.ls() == []
    client.tidy()
    assert all(deal.closed_at for deal in world.ledger.opened.values())


def test_what_was_taken_away_does_not_come_back_with_a_put_on_its_way(
    world: World, wallet: Wallet
) -> None:
    """A process that lives finishes what was begun before the name was renamed or removed."""
    chain = DyingChain(world.ledger, wallet.account)
    chain.die = "before"
    first, client = world.client(wallet, chain=chain), world.client(wallet)
    for name in ("b/x", "b/y"):
        with pytest.raises(Killed):
            first.put(secrets.token_bytes(SIZE), name)
    client.put(b"whole" * SIZE, "b/x")
    client.put(b"whole" * SIZE, "b/y")
    client.mv("b/x", "b/z")
    client.rm("b/y")
    client.flush()
    client.rm("b/z")
    client.flush()
    client.tidy()
    chain.die = ""
    assert len(first.resume()) == 2
    assert client.ls() == first.ls() == []


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
    load = first._packer.load(secrets.token_bytes(32))
    assert load is not None
    dead(first)
    for node in world.nodes:
        node.refuse = lambda called, path: None
    client = world.client(wallet)
    client.put(data, "b/x")
    client._journal.release_pack(load.object_id)
    client.flush()
    assert read(client, "b/x") == data


def test_a_pack_that_fails_gives_back_nothing_that_a_later_one_overrode(
    world: World, wallet: Wallet
) -> None:
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"old", "b/x")
    load = client._packer.load(secrets.token_bytes(32))
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
    failing = client._packer.load(secrets.token_bytes(32))
    assert failing is not None
    other.rm("b/x")
    sending = other._packer.load(secrets.token_bytes(32))
    assert sending is not None
    client._journal.release_pack(failing.object_id)
    client.flush()
    other._storing._put_pack(sending, silent)
    assert [named.name for named in client.ls()] == ["b/y"]


def test_a_pack_that_is_being_made_is_nobody_elses(
    world: World, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of the process cleans up right when the pack has its promises."""
    client = world.client(wallet)
    client.put(b"once", "b/x")
    load = client._packer.load

    def then_resumed(object_id: bytes, names: Collection[str] | None = None) -> Load | None:
        loaded = load(object_id, names)
        client.resume()
        return loaded

    monkeypatch.setattr(client._packer, "load", then_resumed)
    assert [result.name for result in client.flush()] == ["b/x"]
    assert len(world.ledger.opened) == 1


def test_a_deal_that_opens_while_the_chain_is_read_stays_listed(
    world: World, wallet: Wallet
) -> None:
    """Two processes of an account whose state folder is new begin at once."""
    data = secrets.token_bytes(SIZE)
    slow = SlowChain(world.ledger, wallet.account)
    first, other = world.client(wallet, chain=slow), world.client(wallet)
    slow.meanwhile.append(lambda: other.put(data, "b/x"))
    first.ls()
    assert read(first, "b/x") == read(other, "b/x") == data


def test_a_deal_that_ends_while_pages_are_read_is_not_listed(world: World, wallet: Wallet) -> None:
    with world.client(wallet, home="elsewhere") as before:
        before.put(secrets.token_bytes(SIZE), "b/x")
        slow = SlowChain(world.ledger, wallet.account)
        client = world.client(wallet, chain=slow)
        slow.meanwhile.append(lambda: before.rm("b/x"))
        assert client.ls() == []


def test_a_name_of_a_pack_that_lands_while_it_is_renamed_keeps_its_bytes(
    world: World, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = world.client(wallet), world.client(wallet)
    client.put(b"bytes", "b/x")
    client.ls()
    named, flushing = client._view.means, [other.flush]

    def slowly(name: str, entry: Entry | None) -> Named:
        found = named(name, entry)
        if flushing and not client._journal._db.in_transaction:
            flushing.pop()()
        return found

    monkeypatch.setattr(client._view, "means", slowly)
    client.mv("b/x", "b/y")
    assert read(client, "b/y") == b"bytes"
    client.flush()
    assert read(other, "b/y") == b"bytes"
    assert [found.name for found in other.ls()] == ["b/y"]


def test_a_name_that_is_renamed_to_itself_stays(
    world: World, wallet: Wallet, stored: bytes
) -> None:
    client = world.client(wallet)
    client.mv("b/x", "b/x")
    assert read(client, "b/x") == stored
    with pytest.raises(NotFoundError):
        client.mv("b/y", "b/y")


def test_a_page_that_goes_while_the_listing_is_made_leaves_no_old_listing(
    world: World, wallet: Wallet, stored: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = world.client(wallet), world.client(wallet)
    assert [named.name for named in client.ls()] == ["b/x"]
    other.rm("b/x")
    other.put(secrets.token_bytes(SIZE), "b/y")
    other.put(secrets.token_bytes(SIZE), "b/z")
    page, going = client._catalog.page, [other.info("b/z").named.put.location.object_id]

    def slowly(object_id: bytes) -> Page:
        if going == [object_id]:
            going.clear()
            other.rm("b/z")
        return page(object_id)

    monkeypatch.setattr(client._catalog, "page", slowly)
    assert [named.name for named in client.ls()] == ["b/y"]
    assert not going


def deaf_puts(client: Client, chain: DeafChain, names: Sequence[str]) -> None:
    """Puts whose deals opened, which nobody heard."""
    for name in names:
        with pytest.raises(UnavailableError):
            client.put(secrets.token_bytes(SIZE), name)
    chain.deaf = False


def test_what_another_thread_finished_and_removed_does_not_come_back(
    world: World, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = DeafChain(world.ledger, wallet.account)
    client = world.client(wallet, chain=chain)
    deaf_puts(client, chain, ["b/x", "b/y"])
    find, waiting = chain.find, [True]

    def slowly(object_id: bytes) -> int | None:
        if waiting:
            waiting.clear()
            client.resume()
            client.rm("b/y")
        return find(object_id)

    monkeypatch.setattr(chain, "find", slowly)
    client.resume()
    assert [named.name for named in client.ls()] == ["b/x"]


def test_a_put_whose_deal_has_ended_lists_nothing(world: World, wallet: Wallet) -> None:
    chain = DeafChain(world.ledger, wallet.account)
    client = world.client(wallet, chain=chain)
    deaf_puts(client, chain, ["b/x"])
    client.close_deal(1)
    assert client.resume() == [1]
    assert client.ls() == []
    assert not client._journal.intents()


def test_a_put_that_is_taken_over_is_taken_as_it_stands(world: World, wallet: Wallet) -> None:
    killed_putting(world, wallet, secrets.token_bytes(SIZE), "before")
    client = world.client(wallet)
    (seen,) = client._journal.intents()
    client._journal.set_state(seen.object_id, "sending")
    with client._storing._taking(seen) as now, client._storing._taking(seen) as again:
        assert now is not None
        assert now.state == "sending"
        assert again is None
    client._journal.drop_intent(seen.object_id)
    with client._storing._taking(seen) as gone:
        assert gone is None


def test_needless_deletions_are_no_end_of_a_flush(world: World, wallet: Wallet) -> None:
    client = world.client(wallet, options=replace(OPTIONS, limits=Limits(count=2, wait=10**9)))
    for number in range(5):
        client._packer.delete(f"b/{number}", modified=1)
    client._packer.add("b/x", b"bytes", modified=1)
    assert [result.name for result in client.flush()] == ["b/x"]


def test_a_catalog_that_two_open_first_is_one(tmp_path: Path) -> None:
    seed = DataSeed(b"s" * 32)
    for number in range(20):
        start = Barrier(2)

        def opened(path: Path, start: Barrier = start) -> Catalog:
            start.wait()
            return Catalog(path, seed=seed, account=ZERO_ADDRESS)

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(opened, [tmp_path / str(number)] * 2)
        first.refresh(lambda: [], lambda deal: Page(b"", 0, b""))
        assert second.complete
        first.close()
        second.close()


def small(client: Client) -> None:
    client.put(b"small", "b/x")
    client.flush()
    assert read(client, "b/x") == b"small"
    client.close()

"""The verb put: what shares a deal, what waits, and what is said of it."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.cli import put
from freehold.cli.screen import Screen
from freehold.cli.sources import Item, collect
from freehold.client.client import Client
from freehold.client.packer import Limits
from freehold.client.results import PutResult
from freehold.control.placement import UnwantedTermError
from freehold.domain.errors import ConflictError, InsufficientFundsError, UsageError
from unit.client.fakes import OPTIONS, World

LARGE = 2 * OPTIONS.pack_below


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with World(tmp_path) as world:
        yield world.client(world.wallet(), options=replace(OPTIONS, limits=Limits(wait=2**40)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small files, and one too large for a pack."""
    made = tmp_path / "trip"
    made.mkdir()
    for name in ("a", "b", "c"):
        (made / name).write_text(name * 10)
    (made / "large").write_bytes(secrets.token_bytes(LARGE))
    return made


def store(
    client: Client, items: Sequence[Item], *, later: bool = False, own: bool = False
) -> list[PutResult]:
    return put.Storing(client, Screen(as_json=True), later, own).run(items)


def test_small_files_of_one_put_share_one_deal(client: Client, folder: Path) -> None:
    results = {result.name: result for result in store(client, collect([str(folder)], None))}
    small = {results[f"files/trip/{name}"].deal for name in "abc"}
    assert len(small) == 1
    assert results["files/trip/large"].deal not in small
    assert not any(result.pending for result in results.values())
    assert [named.pending for named in client.ls()] == [False] * 4


def test_more_than_a_pack_takes_goes_into_several(tmp_path: Path, folder: Path) -> None:
    limits = Limits(wait=2**40, count=3)
    with World(tmp_path) as world:
        client = world.client(world.wallet(), options=replace(OPTIONS, limits=limits))
        results = store(client, collect([str(folder / name) for name in "abc"], "x"))
    deals = [result.deal for result in results]
    assert 0 not in deals
    assert len(set(deals)) == 2


def test_one_small_file_is_on_the_chain_when_its_put_returns(client: Client, folder: Path) -> None:
    (result,) = store(client, collect([str(folder / "a"), "x/a"], None))
    assert (result.pending, result.deal > 0) == (False, True)


def test_what_is_left_pending_goes_with_the_next_put(client: Client, folder: Path) -> None:
    waiting = store(client, collect([str(folder / "a"), "x/a"], None), later=True)
    assert [(r.pending, r.deal) for r in waiting] == [(True, 0)]
    assert [(n.name, n.pending) for n in client.ls()] == [("x/a", True)]
    both = store(client, collect([str(folder / "b"), "x/b"], None))
    assert [r.name for r in both] == ["x/b", "x/a"]
    assert both[0].deal == both[1].deal > 0


def test_a_flush_alone_sends_what_waits(client: Client, folder: Path) -> None:
    assert store(client, []) == []
    store(client, collect([str(folder / "a"), str(folder / "b")], "x"), later=True)
    sent = store(client, [])
    assert [r.name for r in sent] == ["x/a", "x/b"]
    assert not any(n.pending for n in client.ls())


def test_pending_files_can_be_read(client: Client, folder: Path) -> None:
    store(client, collect([str(folder / "a"), "x/a"], None), later=True)
    out = io.BytesIO()
    client.get("x/a", out)
    assert out.getvalue() == b"a" * 10


def test_a_pack_that_cannot_be_paid_waits_and_says_so(tmp_path: Path, folder: Path) -> None:
    with World(tmp_path) as world:
        wallet = world.wallet()
        chain = world.chain(wallet)
        chain.gas = 1
        client = world.client(wallet, chain=chain)
        with pytest.raises(InsufficientFundsError) as caught:
            store(client, collect([str(folder / "a"), "x/a"], None))
        assert "freehold put --flush" in caught.value.remedy
        assert [n.pending for n in client.ls()] == [True]


def refused(client: Client, folder: Path, *files: str) -> str:
    """The remedy after a put whose term no node takes."""
    with pytest.raises(UnwantedTermError, match="6 nodes: accepts terms of 0 s to ") as caught:
        store(client, collect([str(folder / each) for each in files], "x"))
    return caught.value.remedy


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Client]:
    """A client whose term no node takes."""
    with World(tmp_path) as world:
        options = replace(OPTIONS, limits=Limits(wait=2**40), term=2 * 10**9)
        yield world.client(world.wallet(), options=options)


def test_what_no_node_takes_is_not_kept(hasty: Client, folder: Path) -> None:
    remedy = refused(hasty, folder, "a", "b")
    assert "Nothing of it is kept here" in remedy
    assert "--flush" not in remedy
    assert hasty.ls() == []
    assert store(hasty, []) == []


def test_a_refused_put_takes_nothing_along_that_waited(hasty: Client, folder: Path) -> None:
    store(hasty, collect([str(folder / "c")], "x"), later=True)
    assert "Nothing of it is kept here" in refused(hasty, folder, "a")
    assert [(n.name, n.pending) for n in hasty.ls()] == [("x/c", True)]


def test_a_refused_put_in_place_of_what_waited_is_kept(hasty: Client, folder: Path) -> None:
    """A failed pack drops what its newer promises override: the last one must stay."""
    store(hasty, collect([str(folder / "a"), "x/a"], None), later=True)
    (folder / "a").write_text("newer")
    assert "freehold put --flush" in refused(hasty, folder, "a")
    out = io.BytesIO()
    hasty.get("x/a", out)
    assert out.getvalue() == b"newer"


def test_what_cannot_be_paid_under_its_own_term_is_not_kept(tmp_path: Path, folder: Path) -> None:
    with World(tmp_path) as world:
        wallet = world.wallet()
        chain = world.chain(wallet)
        chain.gas = 1
        client = world.client(wallet, chain=chain)
        with pytest.raises(InsufficientFundsError) as caught:
            store(client, collect([str(folder / "a"), "x/a"], None), own=True)
        assert "Nothing of it is kept here" in caught.value.remedy
        assert client.ls() == []


def test_a_term_of_ones_own_is_not_given_to_what_waits(client: Client, folder: Path) -> None:
    put.refuse_waiting(client)
    store(client, collect([str(folder / "a"), "x/a"], None), later=True)
    with pytest.raises(ConflictError, match="1 object"):
        put.refuse_waiting(client)


def test_programs_get_one_object_or_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = PutResult("b/a", 1, pending=False, deal=7), PutResult("b/c", 2, pending=True)
    put.show(Screen(as_json=True), [one], {7: 90}, alone=True)
    put.show(Screen(as_json=True), [one, two], {7: 90}, alone=False)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {
        "name": "b/a", "size": 1, "pending": False, "deal": 7, "term_end": 90,
    }  # fmt: skip
    assert [(r["pending"], r["term_end"]) for r in json.loads(second)] == [
        (False, 90),
        (True, None),
    ]


def test_people_read_what_waits_and_what_sends_it(capsys: pytest.CaptureFixture[str]) -> None:
    many = [PutResult(f"b/{i}", 1, pending=False, deal=7) for i in range(30)]
    waiting = PutResult("b/z", 2, pending=True)
    put.show(Screen(as_json=False), [*many, waiting], {7: 1_800_000_000}, alone=False)
    told = capsys.readouterr().out
    assert "b/19" in told
    assert "b/20" not in told
    assert "and 11 more" in told
    assert "31 objects, 32 bytes, 1 deal" in told
    assert "freehold put --flush" in told
    assert "kept until 2027-01-1" in told
    assert "freehold deal renew 7" in told


@pytest.mark.parametrize("here", [["readme.md"], []])
def test_a_name_without_a_folder_is_explained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, here: list[str]
) -> None:
    monkeypatch.chdir(folder)
    source = here[0] if here else "a"
    for name in here:
        Path(name).write_text("me")
    with pytest.raises(UsageError, match="does not name an object") as caught:
        put.put([source, "readme.md"])
    assert "like files/readme.md" in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "message"), [(["none", "x"], "none is not a file"), (["a", "b"], "could be a name")]
)
def test_what_else_is_wrong_is_told_as_such(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=message):
        put.put(given)


def test_a_quote_tells_sizes_prices_lockup_deposit_and_gas(
    client: Client, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = put.quote_of(client, collect([str(folder)], None))
    assert told.deals == 2
    put.show_quote(Screen(as_json=True), told)
    fields = json.loads(capsys.readouterr().out)
    assert fields["size"] == 30 + LARGE
    assert fields["size"] < fields["padded"] < fields["stored"]
    put.show_quote(Screen(as_json=False), told)
    lines = capsys.readouterr().out
    for words in ("2 deals", "padded", "price a month", "locked", "repairs", "deposit", "gwei"):
        assert words in lines

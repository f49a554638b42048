"""Names that a user gives: a folder is no object, and nobody's file is overwritten unasked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from freehold.audit import lines
from freehold.cli import objects, verify
from freehold.cli.names import check_new, choose_file, find_object, local_file
from freehold.client.client import Client
from freehold.domain.errors import ConflictError, FreeholdError, NotFoundError, UsageError
from unit.client.fakes import NOW, FakeChain, World, network


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """An account with two objects in a folder, whose commands run in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with World(tmp_path) as world:
        made = world.client(world.wallet())
        made.put(b"a", "files/docs/a")
        made.put(b"b", "files/docs/b")
        made.flush()

        @contextmanager
        def opened(home: Path | None, password_file: Path | None) -> Iterator[Client]:
            yield made

        for user in (objects, verify):
            monkeypatch.setattr(user, "open_client", opened)
        yield made


def test_an_object_is_found_by_its_whole_name(client: Client) -> None:
    assert find_object(client, "files/docs/b").size == 1


@pytest.mark.parametrize("name", ["files/docs", "files/docs/", "files"])
def test_a_folder_is_told_from_nothing(client: Client, name: str) -> None:
    with pytest.raises(NotFoundError, match="is a folder of 2 objects") as caught:
        find_object(client, name)
    assert f"freehold ls {name.rstrip('/')}/`" in caught.value.remedy
    assert "files/docs/a" in caught.value.remedy


@pytest.mark.parametrize("name", ["files/doc", "files/docs/c", "", "/"])
def test_what_is_not_there_is_no_folder(client: Client, name: str) -> None:
    with pytest.raises(NotFoundError, match="there is no object"):
        find_object(client, name)


@pytest.mark.parametrize(
    "verb",
    [objects.get, objects.info, objects.rm, lambda name: objects.mv(name, "x/y")],
    ids=["get", "info", "rm", "mv"],
)
def test_every_verb_tells_a_folder(client: Client, verb: Callable[[str], None]) -> None:
    Path("docs").mkdir()  # what get would write to lies here, too
    with pytest.raises(NotFoundError, match="is a folder of 2 objects"):
        verb("files/docs")


def test_a_new_name_without_a_folder_is_explained(client: Client) -> None:
    check_new("files/a")
    with pytest.raises(UsageError, match="no folder") as caught:
        objects.mv("files/docs/a", "a.md")
    assert "files/a.md" in caught.value.remedy


def test_a_rename_of_what_waits_sends_nothing(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = cast("FakeChain", client.chain).ledger.opened
    deals = len(opened)
    client.put(b"w", "x/pend")
    objects.mv("x/pend", "x/other")
    assert "freehold put --flush" in capsys.readouterr().out
    assert [(n.name, n.pending) for n in client.ls("x")] == [("x/other", True)]
    objects.rm("x/other")
    assert client.ls("x") == []
    assert len(opened) == deals


@pytest.mark.parametrize("verb", [lambda name: objects.mv(name, "y/b"), objects.rm])
def test_a_change_of_what_is_stored_sends_nothing_else(
    client: Client, verb: Callable[[str], None]
) -> None:
    client.put(b"w", "x/pend")
    verb("files/docs/b")
    assert not any(named.pending for named in client.ls() if named.name != "x/pend")
    assert [(n.name, n.pending) for n in client.ls("x")] == [("x/pend", True)]
    assert client.versions("x/pend") == []
    assert client.ls("files/docs/b") == []


def test_an_export_of_another_network_is_told_by_its_id(tmp_path: Path) -> None:
    export, other = tmp_path / "chain.jsonl", network(b"\x08" * 32)
    fields = {"network": json.loads(network().render())}
    export.write_bytes(lines.render("export", fields, lines.FIRST_SEAL)[0])
    described = tmp_path / "network.json"
    described.write_text(other.render())
    with pytest.raises(UsageError, match=f"network '0x{'07' * 32}', not of '0x{'08' * 32}'$"):
        verify.verify(chain=export, network=described)


def test_a_get_overwrites_nothing_unless_it_is_told_so(client: Client) -> None:
    Path("a").write_text("mine")
    with pytest.raises(ConflictError, match="'a'") as caught:
        objects.get("files/docs/a")
    assert "--force" in caught.value.remedy
    assert Path("a").read_text() == "mine"
    objects.get("files/docs/a", force=True)
    assert Path("a").read_text() == "a"
    objects.get("files/docs/b", Path("a"))
    assert Path("a").read_text() == "b"


def test_the_file_is_chosen_by_the_user_or_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_file(None, "b/.bashrc", force=False) == Path(".bashrc")
    Path(".bashrc").symlink_to("elsewhere")
    with pytest.raises(ConflictError, match="already"):
        choose_file(None, "b/.bashrc", force=False)
    assert choose_file(None, "b/.bashrc", force=True) == Path(".bashrc")
    assert choose_file(Path(".bashrc"), "b/x", force=False) == Path(".bashrc")


def test_an_object_goes_under_its_last_part_into_this_folder() -> None:
    assert local_file("docs/2026/plan.pdf") == Path("plan.pdf")


@pytest.mark.parametrize("name", ["b/..", "b/.", "b/dir/", "b/a\nb", "b/x\x1b[2J", "b/\u202etxt"])
def test_a_name_that_makes_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="does not end in a file name"):
        local_file(name)


def test_shards_of_nothing_are_refused_before_anything_is_verified(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def live(*_: object) -> None:
        raise AssertionError("verified first")

    monkeypatch.setattr(verify, "_live", live)
    client.put(b"c", "files/c")
    kinds: dict[str, type[FreeholdError]] = {
        "files/docs/c": NotFoundError, "files/docs": NotFoundError, "files/c": ConflictError,
    }  # fmt: skip
    for name, kind in kinds.items():
        with pytest.raises(kind):
            verify.verify(data=name)
    with pytest.raises(AssertionError, match="verified first"):
        verify.verify(data="files/docs/a")


def test_a_listing_tells_until_when(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put(b"c", "files/c")
    stored = client.info("files/docs/a").named.put.location.object_id
    monkeypatch.setattr(objects, "ends_of_objects", lambda home, account: {stored: NOW + 60})
    objects.ls("files", as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["term_end"] for row in rows] == [None, NOW + 60, NOW + 60]
    objects.ls("files")
    assert "until" in capsys.readouterr().out
    objects.info("files/docs/a", home=Path("home"))
    assert "renew with `freehold deal renew 1`" in capsys.readouterr().out

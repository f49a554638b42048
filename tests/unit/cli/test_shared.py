"""``ls --token``: what somebody else shared, as far as their nodes answer."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from freehold.cli import objects
from freehold.client.client import Client
from unit.client.fakes import World

SIZE = 300_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def test_what_no_node_tells_is_listed_as_unavailable(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alice, bob = world.client(world.wallet(1), home="a"), world.client(world.wallet(2), home="b")
    alice.put(secrets.token_bytes(SIZE), "b/d/dead")
    alice.put(secrets.token_bytes(SIZE), "b/d/live")
    alice.mv("b/d/dead", "b/d/moved")
    alice.flush()
    token = alice.share("b/d", bob.recipient())
    lost = {column.cid for column in bob.library.columns(1).values()}
    for node in world.nodes:
        node.pieces = {cid: piece for cid, piece in node.pieces.items() if cid not in lost}

    @contextmanager
    def opened(home: Path | None, password_file: Path | None) -> Iterator[Client]:
        yield bob

    monkeypatch.setattr(objects, "open_client", opened)
    objects.ls("", token=token, as_json=True)
    live, moved, gap = json.loads(capsys.readouterr().out)
    assert (live["name"], live["available"]) == ("b/d/live", True)
    assert (moved["name"], moved["available"]) == ("b/d/moved", False)
    assert gap["deal"] == 1
    assert "no node gives the manifest" in gap["unavailable"]
    objects.ls("", token=token)
    shown = capsys.readouterr().out
    assert "deal 1 is unavailable" in shown
    assert shown.count("unavailable") == 2

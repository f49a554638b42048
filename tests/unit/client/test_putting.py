"""Puts whose nodes fail: memory, interrupts, and nodes that forget."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

import pytest

from freehold.client.source import FileSource, changed
from freehold.client.upload import IN_FLIGHT
from freehold.domain.buffers import Buffers
from freehold.domain.errors import IntegrityError
from unit.client.fakes import World

DATA = secrets.token_bytes(5_000_000)


def test_a_second_round_takes_no_more_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    out, most = 0, 0
    take, give, lock = Buffers.take, Buffers.give, threading.Lock()

    def taken(self: Buffers, size: int) -> memoryview:
        nonlocal out, most
        with lock:
            out += 1
            most = max(most, out)
        return take(self, size)

    def given(self: Buffers, buffer: memoryview) -> None:
        nonlocal out
        with lock:
            out -= 1
        give(self, buffer)

    monkeypatch.setattr(Buffers, "take", taken)
    monkeypatch.setattr(Buffers, "give", given)
    world.add_node(6)
    refused = list[str]()

    def refuse(method: str, path: str) -> tuple[int, str] | None:
        with lock:
            if method != "PUT" or refused:
                return None
            refused.append(path)
        return 507, "full"

    for node in world.nodes:
        node.refuse = refuse
    with world.client(world.wallet()) as client:
        client.put(DATA, "b/x")
    assert refused
    assert (out, most) == (0, IN_FLIGHT)


@pytest.mark.parametrize(("method", "time"), [("PATCH", 3), ("PUT", 1)])
def test_a_node_that_forgot_is_sent_its_column_again_where_there_is_no_other(
    world: World, tmp_path: Path, method: str, time: int
) -> None:
    node, asked = world.nodes[0], list[str]()

    def forget(name: str, _: str) -> tuple[int, str] | None:
        asked.append(name)
        if name != method or asked.count(method) != time:
            return None
        for upload in node.uploads.values():
            del upload[-1000:]
        return (409, "the upload stands elsewhere") if method == "PUT" else None

    node.refuse = forget
    with world.client(world.wallet()) as client:
        client.put(DATA, "b/x")
        client.get("b/x", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == DATA


def test_nodes_are_asked_no_further_once_a_put_was_given_up(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked, failed = tmp_path / "source", threading.Event(), threading.Event()
    source.write_bytes(DATA)

    def read(*_: object) -> None:
        asked.wait(20)
        failed.set()
        raise changed("the source")

    def before(method: str, path: str) -> None:
        if (method, path) == ("POST", "/upload"):
            asked.set()
            failed.wait(20)
            threading.Event().wait(0.5)

    monkeypatch.setattr(FileSource, "read", read)
    for number in range(6, 12):
        world.add_node(number)
    for node in world.nodes:
        node.before = before
        node.refuse = lambda m, p: (507, "full") if (m, p) == ("POST", "/upload") else None
    with world.client(world.wallet()) as client, pytest.raises(IntegrityError, match="changed"):
        client.put(source, "b/x")
    assert sum(call == ("POST", "/upload") for n in world.nodes for call in n.calls) == 6

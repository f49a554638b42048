"""One node over HTTPS: its certificate, its refusals, and transfers that break off."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from freehold.client.connection import ImposterError, Peer, Timeouts
from freehold.client.session import Body, DueError, Retry, Session
from freehold.client.token import Identity
from freehold.domain.errors import (
    AccessError,
    CancelledError,
    CapacityError,
    ConflictError,
    FreeholdError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.domain.keys import Key
from freehold.markets.storage.piece import commit
from unit.client.fakes import FakeNode, World

CLIENT = Key.from_secret(b"\xa1" * 32)


class Clock:
    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> int:
        return self.world.ledger.time


def session(world: World, node: FakeNode, **changes: object) -> Session:
    identity = Identity(
        CLIENT, world.ledger.net.domain("registry"), Clock(world), secrets.token_bytes
    )
    retry = Retry(attempts=3, pause=0, sleep=lambda seconds: None)
    peer = replace(node.peer(), **changes)  # type: ignore[arg-type]
    made = Session(peer, identity, timeouts=Timeouts(5, 5), retry=retry)
    world.closing.append(made.close)
    return made


def test_another_certificate_gets_no_word_from_us(world: World) -> None:
    node = world.nodes[0]
    wrong = session(world, node, fingerprint=bytes(32))
    with pytest.raises(ImposterError, match="shows certificate"):
        wrong.ask("POST", "/upload", {"size": 1})
    assert node.calls == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:1", "https://", "https://a b:1", "https://h:1/path", "https://[::1", "x"],
)
def test_only_https_endpoints_are_used(world: World, endpoint: str) -> None:
    with pytest.raises(UsageError, match="no https endpoint"):
        session(world, world.nodes[0], endpoint=endpoint).ask("GET", "/offer")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UsageError),
        (401, AccessError),
        (403, AccessError),
        (402, DueError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, CapacityError),
        (422, IntegrityError),
        (507, CapacityError),
        (503, UnavailableError),
        (418, FreeholdError),
    ],
)
def test_refusals_become_typed_errors_with_the_node_s_words(
    world: World, status: int, kind: type[FreeholdError]
) -> None:
    node = world.nodes[0]
    node.refuse = lambda method, path: (status, "because")
    with pytest.raises(kind, match=f"node {node.key.address}: because") as caught:
        session(world, node).ask("POST", "/upload", {"size": 1})
    assert caught.value.remedy == "as told"


def test_a_passing_refusal_is_tried_again_a_bounded_number_of_times(world: World) -> None:
    node = world.nodes[0]
    node.refuse = lambda method, path: (503, "busy")
    with pytest.raises(UnavailableError):
        session(world, node).ask("GET", "/offer")
    assert len(node.calls) == 3
    answers = iter([(503, "busy"), None])
    node.refuse = lambda method, path: next(answers)
    assert session(world, node).ask("GET", "/offer")["node"] == node.key.address


@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"price":' + b"1" * 100_000 + b"}", b"[]"])
def test_odd_json_is_a_typed_error(world: World, text: bytes) -> None:
    node = world.nodes[0]
    node.speak = lambda handler: handler.answer(text)
    with pytest.raises(IntegrityError, match="no JSON object"):
        session(world, node).ask("GET", "/offer")


def test_a_node_that_lets_bytes_trickle_is_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    hours = itertools.count(step=600)
    clock = SimpleNamespace(monotonic=lambda: float(next(hours)))
    monkeypatch.setattr("freehold.client.connection.time", clock)
    node.speak = lambda handler: handler.trickle(2**15)
    with pytest.raises(UnavailableError, match="takes too long"):
        session(world, node).ask("GET", "/offer")


def test_a_node_that_is_gone_is_unavailable(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    made.ask("GET", "/offer")
    node.stop()
    with pytest.raises(UnavailableError, match="dropped the connection"):
        made.ask("GET", "/offer")


def test_connections_are_used_again_and_stale_ones_replaced(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    made.ask("GET", "/offer")
    port = node.port
    node.stop()
    node.down = False
    node.start(port)
    assert made.ask("GET", "/offer")["node"] == node.key.address


def test_an_upload_goes_on_where_it_broke_off(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    upload = str(made.ask("POST", "/upload", {"size": 400_000})["id"])
    data = secrets.token_bytes(400_000)
    node.cut_after, node.cuts_left = 131_072, 2
    asked: list[int] = []

    def parts(at: int) -> Iterator[memoryview]:
        asked.append(at)
        for start in range(at, len(data), 100_000):
            yield memoryview(data)[start : start + 100_000]

    made.send(f"/upload/{upload}", 0, Body(len(data), parts))
    assert bytes(node.uploads[upload]) == data
    assert asked == sorted(asked)
    assert [method for method, _ in node.calls].count("PATCH") == 3


def test_a_node_that_still_ends_the_request_before_is_asked_again(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    upload = str(made.ask("POST", "/upload", {"size": 300_000})["id"])
    data, late = secrets.token_bytes(300_000), [b""]
    node.cut_after, node.cuts_left = 100_000, 1

    def tell_later(method: str, path: str) -> None:
        if method == "HEAD" and not late[0]:
            late[0] = bytes(node.uploads[upload])
            del node.uploads[upload][:]
        elif method == "PATCH" and late[0] and not node.uploads[upload]:
            node.uploads[upload][:] = late[0]

    node.before = tell_later
    made.send(f"/upload/{upload}", 0, Body.of(memoryview(data)))
    assert bytes(node.uploads[upload]) == data


def test_what_a_request_before_has_brought_is_not_sent_again(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    upload = str(made.ask("POST", "/upload", {"size": 300_000})["id"])
    data = memoryview(secrets.token_bytes(300_000))
    made.send(f"/upload/{upload}", 0, Body.of(data[:250_000]))
    made.send(f"/upload/{upload}", 0, Body.of(data[:100_000]))
    made.send(f"/upload/{upload}", 100_000, Body.of(data[100_000:]))
    assert bytes(node.uploads[upload]) == data


def test_an_upload_that_was_lost_is_an_integrity_error(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    upload = str(made.ask("POST", "/upload", {"size": 400_000})["id"])
    made.send(f"/upload/{upload}", 0, Body.of(memoryview(bytes(100_000))))

    def lose(method: str, path: str) -> None:
        if method == "HEAD":
            del node.uploads[upload][50_000:]

    node.before, node.cut_after, node.cuts_left = lose, 0, 1
    with pytest.raises(IntegrityError, match="holds 50000 bytes"):
        made.send(f"/upload/{upload}", 100_000, Body.of(memoryview(bytes(100_000))))


def stored(node: FakeNode, size: int = 300_000) -> tuple[str, bytes]:
    data = secrets.token_bytes(size)
    cid = commit(data).cid
    node.pieces[cid] = data
    return f"/piece/{cid}", data


def test_a_download_goes_on_where_it_broke_off(world: World) -> None:
    node = world.nodes[0]
    path, data = stored(node)
    node.cut_after, node.cuts_left = 90_000, 2
    into = bytearray(250_000)
    session(world, node).read(path, 1_000, memoryview(into))
    assert into == data[1_000:251_000]
    assert node.served == 250_000


def test_a_download_that_breaks_off_for_ever_ends(world: World) -> None:
    node = world.nodes[0]
    path, _ = stored(node)
    node.cut_after, node.cuts_left = 10, 99
    with pytest.raises(UnavailableError):
        session(world, node).read(path, 0, memoryview(bytearray(300_000)))


def test_a_download_can_be_stopped(world: World) -> None:
    path, _ = stored(world.nodes[0])
    with pytest.raises(CancelledError):
        session(world, world.nodes[0]).read(path, 0, memoryview(bytearray(10)), stop=lambda: True)


def test_a_range_beyond_the_piece_is_an_integrity_error(world: World) -> None:
    path, _ = stored(world.nodes[0], 1000)
    with pytest.raises(IntegrityError, match="sends bytes 0-999/1000"):
        session(world, world.nodes[0]).read(path, 0, memoryview(bytearray(2000)))


def test_every_request_has_a_token_of_its_own(world: World) -> None:
    node = world.nodes[0]
    made = session(world, node)
    made.ask("POST", "/upload", {"size": 1})
    made.ask("POST", "/upload", {"size": 1})
    assert len(node.nonces) == 2


def test_a_peer_is_what_the_registry_says() -> None:
    peer = Peer(CLIENT.address, "https://h:1", bytes(32))
    assert replace(peer, endpoint="https://h:2") != peer

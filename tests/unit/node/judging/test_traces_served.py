"""Roots over HTTP: fetched by watchers and by who doubts, signed by watchers alone."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from contracts.roots import watchers
from freehold.client.connection import Peer
from freehold.domain.errors import AccessError, ConflictError, IntegrityError, UnavailableError
from freehold.domain.ids import address
from freehold.domain.keys import Key
from freehold.node.judging import source as served_by
from freehold.node.judging.cosigner import Cosigner
from freehold.node.judging.desk import Desk
from freehold.node.judging.routes import Routes
from freehold.node.judging.source import HttpProposer
from unit.node.judging.arena import PROPOSER, Scene

STRANGER = Key.from_secret(b"\x99" * 32)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """An offer that waits."""
    made = Scene(tmp_path)
    made.grant()
    made.play()
    made.proposer().step()
    return made


@pytest.fixture
def url(scene: Scene) -> Iterator[str]:
    """Where it is served."""
    app = FastAPI()
    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as door:
        Routes(scene.desk, pool).add(app)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([door])))
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def source(url: str, *, within: float = 600.0, plain: bool = True) -> HttpProposer:
    peer = Peer(address(PROPOSER.address), url, bytes(32))
    return HttpProposer(peer, within=within, plain=plain)


def test_a_watcher_signs_what_it_fetched(scene: Scene, url: str) -> None:
    key = Key.from_secret(watchers[0].key)
    cosigner = Cosigner(scene.ledger(watchers[0]), key, scene.court, sources=lambda: [source(url)])
    assert source(url).waiting() == 0
    draft = scene.court.draft(0)
    assert source(url).trace(0, 2**20) == draft.file()
    cosigner.step()
    offer = scene.desk.shelf.offer(0)
    assert offer is not None
    assert len(scene.desk.signed(offer)) == 1


def test_what_is_odd_is_refused(scene: Scene, url: str) -> None:
    with pytest.raises(UnavailableError, match="404"):
        source(url).trace(7, 1_000)
    with pytest.raises((UnavailableError, IntegrityError)):
        source(url).trace(0, 100)
    offer = scene.desk.shelf.offer(0)
    assert offer is not None
    with httpx2.Client(base_url=url) as http:
        for path in ("/traces/-1", "/traces/x", "/traces/" + "9" * 40, "/traces/1"):
            assert http.get(path).status_code == 404
        for epoch, body, status in (
            (0, b"", 422), (0, b"[]", 422), (0, b'{"signature": "00"}', 422),
            (0, b'{"signature": "%s"}' % (b"00" * 65), 403),
            (0, b'{"signature": "%s"}' % STRANGER.sign(offer.digest).hex().encode(), 403),
            (3, b'{"signature": "%s"}' % (b"00" * 65), 409), (0, b"x" * 5_000, 413),
        ):  # fmt: skip
            found = http.post(f"/traces/{epoch}/signatures", content=body)
            assert (found.status_code, body) == (status, body)
            assert found.json()["remedy"]
    assert scene.desk.signed(offer) == []


def test_an_offer_on_another_tip_waits_no_longer(scene: Scene, url: str) -> None:
    scene.accept()
    assert source(url).waiting() is None
    with pytest.raises(ConflictError):
        scene.desk.sign(0, b'{"signature": "%s"}' % (b"00" * 65))


def trickle(door: socket.socket, head: bytes) -> None:
    """Answer everybody with a head, then a byte now and then, for ever."""
    talks = []
    with suppress(OSError):
        while True:
            talk, _ = door.accept()
            talks.append(threading.Thread(target=_trickle, args=(talk, head), daemon=True))
            talks[-1].start()
    for each in talks:
        each.join()


def _trickle(talk: socket.socket, head: bytes) -> None:
    with talk, suppress(OSError):
        talk.sendall(head)
        while not select.select([talk], [], [], 0)[0] or talk.recv(2**16):
            talk.sendall(b"1")
            select.select([talk], [], [], 0.05)


@pytest.fixture(
    params=[b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: "],
    ids=["garbage", "body", "head"],
)
def trickling(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where somebody lets single bytes through."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=trickle, args=(door, request.param))
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_who_trickles_is_given_up(trickling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_by, "LEAST_SECONDS", 0.3)
    asked = source(trickling, within=0.0)
    with pytest.raises(UnavailableError, match="does not answer"):
        asked.waiting()
    with pytest.raises(UnavailableError, match="does not answer"):
        asked.trace(0, 2**28)


def test_a_machine_of_one_s_own_is_not_asked_for_a_stranger(scene: Scene, url: str) -> None:
    with pytest.raises(UnavailableError, match="no https endpoint"):
        source(url, plain=False).waiting()
    with pytest.raises(UnavailableError, match="no https endpoint"):
        source("http://169.254.169.254").waiting()


class Hanging:
    """A proposer that answers nobody until it is let go."""

    node = address("0x" + "77" * 20)

    def __init__(self) -> None:
        self.free = threading.Event()

    def waiting(self) -> int | None:
        assert self.free.wait(30), "everybody waits for one that hangs"
        raise UnavailableError("it hung", remedy="-")

    def trace(self, epoch: int, most: int) -> bytes:
        raise NotImplementedError

    leaves = trace

    def sign(self, epoch: int, signature: bytes) -> None:
        raise NotImplementedError


class Freeing(HttpProposer):
    """A proposer that lets one go that hangs, once it was asked itself."""

    hanging: Hanging

    def waiting(self) -> int | None:
        self.hanging.free.set()
        return super().waiting()


def test_one_that_hangs_keeps_nobody_s_signature(scene: Scene, url: str) -> None:
    key, hanging = Key.from_secret(watchers[0].key), Hanging()
    honest = Freeing(Peer(address(PROPOSER.address), url, bytes(32)), within=600.0, plain=True)
    honest.hanging = hanging
    Cosigner(scene.ledger(watchers[0]), key, scene.court, sources=lambda: [hanging, honest]).step()
    offer = scene.desk.shelf.offer(0)
    assert offer is not None
    assert len(scene.desk.signed(offer)) == 1


def test_strangers_do_not_have_the_chain_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(scene.ledger(PROPOSER), scene.desk.shelf, clock=lambda: 0.0)
    offer = desk.shelf.offer(0)
    assert offer is not None
    assert desk.listing()["waiting"] == 0
    asked: list[object] = []
    monkeypatch.setattr(scene.town.chain, "transact", lambda *told, **_: asked.append(told))
    stranger = b'{"signature": "%s"}' % STRANGER.sign(offer.digest).hex().encode()
    for _ in range(3):
        assert desk.listing()["waiting"] == 0
        with pytest.raises(AccessError, match="no watcher"):
            desk.sign(0, stranger)
    mine = Key.from_secret(watchers[0].key).sign(offer.digest).hex().encode()
    for _ in range(2):  # twice is once
        assert desk.sign(0, b'{"signature": "%s"}' % mine)["signatures"] == 1
    assert asked == []


@pytest.mark.parametrize("damage", ["00", "ff" * 65, "11" * 64 + "1b", "nothing"])
def test_a_signature_that_is_damaged_counts_for_nothing(scene: Scene, damage: str) -> None:
    scene.sign()
    shelf = scene.desk.shelf
    offer = shelf.offer(0)
    assert offer is not None
    good = shelf.signatures(offer)
    assert len(scene.desk.signed(offer)) == len(good) == 3
    file = next((scene.folder / "traces").glob("*.signatures"))
    told = json.loads(file.read_text())
    told["signatures"][sorted(good)[0]] = damage
    file.write_text(json.dumps(told))
    assert len(scene.desk.signed(offer)) == (0 if damage == "nothing" else 2)
    scene.proposer().step()  # it waits for more, and does not fail

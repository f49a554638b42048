"""Roots over HTTP: fetched by watchers and by who doubts, signed by watchers alone."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from contracts.roots import watchers
from freehold.client.connection import Peer
from freehold.domain.errors import ConflictError, IntegrityError, UnavailableError
from freehold.domain.ids import address
from freehold.domain.keys import Key
from freehold.node.judging.cosigner import Cosigner
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


def source(url: str) -> HttpProposer:
    return HttpProposer(Peer(address(PROPOSER.address), url, bytes(32)))


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
        source(url).trace(7, 100)
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

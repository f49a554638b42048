"""A service over HTTP as the cosigner asks it: bounded, and typed errors for all that is odd."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from freehold.client.connection import Peer, Timeouts
from freehold.client.token import Identity
from freehold.domain.errors import IntegrityError, UnavailableError
from freehold.domain.ids import checksum
from freehold.domain.keys import Key, recover
from freehold.node.tokens import parse_token
from freehold.node.watcher import paysource
from freehold.node.watcher.paysource import HttpSource
from unit.node.world import HandClock, network

SERVICE, DEVICE = checksum(b"\x31" * 20), checksum(b"\x32" * 20)


@dataclass
class Desk:
    """A server of canned answers; what was posted."""

    url: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    tokens: dict[str, str | None] = field(default_factory=dict)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                desk.tokens[self.path] = self.headers["authorization"]
                found = desk.answers.get(self.path)
                self._answer(404 if found is None else 200, found or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                desk.taken.append((self.path, body))
                self._answer(200 if self.path.startswith("/epochs/3") else 403, b"{}")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    with ThreadingHTTPServer(("127.0.0.1", 0), made.handler()) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def source(desk: Desk) -> HttpSource:
    return HttpSource(Peer(SERVICE, desk.url, bytes(32)))


def test_evidence_is_asked_for_with_a_token(desk: Desk) -> None:
    key, net = Key.from_secret(b"\x66" * 32), network()
    identity = Identity(key, net.domain("registry"), HandClock(), bytes)
    asked = HttpSource(Peer(SERVICE, desk.url, bytes(32)), identity)
    path = f"/epochs/3/evidence/{DEVICE}"
    desk.answers = {"/epochs/3": b"{}", path: b""}
    asked.statement(3)
    asked.evidence(3, DEVICE)
    assert desk.tokens["/epochs/3"] is None
    token = parse_token(desk.tokens[path])
    assert (token.audience, token.method, token.path) == (SERVICE, "GET", path)
    assert recover(token.digest(net), token.signature) == key.address
    source(desk).evidence(3, DEVICE)
    assert desk.tokens[path] is None


def framed(*batches: bytes) -> bytes:
    return b"".join(len(each).to_bytes(4, "little") + each for each in batches)


def test_what_a_service_tells_is_read(desk: Desk) -> None:
    desk.answers = {
        "/epochs": b"[3, 1]",
        "/epochs/3": b'{"version": 1}',
        f"/epochs/3/evidence/{DEVICE}": framed(b"one", b"three"),
    }
    asked = source(desk)
    assert list(asked.epochs()) == [1, 3]
    assert asked.statement(3) == b'{"version": 1}'
    assert asked.evidence(3, DEVICE) == [b"one", b"three"]
    assert asked.evidence(2, DEVICE) == []
    asked.sign(3, b"\x01" * 65)
    assert desk.taken == [("/epochs/3/signatures", b'{"signature": "%s"}' % (b"01" * 65))]


def test_refusals_and_silence_are_said(desk: Desk) -> None:
    with pytest.raises(UnavailableError, match="404"):
        source(desk).statement(5)
    with pytest.raises(UnavailableError, match="403"):
        source(desk).sign(4, b"\x01" * 65)
    with pytest.raises(UnavailableError, match="does not answer"):
        HttpSource(Peer(SERVICE, "http://127.0.0.1:9", bytes(32))).epochs()


@pytest.mark.parametrize("told", [b"{}", b'["3"]', b"[true]", b"x", b"[" * 100_000])
def test_a_list_that_is_none_is_refused(desk: Desk, told: bytes) -> None:
    desk.answers = {"/epochs": told}
    with pytest.raises(IntegrityError):
        source(desk).epochs()


def test_evidence_beyond_bounds_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/epochs/3/evidence/{DEVICE}"
    for odd in (framed(b"one")[:-1], b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1"):
        desk.answers = {path: odd}
        with pytest.raises(IntegrityError):
            source(desk).evidence(3, DEVICE)
    monkeypatch.setattr(paysource, "EVIDENCE_MAX", 10)
    desk.answers = {path: framed(b"0123456789")}
    with pytest.raises(IntegrityError, match="more than 10 bytes"):
        source(desk).evidence(3, DEVICE)


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", "HTTP/1.1 200"]
)
def test_a_service_that_lets_single_bytes_through_is_given_up(
    head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paysource, "LIST_MAX", 100)
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=_trickle, args=(door, head.encode()))
        thread.start()
        peer = Peer(SERVICE, f"http://127.0.0.1:{door.getsockname()[1]}", bytes(32))
        with pytest.raises(UnavailableError, match=r"too long|timed out"):
            HttpSource(peer, timeouts=Timeouts(connect=5.0, idle=0.3)).epochs()
        thread.join()


def _trickle(door: socket.socket, head: bytes) -> None:
    """Answer one, with a byte now and then until it has gone; for so long at most."""
    talk, _ = door.accept()
    with talk, suppress(OSError):
        talk.sendall(head)
        for _ in range(200):
            if select.select([talk], [], [], 0.05)[0] and not talk.recv(2**16):
                return
            talk.sendall(b"1")

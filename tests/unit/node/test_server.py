"""The node over real sockets and TLS: limits on time, and a shutdown in order."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from freehold.domain.errors import ConflictError
from freehold.markets.storage.piece import commit
from freehold.node import server
from freehold.node.__main__ import main
from freehold.node.bodies import body_of
from freehold.node.daemon import request_leave
from freehold.node.database import Database
from freehold.node.server import listen, make_server
from freehold.node.tls import ensure_certificate, server_context
from unit.node.world import CLIENT, NOW, World, network, sign_request

ROOT = Path(__file__).parents[3]
DATA = hashlib.shake_128(b"over the wire").digest(3 * 2**20 + 17)
PIECE = commit(DATA)


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=30)
    return context.wrap_socket(plain)


def head(method: str, path: str, token: str, length: int, **more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: node", f"Content-Length: {length}"]
    lines += [f"Authorization: {token}"] if token else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(connection: ssl.SSLSocket) -> tuple[int, bytes]:
    """Status and body of one response."""
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        length = 0
        while line := file.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, file.read(length)


@dataclass
class Served:
    world: World
    port: int
    tls: bytes

    def token(self, method: str, path: str) -> str:
        return self.world.token(CLIENT, method, path)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        with connect(self.port) as connection:
            connection.sendall(head(method, path, self.token(method, path), len(body)) + body)
            return answer(connection)


@contextmanager
def serving(app: FastAPI, folder: Path) -> Iterator[tuple[int, bytes]]:
    """The port of a server of ``app``, and its certificate's fingerprint."""
    certificate = ensure_certificate(folder, host="127.0.0.1", now=NOW)
    bound = listen("127.0.0.1", 0)
    made = make_server(app, tls=server_context(certificate), connections=32)
    up, left = threading.Event(), threading.Event()
    made.watch(left, started=up.set)
    thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert up.wait(30)
        yield bound.getsockname()[1], certificate.fingerprint
    finally:
        left.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[Served]:
    with serving(world.node.api().build(), tmp_path) as (port, fingerprint):
        yield Served(world, port, fingerprint)


def test_a_piece_travels_over_tls_under_the_announced_fingerprint(served: Served) -> None:
    assert served.ask("PUT", f"/piece/{PIECE.cid}", DATA)[0] == 201
    assert served.ask("GET", f"/piece/{PIECE.cid}") == (200, DATA)
    with connect(served.port) as connection:
        der = connection.getpeercert(binary_form=True)
        assert der is not None
        assert hashlib.sha256(der).digest() == served.tls


def test_a_refused_body_still_gets_its_refusal(served: Served) -> None:
    with connect(served.port) as connection:
        connection.sendall(head("PUT", f"/piece/{PIECE.cid}", "", len(DATA)))
        for start in range(0, len(DATA), 2**16):
            connection.sendall(DATA[start : start + 2**16])
        status, body = answer(connection)
    assert (status, json.loads(body)["kind"]) == (401, "MissingTokenError")


def hung_up(connection: ssl.SSLSocket) -> bool:
    try:
        return connection.recv(100) == b""
    except (ConnectionError, ssl.SSLError):
        return True


@pytest.mark.parametrize("sent", [b"", b"GET /offer HT", b"GET /offer HTTP/1.1\r\nX: y\r\n"])
def test_a_client_that_never_finishes_its_head_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    with connect(served.port) as connection:
        connection.sendall(sent)
        assert hung_up(connection)


LONG = b"X: " + b"a" * 2 * server.HEAD_BYTES
MANY = b"a:\r\n" * (server.HEAD_LINES + 2)


@pytest.mark.parametrize("lines", [LONG, MANY + b"\r\n", MANY])
def test_a_head_that_is_too_long_is_refused(served: Served, lines: bytes) -> None:
    with connect(served.port) as connection:
        connection.sendall(b"GET /offer HTTP/1.1\r\nHost: node\r\n" + lines)
        assert answer(connection)[0] == 431
        assert hung_up(connection)


def test_a_head_of_some_length_is_no_matter(served: Served) -> None:
    lines = b"".join(b"x-%d: %s\r\n" % (n, b"a" * 300) for n in range(server.HEAD_LINES - 1))
    with connect(served.port) as connection:
        for _ in range(3):
            connection.sendall(b"GET /offer HTTP/1.1\r\nHost: node\r\n" + lines + b"\r\n")
            assert answer(connection)[0] == 200


CHUNKED = b"POST /whole HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize("more", [b"0\r\n" + LONG, b"0\r\n" + MANY, b"1;" + LONG[3:]])
def test_trailers_that_are_too_long_end_the_connection(
    bodies: tuple[int, list[bytes]], more: bytes
) -> None:
    with connect(bodies[0]) as connection:
        connection.sendall(CHUNKED + more)
        assert hung_up(connection)


def test_trailers_that_never_end_are_cut_off(
    bodies: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(bodies[0]) as connection:
        monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
        connection.sendall(CHUNKED + b"0\r\nX: y\r\nZ:")
        assert hung_up(connection)


def test_a_connection_with_nothing_but_empty_lines_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    with connect(served.port) as connection:
        connection.sendall(b"GET /offer HTTP/1.1\r\nHost: node\r\n\r\n")
        assert answer(connection)[0] == 200
        connection.sendall(b"\r\n")
        assert hung_up(connection)


@pytest.mark.parametrize("asked", [b"", b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n"])
def test_who_keeps_many_connections_open_keeps_nobody_out(served: Served, asked: bytes) -> None:
    """The server takes 32."""
    with ExitStack() as held:
        opened = [held.enter_context(connect(served.port)) for _ in range(40)]
        for each in opened[-24:]:
            each.sendall(asked)
            assert not asked or answer(each)[0] == 200
        for _ in range(3):
            assert served.ask("GET", "/offer")[0] == 200
        assert hung_up(opened[0])
        opened[-1].sendall(b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n")
        assert answer(opened[-1])[0] == 200  # nobody goes who came later


def test_refused_bodies_that_never_end_keep_nobody_out(served: Served) -> None:
    """The server takes 32, and reads on for half a minute what it has refused."""
    with ExitStack() as held:
        for _ in range(40):
            each = held.enter_context(connect(served.port))
            each.sendall(head("PUT", f"/piece/{PIECE.cid}", "", len(DATA)) + b"x")
            assert answer(each)[0] == 401
        assert served.ask("GET", "/offer")[0] == 200


def test_bodies_that_stall_keep_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that anybody may send, for they are read before it is known by whom."""
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.3)
    with ExitStack() as held:
        for _ in range(40):
            each = held.enter_context(connect(served.port))
            each.sendall(head("POST", "/upload", "", 16_000) + b"x")
        deadline = time.monotonic() + 10  # far less than a body's patience
        while (status := served.ask("GET", "/offer")[0]) != 200 and time.monotonic() < deadline:
            assert status == 503
        assert status == 200


def trickled(connection: ssl.SSLSocket, part: bytes) -> int:
    """The status of the answer to a body that comes a byte at a time."""
    connection.settimeout(0.1)
    for _ in range(100):
        connection.sendall(part)
        try:
            return int(connection.recv(100).split()[1])
        except TimeoutError:
            continue
    return 0


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_trickles_is_refused(served: Served, chunked: bool) -> None:
    object.__setattr__(served.world.node.settings, "body_timeout", 1)
    upload = served.world.node.uploads.create(CLIENT.address, 1000)
    path = f"/upload/{upload.id}"
    request = head("PATCH", path, served.token("PATCH", path), 1000, Upload_Offset="0")
    if chunked:
        request = request.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked")
    with connect(served.port) as connection:
        connection.sendall(request)
        assert trickled(connection, b"1\r\nx\r\n" if chunked else b"x") == 408


def test_a_small_body_that_trickles_is_refused(served: Served) -> None:
    object.__setattr__(served.world.node.settings, "body_timeout", 1)
    with connect(served.port) as connection:
        connection.sendall(head("POST", "/upload", "", 16_000))
        assert trickled(connection, b"x") == 408


def test_a_request_gets_no_bytes_of_the_next_one(served: Served) -> None:
    uploads = served.world.node.uploads
    first, second = (uploads.create(CLIENT.address, 1000).id for _ in range(2))

    def patch(upload: str, length: int) -> bytes:
        token = served.token("PATCH", f"/upload/{upload}")
        return head("PATCH", f"/upload/{upload}", token, length, Upload_Offset="0")

    with connect(served.port) as connection:
        connection.sendall(patch(first, 0) + patch(second, 1000) + b"B" * 500)
        assert answer(connection)[0] == 202
        connection.sendall(b"B" * 500)
        assert answer(connection)[0] == 202
    assert uploads.offset(first, CLIENT.address).offset == 0
    assert uploads.offset(second, CLIENT.address).offset == 1000


def test_only_so_many_requests_may_wait(served: Served) -> None:
    with connect(served.port) as connection:
        connection.sendall(b"GET /offer HTTP/1.1\r\n\r\n" * 4 * server.PIPELINE * 20)
        assert drained(connection).count(b"HTTP/1.1 200") <= server.PIPELINE


def drained(connection: ssl.SSLSocket) -> bytes:
    found = b""
    try:
        while part := connection.recv(2**16):
            found += part
    except (ConnectionError, ssl.SSLError):
        pass
    return found


def test_a_refused_body_that_never_ends_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LINGER_SECONDS", 0.2)
    with connect(served.port) as connection:
        connection.sendall(head("PUT", f"/piece/{PIECE.cid}", "", len(DATA)) + b"a few bytes")
        assert answer(connection)[0] == 401
        assert hung_up(connection)


def test_a_body_that_stalls_is_refused_and_kept(served: Served) -> None:
    upload = served.world.node.uploads.create(CLIENT.address, len(DATA))
    path = f"/upload/{upload.id}"
    object.__setattr__(served.world.node.settings, "body_timeout", 1)
    with connect(served.port) as connection:
        request = head("PATCH", path, served.token("PATCH", path), len(DATA), Upload_Offset="0")
        connection.sendall(request + DATA[: 2 * 2**20])
        status, body = answer(connection)
    assert (status, json.loads(body)["kind"]) == (408, "SlowClientError")
    kept = served.world.node.uploads.offset(upload.id, CLIENT.address).offset
    assert 0 < kept <= 2 * 2**20


BODY = 2 * 2**20 + 12_345


@pytest.fixture
def bodies(tmp_path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server that reads bodies in two parts, and what it has read."""
    app, found = FastAPI(), list[bytes]()

    @app.post("/whole")
    async def whole(request: Request) -> None:
        body = body_of(request)
        for length in (BODY // 3, BODY):
            view = memoryview(bytearray(length))
            found.append(bytes(view[: await body.fill(view, seconds=30)]))
        body.close()

    @app.post("/part")
    async def part(request: Request) -> None:
        body = body_of(request)
        view = memoryview(bytearray(1000))
        found.append(bytes(view[: await body.fill(view, seconds=30)]))
        body.close()

    with serving(app, tmp_path) as (port, _):
        yield port, found


@pytest.mark.parametrize("size", [0, 1, BODY // 3, BODY])
def test_bodies_of_known_length_follow_each_other(
    bodies: tuple[int, list[bytes]], size: int
) -> None:
    port, found = bodies
    data = hashlib.shake_128(b"a body").digest(size)
    with connect(port) as connection:
        for path in ("/whole", "/part", "/whole"):
            connection.sendall(head("POST", path, "", size) + data)
            assert answer(connection)[0] == 200
    assert b"".join(found) == data + data[:1000] + data


def test_a_body_of_unknown_length_is_read(bodies: tuple[int, list[bytes]]) -> None:
    port, found = bodies
    with connect(port) as connection:
        line = "POST /whole HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(line.encode() + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert answer(connection)[0] == 200
    assert b"".join(found) == b"abcde"


def test_a_request_that_wants_to_be_continued_is(bodies: tuple[int, list[bytes]]) -> None:
    port, found = bodies
    with connect(port) as connection:
        connection.sendall(head("POST", "/whole", "", 3, Expect="100-continue"))
        assert answer(connection)[0] == 100
        connection.sendall(b"abc")
        assert answer(connection)[0] == 200
    assert b"".join(found) == b"abc"


def test_a_reader_that_stalls_is_cut_off_and_pays_for_what_it_took(served: Served) -> None:
    big = DATA * 10
    cid = commit(big).cid
    assert served.ask("PUT", f"/piece/{cid}", big)[0] == 201
    object.__setattr__(served.world.node.settings, "body_timeout", 1)
    with connect(served.port) as connection:
        connection.sendall(head("GET", f"/piece/{cid}", served.token("GET", f"/piece/{cid}"), 0))
        deadline = time.monotonic() + 30
        while charged(served) in (0, len(big)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 0 < charged(served) < len(big)


def charged(served: Served) -> int:
    return served.world.node.database.number("SELECT sum(bytes) FROM allowances")


def test_a_taken_port_is_named() -> None:
    bound = listen("127.0.0.1", 0)  # also before it takes connections
    with pytest.raises(ConflictError, match="cannot listen"):
        listen("127.0.0.1", bound.getsockname()[1])
    bound.close()


# --- the process ---------------------------------------------------------------------------------


@contextmanager
def process(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A node process over the chain in memory, and its port."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "FREEHOLD_NO_JIT": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "unit.node.process", str(home)], cwd=ROOT, env=environment
    )
    try:
        deadline = time.monotonic() + 60
        while not (home / "ready.json").exists() and time.monotonic() < deadline:
            assert running.poll() is None, "the node ended while it started"
            time.sleep(0.05)
        ready = json.loads((home / "ready.json").read_text())
        assert ready["pid"] == running.pid
        yield running, int(ready["endpoint"].rsplit(":", 1)[1])
    finally:
        running.kill()
        running.wait(30)


def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    token = sign_request(network(), CLIENT, method, path, b"", int(time.time()))
    with connect(port) as connection:
        connection.sendall(head(method, path, token, len(body)) + body)
        return answer(connection)


def test_a_killed_process_starts_again_with_its_pieces_and_stops_in_order(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with process(home) as (running, port):
        assert ask(port, "PUT", f"/piece/{PIECE.cid}", DATA)[0] == 201
        running.kill()
        running.wait(30)
    (home / "ready.json").unlink()
    with process(home) as (running, port):
        assert ask(port, "GET", f"/piece/{PIECE.cid}") == (200, DATA)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    assert not (home / "ready.json").exists()


def test_leaving_is_asked_for_in_the_home(tmp_path: Path) -> None:
    request_leave(tmp_path)
    database = Database(tmp_path / "node.sqlite")
    assert database.mark("leaving") == "asked"
    database.close()


def test_a_home_without_a_key_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path)]) == 4
    assert "password" in capsys.readouterr().err
    assert main(["--home", str(tmp_path), "--capacity", "a lot"]) == 2

"""The API over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from freehold.node import server
from freehold.node.service import Service, make_service, on_loopback
from freehold.node.telemetry import app as module
from unit.node.telemetry.service import ADMIN, DEVICE, FINDING, World, world
from unit.telemetry.devices import batch, sealed

BEARER = {"authorization": f"Bearer {ADMIN}"}
Script = Callable[[World, Service], Awaitable[None]]


def serve(home: Path, script: Script, *, host: str = "127.0.0.1") -> None:
    async def run() -> None:
        made = world(home, asyncio.get_running_loop())
        here = next(made)
        service = make_service(here.app, host=host, port=0, home=home)
        started = asyncio.Event()
        service.server.watch(threading.Event(), started=started.set)
        serving = asyncio.create_task(service.server.serve([service.socket]))
        try:
            await started.wait()
            await script(here, service)
        finally:
            service.server.should_exit = True
            await serving
            service.socket.close()
        assert next(made, None) is None

    asyncio.run(run())


def client(service: Service) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", headers=BEARER)


def test_batches_come_in_over_plain_http_on_loopback(tmp_path: Path) -> None:
    async def script(here: World, service: Service) -> None:
        async with client(service) as http:
            answer = await http.post("/readings", content=sealed(batch()))
        assert answer.json() == {"new": True, "missing": 0}
        assert here.intake.taken == [sealed(batch())]
        assert service.fingerprint == b""
        assert service.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    serve(tmp_path, script)


def test_elsewhere_it_speaks_tls_only(tmp_path: Path) -> None:
    async def script(_: World, service: Service) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=context)
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) or b""
        assert hashlib.sha256(shown).digest() == service.fingerprint
        writer.write(b"GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        async with client(service) as http:
            with pytest.raises(httpx2.TransportError):
                await http.get("/health")

    serve(tmp_path, script, host="0.0.0.0")


def test_an_answer_that_fails_on_the_way_breaks_off(tmp_path: Path) -> None:
    async def script(here: World, service: Service) -> None:
        here.reads.rows = [(n, 0.5) for n in range(5)]
        here.reads.fails_after = 3
        async with client(service) as http:
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.get(f"/readings?device={DEVICE}")
        assert here.reads.closed.is_set()

    serve(tmp_path, script)


def test_findings_arrive_while_one_listens(tmp_path: Path) -> None:
    async def script(here: World, service: Service) -> None:
        async with client(service) as http, http.stream("GET", "/alerts/live") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == ": alive"
            here.hub.tell([FINDING])
            assert await anext(lines) == ""
            assert await anext(lines) == "event: finding"
            assert DEVICE in await anext(lines)

    serve(tmp_path, script)


def test_who_listens_must_be_somebody(tmp_path: Path) -> None:
    async def script(_: World, service: Service) -> None:
        async with client(service) as http:
            del http.headers["authorization"]
            assert (await http.get("/alerts/live")).status_code == 401

    serve(tmp_path, script)


def test_a_body_that_never_ends_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 0.05)

    async def script(_: World, service: Service) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"POST /readings HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\nx")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()

    serve(tmp_path, script)


def test_what_is_loopback() -> None:
    assert on_loopback("127.0.0.1")
    assert on_loopback("::1")
    assert not any(map(on_loopback, ("0.0.0.0", "192.0.2.1", "localhost", socket.gethostname())))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("parts", [1, 64])
def test_who_does_not_take_the_answer_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, parts: int
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.2)
    monkeypatch.setattr(server, "SLOWEST", 2**30)
    app = FastAPI()

    @app.get("/")
    async def large() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(parts):
                yield bytes(2**24 // parts)

        return StreamingResponse(body())

    made = make_service(app, host=host, port=0, home=tmp_path)
    up, left = threading.Event(), threading.Event()
    made.server.watch(left, started=up.set)
    thread = threading.Thread(target=made.server.run, kwargs={"sockets": [made.socket]})
    thread.start()
    try:
        assert up.wait(30)
        with socket.create_connection(("127.0.0.1", made.port)) as plain:
            talk = _unchecked().wrap_socket(plain) if made.fingerprint else plain
            talk.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert talk.recv(1)
            deadline = time.monotonic() + 60
            while made.server.server_state.connections:
                assert time.monotonic() < deadline, "it is waited for without end"
                time.sleep(0.02)
            talk.close()
    finally:
        left.set()
        thread.join(30)


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

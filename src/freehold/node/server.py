"""The HTTPS server: uvicorn with its limits set and clients that never finish cut off."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from httptools import HttpRequestParser
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from freehold.domain.errors import ConflictError
from freehold.node.bodies import EXTENSION, WireBody

HEADER_SECONDS = 15.0
LINGER_SECONDS = 30.0
IDLE_SECONDS = 60
BACKLOG = 128
SHUTDOWN_SECONDS = 10


class ImpatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that hangs up on a client whose request head, or refused body, takes too long.

    An application may take a body as a ``WireBody``, which then reads it past the parser.
    """

    _timer: asyncio.TimerHandle | None = None
    _receiving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(HEADER_SECONDS)

    def on_message_begin(self) -> None:
        self._arm(HEADER_SECONDS)
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"take": self._take_body}}

    def on_headers_complete(self) -> None:
        self._disarm()
        self._receiving = True
        super().on_headers_complete()

    def _take_body(self) -> WireBody | None:
        """The body of the running request, which nobody has begun to read; None for one whose
        length is not known, or that waits for its request to be continued."""
        cycle = self.cycle
        announced = next((v for name, v in self.headers if name == b"content-length"), b"")
        if cycle.waiting_for_100_continue or not announced.isdigit() or not cycle.more_body:
            return None
        early = bytes(cycle.body)
        cycle.body.clear()
        body = WireBody(self, early, int(announced) - len(early))
        self.pause_body()
        self.transport.set_protocol(body)
        return body

    def pause_body(self) -> None:
        self.flow.pause_reading()

    def resume_body(self) -> None:
        self.flow.resume_reading()

    def end_body(self) -> None:
        self.transport.set_protocol(self)
        self.on_message_complete()
        self.parser = HttpRequestParser(self)
        self.flow.resume_reading()

    def on_message_complete(self) -> None:
        self._disarm()
        self._receiving = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._receiving:
            # A refused body is read and dropped, so that its sender gets to see the refusal.
            self._arm(LINGER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._hang_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class NodeServer(Server):
    """uvicorn's server, without its signal handling: who runs it decides what ends it."""

    _left: threading.Event | None = None
    _started: Callable[[], None] | None = None

    def watch(self, left: threading.Event, *, started: Callable[[], None]) -> None:
        """Call ``started`` once connections are taken; end when ``left`` is set."""
        self._left, self._started = left, started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._started is not None:
            self._started()

    async def on_tick(self, counter: int) -> bool:
        if self._left is not None and self._left.is_set():
            self.should_exit = True
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; ConflictError when the port is taken. Port 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConflictError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            remedy="Stop what uses the port, or choose another with --port.",
        ) from error
    return bound


def make_server(app: FastAPI, *, tls: ssl.SSLContext, connections: int) -> NodeServer:
    """A server for ``app``; serve it on sockets of ``listen``."""
    config = Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    config.load()
    config.ssl = tls
    return NodeServer(config)

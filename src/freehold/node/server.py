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
from starlette.applications import Starlette
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from freehold.domain.errors import ConflictError
from freehold.node.bodies import EXTENSION, SLOWEST, WireBody

HEADER_SECONDS = 15.0
LINGER_SECONDS = 30.0
UNREAD_SECONDS = 30.0
"""In which an answer must be taken, beside those that ``SLOWEST`` allows for its bytes: what is
written waits in memory, and a connection that is closed waits for it, too."""
REFUSAL_SECONDS = 1.0
"""How long one who sent too long a head may take to read that."""
IDLE_SECONDS = 60
BACKLOG = 128
SHUTDOWN_SECONDS = 10
HEAD_BYTES = 32 * 1024
"""Most bytes of a request head, of trailers, or of what is between two chunks of a body."""
HEAD_LINES = 100
"""Most header lines in a head or in trailers."""
SPARE = 16
"""One part in so many of the connections is kept free for who comes next."""
STALLED_SECONDS = 5.0
"""Without a byte of a body that is waited for, after which it may make room for who comes next."""
SLICE = 4096
"""Bytes that are parsed at once: the limit on a head is passed by at most as many."""
PIPELINE = 16
"""Most requests that may wait on one connection for the answers to earlier ones."""
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class HeadError(Exception):
    """Ends the parsing of a request whose head or trailers are longer than anyone needs."""


class ImpatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 that hangs up on a client whose request head, or refused body, takes too long.

    Heads and trailers are bounded in bytes and lines, requests that wait in number. An
    application may take a body as a ``WireBody``, which then reads it past the parser. Where there
    are as many connections as may be, a new one takes the place of the one that asked for nothing
    for longest, were it still sending a body that was refused; or else of the one whose body has
    stalled for longest: whoever opens many must not keep the others out.
    """

    _since = 0.0
    """When it was opened, or was answered last."""
    _heard = 0.0
    """When something came that the parser read."""
    _wired = False
    """Whether a ``WireBody`` reads, of a request that was admitted."""
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    """Runs while something is written that the other side has not taken."""
    _receiving = False
    _refused = False
    _overhead = 0
    """Bytes since the last of a body, or since the last request."""
    _lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._make_room()
        self._arm(HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        for start in range(0, len(data), SLICE):
            if self._refused or self.transport.is_closing():
                return
            part = data[start : start + SLICE]
            self._overhead += len(part)
            super().data_received(part)
            if self._overhead > HEAD_BYTES or len(self.pipeline) > PIPELINE:
                self._refuse()
        self._watch_idle()

    def on_message_begin(self) -> None:
        self._arm(HEADER_SECONDS)
        self._lines = 0
        super().on_message_begin()
        if not self.flow.write_paused:
            self._forgive()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        if self._lines > HEAD_LINES:
            self._refuse()
            raise HeadError
        if not self._receiving:
            super().on_header(name, value)
        elif self._timer is None:  # a trailer: of no use here, and it must end as a head must
            self._arm(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        self._disarm()
        self._receiving = True
        self._overhead = self._lines = 0
        taker = _Taker(self, _length(self.headers))
        self.scope["extensions"] = {EXTENSION: {"take": taker.take}}
        super().on_headers_complete()
        taker.cycle = self.cycle

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        super().on_body(body)

    def take_body(self, cycle: RequestResponseCycle, length: int | None) -> WireBody | None:
        """The body of ``length`` bytes of the running request, which nobody has begun to read.

        None for one whose length is not known, that waits for its request to be continued, or
        that is here already, perhaps with the head of the next request.
        """
        if length is None or cycle.waiting_for_100_continue or not cycle.more_body:
            return None
        if cycle is not self.cycle:
            return None
        early = bytes(cycle.body)
        cycle.body.clear()
        body = WireBody(self, early, length - len(early))
        self.pause_body()
        self._wired = True
        self.transport.set_protocol(body)
        return body

    def pause_body(self) -> None:
        self.flow.pause_reading()

    def resume_body(self) -> None:
        self.flow.resume_reading()

    def end_body(self) -> None:
        self._wired = False
        self._heard = self.loop.time()
        self.transport.set_protocol(self)
        self.on_message_complete()
        self.parser = HttpRequestParser(self)
        self.flow.resume_reading()
        self._watch_idle()

    def on_message_complete(self) -> None:
        self._disarm()
        self._receiving = False
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()
        self._await_reader()
        if self._receiving and self.cycle.response_complete:
            # A refused body is read and dropped, so that its sender gets to see the refusal.
            self._arm(LINGER_SECONDS)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forgive()
        if self.cycle is not None and self.cycle.response_complete:
            self._await_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._forgive()
        super().connection_lost(exc)

    @property
    def _idles(self) -> bool:
        """Whether it asks for nothing: no whole head has come since the last answer."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _stalls(self) -> bool:
        """Whether a body is waited for of which nothing has come for some time."""
        waited = self._receiving and not self._wired and not self.flow.read_paused
        return waited and self.loop.time() - self._heard >= STALLED_SECONDS

    def _make_room(self) -> None:
        most = self.config.limit_concurrency
        if most is None or len(self.connections) < most - most // SPARE:
            return
        others = [
            each
            for each in self.connections
            if isinstance(each, ImpatientProtocol) and each is not self
        ]
        if idle := [each for each in others if each._idles]:
            min(idle, key=lambda each: each._since)._hang_up()
        elif stalled := [each for each in others if each._stalls]:
            min(stalled, key=lambda each: each._heard)._hang_up()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._hang_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        self.transport.abort()

    def _await_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left and self._unread is None:
            seconds = UNREAD_SECONDS + left / SLOWEST
            self._unread = self.loop.call_later(seconds, self._give_up_reader)

    def _forgive(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up_reader(self) -> None:
        self._unread = None
        if self.transport.get_write_buffer_size():
            self._hang_up()

    def _watch_idle(self) -> None:
        """What arrived between requests must not keep the connection open for ever."""
        answered = self.cycle is None or self.cycle.response_complete
        if answered and not self._receiving and self._timer is None:
            self._arm(IDLE_SECONDS)

    def _refuse(self) -> None:
        """End the connection, with an answer if that does not fall into another one."""
        if self._refused:
            return
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        self.transport.write(_TOO_LONG)
        self.transport.close()
        self._arm(REFUSAL_SECONDS)

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)


class _Taker:
    """Gives the body of one request, whichever others came after it on the connection."""

    def __init__(self, connection: ImpatientProtocol, length: int | None) -> None:
        self.cycle: RequestResponseCycle | None = None
        self._connection, self._length = connection, length

    def take(self) -> WireBody | None:
        if self.cycle is None:
            return None
        return self._connection.take_body(self.cycle, self._length)


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The announced length of a body; None when it is not known."""
    found = dict(headers)
    announced = found.get(b"content-length", b"")
    if b"transfer-encoding" in found or not announced.isdigit():
        return None
    return int(announced)


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
    """A socket that listens; ConflictError when the port is taken. Port 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns delays off only for sockets that name their protocol; with them a short
    # answer on a connection that is kept waits 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)  # two that are only bound can have one port
    except OSError as error:
        bound.close()
        raise ConflictError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            remedy="Stop what uses the port, or choose another with --port.",
        ) from error
    return bound


def bounded_config(app: Starlette, *, connections: int) -> Config:
    """How every server of ours speaks HTTP: bounded, impatient, and silent about itself."""
    return Config(
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


def make_server(app: FastAPI, *, tls: ssl.SSLContext, connections: int) -> NodeServer:
    """A server for ``app``; serve it on sockets of ``listen``."""
    config = bounded_config(app, connections=connections)
    config.load()
    config.ssl = tls
    return NodeServer(config)

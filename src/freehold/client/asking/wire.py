"""HTTP/1.1 to one node over connections that are kept, each with one exchange at a time.

The certificate's fingerprint is compared before a byte is sent, as ``client.connection`` does; an
HTTP library that connects by itself offers no moment for that. httptools parses, so an exchange
costs a tenth of a millisecond. Threats: answers or heads without end (bounded), bytes that come
without a question or after an answer (the connection is dropped: they would be taken for the next
answer), a node that trickles (who asks sets a deadline for the whole), many connections (bounded).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from freehold.client.asking.names import Host
from freehold.client.asking.refusals import AttemptError, Kind
from freehold.client.connection import Peer

HEAD_MAX = 32 * 1024
"""Bytes of an answer's head, and of its trailers."""
IDLE_KEPT, IDLE_SECONDS = 64, 45.0
"""Idle connections to one node, and for how long: nodes close theirs after 60 s."""
CONNECTIONS = 128
"""To one node at once."""


@dataclass(slots=True)
class Answer:
    """An answer as it came; ``headers`` by their lower-case names, the last of each."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._head = 0
        self.begun = False
        self.usable = True
        self.since = 0.0

    async def exchange(self, question: bytes) -> Answer:
        """Send a request and give its answer; AttemptError. One at a time; cancelling it, as a
        deadline does, ends the connection."""
        if self._transport is None or not self.usable:
            raise AttemptError(Kind.DROPPED, "the connection is closed")
        self._answer, self._head, self.begun = Answer(), 0, False
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        try:
            return await self._waiting
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiting = None

    def abort(self) -> None:
        """End the connection at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._fail(Kind.DROPPED, f"it dropped the connection{f' ({exc})' if exc else ''}")

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()
            return
        self.begun = True
        self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade, ValueError) as error:
            self._fail(Kind.GARBAGE, f"it sends no HTTP ({error})"[:200])
        if self._head > HEAD_MAX:
            self._fail(Kind.GARBAGE, f"it sends a head of more than {HEAD_MAX:,} bytes")

    def on_message_begin(self) -> None:
        if self._waiting is None or self._waiting.done():
            self.usable = False
        self._answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self._answer.headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        announced = self._answer.headers.get("content-length", "")
        if announced.isdigit() and int(announced[:20]) > self._most:
            self._fail(Kind.GARBAGE, self._too_long())

    def on_body(self, body: bytes) -> None:
        self._head = 0
        if len(self._answer.body) + len(body) > self._most:
            self._fail(Kind.GARBAGE, self._too_long())
        else:
            self._answer.body += body

    def on_message_complete(self) -> None:
        if self._answer.status < 200:
            return
        if not self._parser.should_keep_alive():
            self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer)

    def _too_long(self) -> str:
        return f"it answers with more than {self._most:,} bytes"

    def _fail(self, kind: Kind, reason: str) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(AttemptError(kind, reason))
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node answers, taken apart; ``secure`` is False for this machine's own programs."""

    host: str
    port: int
    secure: bool

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place(peer: Peer, *, plain: bool) -> Place:
    """The place of an ``https://host:port``; with ``plain`` also of an ``http://`` on loopback.

    AttemptError for anything else: a node that announces http://127.0.0.1 would have clients talk
    to their own machines, so that has to be allowed by who names the nodes himself.
    """
    try:
        parts = urlsplit(peer.endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    secure = parts.scheme == "https"
    known = secure or (parts.scheme == "http" and plain and is_loopback(host))
    odd = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username
    if not known or odd or re.fullmatch(r"[0-9A-Za-z.:_-]{1,253}", host) is None:
        raise AttemptError(Kind.UNREACHABLE, f"{peer.endpoint[:200]!r} is no https endpoint")
    return Place(host, port or (443 if secure else 80), secure)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Line:
    """Kept connections to one node."""

    def __init__(self, peer: Peer, *, tls: ssl.SSLContext, plain: bool, most: int) -> None:
        self._peer, self._tls, self._most = peer, tls, most
        self._place = place(peer, plain=plain)
        self._host = Host(self._place.host)
        self._idle: list[Wire] = []
        self._room = asyncio.Semaphore(CONNECTIONS)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return self._place.authority

    async def ask(self, question: bytes) -> Answer:
        """One exchange; AttemptError. The caller bounds its time."""
        async with self._room:
            kept = self._take()
            if kept is not None:
                try:
                    return await self._on(kept, question)
                except AttemptError:
                    if kept.begun:
                        raise
                    # It had been closed while it was idle: that says nothing about the node.
                    self.close()
            return await self._on(await self._connect(), question)

    def close(self) -> None:
        """End the idle connections."""
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.abort()

    async def _on(self, wire: Wire, question: bytes) -> Answer:
        answer = await wire.exchange(question)
        if wire.usable and len(self._idle) < IDLE_KEPT:
            wire.since = monotonic()
            self._idle.append(wire)
        else:
            wire.abort()
        return answer

    def _take(self) -> Wire | None:
        now = monotonic()
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and now - wire.since < IDLE_SECONDS:
                return wire
            wire.abort()
        return None

    async def _connect(self) -> Wire:
        try:
            transport, wire = await self._opened()
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise AttemptError(Kind.UNREACHABLE, f"no connection ({error})"[:200]) from error
        if self._place.secure:
            self._check(transport, wire)
        return wire

    async def _opened(self) -> tuple[asyncio.BaseTransport, Wire]:
        """A connection to the first of the host's addresses that takes one."""
        loop, where = asyncio.get_running_loop(), self._place
        failed = OSError("no address")
        for address in await self._host.addresses():
            try:
                return await loop.create_connection(
                    lambda: Wire(most=self._most),
                    address,
                    where.port,
                    ssl=self._tls if where.secure else None,
                    server_hostname=where.host if where.secure else None,
                )
            except OSError as error:
                failed = error
        raise failed

    def _check(self, transport: asyncio.BaseTransport, wire: Wire) -> None:
        session = transport.get_extra_info("ssl_object")
        shown = session.getpeercert(binary_form=True) if session is not None else None
        found = sha256(shown or b"").digest()
        if not hmac.compare_digest(found, self._peer.fingerprint):
            wire.abort()
            raise AttemptError(
                Kind.IMPOSTER,
                f"it shows certificate {found.hex()[:16]}, "
                f"the registry names {self._peer.fingerprint.hex()[:16]}",
            )


def pinned() -> ssl.SSLContext:
    """TLS 1.3 without authorities: nodes sign their own certificates, ``Line`` compares."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def question(
    method: str, path: str, *, authority: str, headers: Mapping[str, str], body: bytes = b""
) -> bytes:
    """The bytes of a request; ValueError where a header would break out of its line."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}")
    if any("\r" in line or "\n" in line or not line.isascii() for line in lines):
        raise ValueError("a header with a line break, or beyond ASCII")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body

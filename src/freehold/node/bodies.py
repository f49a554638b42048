"""Request bodies that go from TLS straight into the blocks they are written from.

The way of ASGI, through an HTTP parser and several buffers, costs more than decrypting does.
So once a body's length is known and its request admitted, ``WireBody`` takes the parser's place
on the connection until the body has ended. Bodies of other kinds come by ``StreamBody``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from fastapi import Request
from starlette.requests import ClientDisconnect

from freehold.node.refusals import SlowClientError

EXTENSION = "freehold.body"
"""The extension of ASGI's scope whose ``take`` gives the ``WireBody`` of the request, if any."""
SCRATCH = 2**16
SLOWEST = 16 * 1024
"""Bytes a second below which a body is cut off."""


class Body(Protocol):
    """A body that is read into the caller's memory; close it in any case."""

    filled: int
    """Bytes that the last ``fill`` has put into its view, also when it failed in the middle."""

    async def fill(self, view: memoryview, *, seconds: float) -> int:
        """Fill ``view`` and return its length, less only at the end of the body.

        SlowClientError when nothing arrives for ``seconds``, or when the whole takes longer than
        ``seconds`` and what SLOWEST allows; ClientDisconnect when it breaks off.
        """

    def close(self) -> None:
        """Drop what is left."""


def body_of(request: Request) -> Body:
    """The body of a request of which nothing was read yet."""
    extension: Mapping[str, Callable[[], WireBody | None]] = request.scope.get(
        "extensions", {}
    ).get(EXTENSION, {})
    body = extension["take"]() if extension else None
    return body or StreamBody(request)


class Connection(Protocol):
    """What a body needs of the HTTP connection that it comes by."""

    def pause_body(self) -> None:
        """Read nothing for now."""

    def resume_body(self) -> None:
        """Read on."""

    def end_body(self) -> None:
        """Go on with HTTP: the body was read."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""

    def pause_writing(self) -> None:
        """The other side is slow to read."""

    def resume_writing(self) -> None:
        """The other side reads again."""


class WireBody(asyncio.BufferedProtocol):
    """The rest of a body of known length, read as the connection's protocol."""

    def __init__(self, connection: Connection, early: bytes, left: int) -> None:
        """``early`` was parsed already; ``left`` bytes are still to come."""
        self.filled = 0
        self._connection, self._early, self._left = connection, memoryview(early), left
        self._view = memoryview(b"")
        self._loop = asyncio.get_running_loop()
        self._full: asyncio.Future[None] | None = None
        self._heard = self._loop.time()
        self._lost = False

    async def fill(self, view: memoryview, *, seconds: float) -> int:
        """As ``Body.fill``."""
        self.filled = min(len(self._early), len(view))
        view[: self.filled] = self._early[: self.filled]
        self._early = self._early[self.filled :]
        if self._left and self.filled < len(view):
            self._view = view[: self.filled + self._left]
            self._full = self._loop.create_future()
            try:
                self._connection.resume_body()
                await self._wait(self._full, seconds, len(self._view) - self.filled)
            finally:
                self._view, self._full = memoryview(b""), None
        return self.filled

    async def _wait(self, full: asyncio.Future[None], seconds: float, length: int) -> None:
        self._heard = self._loop.time()
        due = self._heard + allowed(length, seconds)
        while not full.done():
            if self._lost:
                raise ClientDisconnect
            patience = min(self._heard + seconds, due) - self._loop.time()
            if patience <= 0:
                self._connection.pause_body()
                raise slow()
            await asyncio.wait([full], timeout=patience)
        full.result()

    def close(self) -> None:
        """As ``Body.close``."""
        if self._left and not self._lost:
            self._view = memoryview(bytearray(SCRATCH))
            self._connection.resume_body()

    def get_buffer(self, _: int) -> memoryview:
        """Where the next bytes belong."""
        if self._full is None:
            return self._view[: self._left]
        return self._view[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were put there."""
        self._left -= nbytes
        self._heard = self._loop.time()
        if self._full is not None:
            self.filled += nbytes
            if self.filled == len(self._view):
                self._connection.pause_body()
                self._full.set_result(None)
        if not self._left:
            self._connection.end_body()

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender is gone."""
        self._lost = True
        self._connection.connection_lost(exc)
        if self._full is not None and not self._full.done():
            self._full.set_exception(ClientDisconnect())

    def pause_writing(self) -> None:
        """Tell HTTP, which answers."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Tell HTTP, which answers."""
        self._connection.resume_writing()


class StreamBody:
    """A body as ASGI gives it: of unknown length, or from a server that knows no other way."""

    def __init__(self, request: Request) -> None:
        self.filled = 0
        self._parts: AsyncIterator[bytes] = request.stream()
        self._rest = memoryview(b"")

    async def fill(self, view: memoryview, *, seconds: float) -> int:
        """As ``Body.fill``."""
        loop, self.filled = asyncio.get_running_loop(), 0
        due = loop.time() + allowed(len(view), seconds)
        while self.filled < len(view):
            if not self._rest and not await self._next(min(loop.time() + seconds, due)):
                break
            part = self._rest[: len(view) - self.filled]
            view[self.filled : self.filled + len(part)] = part
            self.filled += len(part)
            self._rest = self._rest[len(part) :]
        return self.filled

    async def _next(self, due: float) -> bool:
        try:
            async with asyncio.timeout_at(due):
                async for part in self._parts:
                    if part:
                        self._rest = memoryview(part)
                        return True
        except TimeoutError as error:
            raise slow() from error
        return False

    def close(self) -> None:
        """As ``Body.close``: the server drops what is left by itself."""


def allowed(length: int, seconds: float) -> float:
    """Seconds that a body of ``length`` bytes may take: ``seconds``, and those of SLOWEST."""
    return seconds + length / SLOWEST


def slow() -> SlowClientError:
    """The error of a body that stalls."""
    return SlowClientError(
        "the body did not arrive in time", remedy="Resume the upload over a better connection."
    )

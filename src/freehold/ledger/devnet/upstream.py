"""HTTP to the engine: one host, one method, connections kept.

Every call of every node passes here. A general client spends four times the processor time of
this one on a call, more than the engine itself.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

_HEAD_LIMIT = 64 * 1024
_IDLE_LIMIT = 32


class UpstreamError(Exception):
    """The engine cannot be reached, or answered something that is not HTTP."""


@dataclass(frozen=True, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Upstream:
    """POSTs JSON to one port of the loopback interface."""

    def __init__(self, port: int, *, timeout: float, body_limit: int) -> None:
        self._port = port
        self._timeout = timeout
        self._body_limit = body_limit
        self._idle: list[_Connection] = []
        self._closed = False

    async def post(self, body: bytes) -> bytes:
        """The answer's body, whatever its status; UpstreamError when there is none."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(body)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            raise UpstreamError(f"{type(error).__name__}: {error}") from error

    async def _exchange(self, body: bytes) -> bytes:
        connection = self._idle.pop() if self._idle else await self._connect()
        kept = False
        try:
            connection.writer.write(_head(len(body)) + body)
            await connection.writer.drain()
            answer = await self._answer(connection.reader)
            kept = not self._closed and len(self._idle) < _IDLE_LIMIT
        finally:
            if kept:
                self._idle.append(connection)
            else:
                connection.writer.close()
        return answer

    async def _connect(self) -> _Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_HEAD_LIMIT)
        return _Connection(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 "):
            raise UpstreamError("the answer is not HTTP/1.1")
        length = _field(head, b"content-length")
        if length is not None:
            return await reader.readexactly(self._allowed(int(length)))
        if _field(head, b"transfer-encoding") != b"chunked":
            raise UpstreamError("the answer has no length")
        return await self._chunks(reader)

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = bytearray()
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += await reader.readexactly(self._allowed(len(body) + size) - len(body))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return bytes(body)

    def _allowed(self, size: int) -> int:
        if not 0 <= size <= self._body_limit:
            raise UpstreamError(f"an answer of {size} bytes is too long")
        return size

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        for connection in self._idle:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
        self._idle.clear()


def _head(length: int) -> bytes:
    return (
        b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % length
    )


def _field(head: bytes, name: bytes) -> bytes | None:
    _, found, rest = head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip() if found else None

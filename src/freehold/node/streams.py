"""Bytes in and out of a node: bounded, timed, and never more than a few blocks in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from freehold.node import direct
from freehold.node.bodies import StreamBody, slow
from freehold.node.ranges import Span
from freehold.node.refusals import TooLargeError

BLOCK = 2**20
"""Bytes that are sent at once."""


async def small_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """The whole body of a JSON request; TooLargeError past ``limit`` bytes.

    SlowClientError when it is not there in ``seconds``, however it trickles.
    """
    found = memoryview(bytearray(limit + 1))
    try:
        async with asyncio.timeout(seconds):
            length = await StreamBody(request).fill(found, seconds=seconds)
    except TimeoutError as error:
        raise slow() from error
    if length > limit:
        raise TooLargeError(
            f"the body is longer than {limit} bytes", remedy="Send a shorter request."
        )
    return bytes(found[:length])


class FileResponse(Response):
    """Sends a span of an open file, reading a block ahead; closes the file at the end.

    ``done`` gets how many bytes the client took. A client that leaves or stalls ends it.
    """

    def __init__(
        self,
        handle: int,
        span: Span,
        *,
        status: int,
        headers: dict[str, str],
        pool: Executor,
        seconds: float,
        done: Callable[[int], None],
    ) -> None:
        super().__init__(status_code=status, headers=headers)
        self._handle = handle
        self._span = span
        self._pool = pool
        self._seconds = seconds
        self._done = done

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        sent = 0
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            sent = await self._send_all(send, gone)
        finally:
            gone.cancel()
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(self._pool, self._finish, sent))

    async def _send_all(self, send: Send, gone: asyncio.Future[None]) -> int:
        sent, ahead = 0, self._read(0)
        try:
            while sent < self._span.length:
                block = await ahead
                ahead = self._read(sent + len(block))
                more = sent + len(block) < self._span.length
                message = {"type": "http.response.body", "body": block, "more_body": more}
                # Counted before it goes: of a block that stalls, the reader may have the most.
                sent += len(block)
                await asyncio.wait_for(send(message), self._seconds)
                if not block or gone.done():
                    break
        except TimeoutError:
            return sent
        finally:
            await asyncio.wait([ahead])
        return sent

    def _read(self, at: int) -> asyncio.Future[bytes]:
        length = min(BLOCK, self._span.length - at)
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(
            self._pool, direct.read, self._handle, length, self._span.start + at
        )

    def _finish(self, sent: int) -> None:
        os.close(self._handle)
        self._done(sent)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue

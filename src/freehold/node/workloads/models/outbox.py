"""Answers to requests: large ones leave in parts, in bounded time, and together in bounded memory.

Threats: clients who ask for large answers and do not take them, for what is written waits in memory
(each part must be taken in time, and further large answers are refused once there is no room; small
ones always go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from freehold.node.workloads.models.refusals import BusyError

PART = 2**18
"""Bytes that are written at once; an answer of no more is small."""


class Outbox:
    """Room for large answers of ``room`` bytes together; a client that does not take a part within
    ``seconds`` is left alone."""

    def __init__(self, *, room: int, seconds: float) -> None:
        self.room, self.seconds = room, seconds
        self.taken = 0

    def response(self, body: bytes, headers: Mapping[str, str]) -> Response:
        """The response that carries a body; BusyError where there is no room for it."""
        if len(body) <= PART:
            return Response(body, headers=headers)
        if self.taken + len(body) > self.room:
            raise BusyError(
                "too many large answers are on their way", remedy="Try again, or another node."
            )
        return _Parted(self, body, headers)


class _Parted(Response):
    def __init__(self, outbox: Outbox, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(body, headers=headers)
        self._outbox, self._whole = outbox, body

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        outbox, whole = self._outbox, memoryview(self._whole)
        outbox.taken += len(whole)
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            for at in range(0, len(whole), PART):
                part, more = bytes(whole[at : at + PART]), at + PART < len(whole)
                message = {"type": "http.response.body", "body": part, "more_body": more}
                async with asyncio.timeout(outbox.seconds):
                    await send(message)
        except TimeoutError:
            return  # the server closes the connection: the answer is not whole
        finally:
            outbox.taken -= len(whole)

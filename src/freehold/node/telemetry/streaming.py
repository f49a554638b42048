"""Long answers, made in a thread while they are sent; slow readers are cut off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Executor

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from freehold.domain.errors import FreeholdError

STALL_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Streamed(Response):
    """The parts of an iterator, each of which is made in ``pool``.

    What fails after the first part breaks the connection off, so that nobody takes it for whole.
    """

    def __init__(self, first: bytes, rest: Iterator[bytes], *, kind: str, pool: Executor) -> None:
        super().__init__(media_type=kind)
        del self.headers["content-length"]
        self._first, self._rest, self._pool = first, rest, pool

    @classmethod
    async def begin(cls, parts: Iterator[bytes], *, kind: str, pool: Executor) -> Streamed:
        """Make the first two parts, for which an error can still be told."""
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(pool, lambda: next(parts, b"") + next(parts, b""))
        return cls(first, parts, kind=kind, pool=pool)

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        loop, part, more = asyncio.get_running_loop(), self._first, True
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        try:
            while more:
                found = await loop.run_in_executor(self._pool, next, self._rest, None)
                more = found is not None
                message = {"type": "http.response.body", "body": part, "more_body": more}
                await asyncio.wait_for(send(message), STALL_SECONDS)
                part = found or b""
        except (FreeholdError, TimeoutError) as error:
            _log.warning("an answer broke off", extra={"reason": str(error)})
        finally:
            close = getattr(self._rest, "close", None)
            if close is not None:
                await asyncio.shield(loop.run_in_executor(self._pool, close))

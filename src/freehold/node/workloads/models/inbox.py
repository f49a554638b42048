"""Bodies of requests: of bounded size, in bounded time, and together in bounded memory.

Threats: a few who send large bodies as slowly as is borne, until no room is left (a part of it is
kept for small bodies, so most requests do not notice).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from freehold.node.bodies import Body, StreamBody, body_of
from freehold.node.refusals import SlowClientError, TooLargeError
from freehold.node.workloads.models.refusals import BusyError

STEP = 2**18
"""Bytes for which room is taken at once, so that nobody holds much room with a body that he only
announces."""
WIRE = 2**16
"""Bytes from which a body is large, and pays for passing the parser by."""
KEPT = 8
"""One part in so many of the room is kept for small bodies."""


class Letter:
    """The body of one request, and the room that it takes."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox, self.room, self._small = inbox, 0, False

    async def read(self, request: Request) -> bytes:
        """All of it; TooLargeError, BusyError, or SlowClientError when it stalls."""
        size = _announced(request)
        if size is not None and size > self._inbox.most:
            raise self._inbox.too_large()
        self._small = size is not None and size < WIRE
        body = StreamBody(request) if size is None or self._small else body_of(request)
        found = bytearray()
        try:
            while (left := self._left(size, len(found))) > 0:
                part = memoryview(bytearray(min(STEP, left)))
                self._take(len(part))
                length = await self._fill(body, part)
                found += part[:length]
                if length < len(part):
                    break
        finally:
            body.close()
        if len(found) > self._inbox.most:
            raise self._inbox.too_large()
        return bytes(found)

    async def _fill(self, body: Body, part: memoryview) -> int:
        try:
            return await body.fill(part, seconds=self._inbox.seconds)
        except SlowClientError as error:
            raise SlowClientError(
                error.message, remedy="Send it again, over a better connection."
            ) from error

    def _left(self, size: int | None, found: int) -> int:
        """Bytes to look for; one more than may come where nothing was announced."""
        return (self._inbox.most + 1 if size is None else size) - found

    def _take(self, size: int) -> None:
        room = self._inbox.room if self._small else self._inbox.room_of_large
        if self._inbox.taken + size > room:
            raise BusyError(
                "too many large requests are on their way", remedy="Try again, or another node."
            )
        self._inbox.taken += size
        self.room += size


class Inbox:
    """Room for bodies of at most ``most`` bytes each and ``room`` together; one that brings
    nothing for ``seconds`` is cut off."""

    def __init__(self, *, most: int, room: int, seconds: float) -> None:
        self.most, self.room, self.seconds = most, room, seconds
        self.room_of_large = max(most, room - room // KEPT)
        self.taken = 0

    @contextmanager
    def letter(self) -> Iterator[Letter]:
        """A body to read; its room is given back when the block ends."""
        made = Letter(self)
        try:
            yield made
        finally:
            self.taken -= made.room

    def too_large(self) -> TooLargeError:
        """The refusal of a body that is too long."""
        return TooLargeError(
            f"the body is longer than {self.most:,} bytes", remedy="Send less at a time."
        )


def _announced(request: Request) -> int | None:
    value = request.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None

"""What a proposer answers over HTTP: the roots that it made, for everybody; and where watchers hand
in signatures.

``GET /traces``: the epochs with a root, and that which waits for signatures. ``GET /traces/N``: the
batch (`freehold.markets.models.trace.served`). ``GET /traces/N/leaves``: the accounts and grains
(`freehold.economics.trees`). ``POST /traces/N/signatures``: ``{"signature": HEX}``.

Nothing needs a credential: all of it is for everybody to check, and a signature counts only from a
watcher of the roots. Threats: floods (files are sent by at most ``SENDERS`` at once, signatures are
1 KiB, both are cut off when they crawl); an epoch that is no number (404).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from threading import BoundedSemaphore
from typing import TypeAlias, TypeVar

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import FreeholdError, NotFoundError, UnavailableError
from freehold.node.answers import refusal
from freehold.node.attesting import LETTER_MAX
from freehold.node.judging.desk import Desk
from freehold.node.streams import small_body
from freehold.node.telemetry.streaming import Streamed

SENDERS = 64
BLOCK = 2**18
"""Bytes that are sent at once."""
BODY_SECONDS = 10.0
EPOCH_DIGITS = 16
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


class Routes:
    """The handlers; ``workers`` run what may ask the chain or the disk."""

    def __init__(self, desk: Desk, workers: Executor) -> None:
        self._desk, self._workers = desk, workers
        self._senders = BoundedSemaphore(SENDERS)

    def add(self, app: FastAPI) -> None:
        """Put all of it on an application."""
        for method, path, handler in (
            ("GET", "/traces", self.listing),
            ("GET", "/traces/{epoch}", self.trace),
            ("GET", "/traces/{epoch}/leaves", self.leaves),
            ("POST", "/traces/{epoch}/signatures", self.sign),
        ):
            app.add_route(path, self._guarded(handler), methods=[method])

    async def listing(self, _: Request) -> Response:
        """The epochs with a root."""
        return JSONResponse(dict(await self._work(self._desk.listing)))

    async def trace(self, request: Request) -> Response:
        """The batch of one."""
        return await self._file("trace", _epoch(request))

    async def leaves(self, request: Request) -> Response:
        """Its accounts."""
        return await self._file("leaves", _epoch(request))

    async def sign(self, request: Request) -> Response:
        """A watcher co-signs the one that waits."""
        epoch = _epoch(request)
        letter = await small_body(request, limit=LETTER_MAX, seconds=BODY_SECONDS)
        return JSONResponse(dict(await self._work(partial(self._desk.sign, epoch, letter))))

    async def _file(self, kind: str, epoch: int) -> Response:
        parts = self._parts(kind, epoch)
        return await Streamed.begin(parts, kind="application/octet-stream", pool=self._workers)

    def _parts(self, kind: str, epoch: int) -> Iterator[bytes]:
        if not self._senders.acquire(blocking=False):
            raise UnavailableError(
                "too many files are being sent", remedy="Come again in some seconds."
            )
        try:
            yield from self._desk.shelf.blocks(kind, epoch, BLOCK)
        finally:
            self._senders.release()

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, call)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except FreeholdError as error:
                return refusal(error)

        return guarded


def _epoch(request: Request) -> int:
    text = str(request.path_params["epoch"])
    if not (text.isascii() and text.isdecimal() and len(text) < EPOCH_DIGITS):
        raise NotFoundError("this is no epoch", remedy="See GET /traces for those there are.")
    return int(text)

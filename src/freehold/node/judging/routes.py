"""What a proposer answers over HTTP: the roots that it made, for everybody; and where watchers hand
in signatures.

``GET /traces``: the epochs with a root, and that which waits for signatures. ``GET /traces/N``: the
batch (`freehold.markets.models.trace.served`). ``GET /traces/N/leaves``: the accounts and grains
(`freehold.economics.trees`). ``POST /traces/N/signatures``: ``{"signature": HEX}``.

Nothing needs a credential: all of it is for everybody to check, and a signature counts only from a
watcher of the roots. Threats: floods (at most ``SENDERS`` files are sent at once, signatures are
1 KiB, both are cut off when they crawl, a file at once where others wait); an epoch that is no
number (404); who leaves in the middle (nothing is said of it: strangers must not fill the log).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeAlias, TypeVar

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import FreeholdError, NotFoundError
from freehold.node.answers import refusal
from freehold.node.attesting import LETTER_MAX
from freehold.node.judging.desk import Desk
from freehold.node.judging.sending import Turns
from freehold.node.streams import small_body

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
        self._turns = Turns(most=SENDERS, pool=workers)

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
        return await self._turns.begin(self._desk.shelf.blocks(kind, epoch, BLOCK))

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, call)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except FreeholdError as error:
                return refusal(error)
            except ClientDisconnect:
                return Response(status_code=400)

        return guarded


def _epoch(request: Request) -> int:
    text = str(request.path_params["epoch"])
    if not (text.isascii() and text.isdecimal() and len(text) < EPOCH_DIGITS):
        raise NotFoundError("this is no epoch", remedy="See GET /traces for those there are.")
    return int(text)

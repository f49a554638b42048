"""What nodes say of themselves: their price, and what their model takes and gives.

A price binds nobody: a node that then asks for more is refused (``purse``). A schema is taken only
where the ledger has its hash. Threats: nodes that hang, trickle, or answer without end (each is
bounded in time and bytes, and so many are asked at once).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from freehold.client.asking.refusals import AttemptError
from freehold.client.asking.wire import Line, pinned, question
from freehold.client.connection import Peer
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import ZERO_ADDRESS, Address, address
from freehold.markets.models.tensor import Schema

SECONDS, WHOLE = 3.0, 15.0
"""For a node's whole answer, and for those of all that are asked."""
BYTES = 2**17
AT_ONCE = 128
SHOWN = 16
"""Nodes that are asked for a schema."""
PRICE_MAX = 10**30
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Listing:
    """Base units of ``token`` for one request; the zero address where a node is free."""

    price: int
    token: Address = ZERO_ADDRESS


def listings(peers: Sequence[Peer], *, plain: bool) -> list[Listing | None]:
    """What each asks for a request, None where it does not answer, or its turn never came. It runs
    an event loop of its own: call it in a thread that has none."""
    return asyncio.run(_listings(peers, plain=plain)) if peers else []


async def _listings(peers: Sequence[Peer], *, plain: bool) -> list[Listing | None]:
    room, tls = asyncio.Semaphore(AT_ONCE), pinned()

    async def one(peer: Peer) -> Listing | None:
        async with room:
            return await _asked(peer, "/v2", _listing, plain=plain, tls=tls)

    tasks = [asyncio.ensure_future(one(peer)) for peer in peers]
    _, late = await asyncio.wait(tasks, timeout=WHOLE)
    for task in late:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [None if isinstance(each, BaseException) else each for each in found]


def schema_of(peers: Sequence[Peer], model: str, *, hashed: bytes, plain: bool) -> Schema | None:
    """The schema of that hash, from the first of some nodes that has it; None where none does."""
    return asyncio.run(_schema_of(peers, model, hashed=hashed, plain=plain))


async def _schema_of(
    peers: Sequence[Peer], model: str, *, hashed: bytes, plain: bool
) -> Schema | None:
    path, tls = f"/v2/models/{quote(model, safe='')}", pinned()
    # Nothing is cancelled: a connection that is, before its handshake began, stays open.
    asked = (_asked(peer, path, Schema.of, plain=plain, tls=tls) for peer in peers[:SHOWN])
    for found in await asyncio.gather(*asked):
        if found is not None and found.hash() == hashed:
            return found
    return None


async def _asked(
    peer: Peer, path: str, read: Callable[[object], _Found], *, plain: bool, tls: ssl.SSLContext
) -> _Found | None:
    """What ``read`` makes of a node's answer, None where there is none to be had."""
    try:
        line = Line(peer, tls=tls, plain=plain, most=BYTES)
    except AttemptError:
        return None
    try:
        return read(await _document(line, path))
    except (FreeholdError, TimeoutError, MalformedError, AttemptError):
        return None
    finally:
        line.close()


def _document(line: Line, path: str) -> Awaitable[object]:
    async def ask() -> object:
        asked = question("GET", path, authority=line.authority, headers={})
        answer = await line.ask(asked)
        if answer.status != 200:
            raise MalformedError(f"status {answer.status}")
        return parse_document(bytes(answer.body), size=BYTES)

    return asyncio.wait_for(ask(), SECONDS)


def _listing(value: object) -> Listing:
    """The listing in a server's metadata: its extension object ``freehold``; free without one."""
    if not isinstance(value, dict):
        raise MalformedError("no object")
    told = value.get("freehold", {})
    if not isinstance(told, dict):
        raise MalformedError("freehold is no object")
    price = told.get("price", "0")
    known = isinstance(price, str) and price.isascii() and price.isdigit() and len(price) <= 31
    if not known or int(price) > PRICE_MAX:
        raise MalformedError("no price")
    token = told.get("token")
    return Listing(int(price), address(token) if isinstance(token, str) else ZERO_ADDRESS)

"""Addresses of hosts, looked up so that a name whose servers never answer holds up nobody else.

A loop's own look-ups share a few threads. Some nodes with such names would hold all of them, and
whoever else has a name would seem not to answer. So a host that is looked up has a thread of its
own, one at a time however often it is asked for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

KEPT = 60.0
"""Seconds for which addresses count."""
AT_ONCE = 1_024
"""Look-ups of this process at once."""
ADDRESSES = 4
"""Of one host, that are tried."""
_room = threading.BoundedSemaphore(AT_ONCE)
Found = Sequence[str] | OSError


class Host:
    """A name or an address; for one event loop."""

    def __init__(self, name: str) -> None:
        self._name, self._literal = name, _is_address(name)
        self._known: tuple[float, Sequence[str]] | None = None
        self._looking: asyncio.Future[Found] | None = None

    async def addresses(self) -> Sequence[str]:
        """At least one, those to try first; OSError. The caller bounds its time."""
        if self._literal:
            return (self._name,)
        if self._known is not None and monotonic() - self._known[0] < KEPT:
            return self._known[1]
        if self._looking is None or self._looking.done():
            self._looking = _begin(self._name)
        found = await asyncio.shield(self._looking)
        if isinstance(found, OSError):
            raise found
        self._known = monotonic(), found
        return found


def _begin(name: str) -> asyncio.Future[Found]:
    if not _room.acquire(blocking=False):
        raise OSError(f"{AT_ONCE} names are being looked up")
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Found] = loop.create_future()
    threading.Thread(target=_run, args=(name, loop, future), name="name", daemon=True).start()
    return future


def _run(name: str, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Found]) -> None:
    try:
        found = look_up(name)
    finally:
        _room.release()
    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(_settle, future, found)


def _settle(future: asyncio.Future[Found], found: Found) -> None:
    if not future.done():
        future.set_result(found)


def look_up(name: str) -> Found:
    """The addresses of a name, or why there are none."""
    try:
        told = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(f"{name[:100]!r} is no name ({error})")
    found = tuple(dict.fromkeys(str(each[4][0]) for each in told))[:ADDRESSES]
    return found or OSError(f"{name[:100]!r} has no address")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

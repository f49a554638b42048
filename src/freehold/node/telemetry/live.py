"""Findings as they come, to whoever listens: server-sent events.

Each listener has a short queue; one that does not read fast enough misses the oldest, is told how
many, and never holds up the others. Source: HTML standard, Server-sent events.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from freehold.node.telemetry.meters import Meters
from freehold.node.telemetry.refusals import BusyError
from freehold.telemetry.findings import Finding

LISTENERS_MAX, QUEUE_MAX = 64, 256
LISTENERS_EACH, RESERVED = 4, 8
"""Listeners of one account, and places that accounts leave to the administrator."""
HEARTBEAT_SECONDS = 15.0
STALL_SECONDS = 30.0
"""How long a listener may take to take what was sent."""


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream: it gets the findings that ``wants`` lets through."""

    wants: Callable[[Finding], bool]
    account: str = ""
    waiting: deque[Finding] = field(default_factory=deque)
    missed: int = 0
    rung: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Passes findings from the threads that make them to the listeners in ``loop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, meters: Meters) -> None:
        self._loop, self._meters = loop, meters
        self._listeners: set[Listener] = set()

    def tell(self, findings: Sequence[Finding]) -> None:
        """Pass them on; from any thread, never blocks, nothing once the loop has ended."""
        if findings:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._pass, tuple(findings))

    def _pass(self, findings: Sequence[Finding]) -> None:
        for listener in self._listeners:
            for finding in findings:
                if listener.wants(finding):
                    self._give(listener, finding)

    def _give(self, listener: Listener, finding: Finding) -> None:
        if len(listener.waiting) >= QUEUE_MAX:
            listener.waiting.popleft()
            listener.missed += 1
            self._meters.missed.inc()
        listener.waiting.append(finding)
        listener.rung.set()

    def open(self, wants: Callable[[Finding], bool], *, account: str = "") -> Listener:
        """A new listener of an account, or of the administrator; BusyError when there are
        enough."""
        mine = sum(each.account == account for each in self._listeners) if account else 0
        most = LISTENERS_MAX - RESERVED if account else LISTENERS_MAX
        if len(self._listeners) >= most or mine >= LISTENERS_EACH:
            raise BusyError(
                f"{len(self._listeners)} listen already, {mine} of them for you",
                remedy="Ask GET /alerts now and then instead.",
            )
        listener = Listener(wants, account)
        self._listeners.add(listener)
        self._meters.listeners.set(len(self._listeners))
        return listener

    def close(self, listener: Listener) -> None:
        """It listens no more."""
        self._listeners.discard(listener)
        self._meters.listeners.set(len(self._listeners))


class LiveResponse(Response):
    """The stream of one listener, until it leaves or stalls."""

    def __init__(
        self, hub: Hub, listener: Listener, *, heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._hub, self._listener, self._heartbeat = hub, listener, heartbeat

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        gone: asyncio.Future[object] = asyncio.ensure_future(_disconnected(receive))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            while not gone.done():
                await asyncio.wait_for(_send(send, self._take()), STALL_SECONDS)
                await self._wait(gone)
        except TimeoutError:
            return
        finally:
            gone.cancel()
            self._hub.close(self._listener)

    async def _wait(self, gone: asyncio.Future[object]) -> None:
        ring: asyncio.Future[object] = asyncio.ensure_future(self._listener.rung.wait())
        either: set[asyncio.Future[object]] = {ring, gone}
        try:
            await asyncio.wait(either, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ring.cancel()

    def _take(self) -> bytes:
        """What waits, or a comment that only shows that the stream lives."""
        listener, out = self._listener, []
        listener.rung.clear()
        if listener.missed:
            out.append(f"event: missed\ndata: {listener.missed}\n\n")
            listener.missed = 0
        while listener.waiting:
            out.append(_event(listener.waiting.popleft()))
        return "".join(out).encode() or b": alive\n\n"


def _event(finding: Finding) -> str:
    fields = asdict(finding) | {"severity": finding.severity.name.lower()}
    return f"event: finding\ndata: {json.dumps(fields)}\n\n"


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnected(receive: Receive) -> object:
    while (await receive())["type"] != "http.disconnect":
        continue
    return None

"""Files on their way to whoever asks: so many at once, and who stalls makes room for who waits.

Threats: clients who open as many answers as there may be and take nothing of them, so that watchers
get no file, and sign nothing (the one that has stalled longest is cut off for a newcomer).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from time import monotonic

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from freehold.domain.errors import UnavailableError
from freehold.node.logs import fields
from freehold.node.telemetry.streaming import Streamed

STALLED = 1.0
"""Seconds without a step after which a reader may be cut off for another one."""
_KIND = "application/octet-stream"
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Turn:
    """One that is sent to: ``since`` he took the last part; ``cut`` off for another one."""

    since: float
    task: asyncio.Task[object] | None = None
    cut: bool = False


class Turns:
    """At most ``most`` files at once, whose parts are read in ``pool``; for one event loop."""

    def __init__(self, *, most: int, pool: Executor) -> None:
        self._most, self._pool = most, pool
        self._turns: set[_Turn] = set()

    async def begin(self, parts: Generator[bytes, None, None]) -> Response:
        """The answer of these parts; UnavailableError where all places are taken by such as read,
        and what the first parts raise."""
        turn = self._take()
        try:
            streamed = await Streamed.begin(_timed(parts, turn), kind=_KIND, pool=self._pool)
        except BaseException:
            self._turns.discard(turn)
            raise
        return _Sent(streamed, turn, self._turns)

    def _take(self) -> _Turn:
        if len(self._turns) >= self._most:
            self._cut(min(self._turns, key=lambda each: each.since))
        turn = _Turn(monotonic())
        self._turns.add(turn)
        return turn

    def _cut(self, turn: _Turn) -> None:
        if turn.task is None or monotonic() - turn.since < STALLED:
            raise UnavailableError(
                "too many files are being sent", remedy="Come again in some seconds."
            )
        turn.cut = True
        turn.task.cancel()
        self._turns.discard(turn)


class _Sent(Response):
    def __init__(self, streamed: Streamed, turn: _Turn, turns: set[_Turn]) -> None:
        super().__init__(media_type=_KIND)
        self._streamed, self._turn, self._turns = streamed, turn, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turn, task = self._turn, asyncio.current_task()
        turn.task = task
        try:
            await self._streamed(scope, receive, send)
        except asyncio.CancelledError:
            if not turn.cut or task is None:
                raise
            task.uncancel()
            reason = "it stalls, and others wait"
            _log.warning("an answer broke off", extra=fields(reason=reason))
        finally:
            self._turns.discard(turn)


def _timed(parts: Generator[bytes, None, None], turn: _Turn) -> Iterator[bytes]:
    with closing(parts):
        for part in parts:
            turn.since = monotonic()
            yield part

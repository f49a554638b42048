"""Asking from a program without an event loop: ``ask`` waits for the answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError as Ended
from typing import TypeVar

import uvloop

from freehold.client.asking.caller import Reply
from freehold.client.asking.candidate import ONE, Agreement, Effort, Limits
from freehold.client.asking.router import Router
from freehold.domain.closing import Closing
from freehold.domain.errors import CancelledError

T = TypeVar("T")
ENDING = 10.0
"""Seconds that the thread may take to end; it is a daemon, and nothing waits for it after that."""


class Asker(Closing):
    """A router in a thread of its own; ``ask`` may be called from any number of threads."""

    def __init__(self, make: Callable[[], Router]) -> None:
        """``make`` is called in the thread, in its event loop."""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)
        self._thread.start()
        try:
            self._router = self._do(_made(make))
        except BaseException:
            self._end()
            raise

    def ask(
        self,
        subnet: str,
        inputs: Mapping[str, object],
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        effort: Effort = Effort(),  # noqa: B008 - frozen
        agreement: Agreement = ONE,
    ) -> Reply:
        """As ``Router.ask``; interrupting the wait ends the request."""
        return self._do(
            self._router.ask(subnet, inputs, limits=limits, effort=effort, agreement=agreement)
        )

    def settle(self) -> None:
        """As ``Router.settle``."""
        self._do(self._router.settle())

    def close(self) -> None:
        """End what is under way; what was seen and signed is on the disk."""
        if self._thread.is_alive():
            try:
                self._do(self._router.close())
            finally:
                self._end()

    def _do(self, work: Coroutine[object, object, T]) -> T:
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return asked.result()
        except Ended as error:
            raise CancelledError("the request was stopped", remedy="Ask again.") from error
        except BaseException:
            asked.cancel()
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(_cancelled())
        finally:
            self._loop.close()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ENDING)


async def _made(make: Callable[[], Router]) -> Router:
    return make()


async def _cancelled() -> None:
    """End the requests of other threads that still wait."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

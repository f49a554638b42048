"""Writes what was seen of nodes to the journal from an event loop: batches, in a thread."""

from __future__ import annotations

import asyncio

from freehold.client.asking.candidate import Candidate
from freehold.client.asking.journal import Cause, Journal

PAUSE = 1.0
"""Seconds that rows wait for others, at most."""


class Scribe:
    """For one event loop; without a journal it writes nothing."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._due: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def note(
        self,
        subnet: str,
        candidate: Candidate,
        *,
        seconds: float,
        cause: Cause = Cause.REQUEST,
        failure: str = "",
        agreed: bool | None = None,
    ) -> None:
        """Write down an attempt, soon."""
        if self._journal is None:
            return
        full = self._journal.add(
            subnet,
            candidate.node,
            candidate.uid,
            cause=cause,
            seconds=seconds,
            failure=failure,
            agreed=agreed,
        )
        if full and not self._writing:
            self._begin()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(PAUSE, self._begin)

    async def settle(self) -> None:
        """Everything noted so far is on the disk on return, if that takes it."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._writing:
            await asyncio.wait(set(self._writing))
        await self._write()

    def _begin(self) -> None:
        self._due = None
        task = asyncio.get_running_loop().create_task(self._write())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self) -> None:
        if self._journal is not None:
            await asyncio.to_thread(self._journal.flush)

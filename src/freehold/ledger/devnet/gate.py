"""Many read at once, or one changes.

While it makes a block the engine has the new state and still the old number: who asks for the
state at the head then is told that of the next block. Whoever changes goes first, so that reads
cannot keep it out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Of one event loop; one task at a time may change."""

    def __init__(self) -> None:
        self._open, self._quiet = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._quiet.set()
        self._readers = 0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Nothing changes within the block."""
        while not self._open.is_set():  # closed again before this task had its turn
            await self._open.wait()
        self._readers += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers:
                self._quiet.set()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Nobody reads within the block."""
        self._open.clear()
        try:
            await self._quiet.wait()
            yield
        finally:
            self._open.set()

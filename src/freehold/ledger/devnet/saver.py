"""Dumps written behind the next blocks, and when the next one is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError
from freehold.ledger.devnet import dumps
from freehold.ledger.devnet.disk import Disk
from freehold.ledger.devnet.journal import Journal

_log = logging.getLogger("freehold.devnet")


@dataclass(frozen=True, slots=True)
class DumpPolicy:
    """When to dump: after so many journal records, bytes or seconds, which bound how long a
    replay takes, and never so often that dumping takes more than one part in ``share`` of the
    time."""

    records: int = 500
    bytes: int = 2**20
    seconds: float = 300.0
    share: float = 20.0


class Saver:
    """Saves one dump at a time; ``seconds`` is how long the last one took, with its making."""

    def __init__(self, disk: Disk, policy: DumpPolicy, *, monotonic: Callable[[], float]) -> None:
        self._disk, self._policy, self._monotonic = disk, policy, monotonic
        self._saving: asyncio.Task[None] | None = None
        self._saved_at = 0.0
        self.seconds = 0.0

    def rest(self) -> None:
        """Count the time to the next dump from now."""
        self._saved_at = self._monotonic()

    def due(self, journal: Journal) -> bool:
        """Whether what the journal holds should be dumped now."""
        if self._saving is not None and not self._saving.done():
            return False
        waited = self._monotonic() - self._saved_at
        if waited < self.seconds * self._policy.share:
            return False
        policy = self._policy
        full = journal.count >= policy.records or journal.sound >= policy.bytes
        return full or waited >= policy.seconds

    def save(self, dump: dumps.Dump, *, begun: float) -> None:
        """Write a dump that was begun at a moment; ``saved`` waits for it."""
        self._saving = asyncio.create_task(self._save(dump, begun))

    async def saved(self) -> None:
        """Return once no dump is being written."""
        if self._saving is not None:
            await self._saving
            self._saving = None

    async def _save(self, dump: dumps.Dump, begun: float) -> None:
        try:
            await asyncio.to_thread(dumps.save, self._disk, dump)
            await asyncio.to_thread(dumps.prune, self._disk)
        except (OSError, IntegrityError) as error:
            _log.error("dump %d was not saved, its journals stand for it: %s", dump.number, error)
        self.rest()
        self.seconds = self._saved_at - begun

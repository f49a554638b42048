"""The way in: signed batches from devices, and what Prometheus and OpenTelemetry push.

A batch is looked at no further than its device's name until that is found among the members: what
strangers cost is a bounded body and a look-up. A device's rate is charged only with batches that
it signed, so nobody can use it up for it. What sources push is unpacked in a thread, a few at a
time, then sealed and handed in like any other batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from freehold.domain.did import Did, ForgedError
from freehold.domain.errors import CapacityError, FreeholdError, UnavailableError
from freehold.node.telemetry.access import Limiter
from freehold.node.telemetry.meters import Meters
from freehold.node.telemetry.refusals import queue_full
from freehold.telemetry.foreign import Harvest
from freehold.telemetry.members import Member, Members, UnknownError, claimed
from freehold.telemetry.partition import Outcome
from freehold.telemetry.reading import malformed
from freehold.telemetry.sources import Source, Sources

SOURCE = "source"
SECONDS = 30.0
"""How long an acknowledgement may take."""
UNPACKING = 2
"""Pushed requests that are unpacked at the same time: each may take some 30 MB."""


class Intake(Protocol):
    """Takes batches durably."""

    def submit(self, batch: bytes) -> Future[Outcome]:
        """Done once the batch is durable or refused; CapacityError when the queue is full."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How a pushed request went."""

    readings: int
    skipped: int


class Everyone:
    """The members that the chain lists, and the sources of this service."""

    def __init__(self, listed: Members, sources: Sources) -> None:
        self._listed, self._sources = listed, sources

    def find(self, did: Did) -> Member | None:
        """The member with this key."""
        listed = self._listed.find(did)
        if listed is not None:
            return listed
        source = self._sources.find(did)
        return None if source is None else Member(source.id, did, source.owner, SOURCE)


class Door:
    """Hands batches to the intake; for one event loop."""

    def __init__(
        self,
        intake: Intake,
        *,
        members: Members,
        sources: Sources,
        devices: Limiter,
        workers: Executor,
        meters: Meters,
        now: Callable[[], int],
    ) -> None:
        """``now`` gives milliseconds since 1970."""
        self._intake, self._members, self._sources = intake, members, sources
        self._devices, self._workers, self._meters, self._now = devices, workers, meters, now
        self._unpacking = asyncio.Semaphore(UNPACKING)

    async def post(self, batch: bytes) -> Outcome:
        """Take a batch of a member; its refusals, UnknownError or BusyError."""
        member = self._sender(batch)
        self._devices.check(member.id)
        try:
            outcome = await self._submit(batch)
        except ForgedError:
            raise
        except FreeholdError:
            self._devices.charge(member.id)
            raise
        self._devices.charge(member.id)
        return outcome

    def _sender(self, batch: bytes) -> Member:
        did = claimed(batch)
        if did is None:
            raise malformed("it names no device")
        member = self._members.find(did)
        if member is None or member.kind == SOURCE:
            self._meters.batches.labels("unknown").inc()
            raise UnknownError(
                f"no device with the key {did.text} is enrolled",
                remedy="Enrol the device with `freehold device pair`, then wait for a block.",
            )
        return member

    async def _submit(self, batch: bytes) -> Outcome:
        try:
            outcome = await asyncio.wait_for(
                asyncio.wrap_future(self._intake.submit(batch)), SECONDS
            )
        except TimeoutError as error:
            raise UnavailableError(
                f"the batch was not stored within {SECONDS:g} s", remedy="Send it again later."
            ) from error
        except CapacityError as error:
            raise queue_full(error) from error
        if outcome.refusal is not None:
            self._meters.batches.labels("refused").inc()
            refused = outcome.refusal
            raise queue_full(refused) if isinstance(refused, CapacityError) else refused
        self._meters.batches.labels("new" if outcome.new else "duplicate").inc()
        return outcome

    def source(self, token: str) -> Source:
        """Whose token this is, before anything of a body is read; BadTokenError, BusyError."""
        source = self._sources.admit(token)
        self._devices.spend(source.id)
        return source

    async def push(self, source: Source, body: bytes, decode: Callable[[bytes], Harvest]) -> Taken:
        """Take what a source sent, as far as it fits; what ``decode`` raises, BusyError.

        A request that is sent again after a failure comes in again, as readings that are marked
        as duplicates.
        """
        loop = asyncio.get_running_loop()
        async with self._unpacking:
            seal = partial(self._sealed, source, body, decode)
            batches, taken = await loop.run_in_executor(self._workers, seal)
            for batch in batches:  # one after the other: a full queue stops the rest
                await self._submit(batch)
        self._meters.samples.labels("taken").inc(taken.readings)
        self._meters.samples.labels("skipped").inc(taken.skipped)
        return taken

    def _sealed(
        self, source: Source, body: bytes, decode: Callable[[bytes], Harvest]
    ) -> tuple[tuple[bytes, ...], Taken]:
        sealed = self._sources.seal(source.name, decode(body), now=self._now())
        return sealed.batches, Taken(sealed.readings, sealed.skipped)

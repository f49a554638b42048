"""The pipeline as workers on NATS JetStream, each with some of the partitions.

Devices publish by MQTT to ``fh/dev/ID``; the server's mapping makes ``fh.dev.PART.ID`` of it, and
the stream ``FREEHOLD`` holds it until the partition's durable consumer has acknowledged it. A
worker pulls, takes into the partition's file, and acknowledges what is durable there. Killed in
between, it is given the same again, which the guard knows. So nothing that the stream has is
lost or counted twice.

MQTT's own acknowledgement says only that the server received a batch. The receipt says that it
counts: on ``fh.ack.ID``, for each batch boot id (8), sequence (8) and 1 where it counts or 0 where
it never will (1), little-endian: the guard refused it, or it is malformed as the device signed it.
What nobody signed has no receipt, nor has what may count later or elsewhere, nor what one device
published as another: nobody can make a device drop what it keeps. A device that keeps what has no
receipt loses nothing to a power cut either.
"""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from freehold.domain.errors import CapacityError, FreeholdError, UnavailableError
from freehold.telemetry.leases import Lease, Leases
from freehold.telemetry.members import UnknownError, topic
from freehold.telemetry.partition import Outcome, Partition
from freehold.telemetry.reading import open_batch
from freehold.telemetry.refusals import MalformedError, ReplayError, TooLargeError
from freehold.telemetry.streams import BYTES_MAX, STREAM, connect, ensure

RECEIPT = struct.Struct("<QQB")
_PLACE = struct.Struct("<QQ")
_PLACE_AT = 36
"""Where a batch has its boot id and sequence number."""
TRIES = 6
"""Times that a batch of an unknown device is looked at: the list of members may be late."""
_LATER, _ACK_WAIT = 5.0, 60.0
_BACKOFF_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """``pull`` batches at most at once; seconds: between flushes, of a lease, and without a
    server until the worker gives up; bytes of the stream at most, where there is none yet."""

    pull: int = 512
    flush: float = 0.2
    lease: float = 15.0
    patience: float = 300.0
    bytes_max: int = BYTES_MAX


@dataclass(slots=True)
class Done:
    """Batches so far: counted, counted before, and refused."""

    new: int = 0
    again: int = 0
    refused: int = 0


def work(
    url: str, partitions: Sequence[Partition], *, owner: str, clock: Callable[[], int],
    stop: threading.Event, settings: Settings | None = None,
) -> Done:  # fmt: skip
    """Work on ``partitions`` until ``stop``; ``owner`` names this worker and no other, ``clock``
    gives milliseconds since 1970. The partitions are left open.

    UnavailableError where no server answered for so long, ConflictError where a partition is
    kept in another file.
    """
    worker = _Worker(url, partitions, owner, clock, stop, settings or Settings())
    return asyncio.run(worker.run())


class _Worker:
    def __init__(
        self, url: str, partitions: Sequence[Partition], owner: str, clock: Callable[[], int],
        stop: threading.Event, settings: Settings,
    ) -> None:  # fmt: skip
        self._url, self._partitions, self._owner = url, partitions, owner
        self._clock, self._stop, self._settings = clock, stop, settings
        self._heard = time.monotonic()
        self._done = Done()

    async def run(self) -> Done:
        """Connect, and connect again, until told to stop."""
        backoff = self._settings.flush
        while not self._stop.is_set():
            before = self._heard
            try:
                await self._connected()
            except (NatsError, OSError, TimeoutError) as error:
                self._check_patience(error)
            backoff = self._settings.flush if self._heard > before else 2 * backoff
            await self._pause(min(backoff, _BACKOFF_MAX))
        return self._done

    async def _connected(self) -> None:
        client = await connect(self._url, name=self._owner)
        try:
            jetstream = client.jetstream(timeout=5)
            await ensure(jetstream, bytes_max=self._settings.bytes_max)
            leases = await Leases.open(jetstream, owner=self._owner, seconds=self._settings.lease)
            await _together(
                [_Share(self, each, client, jetstream, leases).run() for each in self._partitions]
            )
        finally:
            with suppress(NatsError, OSError, TimeoutError):
                await client.close()

    def _check_patience(self, error: Exception) -> None:
        if time.monotonic() - self._heard > self._settings.patience:
            raise UnavailableError(
                f"no NATS server answered for {self._settings.patience:.0f} seconds: {error}",
                remedy="Start the broker, or correct the URL; the worker goes on where it was.",
            ) from error

    async def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stop.is_set() and time.monotonic() < until:
            await asyncio.sleep(min(0.1, seconds))


class _Share:
    """One partition over one connection."""

    def __init__(
        self, worker: _Worker, partition: Partition, client: Client, jetstream: JetStreamContext,
        leases: Leases,
    ) -> None:  # fmt: skip
        self._worker, self._partition = worker, partition
        self._client, self._jetstream, self._leases = client, jetstream, leases
        self._settings = worker._settings
        self._trouble = False

    async def run(self) -> None:
        place = self._partition.place
        while not self._worker._stop.is_set():
            lease = await self._leases.take(place.part, self._partition.home)
            self._worker._heard = time.monotonic()
            if lease is None:
                await self._worker._pause(self._settings.lease / 3)
                continue
            await self._hold(lease, await self._subscribe(place.part))

    async def _subscribe(self, part: int) -> JetStreamContext.PullSubscription:
        name = f"partition-{part}"
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT,
            max_ack_pending=4 * self._settings.pull,
        )
        return await self._jetstream.pull_subscribe(
            f"fh.dev.{part}.*", durable=name, stream=STREAM, config=config
        )

    async def _hold(self, lease: Lease, source: JetStreamContext.PullSubscription) -> None:
        """Work while the lease lasts."""
        renewed = flushed = time.monotonic()
        while not self._worker._stop.is_set():
            if time.monotonic() - renewed > self._settings.lease / 3:
                again = await self._leases.renew(lease)
                if again is None:
                    return
                lease, renewed = again, time.monotonic()
                self._worker._heard = renewed
            if not self._trouble:
                await self._pull(source)
            if self._trouble or time.monotonic() - flushed >= self._settings.flush:
                await self._work()
                flushed = time.monotonic()
        await self._work()
        await source.unsubscribe()
        await self._leases.give_back(lease)

    async def _pull(self, source: JetStreamContext.PullSubscription) -> None:
        try:
            messages = await source.fetch(self._settings.pull, timeout=self._settings.flush)
        except TimeoutError:
            if self._client.is_closed:
                raise OSError("the server closed the connection") from None
            return
        now = self._worker._clock()
        try:
            outcomes = await asyncio.to_thread(
                self._partition.take, [each.data for each in messages], now=now
            )
        except (CapacityError, UnavailableError):
            self._trouble = True
            for each in messages:
                await each.nak(delay=_LATER)
            return
        for message, outcome in zip(messages, outcomes, strict=True):
            await self._answer(message, outcome)
        await self._receipts(messages, outcomes)
        await self._client.flush(timeout=5)

    async def _answer(self, message: Msg, outcome: Outcome) -> None:
        refusal, done = outcome.refusal, self._worker._done
        if refusal is None:
            done.new, done.again = done.new + outcome.new, done.again + (not outcome.new)
            await message.ack()
        elif isinstance(refusal, UnknownError) and message.metadata.num_delivered < TRIES:
            await message.nak(delay=_LATER)
        else:
            done.refused += 1
            await (message.ack() if isinstance(refusal, ReplayError) else message.term())

    async def _receipts(self, messages: Sequence[Msg], outcomes: Sequence[Outcome]) -> None:
        """Tell devices what counts, and what never will: both are signed by them."""
        receipts: dict[str, bytes] = {}
        for message, outcome in zip(messages, outcomes, strict=True):
            device = message.subject.rpartition(".")[2]
            if self._is_settled(device, message.data, outcome.refusal):
                place = _PLACE.unpack_from(message.data, _PLACE_AT)
                receipt = RECEIPT.pack(*place, outcome.refusal is None)
                receipts[device] = receipts.get(device, b"") + receipt
        for device, receipt in receipts.items():
            await self._client.publish(f"fh.ack.{device}", receipt)

    def _is_settled(self, device: str, data: bytes, refusal: FreeholdError | None) -> bool:
        if topic(self._partition.sender(data)) != device:
            return False
        if isinstance(refusal, MalformedError | TooLargeError):
            return _is_signed(data, self._partition.place.network_id)
        return refusal is None or isinstance(refusal, ReplayError | CapacityError)

    async def _work(self) -> None:
        try:
            await asyncio.to_thread(self._partition.work, now=self._worker._clock())
        except FreeholdError:
            self._trouble = True
            await self._worker._pause(_LATER)
            return
        self._trouble = False


def _is_signed(data: bytes, network_id: bytes) -> bool:
    """Whether a batch that was refused is a device's own all the same."""
    try:
        open_batch(data, network_id=network_id)
    except FreeholdError:
        return False
    return True


async def _together(jobs: Sequence[Coroutine[None, None, None]]) -> None:
    """Run until all end or one fails, which ends the others."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

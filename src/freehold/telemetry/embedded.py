"""The pipeline in one process: a thread for each partition, micro-batches, bounded waiting.

A batch is answered once its turn is on the disk, together with all that waited beside it. Rows
follow at most ``flush`` seconds later. While a sink or a disk fails nothing new is taken: what
was acknowledged is handed on again, less and less often, until it is kept.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from freehold.domain.errors import CapacityError, FreeholdError, UnavailableError, UsageError
from freehold.telemetry.members import Members, claimed, share
from freehold.telemetry.partition import Outcome, Partition

TURN = 512
"""Batches of one transaction."""
BACKOFF_MAX = 10.0
"""Seconds between two tries at most."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``waiting`` batches of a partition at most; seconds between two flushes."""

    waiting: int = 4_096
    flush: float = 0.2


@dataclass(frozen=True, slots=True)
class _Waiting:
    data: bytes
    done: Future[Outcome]


class Embedded:
    """Runs ``partitions``, which must be all of a folder, until ``close``; closes them too.

    ``clock`` gives milliseconds since 1970.
    """

    def __init__(
        self, partitions: Sequence[Partition], *, members: Members, clock: Callable[[], int],
        pace: Pace | None = None,
    ) -> None:  # fmt: skip
        self._partitions = tuple(sorted(partitions, key=lambda each: each.place.part))
        if [each.place.part for each in self._partitions] != list(range(len(partitions))):
            raise UsageError(
                "the partitions are not all of a folder", remedy="Open each of them once."
            )
        self._members = members
        self._lines = tuple(
            _Line(partition, clock, pace or Pace()) for partition in self._partitions
        )

    def submit(self, batch: bytes) -> Future[Outcome]:
        """What became of a sealed batch, once that is durable.

        CapacityError where too many wait already (answer 429), or what the sink failed with.
        """
        return self._lines[self._part(batch)].submit(batch)

    def partition(self, member: str) -> Partition:
        """The partition of a device."""
        return self._partitions[share(member, len(self._partitions))]

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """All of them, in order."""
        return self._partitions

    @property
    def trouble(self) -> FreeholdError | None:
        """Why nothing is taken at present, None while all is well."""
        return next((line.trouble for line in self._lines if line.trouble), None)

    def settle(self, seconds: float) -> bool:
        """Wait until all that was submitted before is worked on; False where that took longer."""
        until = time.monotonic() + seconds
        return all(line.settle(max(0.0, until - time.monotonic())) for line in self._lines)

    def close(self) -> None:
        """Take what waits, keep the states, and give the files up."""
        for line in self._lines:
            line.stop()
        for partition in self._partitions:
            partition.close()

    def _part(self, batch: bytes) -> int:
        """Whose it says it is; what names nobody is refused by the first partition."""
        did = claimed(batch)
        member = None if did is None else self._members.find(did)
        return 0 if member is None else share(member.id, len(self._partitions))


class _Line:
    """A partition with what waits for it."""

    def __init__(self, partition: Partition, clock: Callable[[], int], pace: Pace) -> None:
        self._partition, self._clock, self._pace = partition, clock, pace
        self._queue: queue.Queue[_Waiting | threading.Event] = queue.Queue(pace.waiting)
        self._closed = threading.Event()
        self._settling: list[threading.Event] = []
        self.trouble: FreeholdError | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"partition {partition.place.part}", daemon=True
        )
        self._thread.start()

    def submit(self, data: bytes) -> Future[Outcome]:
        if self._closed.is_set():
            raise UnavailableError("the service is stopping", remedy="Send it again soon.")
        if self.trouble is not None:
            raise self.trouble
        waiting = _Waiting(data, Future())
        try:
            self._queue.put_nowait(waiting)
        except queue.Full as error:
            raise CapacityError(
                f"{self._pace.waiting:,} batches wait already",
                remedy="Send it again in a second, with more readings in each batch.",
            ) from error
        return waiting.done

    def settle(self, seconds: float) -> bool:
        settled, until = threading.Event(), time.monotonic() + seconds
        try:
            self._queue.put(settled, timeout=seconds)
        except queue.Full:
            return False
        return settled.wait(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        self._closed.set()
        with suppress(queue.Full):
            self._queue.put_nowait(threading.Event())  # wakes the thread
        self._thread.join()

    def _run(self) -> None:
        flush_at, backoff = 0.0, self._pace.flush
        while not (self._closed.is_set() and self._queue.empty()):
            if self.trouble is None:
                self._take(self._gather(flush_at))
            else:
                self._refuse(self.trouble)
                self._closed.wait(backoff)
            if time.monotonic() < flush_at and not self._closed.is_set():
                continue
            backoff = self._pace.flush if self._work() else min(2 * backoff, BACKOFF_MAX)
            flush_at = time.monotonic() + self._pace.flush
            if self.trouble is not None and self._closed.is_set():
                break
        self._refuse(UnavailableError("the service is stopping", remedy="Send it again soon."))

    def _gather(self, flush_at: float) -> list[_Waiting]:
        """What waits, at most a turn; until the next flush where nothing does."""
        found: list[_Waiting] = []
        left = self._pace.flush if flush_at == 0 else max(0.001, flush_at - time.monotonic())
        with suppress(queue.Empty):
            self._sort(self._queue.get(timeout=min(left, self._pace.flush)), found)
            while len(found) < TURN:
                self._sort(self._queue.get_nowait(), found)
        return found

    def _sort(self, item: _Waiting | threading.Event, found: list[_Waiting]) -> None:
        if isinstance(item, _Waiting):
            found.append(item)
        else:
            self._settling.append(item)

    def _take(self, waiting: list[_Waiting]) -> None:
        waiting = [each for each in waiting if each.done.set_running_or_notify_cancel()]
        if not waiting:
            return
        try:
            outcomes = self._partition.take([each.data for each in waiting], now=self._clock())
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            for each in waiting:
                each.done.set_exception(error)
            return
        for each, outcome in zip(waiting, outcomes, strict=True):
            each.done.set_result(outcome)

    def _work(self) -> bool:
        try:
            self._partition.work(now=self._clock())
        except Exception as error:  # noqa: BLE001 - tried again; the door stays shut meanwhile
            self.trouble = error if isinstance(error, FreeholdError) else _failed(error)
            return False
        self.trouble = None
        for each in self._settling:
            each.set()
        self._settling.clear()
        return True

    def _refuse(self, error: FreeholdError) -> None:
        """Answer all that waits: it was not taken."""
        waiting: list[_Waiting] = []
        with suppress(queue.Empty):
            while True:
                self._sort(self._queue.get_nowait(), waiting)
        for each in waiting:
            if each.done.set_running_or_notify_cancel():
                each.done.set_exception(error)


def _failed(error: Exception) -> UnavailableError:
    return UnavailableError(
        f"readings cannot be kept: {error}",
        remedy="Look at the disk and the service's log; it tries again by itself.",
    )

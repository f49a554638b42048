"""All processes of a model: fed from the queue, replaced when they die, ever slower if they do so
again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from freehold.domain.errors import FreeholdError
from freehold.markets.models.tensor import MismatchError, Tensor, TooLargeError, join, split
from freehold.node.logs import fields
from freehold.node.workloads.models.hand import CORRECT, Hand
from freehold.node.workloads.models.metrics import Metrics
from freehold.node.workloads.models.plan import Hello, Plan
from freehold.node.workloads.models.queue import Job, Queue
from freehold.node.workloads.models.refusals import (
    BrokenModelError,
    ModelFailedError,
    ModelLostError,
    ModelTimeoutError,
    NotReadyError,
)

LONGEST_WAIT = 30.0
LIMITS_OF_MACHINE = "Raise the machine's limits on open files, processes and memory."
PATIENCE = 1.0
"""Seconds of a pause between two starts during which requests are still taken in."""
_log = logging.getLogger(__name__)


class Crew:
    """Keeps ``size`` processes of ``plan`` at work."""

    def __init__(
        self,
        plan: Plan,
        queue: Queue,
        *,
        size: int,
        seconds: float,
        start_seconds: float,
        metrics: Metrics,
    ) -> None:
        """``seconds``: how long one answer may take; ``start_seconds``: loading and warm-up."""
        self._plan, self._queue, self._size, self._metrics = plan, queue, size, metrics
        self._seconds, self._start_seconds = seconds, start_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._hands: set[Hand] = set()
        self._next_start = 0.0
        self._hello: Hello | None = None

    @property
    def ready(self) -> bool:
        """Whether a process of the model is warm."""
        return any(not hand.gone for hand in self._hands)

    @property
    def pids(self) -> list[int]:
        """The processes that are warm."""
        return sorted(hand.pid for hand in self._hands)

    async def start(self) -> Hello:
        """Start every process; BrokenModelError when the first one cannot be."""
        first = await Hand.start(self._plan, seconds=self._start_seconds)
        self._hello = first.hello
        self._tasks = [asyncio.ensure_future(self._tend(first))]
        self._tasks += [asyncio.ensure_future(self._tend(None)) for _ in range(self._size - 1)]
        await asyncio.sleep(0)
        return first.hello

    async def stop(self) -> None:
        """End every process; whoever waits is told."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._queue.fail_all(_not_ready("it is being stopped", LONGEST_WAIT))

    def check(self) -> None:
        """NotReadyError while no process runs and none will within PATIENCE."""
        wait = self._next_start - asyncio.get_running_loop().time()
        if not self._hands and wait > PATIENCE:
            raise _not_ready("its process keeps failing", wait)

    async def _tend(self, hand: Hand | None) -> None:
        strikes = 0
        while True:
            hand = hand or await self._try()
            if hand is not None:
                strikes = await self._work(hand, strikes)
                self._metrics.restarts.inc()
                hand = None
            strikes += 1
            await self._pause(strikes)

    async def _try(self) -> Hand | None:
        try:
            hand = await Hand.start(self._plan, seconds=self._start_seconds)
            if self._same(hand.hello):
                return hand
            await hand.close()
            raise BrokenModelError(
                "the model's file has changed since the server was started",
                remedy="Restart the server, so that its version and schema are told anew.",
            )
        except FreeholdError as error:
            _log.error("no process", extra=fields(reason=error.message, remedy=error.remedy))
        except OSError as error:
            _log.error("no process", extra=fields(reason=error.strerror, remedy=LIMITS_OF_MACHINE))
        return None

    def _same(self, hello: Hello) -> bool:
        known = self._hello
        return known is not None and (known.version, known.schema) == (hello.version, hello.schema)

    async def _pause(self, strikes: int) -> None:
        """The first restart is at once; the wait then doubles while nothing was answered."""
        wait = 0.0 if strikes < 2 else min(2.0 ** (strikes - 2) / 2, LONGEST_WAIT)
        self._next_start = asyncio.get_running_loop().time() + wait
        if wait > PATIENCE and not self._hands:
            self._queue.fail_all(_not_ready("its process keeps failing", wait))
        await asyncio.sleep(wait)

    async def _work(self, hand: Hand, strikes: int) -> int:
        """Serve until the process is gone; the strikes that are left then."""
        self._hands.add(hand)
        self._metrics.processes.set(len(self._hands))
        hand.when_gone(self._queue.wake)
        batch: list[Job] = []
        try:
            while True:
                batch = []
                batch = await self._queue.take(unless=lambda: hand.gone)
                if not batch:
                    _log.warning("a process is gone", extra=fields(pid=hand.pid, reason="it ended"))
                    return strikes
                self._metrics.batch.observe(sum(job.rows for job in batch))
                if not await self._answer(hand, batch):
                    return strikes
                strikes = 0
        except asyncio.CancelledError:
            for job in batch:
                job.fail(_not_ready("it is being stopped", LONGEST_WAIT))
            raise
        except Exception as error:  # noqa: BLE001 - a mistake here must not end the model for good
            _log.exception("a batch failed", extra=fields(pid=hand.pid))
            for job in batch:
                job.fail(error)
            return strikes
        finally:
            self._hands.discard(hand)
            self._metrics.processes.set(len(self._hands))
            await hand.close()

    async def _answer(self, hand: Hand, batch: list[Job]) -> bool:
        """Ask for a batch; False when the process is gone."""
        try:
            outputs = await self._ask(hand, batch)
        except (ModelFailedError, TooLargeError) as error:
            if len(batch) > 1:  # one request must not fail those it was joined with
                return await self._one_by_one(hand, batch)
            batch[0].fail(error)
        except (ModelLostError, ModelTimeoutError) as error:
            _log.warning("a process is gone", extra=fields(pid=hand.pid, reason=error.message))
            if len(batch) > 1:
                self._put_back(batch)
            else:
                batch[0].fail(error)
            return False
        else:
            for job, own in zip(batch, outputs, strict=True):
                job.finish(own)
        return True

    async def _one_by_one(self, hand: Hand, batch: Sequence[Job]) -> bool:
        for at, job in enumerate(batch):
            if not await self._answer(hand, [job]):
                self._put_back(batch[at + 1 :])
                return False
        return True

    def _put_back(self, jobs: Sequence[Job]) -> None:
        """It was not their fault, so their time begins anew: for a start and an answer, twice,
        since one among them may end the next process too."""
        again = asyncio.get_running_loop().time() + 2 * (self._seconds + self._start_seconds)
        self._queue.put_back([job for job in jobs if not job.outputs.done()], again)

    async def _ask(self, hand: Hand, batch: Sequence[Job]) -> list[tuple[Tensor, ...]]:
        if len(batch) == 1:
            return [await self._checked(hand, batch[0].inputs)]
        outputs = await self._checked(hand, join([job.inputs for job in batch]))
        try:
            return split(outputs, [job.rows for job in batch])
        except MismatchError as error:
            raise ModelFailedError(error.message, remedy=CORRECT) from error

    async def _checked(self, hand: Hand, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the process answers, looked at again: it may have written the answer itself."""
        outputs = await hand.call(inputs, seconds=self._seconds)
        try:
            hand.hello.schema.check_outputs(outputs)
        except MismatchError as error:
            raise ModelFailedError(error.message, remedy=CORRECT) from error
        return outputs


def _not_ready(reason: str, seconds: float) -> NotReadyError:
    return NotReadyError(
        f"the model is not ready: {reason}", remedy="Try again later, or another node.",
        seconds=seconds,
    )  # fmt: skip

"""Requests that wait for a process of the model: bounded, in order, joined where they may be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from freehold.markets.models.tensor import Tensor, rows_of
from freehold.node.workloads.models.refusals import BusyError, ModelTimeoutError

BATCH_BYTES = 2**22
"""Bytes of inputs that are joined at most, unless one request alone has more."""
Key = tuple[tuple[str, str, tuple[int, ...]], ...]


@dataclass(slots=True)
class Job:
    """Inputs that wait until ``deadline`` (of the loop's clock) for their outputs.

    Jobs of one ``key`` may be joined; ``alone``: it was among others over which a process died.
    """

    inputs: Sequence[Tensor]
    deadline: float
    outputs: asyncio.Future[tuple[Tensor, ...]]
    rows: int = 1
    key: Key = field(default=())
    alone: bool = False

    @property
    def size(self) -> int:
        """Bytes of its inputs."""
        return sum(len(tensor.data) for tensor in self.inputs)

    def fail(self, error: BaseException) -> None:
        """Tell who waits, if anyone still does."""
        if not self.outputs.done():
            self.outputs.set_exception(error)

    def finish(self, outputs: tuple[Tensor, ...]) -> None:
        """Hand over the outputs, if anyone still waits."""
        if not self.outputs.done():
            self.outputs.set_result(outputs)


def key_of(inputs: Sequence[Tensor]) -> Key:
    """What two jobs must have in common to be joined: all but the first dimension."""
    return tuple((tensor.name, tensor.datatype, tensor.shape[1:]) for tensor in inputs)


class Queue:
    """At most ``most`` jobs, oldest first; batches of up to ``batch`` rows."""

    def __init__(self, *, most: int, batch: int, delay: float) -> None:
        """``delay``: seconds for which a batch that is not full waits for more."""
        self.batch = batch
        self._most, self._delay = most, delay
        self._jobs: deque[Job] = deque()
        self._came = asyncio.Event()

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Take a job in; BusyError when there is no room."""
        if len(self._jobs) >= self._most:
            raise BusyError(
                f"{self._most} requests are waiting already", remedy="Try again, or another node."
            )
        if self.batch > 1:
            job.rows, job.key = rows_of(job.inputs), key_of(job.inputs)
        self._jobs.append(job)
        self._came.set()

    def put_back(self, jobs: Sequence[Job], deadline: float) -> None:
        """Let jobs be tried again at once, each alone, until a new deadline."""
        for job in reversed(jobs):
            job.alone, job.deadline = True, deadline
            self._jobs.appendleft(job)
        self._came.set()

    def wake(self) -> None:
        """Let everyone who takes look whether he still wants to."""
        self._came.set()

    async def take(self, unless: Callable[[], bool] = lambda: False) -> list[Job]:
        """The next jobs that may be asked as one; those too late are told so. None once ``unless``
        is true, which is looked at whenever somebody calls ``wake``."""
        first = await self._next(unless)
        if first is None:
            return []
        batch = [first]
        if first.alone or self.batch == 1:
            return batch
        rows, size = first.rows, first.size
        until = asyncio.get_running_loop().time() + self._delay
        while rows < self.batch and len(batch) < self.batch:
            if not self._jobs and not await self._more(until):
                break
            following = self._jobs[0]
            rows, size = rows + following.rows, size + following.size
            if following.alone or following.key != first.key:
                break
            if rows > self.batch or size > BATCH_BYTES:
                break
            batch.append(self._jobs.popleft())
        return batch

    def fail_all(self, error: BaseException) -> None:
        """Tell everyone who waits that nothing will come."""
        while self._jobs:
            self._jobs.popleft().fail(error)

    async def _next(self, unless: Callable[[], bool]) -> Job | None:
        loop = asyncio.get_running_loop()
        while not unless():
            if not self._jobs:
                self._came.clear()
                await self._came.wait()
                continue
            job = self._jobs.popleft()
            if job.outputs.done():
                continue
            if loop.time() < job.deadline:
                return job
            job.fail(_late())
        self._came.set()  # somebody else may have to be woken for what is there
        return None

    async def _more(self, until: float) -> bool:
        """Wait for another job until then."""
        if self._delay <= 0:
            return False
        self._came.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._came.wait()
        except TimeoutError:
            return False
        return bool(self._jobs)


def _late() -> ModelTimeoutError:
    return ModelTimeoutError(
        "the request waited too long for the model", remedy="Try again later, or another node."
    )

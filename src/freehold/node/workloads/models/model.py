"""One model that is served: what it is called, what it takes, and how it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from freehold.markets.models.tensor import MismatchError, Request, Response, Tensor
from freehold.node.workloads.models.crew import Crew
from freehold.node.workloads.models.metrics import Metrics
from freehold.node.workloads.models.plan import Hello, Plan
from freehold.node.workloads.models.queue import Job, Queue


@dataclass(frozen=True, slots=True)
class Care:
    """How a model is run: ``workers`` processes, ``queue`` requests that wait, seconds of one
    answer, of loading, and for which a batch waits for more."""

    workers: int = 1
    queue: int = 256
    seconds: float = 30.0
    start_seconds: float = 120.0
    delay: float = 0.0


class Model:
    """A model behind its queue; ``start`` it within a running loop, and ``stop`` it there."""

    def __init__(
        self, name: str, plan: Plan, care: Care, metrics: Metrics, *, also: Collection[str] = ()
    ) -> None:
        """``also``: other names that it is asked by."""
        self.name, self.names, self.metrics = name, frozenset({name, *also}), metrics
        self._care = care
        self._queue = Queue(most=care.queue, batch=1, delay=care.delay)
        self._most_rows = plan.max_batch
        self.crew = Crew(
            plan,
            self._queue,
            size=care.workers,
            seconds=care.seconds,
            start_seconds=care.start_seconds,
            metrics=metrics,
        )
        self._hello: Hello | None = None

    @property
    def hello(self) -> Hello:
        """What the model's first process said of it."""
        if self._hello is None:
            raise RuntimeError("not started")
        return self._hello

    async def start(self) -> None:
        """Load it, ask it once, and keep its processes; BrokenModelError when it cannot be."""
        self._hello = await self.crew.start()
        if self._hello.batches:
            self._queue.batch = self._most_rows

    async def stop(self) -> None:
        """End its processes."""
        await self.crew.stop()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def check(self, request: Request) -> None:
        """MismatchError unless the request fits the schema and asks for outputs that there are."""
        schema = self.hello.schema
        schema.check_inputs(request.inputs)
        known = {spec.name for spec in schema.outputs}
        for wanted in request.outputs:
            if wanted.name not in known:
                raise MismatchError(
                    f"the model has no output {wanted.name}",
                    remedy=f"It has {', '.join(sorted(known))}.",
                )

    async def infer(self, request: Request) -> Response:
        """The answer to a request that was checked; a typed error of ``refusals``."""
        self.crew.check()
        loop = asyncio.get_running_loop()
        now = loop.time()
        job = Job(self._sorted(request), now + self._care.seconds, loop.create_future())
        self._queue.put(job)
        outputs = await job.outputs
        if request.outputs:
            asked = {wanted.name for wanted in request.outputs}
            outputs = tuple(tensor for tensor in outputs if tensor.name in asked)
        return Response(self.name, outputs, version=self.hello.version, id=request.id)

    def _sorted(self, request: Request) -> tuple[Tensor, ...]:
        """The inputs in the schema's order, so that requests can be joined."""
        found = {tensor.name: tensor for tensor in request.inputs}
        return tuple(found[spec.name] for spec in self.hello.schema.inputs)

    def metadata(self) -> dict[str, object]:
        """As ``GET /v2/models/{name}`` tells it."""
        return {
            "name": self.name,
            "versions": [self.hello.version],
            "platform": self.hello.platform,
            **self.hello.schema.metadata(),
        }

"""What waits for a model: bounded, in order, joined where it may be; and the model's own care."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.errors import UsageError
from freehold.markets.models.tensor import MismatchError, Request, Tensor, Wanted, from_arrays
from freehold.node.workloads.models.brake import Brake
from freehold.node.workloads.models.metrics import Metrics
from freehold.node.workloads.models.model import Care, Model
from freehold.node.workloads.models.plan import Plan
from freehold.node.workloads.models.queue import Job, Queue
from freehold.node.workloads.models.refusals import (
    BrokenModelError,
    BusyError,
    ModelLostError,
    ModelTimeoutError,
    NotReadyError,
)
from freehold.node.workloads.models.settings import load
from freehold.node.workloads.models.source import parse_source
from unit.node.workloads.models import naughty

MODEL = Path(__file__).parent / "naughty.py"


def rows(*values: float, dtype: str = "<f4") -> tuple[Tensor, ...]:
    return from_arrays({"x": np.array(values, dtype).reshape(-1, 1)})


def job(inputs: Sequence[Tensor], seconds: float = 60.0) -> Job:
    loop = asyncio.get_running_loop()
    return Job(inputs, loop.time() + seconds, loop.create_future())


def taken(put: Callable[[Queue], None], *, batch: int = 4, most: int = 100) -> list[list[int]]:
    """The rows of each batch that is taken after ``put``."""

    async def run() -> list[list[int]]:
        queue = Queue(most=most, batch=batch, delay=0)
        put(queue)
        found = []
        while len(queue):
            found.append([each.rows for each in await queue.take()])
        return found

    return asyncio.run(run())


def test_jobs_are_joined_up_to_the_batch() -> None:
    def put(queue: Queue) -> None:
        for count in (1, 1, 1, 1, 1, 3, 2, 7, 0, 4):
            queue.put(job(rows(*range(count))))

    assert taken(put) == [[1, 1, 1, 1], [1, 3], [2], [7], [0, 4]]


def test_large_jobs_are_not_joined() -> None:
    def put(queue: Queue) -> None:
        for count in (2, 2, 2, 9):
            queue.put(job(from_arrays({"x": np.zeros((count, 2**18), "<f4")})))

    assert taken(put, batch=100) == [[2, 2], [2], [9]]


def test_only_jobs_of_one_kind_are_joined() -> None:
    def put(queue: Queue) -> None:
        for dtype in ("<f4", "<f4", "<f8", "<f4"):
            queue.put(job(rows(1, dtype=dtype)))

    assert taken(put) == [[1, 1], [1], [1]]


def test_what_was_put_back_is_asked_alone_and_first() -> None:
    def put(queue: Queue) -> None:
        queue.put(job(rows(1)))
        loop = asyncio.get_running_loop()
        queue.put_back([job(rows(1)), job(rows(1))], loop.time() + 60)

    assert taken(put) == [[1], [1], [1]]


def test_a_full_queue_says_so() -> None:
    def put(queue: Queue) -> None:
        queue.put(job(rows(1)))
        with pytest.raises(BusyError) as caught:
            queue.put(job(rows(1)))
        assert caught.value.seconds >= 1

    assert taken(put, most=1) == [[1]]


def test_rows_that_do_not_match_are_refused() -> None:
    def put(queue: Queue) -> None:
        uneven = from_arrays({"a": np.zeros((1, 1)), "b": np.zeros((2, 1))})
        with pytest.raises(MismatchError):
            queue.put(job(uneven))

    assert taken(put) == []


def test_a_job_that_is_late_or_forsaken_is_not_asked() -> None:
    async def run() -> None:
        queue = Queue(most=9, batch=1, delay=0)
        late, forsaken, good = job(rows(1), -1), job(rows(2)), job(rows(3))
        forsaken.outputs.cancel()
        for each in (late, forsaken, good):
            queue.put(each)
        assert await queue.take() == [good]
        with pytest.raises(ModelTimeoutError):
            await late.outputs

    asyncio.run(run())


def test_a_batch_waits_for_more_as_long_as_it_is_told() -> None:
    async def run() -> None:
        queue = Queue(most=9, batch=2, delay=30)
        queue.put(job(rows(1)))
        asyncio.get_running_loop().call_later(0.01, queue.put, job(rows(2)))
        assert len(await queue.take()) == 2
        queue = Queue(most=9, batch=2, delay=0.01)
        queue.put(job(rows(1)))
        assert len(await queue.take()) == 1

    asyncio.run(run())


# --- a model with its processes ------------------------------------------------------------------


def modelled(
    care: Care, act: Callable[[Model], Awaitable[None]], *, model: Path = MODEL, batch: int = 1
) -> Metrics:
    async def run() -> Metrics:
        made = Model("m", Plan(parse_source(str(model)), max_batch=batch), care, Metrics())
        try:
            await made.start()
            await act(made)
        finally:
            await made.stop()
        return made.metrics

    return asyncio.run(run())


async def ask(model: Model, value: float) -> object:
    request = Request(rows(value), outputs=(Wanted("y"),))
    model.check(request)
    return (await model.infer(request)).outputs[0].array()[0, 0]


def test_more_than_the_queue_holds_is_refused_at_once() -> None:
    async def act(model: Model) -> None:
        asked = [asyncio.ensure_future(ask(model, naughty.SLOW)) for _ in range(4)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, BusyError) for each in found) >= 2
        assert await ask(model, 1) == 2

    modelled(Care(queue=1), act)


def test_those_who_wait_are_told_when_it_stops() -> None:
    waiting: list[asyncio.Future[object]] = []

    async def act(model: Model) -> None:
        waiting.extend(asyncio.ensure_future(ask(model, naughty.HANG)) for _ in range(3))
        while model.waiting != 2:
            await asyncio.sleep(0)
        await model.stop()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, NotReadyError) for each in found)

    modelled(Care(), act)


def test_a_request_that_hangs_costs_those_it_was_joined_with_only_time() -> None:
    async def act(model: Model) -> None:
        asked = [asyncio.ensure_future(ask(model, v)) for v in (naughty.SLOW, naughty.HANG, 1, 2)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(found[1], ModelTimeoutError)
        assert found[2:] == [2, 4]

    modelled(Care(seconds=0.6), act, batch=8)


def test_a_model_whose_file_changed_is_not_started_again(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(MODEL.read_text())

    async def act(model: Model) -> None:
        file.write_text(MODEL.read_text() + "\n# changed\n")
        with pytest.raises(ModelLostError):
            await ask(model, naughty.EXIT)
        with pytest.raises(NotReadyError):
            await ask(model, 1)
        assert not model.crew.ready

    modelled(Care(), act, model=file)


def test_a_model_that_takes_too_long_to_load_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("import time\ntime.sleep(3600)\n")
    with pytest.raises(BrokenModelError, match="not loaded"):
        modelled(Care(start_seconds=0.3), lambda model: asyncio.sleep(0), model=file)


def test_a_model_that_dies_while_it_is_loaded_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("import os\nos._exit(9)\n")
    with pytest.raises(BrokenModelError, match="exit code 9"):
        modelled(Care(), lambda model: asyncio.sleep(0), model=file)


# --- small parts ---------------------------------------------------------------------------------


def test_the_brake_lets_some_through_and_counts_the_rest() -> None:
    now = 0.0
    brake = Brake(most=2, seconds=10, clock=lambda: now)
    assert [brake.go() for _ in range(5)] == [True, True, False, False, False]
    now = 10.0
    assert brake.go()
    assert (brake.since(), brake.since()) == (3, 0)


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({}, "no model is named"),
        ({"model": "a.txt"}, "names no model"),
        ({"model": "a.py", "workers": "0"}, "workers is 0"),
        ({"model": "a.py", "name": "a b"}, "no name for a model"),
        ({"model": "a.py", "alone": "yes", "price": "1"}, "needs a ledger"),
        ({"model": "a.py", "max_body": "32MiB", "bodies": "1MiB"}, "more than bodies"),
        ({"model": "a.py", "endpoint": "ftp://a"}, "no URL"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    tmp_path: Path, flags: dict[str, str], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        load(tmp_path, flags=flags, environment={})


def test_a_model_is_called_after_itself_its_subnet_or_its_file(tmp_path: Path) -> None:
    for flags, name in (
        ({"name": "n", "subnet": "s"}, "n"),
        ({"subnet": "s"}, "s"),
        ({}, "my_model"),
    ):
        given = {"model": "my_model.py:answer"} | flags
        assert load(tmp_path, flags=given, environment={}).called == name

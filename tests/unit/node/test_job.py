"""What a request has running in another thread, when the request itself is cancelled."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from freehold.node.app import _Job


def test_a_job_whose_waiter_was_cancelled_is_still_waited_for() -> None:
    gate, done = threading.Event(), list[str]()

    async def story(pool: ThreadPoolExecutor) -> None:
        job = _Job(pool)
        job.start(lambda: done.append(str(gate.wait(20))))
        waiter = asyncio.ensure_future(job.end())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        again = asyncio.ensure_future(job.end())
        await asyncio.sleep(0)
        assert not again.done()
        gate.set()
        await again
        assert done == ["True"]
        await job.end()

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(story(pool))

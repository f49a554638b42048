"""Many readers or one who changes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from freehold.ledger.devnet.gate import Gate


def test_nobody_reads_while_something_changes() -> None:
    async def live(random: Random) -> None:
        gate, reading, changes = Gate(), 0, 0

        async def read() -> None:
            nonlocal reading
            before = changes
            async with gate.reading():
                assert changes % 2 == 0, "it changes"
                reading += 1
                inside = changes
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)
                reading -= 1
                assert before <= changes == inside

        async def change() -> None:
            nonlocal changes
            for _ in range(20):
                async with gate.changing():
                    assert not reading, "somebody reads"
                    changes += 1
                    for _ in range(random.randrange(4)):
                        await asyncio.sleep(0)
                    changes += 1
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)

        async def readers() -> None:
            for _ in range(50):
                await read()

        await asyncio.gather(change(), *(readers() for _ in range(5)))
        assert changes == 40

    for seed in range(50):
        asyncio.run(live(Random(seed)))


def test_who_changes_goes_before_those_that_come_later() -> None:
    async def live() -> None:
        gate, order = Gate(), list[str]()

        async def read(name: str, until: asyncio.Event) -> None:
            async with gate.reading():
                order.append(name)
                await until.wait()

        async def change() -> None:
            async with gate.changing():
                order.append("change")

        held, free = asyncio.Event(), asyncio.Event()
        free.set()
        tasks = [asyncio.create_task(read("first", held))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(change()))
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(read("later", free)))
        await asyncio.sleep(0)
        assert order == ["first"]
        held.set()
        await asyncio.gather(*tasks)
        assert order == ["first", "change", "later"]

    asyncio.run(live())


def test_who_gives_up_leaves_the_gate_open() -> None:
    async def live() -> None:
        gate = Gate()
        async with gate.reading():
            changing = asyncio.create_task(gate.changing().__aenter__())
            await asyncio.sleep(0)
            changing.cancel()
            with suppress(asyncio.CancelledError):
                await changing
        async with asyncio.timeout(10), gate.reading():
            pass
        async with asyncio.timeout(10), gate.changing():
            pass

    asyncio.run(live())

"""Files that are sent: who stalls makes room, who reads is left in peace."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.responses import Response

from freehold.domain.errors import UnavailableError
from freehold.node.judging import sending
from freehold.node.judging.sending import Turns

Message = MutableMapping[str, Any]
PARTS = [b"one", b"two", b"three", b"four"]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


class Reader:
    """Takes all, or stalls before the body."""

    def __init__(self, *, stalls: bool) -> None:
        self.stalls, self.body, self.stalled = stalls, b"", asyncio.Event()

    async def send(self, message: Message) -> None:
        if self.stalls and message["type"] == "http.response.body":
            self.stalled.set()
            await asyncio.Event().wait()
        self.body += message.get("body", b"")


class File:
    """Parts, and whether it was closed."""

    closed = False

    def parts(self) -> Generator[bytes, None, None]:
        try:
            yield from PARTS
        finally:
            self.closed = True


async def send(response: Response, reader: Reader) -> None:
    async def receive() -> Message:
        raise NotImplementedError

    await response({"type": "http"}, receive, reader.send)


def test_who_stalls_makes_room_for_who_waits(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "STALLED", 0.0)

    async def work() -> None:
        turns, files = Turns(most=2, pool=pool), [File(), File(), File()]
        stalling = [Reader(stalls=True), Reader(stalls=True)]
        held = []
        for file, reader in zip(files, stalling, strict=False):
            response = await turns.begin(file.parts())
            held.append(asyncio.ensure_future(send(response, reader)))
            await reader.stalled.wait()
        reads = Reader(stalls=False)
        await send(await turns.begin(files[2].parts()), reads)
        assert reads.body == b"".join(PARTS)
        await held[0]  # broken off, and no error of the server's
        assert [each.closed for each in files] == [True, False, True]
        assert not held[1].done()
        held[1].cancel()  # that is somebody else's wish
        with pytest.raises(asyncio.CancelledError):
            await held[1]
        assert files[1].closed

    asyncio.run(work())


def test_who_reads_is_not_cut_off(pool: ThreadPoolExecutor) -> None:
    async def work() -> None:
        turns, file = Turns(most=1, pool=pool), File()
        first = await turns.begin(file.parts())
        with pytest.raises(UnavailableError, match="too many files"):
            await turns.begin(File().parts())
        reader = Reader(stalls=False)
        await send(first, reader)
        assert reader.body == b"".join(PARTS)
        await turns.begin(File().parts())

    asyncio.run(work())


def test_what_cannot_be_read_takes_no_place(pool: ThreadPoolExecutor) -> None:
    def broken() -> Generator[bytes, None, None]:
        raise UnavailableError("the disk", remedy="-")
        yield b""

    async def work() -> None:
        turns = Turns(most=1, pool=pool)
        for _ in range(3):
            with pytest.raises(UnavailableError, match="the disk"):
                await turns.begin(broken())

    asyncio.run(work())

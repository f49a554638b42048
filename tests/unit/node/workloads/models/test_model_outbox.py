"""Answers on their way: large ones in parts, bounded together, and not for who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.responses import Response

from freehold.node.workloads.models.outbox import PART, Outbox
from freehold.node.workloads.models.refusals import BusyError

LARGE = bytes(range(256)) * (PART // 128) + b"end"
Message = MutableMapping[str, Any]


class Reader:
    """Takes ``parts`` messages, then nothing until it is let go."""

    def __init__(self, parts: int) -> None:
        self.parts, self.got, self.stalled = parts, list[Message](), asyncio.Event()

    async def send(self, message: Message) -> None:
        if len(self.got) >= self.parts:
            self.stalled.set()
            await asyncio.Event().wait()
        self.got.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.got)


async def send(response: Response, reader: Reader) -> None:
    async def receive() -> Message:
        raise NotImplementedError

    await response({"type": "http"}, receive, reader.send)


def test_a_large_answer_leaves_in_parts() -> None:
    async def work() -> None:
        outbox, reader = Outbox(room=2 * len(LARGE), seconds=30.0), Reader(100)
        await send(outbox.response(LARGE, {"content-type": "x/y"}), reader)
        assert reader.body == LARGE
        assert max(len(each.get("body", b"")) for each in reader.got) == PART
        assert [each.get("more_body") for each in reader.got] == [None, True, True, False]
        assert (b"content-length", str(len(LARGE)).encode()) in reader.got[0]["headers"]
        assert outbox.taken == 0

    asyncio.run(work())


def test_who_does_not_read_takes_room_for_a_while_and_from_large_answers_only() -> None:
    async def work() -> None:
        outbox, reader = Outbox(room=2 * len(LARGE) - 1, seconds=0.2), Reader(2)
        sending = asyncio.ensure_future(send(outbox.response(LARGE, {}), reader))
        await reader.stalled.wait()
        with pytest.raises(BusyError):
            outbox.response(LARGE, {})
        assert outbox.response(b"small", {}).body == b"small"
        await sending
        assert len(reader.got) == 2
        assert outbox.taken == 0
        assert outbox.response(LARGE, {}) is not None

    asyncio.run(work())

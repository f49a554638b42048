from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from starlette.types import Message

from freehold.node.telemetry import live
from freehold.node.telemetry.live import QUEUE_MAX, Hub, LiveResponse
from freehold.node.telemetry.meters import Meters
from freehold.node.telemetry.refusals import BusyError
from unit.node.telemetry.service import FINDING, OTHER


class Browser:
    """The other end of a stream."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[str] = asyncio.Queue()
        self.gone, self.stalled = asyncio.Event(), asyncio.Event()
        self.stalled.set()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.stalled.wait()
        if message["type"] == "http.response.body":
            self.got.put_nowait(message["body"].decode())


def play(
    script: Callable[[Hub, Browser, asyncio.Task[None]], Awaitable[None]], heartbeat: float = 60
) -> None:
    async def run() -> None:
        hub, browser = Hub(asyncio.get_running_loop(), meters=Meters()), Browser()
        listener = hub.open(lambda finding: finding.subject == FINDING.subject)
        response = LiveResponse(hub, listener, heartbeat=heartbeat)
        stream = asyncio.create_task(response({}, browser.receive, browser.send))
        assert await browser.got.get() == ": alive\n\n"
        await script(hub, browser, stream)
        browser.gone.set()
        await stream
        assert not hub._listeners

    asyncio.run(run())


def test_findings_of_ones_own_come_at_once() -> None:
    async def script(hub: Hub, browser: Browser, _: asyncio.Task[None]) -> None:
        theirs = replace(FINDING, subject=OTHER)
        await asyncio.to_thread(hub.tell, [theirs, FINDING])
        event = await browser.got.get()
        assert event.count("event: finding\n") == 1
        assert '"severity": "warning"' in event
        assert event.endswith("\n\n")

    play(script)


def test_a_quiet_stream_shows_that_it_lives() -> None:
    async def script(_: Hub, browser: Browser, __: asyncio.Task[None]) -> None:
        assert await browser.got.get() == ": alive\n\n"

    play(script, heartbeat=0.001)


def test_a_slow_listener_misses_the_oldest_and_is_told() -> None:
    async def script(hub: Hub, browser: Browser, _: asyncio.Task[None]) -> None:
        browser.stalled.clear()
        hub.tell([replace(FINDING, key=str(n)) for n in range(QUEUE_MAX + 5)])
        browser.stalled.set()
        event = await browser.got.get()
        assert event.startswith("event: missed\ndata: 5\n\n")
        assert event.count("event: finding\n") == QUEUE_MAX
        assert '"key": "5"' in event

    play(script)


def test_a_stalled_listener_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALL_SECONDS", 0.01)

    async def script(hub: Hub, browser: Browser, stream: asyncio.Task[None]) -> None:
        browser.stalled.clear()
        hub.tell([FINDING])
        await stream
        assert not hub._listeners

    play(script)


def test_listeners_are_few() -> None:
    async def run() -> None:
        hub = Hub(asyncio.get_running_loop(), meters=Meters())
        opened = [hub.open(lambda _: True) for _ in range(live.LISTENERS_MAX)]
        with pytest.raises(BusyError):
            hub.open(lambda _: True)
        hub.close(opened[0])
        hub.open(lambda _: True)

    asyncio.run(run())


def test_accounts_leave_room_for_each_other_and_for_the_administrator() -> None:
    async def run() -> None:
        hub = Hub(asyncio.get_running_loop(), meters=Meters())
        for number in range((live.LISTENERS_MAX - live.RESERVED) // live.LISTENERS_EACH):
            for _ in range(live.LISTENERS_EACH):
                hub.open(lambda _: True, account=str(number))
            with pytest.raises(BusyError):
                hub.open(lambda _: True, account=str(number))
        with pytest.raises(BusyError, match="0 of them"):
            hub.open(lambda _: True, account="late")
        for _ in range(live.RESERVED):
            hub.open(lambda _: True)

    asyncio.run(run())


def test_telling_after_the_end_harms_nobody() -> None:
    async def made() -> Hub:
        return Hub(asyncio.get_running_loop(), meters=Meters())

    asyncio.run(made()).tell([FINDING])

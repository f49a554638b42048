"""Hosts that are looked up: one that hangs holds up nobody else."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
import uvloop

from freehold.client.asking import names
from freehold.client.asking.names import Host, look_up
from unit.client.asking.fakes import FakeNode, World
from unit.client.asking.test_asking import run

HANGING = 100
Runs = Any


class Servers:
    """Names whose servers answer only once they are let go."""

    def __init__(self) -> None:
        self.free, self.asked = threading.Event(), list[str]()

    def look_up(self, name: str) -> names.Found:
        self.asked.append(name)
        if name.startswith("hangs"):
            assert self.free.wait(30)
            return OSError("it hung")
        return look_up(name)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    made = Servers()
    monkeypatch.setattr(names, "look_up", made.look_up)
    return made


@pytest.mark.parametrize("runs", [asyncio.run, uvloop.run])
def test_names_that_hang_hold_up_nobody_else(servers: Servers, runs: Runs) -> None:
    async def work() -> None:
        hosts = [Host(f"hangs{at}.example") for at in range(HANGING)]
        hanging = [asyncio.ensure_future(each.addresses()) for each in hosts for _ in range(3)]
        async with asyncio.timeout(20):
            while len(servers.asked) < HANGING:
                await asyncio.sleep(0.01)
        good = Host("localhost")
        for _ in range(2):
            assert "127.0.0.1" in await asyncio.wait_for(good.addresses(), 20)
        for each in hanging[1:]:
            each.cancel()
        servers.free.set()
        with pytest.raises(OSError, match="it hung"):
            await hanging[0]
        assert len(servers.asked) == HANGING + 1  # once each, also the one that was asked for twice

    runs(work())


def test_an_address_is_not_looked_up(servers: Servers) -> None:
    assert asyncio.run(Host("127.0.0.1").addresses()) == ("127.0.0.1",)
    assert asyncio.run(Host("::1").addresses()) == ("::1",)
    assert servers.asked == []


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "." * 300])
def test_what_is_no_name_has_no_address(name: str) -> None:
    with pytest.raises(OSError, match=r"."):
        asyncio.run(Host(name).addresses())


def test_so_many_are_looked_up_at_once(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_room", threading.BoundedSemaphore(1))

    async def work() -> None:
        first = asyncio.ensure_future(Host("hangs.example").addresses())
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="being looked up"):
            await Host("localhost").addresses()
        servers.free.set()
        with pytest.raises(OSError, match="it hung"):
            await first

    asyncio.run(work())


def test_a_node_is_asked_at_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(name: str) -> names.Found:
        assert name == "localhost"
        return ["127.0.0.2", "127.0.0.1"]  # nothing listens at the first one

    monkeypatch.setattr(names, "look_up", two)

    async def work() -> None:
        async with World(FakeNode(1)) as world:
            known = world.ranking.known[0]
            assert "127.0.0.1" in known.endpoint
            named = known.endpoint.replace("127.0.0.1", "localhost")
            object.__setattr__(known, "endpoint", named)
            reply = await world.router.ask("digits", {"x": [[1.0, 2.0]]})
            assert reply.node == known.node

    run(work())


def test_the_system_is_asked() -> None:
    assert look_up("localhost") != []
    assert isinstance(look_up("x" * 70 + ".invalid"), OSError)
    assert socket.gethostbyname("localhost") == "127.0.0.1"

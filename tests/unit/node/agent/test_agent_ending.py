"""How an agent ends: its last readings are sent, in a short time, whatever signals come."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from freehold.domain.errors import UnavailableError
from freehold.node.agent import agent as agent_module
from freehold.node.agent.agent import Agent, Progress
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.transports import Settle
from unit.node.agent.homes import make_home, serving, until
from unit.node.agent.test_agent import ran, start


class Wire:
    """A way that may be held up, or lead nowhere."""

    window = 4

    def __init__(self, *, broken: bool = False) -> None:
        self.broken, self.tries, self.closed = broken, 0, False
        self.free = threading.Event()

    def send(self, batches: list[Sealed], settle: Settle) -> None:
        self.tries += 1
        if self.broken:
            raise UnavailableError("nobody is there", remedy="")
        self.free.wait(60)

    def close(self) -> None:
        self.closed = True


def with_wire(folder: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Agent:
    monkeypatch.setattr(agent_module, "open_transport", lambda *_, **__: wire)
    make_home(folder, services=("http://127.0.0.1:9",), batch=4_000)
    return Agent.open(folder)


def test_what_waits_for_others_is_sealed_and_sent_at_the_end(tmp_path: Path) -> None:
    said: list[Progress] = []
    with serving(tmp_path / "g") as service:
        make_home(tmp_path / "d", services=(service.url,), batch=4_000)
        agent = Agent.open(tmp_path / "d")
        agent.sense()
        assert agent.progress().buffered == 0
        agent.stop()
        agent.run(said.append)
    assert (said[-1].sent, said[-1].buffered, said[-1].error) == (1, 0, "")
    assert service.counted == [(1, 1)]


def test_a_burst_of_signals_ends_an_agent_that_sends_its_last_readings(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        with serving(tmp_path / f"g{number}") as service:
            make_home(folder, services=(service.url,), batch=4_000)
            child = start(folder)
            try:
                until(lambda: bool(service.requests), "the agent asks for directives")
                for turn in range(50):
                    os.kill(child.pid, (signal.SIGTERM, signal.SIGINT)[turn % 2])
                assert child.wait(10) in {0, -signal.SIGTERM, -signal.SIGINT}
            finally:
                child.kill()
                child.wait()
        assert service.counted == [(1, 1)]


def test_a_service_that_was_gone_is_not_waited_for_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(broken=True)
    agent = with_wire(tmp_path / "d", wire, monkeypatch)
    agent.sense()
    agent._flush()
    thread = threading.Thread(target=agent.run)
    thread.start()
    until(lambda: wire.tries > 0, "it tried")
    agent.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert (wire.tries, wire.closed) == (1, True)
    with serving(tmp_path / "g") as service:
        monkeypatch.undo()
        make_home_again(tmp_path / "d", service.url)
        ran(tmp_path / "d", done=lambda: (1, 1) in service.counted)


def test_a_service_that_holds_the_agent_up_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "JOIN_SECONDS", 0.3)
    wire = Wire()
    agent = with_wire(tmp_path / "d", wire, monkeypatch)
    agent.sense()
    agent.stop()
    began = time.monotonic()
    agent.run()
    assert time.monotonic() - began < 3
    assert (wire.tries, wire.closed) == (1, False)
    wire.free.set()


def make_home_again(folder: Path, url: str) -> None:
    """The same device, with a service that is there."""
    file = folder / "device.json"
    file.write_text(file.read_text().replace("http://127.0.0.1:9", url))

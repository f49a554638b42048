"""The agent as a whole: light, patient while nobody answers, and whole after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from freehold.node.agent import keys as key_files
from freehold.node.agent.__main__ import main
from freehold.node.agent.agent import LOST, SCORE, Agent, Progress
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.directives import Pace
from freehold.node.agent.edge import WARM
from freehold.telemetry.columns import unpack
from freehold.telemetry.metrics import INTERVAL
from freehold.telemetry.reading import open_batch
from unit.node.agent.homes import NETWORK, Service, environment, make_home, serving, until

HEAVY = (
    "numpy", "fastapi", "pydantic", "sqlalchemy", "httpx2", "typer", "web3", "eth_abi", "rich",
    "paho", "duckdb",
)  # fmt: skip
LIGHT = f"""
import json, sys, time
began = time.perf_counter()
import freehold.node.agent.__main__
took = time.perf_counter() - began
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
heavy = [name for name in {HEAVY!r} if name in sys.modules]
sizes = [int(status[name].split()[0]) for name in ("RssAnon", "VmRSS")]
print(json.dumps([heavy, took * 1000, *sizes]))
"""


def test_the_agent_imports_nothing_heavy(record_property: Any) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, check=True, env=environment()
    )
    heavy, took, private, resident = json.loads(ran.stdout)
    record_property("import_ms", took)
    record_property("resident_kb", resident)
    assert heavy == []
    assert private < 25_000, f"{private} kB of its own, {resident} kB resident"


def ran(folder: Path, *, done: Any, report: Any = lambda _: None) -> None:
    """Run an agent until ``done()``."""
    agent = Agent.open(folder)
    thread = threading.Thread(target=agent.run, args=(report,))
    thread.start()
    try:
        until(done, "the agent is done")
    finally:
        agent.stop()
        thread.join()


def metrics(service: Service) -> dict[str, float]:
    """The last value of each metric that the service took."""
    found: dict[str, float] = {}
    for _, path, body in service.requests:
        if path == "/readings" and body.startswith(b"FHR"):
            batch = open_batch(body, network_id=NETWORK)
            found |= {each.metric: each.value for each in unpack(batch).readings()}
    return found


def test_readings_arrive_and_the_rest_comes_with_the_next_boot(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        make_home(tmp_path / "d", services=(service.url,), batch=4)
        ran(tmp_path / "d", done=lambda: len(service.counted) >= 1)
        first = len(service.counted)
        ran(tmp_path / "d", done=lambda: (2, 1) in service.counted)
    boots = [boot for boot, _ in service.counted]
    assert boots == sorted(boots)
    for boot in (1, 2):
        numbers = [n for b, n in service.counted if b == boot]
        assert numbers == list(range(1, len(numbers) + 1))
    assert first >= 1


def test_while_nobody_answers_batches_wait_in_order(tmp_path: Path) -> None:
    said: list[Progress] = []
    with serving(tmp_path / "g") as service:
        make_home(tmp_path / "d", services=(service.url,))
        service.down = (503, {}, b"{}")
        agent = Agent.open(tmp_path / "d")
        for _ in range(3):
            agent.sense()
        assert agent.progress().buffered == 3
        agent.stop()
        agent.run()
        service.down = None
        ran(tmp_path / "d", done=lambda: (1, 3) in service.counted, report=said.append)
    assert service.counted[:3] == [(1, 1), (1, 2), (1, 3)]


def test_a_jump_is_sent_at_once_with_its_score(tmp_path: Path) -> None:
    make_home(tmp_path / "d", batch=4_000)
    clock = [1e9]
    agent = Agent.open(tmp_path / "d", wall=lambda: clock[0])
    for _ in range(WARM + 2):
        agent.sense()
        clock[0] += 0.25
    assert agent.progress().buffered == 0
    (tmp_path / "d" / "sensor").write_text("room.temperature Cel 60\nroom.humidity % 40\n")
    agent.sense()
    (sent,) = agent._buffer.oldest(9)
    assert SCORE in unpack(open_batch(sent.data, network_id=NETWORK)).table.names
    agent.stop()
    agent.run()


def test_the_interval_is_told_once_and_whenever_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_home(tmp_path / "d", batch=1, interval=5)
    agent = Agent.open(tmp_path / "d")
    told: list[float] = []
    for interval in (5, 5, 300, 300):
        monkeypatch.setattr(agent._directives, "pace", lambda every=interval: Pace(every, 1, 0.5))
        agent.sense()
    for sealed in agent._buffer.oldest(9):
        batch = unpack(open_batch(sealed.data, network_id=NETWORK))
        told += [each.value for each in batch.readings() if each.metric == INTERVAL]
    assert told == [5, 300]
    agent.stop()
    agent.run()


def test_losses_and_refusals_are_counted_and_told(tmp_path: Path) -> None:
    with serving(tmp_path / "g") as service:
        make_home(tmp_path / "d", services=(service.url,), buffer=2**20)
        agent = Agent.open(tmp_path / "d")
        for n in range(1, 17):
            agent._buffer.put(Sealed(0, n, b"no batch" * 10_000))
        agent.send()
        progress = agent.progress()
        agent.stop()
        agent.run()
        ran(tmp_path / "d", done=lambda: len(service.counted) > 0)
    assert (progress.lost, progress.refused, progress.buffered) == (3, 13, 0)
    assert "was refused: TooLargeError" in progress.line()
    assert metrics(service)[LOST] == 3


def test_an_error_of_none_of_ours_ends_the_agent(tmp_path: Path) -> None:
    make_home(tmp_path / "d")
    agent = Agent.open(tmp_path / "d")

    def broken() -> None:
        raise ZeroDivisionError

    agent.sense = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        agent.run()


def test_a_second_agent_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    make_home(tmp_path / "d")
    agent = Agent.open(tmp_path / "d")
    assert main(["--home", str(tmp_path / "d")]) == 6
    agent.stop()
    agent.run()


def test_no_device_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path)]) == 1
    assert "there is no device" in capsys.readouterr().err


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "freehold.node.agent", "--home", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip


def test_killed_in_the_midst_nothing_is_lost_or_counted_twice(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    with serving(tmp_path / "g") as service:
        make_home(folder, services=(service.url,), batch=1)
        take, kills = service.reply, [0]
        children: list[subprocess.Popen[bytes]] = []

        def killing(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
            answer = take(method, path, body)
            if path == "/readings" and kills[0] < 3 and children:
                kills[0] += 1  # it was taken, and the device never hears of it
                os.kill(children[-1].pid, signal.SIGKILL)
                children.pop().wait()
            return answer

        service.reply = killing  # type: ignore[method-assign]
        for boot in (1, 2, 3):
            child = start(folder)
            children.append(child)
            until(lambda boot=boot: kills[0] == boot, "it was killed")  # type: ignore[misc]
        child = start(folder)
        until(lambda: (4, 1) in service.counted, "the last boot delivers")
        child.terminate()
        assert child.wait(20) == 0
    assert len(service.counted) == len(set(service.counted))
    for boot in (1, 2, 3):
        assert [n for b, n in service.counted if b == boot][:1] == [1]
    sent = [
        open_batch(body, network_id=NETWORK)
        for _, path, body in service.requests
        if path == "/readings"
    ]
    by_name: dict[tuple[int, int], set[bytes]] = {}
    for batch in sent:
        by_name.setdefault((batch.boot, batch.sequence), set()).add(batch.payload)
    assert all(len(payloads) == 1 for payloads in by_name.values()), "sealed twice"
    assert len(sent) > len(by_name), "something was sent again"
    assert int((folder / key_files.BOOT).read_text()) == 4

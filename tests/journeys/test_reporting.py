"""A network whose nodes report: all are seen, and one that falls silent is an alert."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from freehold.cli import alerts, processes, telemetry
from freehold.cli.home import Home
from freehold.cli.local import TELEMETRY_NAME, LocalNetwork
from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.ledger.devnet import engine
from freehold.ledger.plan import JOURNEY
from journeys.zygote import launch

pytestmark = pytest.mark.journey
SECONDS = 180.0
NODES = 6


def _quiet(_: str) -> None: ...


def asked(app: typer.Typer, root: Path, *words: str) -> Any:
    """What a command says in JSON, None while the service does not answer."""
    result = CliRunner().invoke(app, [*words, "--home", str(root), "--json"])
    if isinstance(result.exception, FreeholdError):
        return None
    return json.loads(result.stdout)


def until(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.5)


def test_nodes_report_and_a_silent_one_is_an_alert(tmp_path: Path) -> None:
    try:
        engine.install()
    except UnavailableError as error:
        pytest.skip(f"no engine for a devnet: {error.message}")
    home = Home(tmp_path / "home")
    home.claim()
    local = LocalNetwork(home, _quiet, telemetry=True, launch=launch)
    try:
        local.start(nodes=NODES, parameters=JOURNEY)
        _all_report(home)
        _killed_service_goes_on(local)
        _killed_node_is_missed(home)
    finally:
        stopped = local.stop()
    assert TELEMETRY_NAME in stopped


def _seen(home: Home, *, after: int = 0) -> int:
    status = asked(telemetry.app, home.root, "status")
    devices = status["devices"] if status else []
    return sum(each["seen"] > after and each["kind"] == "node" for each in devices)


def _all_report(home: Home) -> None:
    until(lambda: _seen(home) == NODES, "a reading of every node")
    found = asked(telemetry.app, home.root, "query", "--metric", "host.cpu.load")
    assert len(found) == NODES
    assert all(answer["rows"] for answer in found)


def _killed_service_goes_on(local: LocalNetwork) -> None:
    """What was acknowledged is there after a crash, once, and nodes go on reporting."""
    before = _rows(local.home)
    child = processes.find(local.home, TELEMETRY_NAME)
    assert child is not None
    processes.kill(child)
    local.await_ready(local.start_telemetry())
    now = int(time.time() * 1_000)
    until(lambda: _seen(local.home, after=now) == NODES, "a reading of every node after the crash")
    assert before <= _rows(local.home)


def _rows(home: Home) -> set[tuple[str, int]]:
    """Device and time of every reading of one metric, each of which is there once."""
    found = asked(telemetry.app, home.root, "query", "--metric", "host.cpu.load", "--unsound")
    rows = [
        (str(answer["device"]), int(row[answer["columns"].index("time")]))
        for answer in found
        for row in answer["rows"]
    ]
    assert len(rows) == len(set(rows))
    return set(rows)


def _killed_node_is_missed(home: Home) -> None:
    child = processes.find(home, "node-2")
    assert child is not None
    processes.kill(child)

    def missed() -> bool:
        found = asked(alerts.app, home.root, "list", "--device", "node-2") or []
        return any(alert["kind"] == "silent" for alert in found)

    until(missed, "the alert")

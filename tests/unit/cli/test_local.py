"""Nodes of a local network keep a port that nobody else uses, and do without telemetry."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from freehold.cli import local, processes
from freehold.cli.home import Home
from freehold.cli.local import TELEMETRY_NAME, WATCHER_NAME, LocalNetwork, keep_port, write_settings
from freehold.cli.processes import Child
from freehold.cli.run import _local
from freehold.cli.screen import Screen
from freehold.domain.errors import CapacityError
from freehold.ledger.devnet import ports
from freehold.node.settings import load


def test_a_node_whose_port_was_taken_gets_another(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        write_settings(tmp_path, {"capacity": "2GiB", "port": str(port)})
        assert keep_port(tmp_path)
        moved = load(tmp_path, flags={}, environment={})
        assert moved.port != port
        assert moved.capacity == 2 * 2**30
    assert not keep_port(tmp_path)
    assert load(tmp_path, flags={}, environment={}).port == moved.port


def test_nodes_of_a_home_have_ports_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before any of them listens."""
    monkeypatch.setattr(ports, "_lasting", lambda: range(20_000, 20_004))
    monkeypatch.setattr(ports, "is_free", lambda host, port: True)
    made = LocalNetwork(Home(tmp_path), lambda _: None)
    monkeypatch.setattr(LocalNetwork, "_join", lambda *_, **__: None)
    network = SimpleNamespace(parameters={"period": 8})
    names = [f"node-{number}" for number in range(4)]
    for name in names:
        made.home.node(name).mkdir(parents=True)
        made._enlist(network, None, made.home.node(name), name)  # type: ignore[arg-type]
    assert made._ports() == {0, 20_000, 20_001, 20_002, 20_003}  # and no telemetry
    with pytest.raises(CapacityError):
        ports.free_port(avoid=made._ports())


READY = """
import json, os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(json.dumps({"pid": os.getpid()}))
time.sleep(60)
"""
FAILS = "raise SystemExit('error: the extra [ops] is broken')"


def test_a_network_goes_on_without_telemetry_that_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, said = Home(tmp_path), list[str]()
    for folder in (home.telemetry, home.watcher):
        folder.mkdir(parents=True)
    (home.telemetry / "enlisted").touch()
    (home.telemetry / "telemetry.toml").write_text('port = "0"\n')
    monkeypatch.setattr(local, "lacking", lambda: "")

    def launch(
        home: Home, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None
    ) -> Child:
        script = FAILS if name == TELEMETRY_NAME else READY
        file = tmp_path / f"{name}.py"
        file.write_text(script)
        pythonpath = {"PYTHONPATH": str(tmp_path)}
        return processes.start(
            home, name, [f"{name}", str(home.watcher / "ready.json")], environment=pythonpath
        )

    network = LocalNetwork(home, said.append, launch=launch, telemetry=True)
    started = network.start_members()
    try:
        assert [child.name for child in started] == [WATCHER_NAME]
        assert started[0].alive()
        (told,) = [text for text in said if "without telemetry" in text]
        assert "the extra [ops] is broken" in told
        assert f"Read {home.logs / 'telemetry.log'}, mend what it says" in told
    finally:
        processes.stop_all(started)


def test_settings_of_telemetry_that_cannot_be_read_do_not_stop_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, said = Home(tmp_path), list[str]()
    home.telemetry.mkdir(parents=True)
    (home.telemetry / "enlisted").touch()
    (home.telemetry / "telemetry.toml").write_text("port = \n")
    monkeypatch.setattr(local, "lacking", lambda: "")
    network = LocalNetwork(home, said.append, telemetry=True)
    assert network._try_telemetry() == []
    assert "without telemetry" in said[0]


def test_what_is_said_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _local(Home(tmp_path), Screen(as_json=False)).say("install freehold[ops]")
    shown = capsys.readouterr()
    assert "install freehold[ops]" in shown.out + shown.err

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from freehold.cli import processes
from freehold.cli.home import Home
from freehold.domain.errors import UnavailableError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.claim()
    return home


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> list[str]:
    (folder / "child.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return ["child"]


def test_a_started_process_is_found_and_stopped(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = processes.start(
        home, "one", module(tmp_path, monkeypatch, "import signal; signal.pause()")
    )
    assert processes.find(home, "one") == child
    assert processes.running(home) == [child]
    processes.stop(child)
    assert processes.find(home, "one") is None


def test_a_process_that_ignores_the_request_is_ended_all_the_same(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "import pathlib, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\nwhile True: signal.pause()"
    )
    child = processes.start(home, "deaf", module(tmp_path, monkeypatch, body))
    processes.wait_until((tmp_path / "ready").exists, child=child, home=home)
    processes.stop(child, patience=0.2)
    assert not child.alive()


def test_another_process_with_the_same_id_is_never_ours(home: Home) -> None:
    home.run.mkdir()
    record = {"pid": os.getpid(), "started": "another time"}
    (home.run / "node.json").write_text(json.dumps(record))
    assert processes.find(home, "node") is None
    assert processes.running(home) == []


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"pid": "x", "started": "1"}'])
def test_a_broken_record_is_no_process(home: Home, record: str) -> None:
    home.run.mkdir()
    (home.run / "node.json").write_text(record)
    assert processes.find(home, "node") is None


def test_a_process_that_fails_to_start_shows_its_last_words(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = processes.start(
        home, "broken", module(tmp_path, monkeypatch, "raise SystemExit('no disk')")
    )
    with pytest.raises(UnavailableError, match="no disk"):
        processes.wait_until(lambda: False, child=child, home=home)


def test_the_wait_has_an_end(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = processes.start(
        home, "slow", module(tmp_path, monkeypatch, "import signal; signal.pause()")
    )
    with pytest.raises(UnavailableError, match="not ready"):
        processes.wait_until(lambda: False, child=child, home=home, patience=0.2)
    processes.kill(child)
    assert not child.alive()

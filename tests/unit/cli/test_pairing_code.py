"""The pairing code fits a terminal, or it is said how to get it otherwise; what `down` leaves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import segno

from freehold.cli import run
from freehold.cli.device import pairing
from freehold.cli.home import Home
from freehold.cli.model.folder import note_process
from freehold.cli.screen import Screen

CODE = "freehold:device?" + "x" * 390
"""As long as a device's code with a key of 34 bytes and a short name of its firmware."""


class Stopped:
    """A network of which one process ran."""

    def stop(self) -> list[str]:
        return ["ledger"]


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    size = os.terminal_size((columns, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: size)


def test_the_code_fits_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, 80)
    pairing._show(CODE, Screen(False))
    shown = capsys.readouterr().out
    modules = segno.make(CODE, error="m", micro=False).symbol_size(border=0)[0]
    assert "--png" not in shown
    assert {len(line) for line in pairing._plain(shown)} == {modules + 2}
    assert modules + 2 <= 80


def test_a_narrow_terminal_is_told_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, 60)
    pairing._show(CODE, Screen(False))
    shown = " ".join(capsys.readouterr().out.split())
    assert "this terminal has 60" in shown
    assert "--png FILE" in shown
    assert "▀" not in shown
    assert "█" not in shown


@pytest.mark.parametrize("devices", [0, 1])
def test_down_says_that_devices_run_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    devices: int,
) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    for number in range(devices):
        folder = home.root / "devices" / str(number)
        folder.mkdir(parents=True)
        (folder / "device.json").write_text("{}")
    monkeypatch.setattr(run, "_local", lambda *_: Stopped())
    run.down(home=home.root)
    shown = capsys.readouterr().out
    assert "stopped ledger" in shown
    assert ("Devices run on" in shown) is bool(devices)


def test_down_names_models_and_validators_that_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    monkeypatch.setattr(run, "_local", lambda *_: Stopped())
    for room, name in (("models", "digits"), ("models", "off"), ("validators", "letters")):
        folder = home.root / room / name
        folder.mkdir(parents=True)
        if name != "off":
            note_process(folder, os.getpid())
    monkeypatch.setenv("COLUMNS", "200")
    run.down(home=home.root)
    shown = capsys.readouterr().out
    assert "end them with `freehold model stop digits`." in shown
    assert f"`kill PROCESS`: letters (process {os.getpid()})." in shown
    assert "off" not in shown

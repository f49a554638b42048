from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from freehold.cli.main import app
from freehold.domain.errors import UsageError
from unit.cli.test_main import freehold


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["economics", *arguments])


def quick(out: Path) -> tuple[str, ...]:
    return ("--years", "2", "--paths", "10", "--out", str(out))


def test_a_run_writes_a_report_and_json(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = call("simulate", "--preset", "ionet", "--json", *quick(out))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["report"] == str(out)
    assert told["exact"]["schedule"][0] == str(3_333_333 * 10**18)
    assert len(told["estimates"]["income_tib"]["p50"]) == 24
    assert out.read_text().startswith("<!doctype html>")


def test_people_read_two_tables_whose_numbers_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = call("simulate", "--preset", "ionet", *quick(tmp_path / "report.html"))
    assert done.exit_code == 0
    lines = [line for line in done.stdout.splitlines() if "year 2" in line]
    assert [line.count("│") for line in lines] == [8, 7]
    assert "71.32M" in lines[0]  # the schedule, in one piece
    assert all("$" in cell for cell in lines[1].split("│")[2:-1])
    assert "exact" in done.stdout


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    out, names = tmp_path / "a.html", ("compare", "filecoin", "bittensor", "--json", "--force")
    first = call(*names, *quick(out))
    kept = out.read_bytes()
    second = call(*names, *quick(out))
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    assert kept == out.read_bytes()
    assert kept != _other_seed(out, names)


def _other_seed(out: Path, names: tuple[str, ...]) -> bytes:
    call(*names, "--seed", "2", *quick(out))
    return out.read_bytes()


def test_a_report_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine")
    done = call("simulate", "--preset", "ionet", *quick(out))
    assert isinstance(done.exception, UsageError)
    assert "--force" in done.exception.remedy
    assert out.read_text() == "mine"
    assert call("simulate", "--preset", "ionet", "--force", *quick(out)).exit_code == 0
    assert out.read_text() != "mine"


@pytest.mark.parametrize("out", [".", "none/report.html"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, out: str) -> None:
    done = call("simulate", "--preset", "ionet", *quick(tmp_path / out))
    assert isinstance(done.exception, UsageError)


def test_a_scenario_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    file, out = tmp_path / "scenario.toml", tmp_path / "report.html"
    file.write_text("[grants]\nshare = 0.0\n")
    arguments = ("simulate", "--preset", "bittensor", "--scenario", str(file), *quick(out))
    done = call(*arguments)
    assert "No token ever exists" in done.stdout
    file.write_text("[grants]\nshares = 0.0\n")
    refused = call(*arguments, "--force")
    assert isinstance(refused.exception, UsageError)
    assert "grants.shares" in refused.exception.message


@pytest.mark.parametrize("presets", [["ionet"], ["ionet", "ionet"], ["ionet", "nothing"]])
def test_a_comparison_needs_two_presets(tmp_path: Path, presets: list[str]) -> None:
    done = call("compare", *presets, *quick(tmp_path / "a.html"))
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "a.html").exists()


def test_a_whole_process_exits_as_the_errors_say(tmp_path: Path) -> None:
    out = str(tmp_path / "a.html")
    shown = freehold("economics", "simulate", "--preset", "dogecoin", "--out", out)
    assert shown.returncode == 2
    assert "no preset" in shown.stderr
    assert "ionet" in shown.stderr

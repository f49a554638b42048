from __future__ import annotations

import io
import json
import re

import pytest

from freehold.cli.screen import Screen
from freehold.domain.errors import CancelledError

LONG = "bafkzcibdxqhqpzd4c3vm5uhzpyzzksflkc6bpp2vrxyuw7sb73rqmjls3macb7qs"


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_a_pipe_gets_whole_cells_and_whole_titles(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    Screen(False).table("a title longer than its table", ("a", "b"), [(LONG, LONG)])
    lines = shown(capsys).splitlines()
    assert lines[0] == "a title longer than its table"
    assert sum(line.count(LONG) for line in lines) == 2


def test_a_narrow_terminal_folds_and_cuts_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    Screen(False).table("t", ("piece",), [(LONG,)])
    out = shown(capsys)
    assert "…" not in out
    assert LONG in re.sub(r"[^a-z0-9]", "", out)


def test_numbers_stand_right_and_words_left(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(False).table("t", ("name", "bytes"), [("a", "1,000,000"), ("bb", "7")])
    row = next(line for line in shown(capsys).splitlines() if "bb" in line)
    assert row.startswith("│ bb ")
    assert row.endswith(" 7 │")


def test_an_empty_table_is_only_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(False).table("0 objects", ("name",), [])
    assert shown(capsys) == "0 objects\n"


def test_a_key_is_shown_as_it_is_and_not_as_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(False)
    screen.say("did:key:z6Mk")
    screen.facts("", {"key": "did:key:z6Mk"})
    assert shown(capsys).count("did:key:z6Mk") == 2


def test_programs_see_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(True)
    screen.say("for people")
    screen.tell("for people")
    screen.table("t", ("a",), [(1,)])
    screen.facts("t", {"a": 1})
    with screen.waiting("busy") as label:
        label("still busy")
    screen.emit({"a": 1})
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(("typed", "goes_on"), [("y\n", True), ("n\n", False), ("", False)])
def test_only_a_yes_goes_on(typed: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    if goes_on:
        Screen(False).confirm("Go on?", yes=False)
        return
    with pytest.raises(CancelledError) as caught:
        Screen(False).confirm("Go on?", yes=False)
    assert "--yes" in caught.value.remedy


def test_who_said_yes_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    Screen(False).confirm("Go on?", yes=True)
    Screen(True).confirm("Go on?", yes=False)

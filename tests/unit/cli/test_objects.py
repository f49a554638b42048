from __future__ import annotations

import pytest

from freehold.cli import objects
from freehold.cli.plain import plain
from freehold.cli.screen import Screen
from freehold.cli.spans import parse_preset, parse_span
from freehold.domain.errors import UsageError


def test_presets_by_name() -> None:
    assert parse_preset(None) is None
    assert parse_preset("10/14") == (10, 14)
    with pytest.raises(UsageError, match="3/5") as caught:
        parse_preset("3/5")
    assert "4/6" in caught.value.remedy


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("5m", 300)])
def test_spans(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "٣d", "90days"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_span(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("b/[/]", "b/[/]"),
        ("b/[red]x", "b/[red]x"),
        ("b/\x1b]0;me\x07", "b/\\x1b]0;me\\x07"),
        ("b/\u202egpj", "b/\\u202egpj"),
        ("b/é 漢", "b/é 漢"),
    ],
)
def test_names_of_strangers_steer_no_terminal(
    name: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(as_json=False).say(f"[green]✓[/] {plain(name)}")
    assert capsys.readouterr().out == f"✓ {shown}\n"
    Screen(as_json=False).table("objects", ("name",), [(plain(name),)])
    assert shown in capsys.readouterr().out


def test_changes_are_listed_to_the_minute() -> None:
    assert len(objects._changed({"modified": "2026-01-02 03:04:05"})) == len("2026-01-02 03:04")

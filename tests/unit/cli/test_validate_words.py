"""What nodes said of themselves, in a table of ours."""

from __future__ import annotations

import pytest

from freehold.cli import validating
from freehold.cli.screen import Screen
from freehold.domain.ids import checksum
from freehold.node.validator.book import Mark


@pytest.mark.parametrize("said", ["[/]", "[link=https://evil.example]ok[/link]", "\x1b[31mred"])
def test_a_node_s_words_neither_break_nor_colour_the_table(
    said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    mark = Mark(1, 1, checksum(b"\x11" * 20), reasons={f"broken: status 500, {said}": 2})
    Screen(False).table("nodes", [""] * 7, [validating._row(mark)])
    told = "".join(capsys.readouterr().out.split())
    assert said.replace("\x1b", "\\x1b") in told
    assert "\x1b[31m" not in told

"""What a put stores, and under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.cli import sources
from freehold.cli.sources import collect
from freehold.domain.errors import CapacityError, UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a, b, and d/ that holds c, e/f and a link; the working directory."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    for name in ("a", "b", "d/c", "d/e/f"):
        (tmp_path / name).write_text(name)
    (tmp_path / "d" / "link").symlink_to("/etc/passwd")
    (tmp_path / "d" / "loop").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(*given: str, to: str | None = None) -> list[str]:
    return [item.name for item in collect(given, to)]


@pytest.mark.parametrize(
    ("given", "to", "wanted"),
    [
        (("a",), None, ["files/a"]),
        (("a", "mail/letter.txt"), None, ["mail/letter.txt"]),
        (("a",), "x/y/", ["x/y/a"]),
        (("a", "b"), "x", ["x/a", "x/b"]),
        (("a", "b", "d"), None, ["files/a", "files/b", "files/d/c", "files/d/e/f"]),
        (("d",), None, ["files/d/c", "files/d/e/f"]),
        (("d", "backup/2026"), None, ["backup/2026/c", "backup/2026/e/f"]),
        (("d/c", "d/c"), None, ["d/c"]),
        (("-", "in/put"), None, ["in/put"]),
        (("-", "d/c"), None, ["d/c"]),
    ],
)
def test_names(here: Path, given: tuple[str, ...], to: str | None, wanted: list[str]) -> None:
    assert named(*given, to=to) == wanted


def test_a_folder_by_a_dot_keeps_its_own_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "d")
    assert named(".") == ["files/d/c", "files/d/e/f"]


@pytest.mark.parametrize(
    ("given", "to", "words"),
    [
        ((), None, "nothing to store"),
        (("a", "b"), None, "could be a name as well"),
        (("a", "bad name//x"), None, "nothing between"),
        (("a", "x/../y"), None, "another folder"),
        (("a", "x/\x1b[2J"), None, "control a terminal"),
        (("a", "b", "none"), None, "none is not a file"),
        (("none",), None, "none is not a file"),
        (("a", "nothing"), None, "does not name an object"),
        (("-",), None, "no name"),
        (("-", "a", "b"), None, "no name"),
        (("a", "d/../a", "b"), None, "would both be"),
        (("a", "b"), "x//y", "nothing between"),
    ],
)
def test_what_is_no_put_is_refused(
    here: Path, given: tuple[str, ...], to: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        collect(given, to)


def test_sizes_are_those_of_the_files(here: Path) -> None:
    assert [item.size for item in collect(("a", "d/e/f"), "x")] == [1, 5]


def test_folders_without_files_or_with_too_many_are_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no files"):
        collect(("empty",), None)
    monkeypatch.setattr(sources, "MAX_FILES", 1)
    with pytest.raises(CapacityError, match="more than 1 files"):
        collect(("d",), None)

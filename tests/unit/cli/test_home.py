from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.cli.home import Home, find_home, open_home
from freehold.domain.errors import (
    CapacityError,
    ConflictError,
    FreeholdError,
    NotFoundError,
    UsageError,
    VersionError,
)


def test_a_new_home_is_marked_and_opens_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    assert open_home(home.root) == home


def test_a_missing_home_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        open_home(tmp_path / "none")
    assert "freehold up" in caught.value.remedy


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(VersionError, match="holds files"):
        Home(tmp_path).claim()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("place", ["file", "file/below", "x" * 300])
def test_a_place_that_cannot_be_a_home_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"{place} cannot be a Freehold home") as caught:
        Home(tmp_path / place).claim()
    assert "--home" in caught.value.remedy


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, CapacityError),
        (errno.EDQUOT, CapacityError),
        (errno.EACCES, UsageError),
        (errno.EROFS, UsageError),
        (errno.ENOENT, UsageError),
    ],
)
def test_a_home_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[FreeholdError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("freehold.cli.home.write_whole", fail)
    with pytest.raises(kind, match=os.strerror(number)):
        Home(tmp_path / "home").claim()


def test_a_home_that_cannot_be_written_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match="Permission denied"), home.lock():
        pytest.fail("held")
    with pytest.raises(UsageError, match="cannot be"), Home(tmp_path / "none").lock():
        pytest.fail("held")


def test_the_folder_of_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="~nobody-of-that-name"):
        find_home(Path("~nobody-of-that-name/home"))


@pytest.mark.parametrize(
    "marker", ['{"freehold_home": 2}', "{}", "", "[]", '{"freehold_home": "1"}']
)
def test_a_newer_or_broken_home_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "home.json").write_text(marker)
    with pytest.raises(VersionError):
        Home(tmp_path).claim()


def test_a_broken_descriptor_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    with pytest.raises(NotFoundError, match="no network"):
        home.network()
    home.descriptor.write_text("{")
    with pytest.raises(UsageError, match="descriptor"):
        home.network()


def test_the_password_is_drawn_once_and_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    assert home.password() == home.password()
    assert stat.S_IMODE(home.password_file.stat().st_mode) == 0o600


def test_a_home_is_held_by_one_process(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    program = (
        "import sys; from pathlib import Path; from freehold.cli.home import Home\n"
        "from freehold.domain.errors import ConflictError\n"
        "try:\n    with Home(Path(sys.argv[1])).lock(): print('held')\n"
        "except ConflictError as error: print(error.remedy)"
    )
    with home.lock():
        shown = subprocess.run(
            [sys.executable, "-c", program, str(home.root)],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    assert "freehold down" in shown.stdout
    with home.lock():
        pass


def test_a_second_lock_in_the_same_process_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.claim()
    with home.lock(), pytest.raises(ConflictError), home.lock():
        pass

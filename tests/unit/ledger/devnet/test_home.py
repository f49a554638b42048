"""The devnet's folder: its key is its own, foreign and newer ones are refused, one at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freehold.domain.errors import ConflictError, IntegrityError, UnavailableError, VersionError
from freehold.ledger.devnet.home import (
    FOLDER,
    FUNDS,
    Home,
    Lock,
    create_or_open,
    open_home,
    running_pid,
)

ANVILS_OWN = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def made(folder: Path, *, seed: int = 7) -> Home:
    """A new home."""
    return create_or_open(folder, now=1_700_000_000, random=lambda n: bytes([seed]) * n)


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert made(tmp_path, seed=8) == first == open_home(tmp_path)
    assert first.funder.address != ANVILS_OWN
    genesis = json.loads(first.genesis.read_bytes())
    assert genesis["alloc"] == {first.funder.address: {"balance": hex(FUNDS)}}
    for name in ("devnet.json", "funder.json", "genesis.json"):
        assert (tmp_path / FOLDER / name).stat().st_mode & 0o777 == 0o600


def test_a_crash_while_it_was_made_starts_over(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / FOLDER / "devnet.json").unlink()
    assert made(tmp_path, seed=9).funder == open_home(tmp_path).funder


def test_foreign_and_newer_homes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign" / FOLDER).mkdir(parents=True)
    (tmp_path / "foreign" / FOLDER / "photos").mkdir()
    with pytest.raises(VersionError, match="photos"):
        made(tmp_path / "foreign")
    made(tmp_path / "newer")
    settings = tmp_path / "newer" / FOLDER / "devnet.json"
    settings.write_text(
        settings.read_text().replace('"freehold_devnet": 1', '"freehold_devnet": 2')
    )
    with pytest.raises(VersionError, match="version 1"):
        made(tmp_path / "newer")


@pytest.mark.parametrize("text", ["", "{", '{"freehold_devnet": 1}'])
def test_damaged_settings_are_typed(tmp_path: Path, text: str) -> None:
    made(tmp_path)
    (tmp_path / FOLDER / "devnet.json").write_text(text)
    with pytest.raises(IntegrityError, match="damaged"):
        open_home(tmp_path)


def test_no_home_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="holds no devnet"):
        open_home(tmp_path)


def test_one_at_a_time(tmp_path: Path) -> None:
    assert running_pid(tmp_path) is None
    lock = Lock.take(tmp_path)
    assert running_pid(tmp_path)
    with pytest.raises(ConflictError, match="runs already"):
        Lock.take(tmp_path)
    lock.release()
    assert running_pid(tmp_path) is None
    Lock.take(tmp_path).release()

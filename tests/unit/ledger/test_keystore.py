"""Keystores: private, atomic, typed when wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from eth_account import Account

from freehold.domain.errors import (
    AccessError,
    ConflictError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from freehold.domain.keys import Key
from freehold.ledger import keystore


@pytest.fixture
def path(tmp_path: Path, key: Key) -> Path:
    """A keystore with few rounds, so that tests are quick."""
    file = tmp_path / "keys" / "wallet.json"
    keystore.save(file, key, "correct horse", cost=2)
    return file


def test_round_trip_and_rights(path: Path, key: Key) -> None:
    assert keystore.load(path, "correct horse") == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["wallet.json"]


def test_other_wallets_open_it(path: Path, key: Key) -> None:
    assert bytes(Account.decrypt(path.read_text(), "correct horse")) == key.secret


def test_we_open_keystores_of_others(tmp_path: Path, key: Key) -> None:
    made = Account.encrypt(key.secret, "pw", kdf="scrypt", iterations=2)
    file = tmp_path / "theirs.json"
    file.touch(0o600)
    file.write_text(json.dumps(made))
    assert keystore.load(file, "pw") == key


def test_a_wrong_password_is_an_access_error(path: Path) -> None:
    with pytest.raises(AccessError, match="does not open"):
        keystore.load(path, "battery staple")


def test_nothing_is_overwritten_unless_asked(path: Path, key: Key) -> None:
    other = Key.from_secret(b"\x09" * 32)
    with pytest.raises(ConflictError):
        keystore.save(path, other, "pw", cost=2)
    assert keystore.load(path, "correct horse") == key
    keystore.save(path, other, "pw", cost=2, replace=True)
    assert keystore.load(path, "pw") == other
    assert [each.name for each in path.parent.iterdir()] == ["wallet.json"]


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(AccessError, match="read by others"):
        keystore.load(path, "correct horse")


def test_what_is_no_keystore_is_typed(tmp_path: Path, path: Path, key: Key) -> None:
    with pytest.raises(NotFoundError):
        keystore.load(tmp_path / "none", "pw")
    for text in (
        "",
        "[]",
        "{}",
        '{"version": 9}',
        '{"version": 3, "crypto": {}}',
        "x" * 70_000,
        "[" * 60_000,
    ):
        path.write_text(text)
        with pytest.raises(IntegrityError):
            keystore.load(path, "pw")


def test_a_keystore_that_names_another_address_is_refused(path: Path) -> None:
    content = json.loads(path.read_text())
    content["address"] = "00" * 20
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="names address"):
        keystore.load(path, "correct horse")


def test_a_password_that_is_no_text_is_typed(tmp_path: Path, path: Path, key: Key) -> None:
    with pytest.raises(UsageError, match="no text") as caught:
        keystore.load(path, "a\udc80b")
    assert "UTF-8" in caught.value.remedy
    with pytest.raises(UsageError, match="no text"):
        keystore.save(tmp_path / "new.json", key, "a\udc80b", cost=2)
    assert not (tmp_path / "new.json").exists()


def test_a_path_that_is_no_file_is_typed(tmp_path: Path, path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)  # nobody writes to it: opening it must not wait for that
    for place in (tmp_path, path / "below", tmp_path / ("x" * 300), tmp_path / "a\0b", pipe):
        with pytest.raises(UsageError, match="no keystore at"):
            keystore.load(place, "pw")

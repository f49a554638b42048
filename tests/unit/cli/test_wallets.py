from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from freehold.cli import account
from freehold.cli.home import find_home
from freehold.cli.wallets import WalletFolder
from freehold.domain.errors import AccessError, ConflictError, IntegrityError, NotFoundError
from freehold.domain.keys import Key, new_phrase

NETWORK = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> WalletFolder:
    return WalletFolder(tmp_path / "wallet")


def test_key_phrase_and_seed_come_back(folder: WalletFolder) -> None:
    phrase = new_phrase()
    key = folder.create(phrase, "secret", cost=4)
    assert folder.address() == key.address == Key.from_phrase(phrase).address
    assert folder.phrase("secret") == phrase
    wallet = folder.unlock("secret", network_id=NETWORK)
    assert folder.unlock("secret", network_id=NETWORK).seed == wallet.seed


def test_files_are_private(folder: WalletFolder) -> None:
    folder.create(new_phrase(), "secret", cost=4)
    folder.unlock("secret", network_id=NETWORK)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
    assert modes == {0o600}


def test_no_file_shows_the_phrase_or_the_key(folder: WalletFolder) -> None:
    phrase = new_phrase()
    key = folder.create(phrase, "secret", cost=4)
    folder.unlock("secret", network_id=NETWORK)
    for path in folder.path.iterdir():
        text = path.read_text()
        assert key.secret.hex() not in text
        assert phrase not in text
        assert "secret" not in text


def test_a_wrong_password_opens_nothing(folder: WalletFolder) -> None:
    folder.create(new_phrase(), "secret", cost=4)
    with pytest.raises(AccessError):
        folder.key("guess")
    with pytest.raises(AccessError):
        folder.phrase("guess")


def test_an_account_is_never_overwritten(folder: WalletFolder) -> None:
    key = folder.create(new_phrase(), "secret", cost=4)
    with pytest.raises(ConflictError):
        folder.create(new_phrase(), "secret", cost=4)
    assert folder.address() == key.address


def test_a_missing_wallet_says_how_to_get_one(folder: WalletFolder) -> None:
    with pytest.raises(NotFoundError) as caught:
        folder.key("secret")
    assert "wallet create" in caught.value.remedy


@pytest.mark.parametrize("damage", ["", "[]", "[[9, 1]]", "{", '[[1, "?"]]'])
def test_damaged_slots_are_named(folder: WalletFolder, damage: str) -> None:
    folder.create(new_phrase(), "secret", cost=4)
    folder.unlock("secret", network_id=NETWORK)
    folder.slots_file.write_text(damage)
    with pytest.raises((IntegrityError, AccessError)):
        folder.unlock("secret", network_id=NETWORK)


@pytest.mark.parametrize("name", ["key.json", "phrase.json"])
def test_damaged_secrets_are_named(folder: WalletFolder, name: str) -> None:
    folder.create(new_phrase(), "secret", cost=4)
    (folder.path / name).write_text("{}")
    with pytest.raises(IntegrityError):
        folder.key("secret") if name == "key.json" else folder.phrase("secret")


def test_the_address_is_shown_before_there_is_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = find_home(tmp_path / "home")
    home.claim()
    mine = WalletFolder(home.wallet).create(new_phrase(), "secret", cost=4).address
    account.show(home=home.root)
    shown = capsys.readouterr().out
    assert mine in shown
    assert "no network yet" in shown
    account.show(home=home.root, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"account": mine, "network": None}

"""Web3 Secret Storage: the definition's own vectors, round trips, and files that lie."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import (
    AccessError,
    CapacityError,
    FreeholdError,
    IntegrityError,
    UsageError,
)
from freehold.domain.keys import Key
from freehold.ledger.secret import SECRET_LENGTH, seal, unseal

PASSWORD = "testpassword"
SECRET = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
PBKDF2 = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
SCRYPT = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "p": 8,
            "r": 1,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
"""Test vectors of the definition (ethereum.org, Web3 Secret Storage)."""

passwords = st.text(max_size=20)
some_bytes = st.binary(min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)


@pytest.mark.parametrize("vector", [PBKDF2, SCRYPT], ids=["pbkdf2", "scrypt"])
def test_the_definitions_vectors(vector: Mapping[str, object]) -> None:
    opened = unseal(vector, PASSWORD)
    assert opened == SECRET
    assert Key.from_secret(opened).address.lower() == "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b"


@given(some_bytes, passwords)
def test_what_is_sealed_opens(secret: bytes, password: str) -> None:
    assert unseal(seal(secret, password, random=secrets.token_bytes, cost=2), password) == secret


@given(some_bytes, passwords, passwords)
def test_only_its_password_opens_it(secret: bytes, password: str, other: str) -> None:
    sealed = seal(secret, password, random=secrets.token_bytes, cost=2)
    if other != password:
        with pytest.raises(AccessError):
            unseal(sealed, other)


def test_other_wallets_open_ours() -> None:
    sealed = seal(SECRET, PASSWORD, random=secrets.token_bytes, cost=4)
    assert bytes(Account.decrypt(sealed, PASSWORD)) == SECRET


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_we_open_those_of_others(kdf: Literal["scrypt", "pbkdf2"]) -> None:
    assert unseal(Account.encrypt(SECRET, PASSWORD, kdf=kdf, iterations=2), PASSWORD) == SECRET


@given(st.sampled_from(["ciphertext", "mac"]), st.integers(0, 31), st.integers(1, 255))
def test_a_changed_byte_never_opens(field: str, place: int, change: int) -> None:
    sealed = _fields(seal(SECRET, PASSWORD, random=secrets.token_bytes, cost=2))
    altered = bytearray.fromhex(sealed["crypto"][field])
    altered[place] ^= change
    sealed["crypto"][field] = altered.hex()
    with pytest.raises(AccessError):
        unseal(sealed, PASSWORD)


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"n": 2**24}, CapacityError),
        ({"n": 2**20, "r": 32}, CapacityError),
        ({"p": 2**30}, CapacityError),
        ({"p": 2**20}, CapacityError),
        ({"p": 2**22, "r": 1}, CapacityError),
        ({"n": 3}, IntegrityError),
        ({"n": 1}, IntegrityError),
        ({"n": -2}, IntegrityError),
        ({"n": "2"}, IntegrityError),
        ({"n": True}, IntegrityError),
        ({"r": 0}, IntegrityError),
        ({"dklen": 16}, IntegrityError),
        ({"salt": ""}, IntegrityError),
        ({"salt": "00" * 65}, IntegrityError),
        ({"salt": "zz"}, IntegrityError),
        ({"salt": None}, IntegrityError),
    ],
)
def test_scrypts_parameters_are_bounded(
    parameters: dict[str, object], kind: type[FreeholdError]
) -> None:
    sealed = _fields(seal(SECRET, PASSWORD, random=secrets.token_bytes, cost=2))
    sealed["crypto"]["kdfparams"].update(parameters)
    with pytest.raises(kind):
        unseal(sealed, PASSWORD)


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [({"c": 10**9}, CapacityError), ({"c": 0}, IntegrityError), ({"prf": "md5"}, IntegrityError)],
)
def test_pbkdf2s_parameters_are_bounded(
    parameters: dict[str, object], kind: type[FreeholdError]
) -> None:
    sealed = _fields(Account.encrypt(SECRET, PASSWORD, kdf="pbkdf2", iterations=1))
    sealed["crypto"]["kdfparams"].update(parameters)
    with pytest.raises(kind):
        unseal(sealed, PASSWORD)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": "3"},
        {"crypto": []},
        {"crypto": {"kdf": "argon2"}},
        {"crypto": {"cipher": "aes-256-gcm"}},
        {"crypto": {"cipherparams": None}},
        {"crypto": {"cipherparams": {"iv": "00"}}},
        {"crypto": {"ciphertext": "00"}},
        {"crypto": {"mac": "00"}},
        {"crypto": {"kdfparams": 1}},
    ],
)
def test_what_is_not_version_three_is_said_to_be_none(change: dict[str, Any]) -> None:
    sealed = _fields(seal(SECRET, PASSWORD, random=secrets.token_bytes, cost=2))
    inner = change.get("crypto", {})
    crypto = sealed["crypto"] | inner if isinstance(inner, dict) else inner
    with pytest.raises(IntegrityError, match="not a keystore"):
        unseal(sealed | change | {"crypto": crypto}, PASSWORD)


def test_every_sealing_draws_its_own_salt_and_nonce() -> None:
    one, two = (
        _fields(seal(SECRET, PASSWORD, random=secrets.token_bytes, cost=2)) for _ in range(2)
    )
    assert one["crypto"]["kdfparams"]["salt"] != two["crypto"]["kdfparams"]["salt"]
    assert one["crypto"]["cipherparams"]["iv"] != two["crypto"]["cipherparams"]["iv"]
    assert one["id"] != two["id"]


def _fields(sealed: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sealed)


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_a_password_that_is_no_text_is_said_to_be_none(kdf: Literal["scrypt", "pbkdf2"]) -> None:
    sealed = Account.encrypt(SECRET, PASSWORD, kdf=kdf, iterations=2)
    with pytest.raises(UsageError, match="no text"):
        unseal(sealed, "a\ud800")

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import keccak
from freehold.domain.keys import Key, new_phrase, recover

_PHRASE = "test test test test test test test test test test test junk"
digests = st.binary(min_size=32, max_size=32)
secrets = st.integers(1, 2**255).map(lambda n: n.to_bytes(32, "big"))


def test_phrase_gives_the_accounts_that_other_wallets_show() -> None:
    """The first accounts of the phrase that Foundry and Hardhat document."""
    assert Key.from_phrase(_PHRASE).address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert Key.from_phrase(_PHRASE, index=1).address == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def test_new_phrases_differ_and_are_valid() -> None:
    first, second = new_phrase(), new_phrase()
    assert first != second
    assert Key.from_phrase(first).address != Key.from_phrase(second).address


@pytest.mark.parametrize("phrase", ["", "test " * 12, "zoo zoo", _PHRASE + " junk"])
def test_wrong_phrases_are_refused(phrase: str) -> None:
    with pytest.raises(UsageError, match="phrase"):
        Key.from_phrase(phrase)


@pytest.mark.parametrize("secret", [b"", b"\0" * 32, b"\xff" * 32, b"\1" * 31])
def test_bytes_that_are_no_secret_are_refused(secret: bytes) -> None:
    with pytest.raises(AccessError):
        Key.from_secret(secret)


@given(secrets, digests)
def test_a_signature_names_its_signer(secret: bytes, digest: bytes) -> None:
    key = Key.from_secret(secret)
    assert recover(digest, key.sign(digest)) == key.address


@given(secrets, digests, st.integers(0, 64), st.integers(1, 255))
def test_a_changed_signature_never_names_the_signer(
    secret: bytes, digest: bytes, place: int, change: int
) -> None:
    key = Key.from_secret(secret)
    signature = bytearray(key.sign(digest))
    signature[place] ^= change
    with contextlib.suppress(AccessError):
        assert recover(digest, bytes(signature)) != key.address


def test_high_s_is_refused() -> None:
    key, digest = Key.from_secret(b"\1" * 32), keccak(b"message")
    signature = key.sign(digest)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + high.to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(AccessError, match="canonical"):
        recover(digest, twin)


def test_the_secret_is_not_printed() -> None:
    assert b"\1".hex() * 4 not in repr(Key.from_secret(b"\1" * 32))

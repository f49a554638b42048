from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.did import BadDidError, Curve, Did, ForgedError, PrivateKey, sign

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256 = ec.derive_private_key(1234567, ec.SECP256R1())
KEYS: tuple[PrivateKey, ...] = (ED25519, P256)

PUBLISHED_ED25519 = [
    (0, "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"),
    (1, "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG"),
    (2, "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf"),
]
"""The did:key method's test vectors: the seed is a number of 32 bytes."""
PUBLISHED_P256 = [
    (
        "fyNYMN0976ci7xqiSdag3buk-ZCwgXU4kz9XNkBlNUI",
        "hW2ojTNfH7Jbi8--CJUo3OCbH3y5n91g-IMA9MLMbTU",
        "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",
    ),
    (
        "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns",
        "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM",
        "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
    ),
]


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "="), "big")


@pytest.mark.parametrize(("seed", "text"), PUBLISHED_ED25519)
def test_published_names_of_ed25519_keys(seed: int, text: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big")).public_key()
    assert Did.of(key).text == text
    assert Did.parse(text) == Did(Curve.ED25519, key.public_bytes_raw())


@pytest.mark.parametrize(("x", "y", "text"), PUBLISHED_P256)
def test_published_names_of_p256_keys(x: str, y: str, text: str) -> None:
    key = ec.EllipticCurvePublicNumbers(number(x), number(y), ec.SECP256R1()).public_key()
    assert Did.of(key).text == text
    assert Did.parse(text) == Did.of(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:key:",
        "did:web:example.org",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWpp",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW0",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp ",
        "did:key:z16MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        "did:key:z" + "z" * 52,
    ],
)
def test_what_names_no_supported_key_is_refused(text: str) -> None:
    with pytest.raises(BadDidError) as caught:
        Did.parse(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "raw",
    [
        Curve.ED25519.value + bytes(32),
        Curve.ED25519.value + (1).to_bytes(32, "little"),
        Curve.ED25519.value + (2**255 - 20).to_bytes(32, "little"),
        Curve.ED25519.value + (2**255 - 18).to_bytes(32, "little"),
        Curve.ED25519.value
        + bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
        Curve.P256.value + b"\x04" + bytes(32),
        Curve.P256.value + b"\x02" + bytes(31) + b"\x01",
        Curve.P256.value + bytes(33),
        Curve.P256.value,
    ],
)
def test_keys_that_anybody_can_sign_for_or_nobody_are_refused(raw: bytes) -> None:
    with pytest.raises(BadDidError):
        Did.read(raw)


def test_the_weak_key_would_have_verified() -> None:
    """Why small orders are refused: the identity as key makes S = 0 fit every message."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    identity = (1).to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"anything")


@pytest.mark.parametrize("key", KEYS)
def test_a_signature_verifies_and_only_for_its_key_and_message(key: PrivateKey) -> None:
    did, other = Did.of(key.public_key()), Did.of(KEYS[key is ED25519].public_key())
    signature = sign(key, b"message")
    did.verify(signature, b"message")
    for name, made, text in [
        (did, signature, b"massage"),
        (other, signature, b"message"),
        (did, signature + b"\0", b"message"),
        (did, b"", b"message"),
        (did, bytes(64), b"message"),
    ]:
        with pytest.raises(ForgedError, match="did not sign"):
            name.verify(made, text)


@pytest.mark.parametrize("key", KEYS)
@given(bit=st.integers(0, 64 * 8 - 1))
def test_any_flipped_bit_of_a_signature_is_refused(key: PrivateKey, bit: int) -> None:
    signature = bytearray(sign(key, b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ForgedError):
        Did.of(key.public_key()).verify(bytes(signature), b"message")


def test_the_twin_of_a_p256_signature_is_refused() -> None:
    signature = sign(P256, b"message")
    twin = ORDER - int.from_bytes(signature[32:], "big")
    with pytest.raises(ForgedError):
        Did.of(P256.public_key()).verify(signature[:32] + twin.to_bytes(32, "big"), b"message")


def test_other_curves_are_refused() -> None:
    with pytest.raises(BadDidError, match="secp384r1"):
        Did.of(ec.derive_private_key(5, ec.SECP384R1()).public_key())


@given(st.integers(1, 2**256 - 1))
def test_text_and_raw_agree(seed: int) -> None:
    did = Did.of(Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big")).public_key())
    assert Did.parse(did.text) == Did.read(did.raw) == did

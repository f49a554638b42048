"""The binding of a device's keys, the commitment to its place, and its pairing code."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.did import Did, ForgedError, PrivateKey
from freehold.domain.errors import AccessError, FreeholdError, UsageError, VersionError
from freehold.domain.ids import Address, checksum, keccak
from freehold.domain.keys import Key
from freehold.domain.pairing import (
    CODE_MAX,
    SCHEME,
    BadPairingError,
    ExpiredPairingError,
    ForeignPairingError,
    PairingCode,
    binding_statement,
    check,
    is_firmware,
    place,
    seal,
)
from freehold.domain.typed import Domain

NETWORK = bytes(range(32))
DOMAIN = Domain("Freehold devices", 31337, checksum(b"\2" * 20), NETWORK)
AGENT = Key.from_secret(b"\1" * 32)
OWNER = checksum(b"\7" * 20)
OTHER = checksum(b"\x08" * 20)
ED25519 = Ed25519PrivateKey.from_private_bytes(b"\3" * 32)
P256 = derive_private_key(12_345, SECP256R1())
KEYS: list[PrivateKey] = [ED25519, P256]
DEADLINE = 1_800_000_600


def did_of(key: PrivateKey) -> Did:
    return Did.of(key.public_key())


def made(key: PrivateKey = ED25519, *, firmware: str = "fw 1.0") -> PairingCode:
    return PairingCode.make(
        DOMAIN,
        agent=AGENT,
        key=key,
        did=did_of(key),
        owner=OWNER,
        generation=1,
        deadline=DEADLINE,
        firmware=firmware,
    )


def text_of(data: bytes) -> str:
    """A code of any bytes, its checksum right."""
    return SCHEME + base64.urlsafe_b64encode(data + keccak(data)[:4]).decode().rstrip("=")


def bytes_of(code: PairingCode) -> bytes:
    """The bytes of a code without its checksum."""
    body = code.encode().removeprefix(SCHEME)
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[:-4]


def test_the_statement_is_what_was_agreed() -> None:
    told = binding_statement(NETWORK, AGENT.address, OWNER)
    parts = NETWORK + bytes.fromhex(AGENT.address[2:]) + b"\7" * 20
    assert told == b"Freehold device, version 1\n" + parts
    with pytest.raises(BadPairingError, match="32 bytes, not 31"):
        binding_statement(NETWORK[:31], AGENT.address, OWNER)


@pytest.mark.parametrize("key", KEYS)
def test_a_binding_is_for_one_network_device_and_owner(key: PrivateKey) -> None:
    device = AGENT.address
    binding = seal(key, network_id=NETWORK, device=device, owner=OWNER)
    assert len(binding) == 64
    did = did_of(key)
    check(did, binding, network_id=NETWORK, device=device, owner=OWNER)
    with pytest.raises(ForgedError):
        check(did, binding, network_id=bytes(32), device=device, owner=OWNER)
    with pytest.raises(ForgedError):
        check(did, binding, network_id=NETWORK, device=OTHER, owner=OWNER)
    with pytest.raises(ForgedError):
        check(did, binding, network_id=NETWORK, device=device, owner=OTHER)
    with pytest.raises(ForgedError):
        check(did_of(KEYS[key is ED25519]), binding, network_id=NETWORK, device=device, owner=OWNER)


def test_a_place_is_hidden_by_its_salt() -> None:
    assert place(b"\1" * 32, "u4pru") == keccak(b"\1" * 32 + b"u4pru")
    assert place(b"\1" * 32, "u4pru") != place(b"\2" * 32, "u4pru")
    place(b"\1" * 32, "ä" * 64)
    for salt in (b"", b"\1" * 31, b"\1" * 33):
        with pytest.raises(UsageError, match="a salt has 32 bytes"):
            place(salt, "u4pru")
    for cell in ("", "u" * 65, "u4\n", "\ud800"):
        with pytest.raises(UsageError, match="a cell is named"):
            place(b"\1" * 32, cell)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("firmware", ["", "fw 1.0", "f" * 32, "ü" * 16])
def test_a_code_comes_back_as_it_was(key: PrivateKey, firmware: str) -> None:
    code = made(key, firmware=firmware)
    text = code.encode()
    assert text.startswith("freehold:device?")
    assert len(text) <= 402
    assert PairingCode.decode(f"  {text}\n") == code
    code.check(DOMAIN, now=DEADLINE)


def test_a_code_is_for_its_network_and_time() -> None:
    code = made()
    with pytest.raises(ExpiredPairingError):
        code.check(DOMAIN, now=DEADLINE + 1)
    with pytest.raises(ForeignPairingError, match="another network"):
        code.check(replace(DOMAIN, salt=bytes(32)), now=0)
    for other in (replace(DOMAIN, chain_id=1), replace(DOMAIN, contract=OTHER)):
        with pytest.raises(AccessError):
            code.check(other, now=0)


def resealed(code: PairingCode, owner: Address) -> PairingCode:
    binding = seal(ED25519, network_id=NETWORK, device=code.device, owner=owner)
    return replace(code, owner=owner, binding=binding)


def test_every_part_is_signed() -> None:
    code = made()
    for changed in (
        resealed(code, OTHER),
        replace(code, device=OTHER),
        replace(code, generation=2),
        replace(code, deadline=DEADLINE + 1),
        replace(code, did=did_of(P256)),
    ):
        with pytest.raises(ForeignPairingError, match="did not consent"):
            changed.check(DOMAIN, now=0)
    forged = replace(code, binding=made(P256).binding)
    with pytest.raises(ForgedError):
        forged.check(DOMAIN, now=0)
    with pytest.raises(AccessError, match="malformed"):
        replace(code, consent=code.consent[:64] + b"\2").check(DOMAIN, now=0)


def test_wrong_parts_make_no_code() -> None:
    code = made()
    with pytest.raises(BadPairingError, match="wrong length"):
        replace(code, network_id=b"")
    with pytest.raises(BadPairingError, match="wrong length"):
        replace(code, consent=code.consent[1:])
    with pytest.raises(BadPairingError, match="wrong length"):
        replace(code, binding=code.binding + b"\0")
    for number in (0, -1, 2**64):
        with pytest.raises(BadPairingError, match="out of bounds"):
            replace(code, generation=number)
        with pytest.raises(BadPairingError, match="out of bounds"):
            replace(code, deadline=number)
    for firmware in ("f" * 33, "ü" * 17, "a\nb", "\x1b[2J"):
        assert not is_firmware(firmware)
        with pytest.raises(BadPairingError, match="firmware"):
            replace(code, firmware=firmware)


def test_what_is_no_code_is_refused() -> None:
    text = made().encode()
    for bad, reason in (
        ("", "it is not freehold:device"),
        (SCHEME, "it is not freehold:device"),
        (text.removeprefix(SCHEME), "it is not freehold:device"),
        (text + "=", "it is not freehold:device"),
        (text.replace("device?", "device? "), "it is not freehold:device"),
        (SCHEME + "A", "cut off"),
        (SCHEME + "AB", "last character"),
        (SCHEME + "AAAA", "checksum"),
        (SCHEME + "A" * 400, "checksum"),
        (text_of(b""), "checksum"),
        (SCHEME + "A" * CODE_MAX, "longer than"),
    ):
        with pytest.raises(BadPairingError, match=reason):
            PairingCode.decode(bad)


def test_one_wrong_character_is_noticed() -> None:
    text = made().encode()
    for at in range(len(SCHEME), len(text)):
        wrong = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(BadPairingError):
            PairingCode.decode(wrong)


def test_a_newer_code_says_so() -> None:
    with pytest.raises(VersionError, match="version 2, not 1"):
        PairingCode.decode(text_of(b"\2" + bytes_of(made())[1:]))


def test_cut_and_strange_bytes_are_refused() -> None:
    data = bytes_of(made(firmware=""))
    with pytest.raises(BadPairingError, match="cut off"):
        PairingCode.decode(text_of(data[:-34]))
    for bad, reason in (
        (data[:-1], "32 bytes, not 31"),
        (data[:-34] + b"\xe7\1" + data[-32:], "not Ed25519"),
        (data + b"\xff", "not text"),
        (data + b"f" * 33, "firmware"),
        (data + b"\n", "firmware"),
    ):
        with pytest.raises(BadPairingError, match=reason):
            PairingCode.decode(text_of(bad))


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_decode_or_are_refused(data: bytes, versioned: bool) -> None:
    told = b"\1" + data if versioned else data
    try:
        code = PairingCode.decode(text_of(told))
    except FreeholdError:
        return
    assert bytes_of(code) == told


@given(st.text(max_size=200))
def test_any_text_decodes_or_is_refused(text: str) -> None:
    for each in (text, SCHEME + text):
        with pytest.raises(BadPairingError):
            PairingCode.decode(each)

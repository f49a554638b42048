from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.markets.storage import hpke
from freehold.markets.storage.keys import (
    DataSeed,
    PathKey,
    Slot,
    SlotKind,
    check_slots,
    phrase_slot_key,
    seal_slot,
    unlock,
    wallet_message,
    wallet_slot_key,
)
from unit.markets.storage.strategies import (
    ACCOUNT,
    ACCOUNT_KEY,
    NETWORK_ID,
    SEED,
    names,
    seeded,
    slots,
)

_OTHER = Address("0x" + "12" * 20)
_PHRASE_KEY = phrase_slot_key(ACCOUNT_KEY, NETWORK_ID)


def test_keys_never_change_between_releases() -> None:
    """Whoever kept a seed for years must find the same keys."""
    photos = SEED.root(ACCOUNT).lineage("photos/2026")[-1]
    assert SEED.catalogue_key().hex()[:16] == "2c3ddfd0a8b5feb3"
    assert SEED.sharing_key().hex()[:16] == "03b959a5461d2efb"
    assert photos.secret.hex()[:16] == "c57806033bfc1d49"
    assert photos.section_key(b"o" * 32).hex()[:16] == "616c7c46bb96807f"
    assert photos.door_key(b"o" * 32).hex()[:16] == "1149543650091bee"
    assert _PHRASE_KEY.hex()[:16] == "832be62bd392bcdb"


@settings(deadline=None)
@given(names)
def test_a_directory_key_gives_those_below_it(name: str) -> None:
    lineage = SEED.root(ACCOUNT).lineage(name)
    assert lineage[-1].prefix == name
    for key in lineage[1:]:
        assert key.lineage(name)[-1] == lineage[-1]


@pytest.mark.parametrize("directory", ["photos", "photos/2025", "photos/20266", "b", ""])
def test_a_directory_key_gives_none_above_or_beside(directory: str) -> None:
    key = SEED.root(ACCOUNT).lineage("photos/2026")[-1]
    with pytest.raises(AccessError, match="photos/2026"):
        key.lineage(directory)


def test_accounts_seeds_and_slashes_make_different_keys() -> None:
    root = SEED.root(ACCOUNT)
    keys = [
        root,
        SEED.root(_OTHER),
        DataSeed(bytes(32)).root(ACCOUNT),
        root.child("a").child("b"),
        root.child("a/b"),
        root.child("ab"),
        root.child("a").child("").child("b"),
    ]
    assert len({key.secret for key in keys}) == len(keys)


def test_secrets_stay_out_of_repr() -> None:
    assert SEED.secret.hex() not in repr(SEED)
    assert "secret" not in repr(SEED) + repr(SEED.root(ACCOUNT))


def test_a_seed_has_32_bytes() -> None:
    assert len(DataSeed.of(ACCOUNT_KEY, NETWORK_ID).secret) == 32
    with pytest.raises(AccessError):
        DataSeed(b"short")


def test_the_phrase_opens_its_slot() -> None:
    assert unlock(slots(), {SlotKind.PHRASE: _PHRASE_KEY}, network_id=NETWORK_ID) == SEED


def test_a_wallet_opens_its_slot_with_either_recovery_byte() -> None:
    signature = ACCOUNT_KEY.sign(b"m" * 32)
    key = wallet_slot_key(signature, NETWORK_ID)
    assert key == wallet_slot_key(signature[:64] + b"\0", NETWORK_ID)
    slot = seal_slot(SEED, kind=SlotKind.WALLET, key=key, network_id=NETWORK_ID, random=seeded(1))
    found = unlock([*slots(), slot], {SlotKind.WALLET: key}, network_id=NETWORK_ID)
    assert found == SEED
    with pytest.raises(AccessError, match="65 bytes"):
        wallet_slot_key(signature[:-1], NETWORK_ID)


def test_the_wallet_is_told_what_it_signs_and_where() -> None:
    assert "0x" + NETWORK_ID.hex() in wallet_message(NETWORK_ID)
    assert "opens all your files" in wallet_message(NETWORK_ID)


def test_a_second_device_opens_its_slot_and_no_other() -> None:
    device, stranger = b"d" * 32, b"s" * 32
    kind = SlotKind.DEVICE
    slot = seal_slot(
        SEED, kind=kind, key=hpke.public_key(device), network_id=NETWORK_ID, random=seeded(1)
    )
    assert unlock([slot], {kind: device}, network_id=NETWORK_ID) == SEED
    with pytest.raises(AccessError):
        unlock([slot], {kind: stranger}, network_id=NETWORK_ID)


@settings(deadline=None)
@given(st.integers(0, 59), st.integers(1, 255))
def test_an_altered_slot_does_not_open(at: int, change: int) -> None:
    body = bytearray(slots()[0].body)
    body[at] ^= change
    with pytest.raises(AccessError, match="none of the slots"):
        unlock(
            [Slot(SlotKind.PHRASE, bytes(body))],
            {SlotKind.PHRASE: _PHRASE_KEY},
            network_id=NETWORK_ID,
        )


def test_slots_do_not_open_for_others_kinds_or_networks() -> None:
    stranger = phrase_slot_key(Key.from_secret(b"\x99" * 32), NETWORK_ID)
    moved = [Slot(SlotKind.WALLET, slots()[0].body)]
    for tried, keys, network_id in (
        (slots(), {SlotKind.PHRASE: stranger}, NETWORK_ID),
        (slots(), {SlotKind.WALLET: _PHRASE_KEY}, NETWORK_ID),
        (moved, {SlotKind.WALLET: _PHRASE_KEY}, NETWORK_ID),
        (slots(), {SlotKind.PHRASE: _PHRASE_KEY}, bytes(32)),
        ((), {SlotKind.PHRASE: _PHRASE_KEY}, NETWORK_ID),
    ):
        with pytest.raises(AccessError):
            unlock(tried, keys, network_id=network_id)
    assert phrase_slot_key(ACCOUNT_KEY, bytes(32)) != _PHRASE_KEY


def test_impossible_sets_of_slots_are_refused() -> None:
    for impossible in ([], list(slots()) * 17, [Slot(SlotKind.PHRASE, bytes(257))]):
        with pytest.raises(UsageError):
            check_slots(impossible)
    check_slots(slots() * 16)


def test_hpke_refuses_unusable_keys() -> None:
    for public in (b"short", bytes(32)):
        with pytest.raises(UsageError):
            hpke.seal_to(public, b"data", info=b"")
    with pytest.raises(AccessError):
        hpke.open_with(b"short", bytes(60), info=b"")


def test_a_path_key_names_its_prefix() -> None:
    assert SEED.root(ACCOUNT).child("b").child("a") == PathKey(
        "b/a", SEED.root(ACCOUNT).lineage("b/a")[-1].secret
    )

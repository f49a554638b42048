from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import CapacityError, IntegrityError, UsageError, VersionError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.markets.storage import header as header_module
from freehold.markets.storage.header import Header, open_header, open_shared, seal_header
from freehold.markets.storage.keys import DataSeed, PathKey, SlotKind, phrase_slot_key, unlock
from freehold.markets.storage.manifest import Delete, Location, Manifest, Put, encode_section
from freehold.markets.storage.seal import open_box, seal_box
from unit.markets.storage.strategies import (
    ACCOUNT,
    ACCOUNT_KEY,
    NETWORK_ID,
    SEED,
    manifests,
    seeded,
    slots,
)

_ID, _KEY = b"o" * 32, b"k" * 32


def _seal(manifest: Manifest, seed: int = 1) -> bytes:
    return seal_header(manifest, seed=SEED, account=ACCOUNT, slots=slots(), random=seeded(seed))


def _open(data: bytes, object_id: bytes = _ID) -> Manifest:
    return open_header(data, object_id=object_id, seed=SEED, account=ACCOUNT)


def _key(prefix: str) -> PathKey:
    return SEED.root(ACCOUNT).lineage(prefix)[-1]


def _manifest(*names: str, sequence: int = 7) -> Manifest:
    puts = (
        Put(name, Location(_ID, _KEY, 100 * i, 84, bytes([i]) * 32), 1000 + i)
        for i, name in enumerate(names)
    )
    return Manifest(_ID, sequence, 99, tuple(puts))


@settings(deadline=None)
@given(manifests())
def test_a_header_opens_to_its_manifest(manifest: Manifest) -> None:
    assert _open(_seal(manifest), manifest.object_id) == manifest


def test_phrase_and_one_header_give_everything_back() -> None:
    """Recovery: nothing but the account key of the phrase, the network and the object's id."""
    data = _seal(_manifest("b/a/k"))
    keys = {SlotKind.PHRASE: phrase_slot_key(Key.from_secret(ACCOUNT_KEY.secret), NETWORK_ID)}
    seed = unlock(Header.parse(data).slots, keys, network_id=NETWORK_ID)
    found = open_header(data, object_id=_ID, seed=seed, account=ACCOUNT_KEY.address)
    assert found == _manifest("b/a/k")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_altered_byte_anywhere_shows(data: st.DataObject) -> None:
    sealed = bytearray(_seal(_manifest("b/a/k", "c/d")))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        _open(bytes(sealed))


@settings(deadline=None)
@given(st.integers(0, 1400))
def test_a_cut_header_is_refused(length: int) -> None:
    sealed = _seal(_manifest("b/a/k", "c/d"))
    with pytest.raises(IntegrityError):
        _open(sealed[: min(length, len(sealed) - 1)])
    with pytest.raises(IntegrityError):
        _open(sealed + bytes(64))


@settings(deadline=None)
@given(st.binary(max_size=300).map(lambda b: b"\1" + b) | st.binary(min_size=1024, max_size=1024))
def test_random_headers_are_typed_errors(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        _open(data)


def test_a_manifest_of_another_object_account_or_seed_does_not_open() -> None:
    sealed = _seal(_manifest("b/k"))
    stranger = Address("0x" + "12" * 20)
    with pytest.raises(IntegrityError, match="another object or account"):
        _open(sealed, b"p" * 32)
    with pytest.raises(IntegrityError):
        open_header(sealed, object_id=_ID, seed=SEED, account=stranger)
    with pytest.raises(IntegrityError):
        open_header(sealed, object_id=_ID, seed=DataSeed(bytes(32)), account=ACCOUNT)


def test_parts_of_an_older_manifest_of_the_object_do_not_fit() -> None:
    """A node that kept two headers of one object cannot mix them."""
    old = Header.parse(_seal(_manifest("b/k", sequence=6), 1))
    new = Header.parse(_seal(_manifest("b/k", sequence=7), 2))
    mixed = Header(new.slots, new.outer, new.doors, old.sections).render()
    with pytest.raises(IntegrityError):
        _open(mixed)
    with pytest.raises(IntegrityError, match="section 0 is altered"):
        open_shared(mixed, object_id=_ID, key=_key("b"))


def test_a_newer_header_says_so() -> None:
    with pytest.raises(VersionError):
        Header.parse(b"\2" + _seal(_manifest("b/k"))[1:])


def test_slots_of_unknown_kinds_are_refused() -> None:
    sealed = _seal(_manifest("b/k"))
    with pytest.raises(IntegrityError, match="kind 9"):
        Header.parse(sealed[:2] + b"\x09" + sealed[3:])


def test_sealing_needs_a_slot() -> None:
    with pytest.raises(UsageError):
        seal_header(_manifest("b/k"), seed=SEED, account=ACCOUNT, slots=(), random=seeded(1))


@pytest.mark.parametrize(
    ("prefix", "visible"),
    [
        ("b", ["b/a/deep/k", "b/a/k", "b/k"]),
        ("b/a", ["b/a/deep/k", "b/a/k"]),
        ("b/a/deep", ["b/a/deep/k"]),
        ("b/ab", ["b/ab/k"]),
        ("b/x", []),
        ("c", ["c/k"]),
        ("d", []),
    ],
)
def test_a_shared_directory_opens_what_lies_under_it_and_nothing_else(
    prefix: str, visible: list[str]
) -> None:
    names = ("b/k", "b/a/k", "b/a/deep/k", "b/ab/k", "c/k")
    expected = {e.name: e for e in _manifest(*names).entries}
    found = open_shared(_seal(_manifest(*names)), object_id=_ID, key=_key(prefix))
    entries = found.entries if found else ()
    if prefix == "b":
        visible = ["b/a/deep/k", "b/a/k", "b/ab/k", "b/k"]
    assert [e.name for e in entries] == visible
    assert all(expected[e.name] == e for e in entries)
    assert found is None or found.sequence == 7


@settings(deadline=None, max_examples=40)
@given(manifests(), st.sampled_from(["bucket", "photos", "b"]))
def test_a_bucket_key_opens_its_entries_of_any_manifest(manifest: Manifest, bucket: str) -> None:
    found = open_shared(_seal(manifest), object_id=manifest.object_id, key=_key(bucket))
    inside = tuple(e for e in manifest.entries if e.name.startswith(bucket + "/"))
    assert (found.entries if found else ()) == inside


def test_a_directory_that_only_deletes_gets_no_content_key() -> None:
    """Else whoever shares the directory could read an object of another one."""
    put = Put("private/k", Location(_ID, _KEY, 0, 9), 0)
    manifest = Manifest(_ID, 7, 0, (put, Delete("shared/gone")))
    found = open_shared(_seal(manifest), object_id=_ID, key=_key("shared"))
    assert found is not None
    assert found.entries == (Delete("shared/gone"),)
    section = Header.parse(_seal(manifest)).sections[1]
    key = _key("shared").section_key(_ID)
    plain = open_box(section, key=key, bound=header_module._section_bound(_ID, 7, 1))
    assert plain is not None
    assert _KEY not in plain


def test_a_door_that_leads_elsewhere_is_refused() -> None:
    """Only the owner could make one; a reader still must not mistake whose names it opens."""
    sealed = Header.parse(_seal(_manifest("b/k", "c/k")))
    inside = (7).to_bytes(8, "big") + (1).to_bytes(4, "big") + _key("c").section_key(_ID)
    door = header_module._seal_door(_key("b"), inside, _ID, seeded(5))
    forged = Header(sealed.slots, sealed.outer, (door,), sealed.sections).render()
    with pytest.raises(Exception, match="opens nothing in 'c'"):
        open_shared(forged, object_id=_ID, key=_key("b"))
    lost = header_module._seal_door(_key("b"), inside[:11] + b"\7" + inside[12:], _ID, seeded(5))
    with pytest.raises(IntegrityError, match="no section 7"):
        open_shared(
            Header(sealed.slots, sealed.outer, (lost,), sealed.sections).render(),
            object_id=_ID,
            key=_key("b"),
        )


def test_a_section_that_names_another_directory_is_refused() -> None:
    sealed, strange = Header.parse(_seal(_manifest("b/k"))), b"s" * 32
    entries = encode_section(_ID, "b/x", (Delete("b/x/k"),))
    section = seal_box(
        header_module._pad(entries),
        key=strange,
        bound=header_module._section_bound(_ID, 7, 0),
        random=seeded(6),
    )
    inside = (7).to_bytes(8, "big") + bytes(4) + strange
    door = header_module._seal_door(_key("b"), inside, _ID, seeded(5))
    forged = Header(sealed.slots, sealed.outer, (door,), (section,)).render()
    with pytest.raises(IntegrityError, match="leads to another directory"):
        open_shared(forged, object_id=_ID, key=_key("b"))


@pytest.mark.parametrize("depth", [31, 32, 33, 40])
def test_deep_directories_open_from_their_own_key_and_the_upper_ones(depth: int) -> None:
    directory = "/".join("abcdefgh"[i % 8] for i in range(depth))
    sealed = _seal(_manifest(f"{directory}/k"))
    assert _open(sealed).entries[0].name == f"{directory}/k"
    for prefix in ("a", directory):
        assert open_shared(sealed, object_id=_ID, key=_key(prefix)) is not None


def test_the_number_of_doors_says_little_of_the_depth() -> None:
    counts = {len(Header.parse(_seal(_manifest("b/" * n + "k"))).doors) for n in range(1, 9)}
    assert counts == {8}


def test_lengths_say_little_of_the_names() -> None:
    assert len({len(_seal(_manifest("b/" + "k" * n))) for n in range(1, 40)}) == 1


def test_a_header_past_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_module, "MAX_HEADER_LENGTH", 2000)
    with pytest.raises(CapacityError, match="longer than 2000"):
        _seal(_manifest(*(f"b/{i:02}" for i in range(60))))
    monkeypatch.setattr(header_module, "MAX_DOORS", 8)
    with pytest.raises(CapacityError, match="16 doors"):
        _seal(_manifest(*(f"b/{i}/k" for i in range(5))))


def test_a_full_pack_of_a_thousand_fits() -> None:
    sealed = _seal(_manifest(*(f"bucket/dir{i % 3}/object-{i:04}" for i in range(250))))
    assert len(sealed) < 250 * 90

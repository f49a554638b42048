from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, UsageError
from freehold.markets.storage.manifest import (
    Delete,
    Location,
    Manifest,
    Put,
    decode_section,
    encode_section,
    rename,
)
from unit.markets.storage.strategies import manifests

_ID, _KEY = b"o" * 32, b"k" * 32
_PLACE = Location(_ID, _KEY, 0, 9)


@settings(deadline=None)
@given(manifests())
def test_sections_read_as_written(manifest: Manifest) -> None:
    for directory, entries in manifest.directories().items():
        data = encode_section(manifest.object_id, directory, entries)
        assert decode_section(manifest.object_id, data) == (directory, entries)


@settings(deadline=None)
@given(manifests(), st.data())
def test_altered_sections_are_typed_errors_or_other_sections(
    manifest: Manifest, data: st.DataObject
) -> None:
    for directory, entries in manifest.directories().items():
        encoded = bytearray(encode_section(manifest.object_id, directory, entries))
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            found = decode_section(manifest.object_id, bytes(encoded))
        except IntegrityError:
            continue
        assert found != (directory, entries)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_sections_are_typed_errors(data: bytes) -> None:
    try:
        directory, entries = decode_section(_ID, data)
    except IntegrityError:
        return
    assert not entries or all(e.name.startswith(directory + "/") for e in entries)


def test_a_section_ends_where_its_entries_do() -> None:
    data = encode_section(_ID, "b", (Delete("b/k"),))
    with pytest.raises(IntegrityError, match="1 bytes too many"):
        decode_section(_ID, data + b"\0")


def test_a_section_cannot_reach_out_of_its_directory() -> None:
    data = encode_section(_ID, "b", (Delete("b/k"),))
    with pytest.raises(IntegrityError, match="not a name"):
        decode_section(_ID, data.replace(b"\1k", b"\3a/k"))


@settings(deadline=None)
@given(manifests())
def test_entries_are_grouped_by_directory(manifest: Manifest) -> None:
    groups = manifest.directories()
    assert sorted(e.name for part in groups.values() for e in part) == [
        e.name for e in manifest.entries
    ]
    assert list(groups) == sorted(groups)


def test_a_rename_points_the_new_name_at_the_same_bytes() -> None:
    put = Put("b/old", _PLACE, 5, (("type", "text/plain"),))
    gone, new = rename(put, "c/new")
    assert gone == Delete("b/old")
    assert (new.name, new.location, new.modified, new.attributes) == (
        "c/new",
        _PLACE,
        5,
        put.attributes,
    )


def test_members_take_sixteen_bytes_more() -> None:
    assert _PLACE.stored_size == 9
    assert Location(_ID, _KEY, 0, 9, _KEY).stored_size == 25


def test_keys_stay_out_of_repr() -> None:
    assert repr(_KEY) not in repr(Location(_ID, _KEY, 0, 9, _KEY))


def test_impossible_values_are_refused() -> None:
    put = Put("b/k", _PLACE, 0)
    other = Put("b/l", Location(_ID, _ID, 0, 1), 0)
    for build in (
        lambda: Location(b"o", _KEY, 0, 9),
        lambda: Location(_ID, b"k", 0, 9),
        lambda: Location(_ID, _KEY, -1, 9),
        lambda: Location(_ID, _KEY, 0, -9),
        lambda: Location(_ID, _KEY, 0, 9, b"m"),
        lambda: Put("bucket", _PLACE, 0),
        lambda: Put("b/k", _PLACE, -1),
        lambda: Put("b/k", _PLACE, 0, (("b", ""), ("a", ""))),
        lambda: Put("b/k", _PLACE, 0, (("a", ""), ("a", ""))),
        lambda: Put("b/k", _PLACE, 0, (("a", "x" * 8192),)),
        lambda: Put("b/k", _PLACE, 0, (("a", "\ud800"),)),
        lambda: Put("b/k", _PLACE, 0, tuple((f"{i:03}", "") for i in range(65))),
        lambda: Delete("bucket"),
        lambda: Manifest(_ID, 0, 0, (put, Delete("b/k"))),
        lambda: Manifest(_ID, 0, 0, (put, other)),
        lambda: Manifest(_ID, -1, 0, ()),
        lambda: Manifest(_ID, 0, 2**64, ()),
        lambda: Manifest(b"o", 0, 0, ()),
        lambda: Manifest(_ID, 0, 0, tuple(Delete(f"b/{i}") for i in range(16385))),
    ):
        with pytest.raises(UsageError):
            build()

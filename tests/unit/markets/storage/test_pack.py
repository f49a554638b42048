from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import CapacityError, IntegrityError, UsageError
from freehold.markets.storage import pack as pack_module
from freehold.markets.storage.manifest import Location, Manifest
from freehold.markets.storage.pack import MAX_MEMBER, Pack, Small, extract, pack
from unit.markets.storage.strategies import attributes, names, numbers, seeded

_ID, _KEY = b"o" * 32, b"k" * 32
smalls = st.builds(Small, names, st.binary(max_size=60), numbers, attributes)
members = st.lists(smalls, min_size=1, max_size=8, unique_by=lambda m: m.name)


def _pack(packed: list[Small]) -> Pack:
    return pack(packed, object_id=_ID, content_key=_KEY, random=seeded(1))


@settings(deadline=None)
@given(members)
def test_every_member_comes_out_as_it_went_in(packed: list[Small]) -> None:
    result = _pack(packed)
    Manifest(_ID, 0, 0, result.puts)
    by_name = {put.name: put for put in result.puts}
    for member in packed:
        put = by_name[member.name]
        assert extract(result.data, put.location) == member.data
        assert (put.modified, put.attributes) == (member.modified, member.attributes)


@settings(deadline=None)
@given(members, st.randoms(use_true_random=False))
def test_packs_are_the_same_in_any_order(packed: list[Small], random: object) -> None:
    shuffled = list(packed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _pack(shuffled) == _pack(packed)


def test_members_lie_one_behind_the_other_under_keys_of_their_own() -> None:
    result = _pack([Small("b/y", b"four", 0), Small("b/x", b"", 0)])
    places = [put.location for put in result.puts]
    assert [(p.offset, p.size, p.stored_size) for p in places] == [(0, 0, 16), (16, 4, 20)]
    assert len(result.data) == 36
    assert len({p.member_key for p in places} | {_KEY}) == 3


def test_the_packs_key_alone_opens_no_member() -> None:
    (put,) = _pack([Small("b/x", b"secret", 0)]).puts
    data = _pack([Small("b/x", b"secret", 0)]).data
    assert b"secret" not in data
    with pytest.raises(IntegrityError):
        extract(data, replace(put.location, member_key=_KEY))


@settings(deadline=None)
@given(st.integers(0, 21), st.integers(1, 255))
def test_one_altered_byte_shows(at: int, change: int) -> None:
    result = _pack([Small("b/x", b"secret", 0)])
    altered = bytearray(result.data)
    altered[at] ^= change
    with pytest.raises(IntegrityError):
        extract(bytes(altered), result.puts[0].location)


def test_a_whole_object_is_taken_as_it_is() -> None:
    place = Location(_ID, _KEY, 0, 4)
    assert extract(b"data and padding", place) == b"data"


def test_a_part_of_the_data_suffices() -> None:
    result = _pack([Small("b/x", b"first", 0), Small("b/y", b"second", 0)])
    place = result.puts[1].location
    assert extract(result.data[20:], place, start=20) == b"second"
    for data, start in ((result.data[22:], 22), (result.data[:-1], 0), (b"", 0)):
        with pytest.raises(IntegrityError, match="outside"):
            extract(data, place, start=start)


def test_impossible_packs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        _pack([])
    with pytest.raises(UsageError):
        _pack([Small("b/x", b"", 0), Small("b/x", b"", 0)])
    with pytest.raises(CapacityError, match="'b/x'"):
        _pack([Small("b/x", bytes(MAX_MEMBER + 1), 0)])
    _pack([Small("b/x", bytes(MAX_MEMBER), 0)])
    monkeypatch.setattr(pack_module, "MAX_PACK", 40)
    _pack([Small("b/x", b"1234", 0), Small("b/y", b"1234", 0)])
    with pytest.raises(CapacityError):
        _pack([Small("b/x", b"1234", 0), Small("b/y", b"12345", 0)])
    monkeypatch.setattr(pack_module, "MAX_ENTRIES", 1)
    with pytest.raises(CapacityError):
        _pack([Small("b/x", b"", 0), Small("b/y", b"", 0)])

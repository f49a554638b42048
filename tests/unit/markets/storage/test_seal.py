from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError, UsageError
from freehold.markets.storage import seal
from freehold.markets.storage.erasure import room
from freehold.markets.storage.seal import (
    open_box,
    open_into,
    open_segment,
    seal_box,
    seal_into,
    seal_segment,
)
from unit.markets.storage.strategies import seeded

_KEY, _ID = b"k" * 32, b"o" * 32


def _sealed(data: bytes) -> bytes:
    return seal_segment(data, key=_KEY, object_id=_ID, index=2, count=5)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_a_segment_opens_to_what_was_sealed(data: bytes) -> None:
    sealed = _sealed(data)
    assert len(sealed) == len(data) + seal.TAG_LENGTH
    assert open_segment(sealed, key=_KEY, object_id=_ID, index=2, count=5) == data


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 9))
def test_segments_in_memory_at_hand_are_the_same(data: bytes, spare: int) -> None:
    target = room(len(data) + seal.TAG_LENGTH + spare)
    sealed = seal_into(target, data, key=_KEY, object_id=_ID, index=2, count=5)
    assert sealed == _sealed(data)
    target = room(len(data) + spare)
    assert open_into(target, sealed, key=_KEY, object_id=_ID, index=2, count=5) == data


def test_memory_that_is_too_small_or_a_wrong_seal_is_refused() -> None:
    place = {"key": _KEY, "object_id": _ID}
    with pytest.raises(UsageError, match="does not fit in 19"):
        seal_into(room(19), b"data", index=2, count=5, **place)
    with pytest.raises(UsageError, match="does not fit in 3"):
        open_into(room(3), _sealed(b"data"), index=2, count=5, **place)
    with pytest.raises(IntegrityError):
        open_into(room(4), _sealed(b"data"), index=1, count=5, **place)
    with pytest.raises(IntegrityError, match="15 bytes"):
        open_into(room(4), bytes(15), index=2, count=5, **place)


def test_a_segment_is_aes_gcm_under_its_index() -> None:
    bound = b"freehold segment 1" + _ID + bytes(7) + b"\2" + bytes(7) + b"\5"
    assert _sealed(b"data") == AESGCM(_KEY).encrypt(bytes(11) + b"\2", b"data", bound)


@settings(deadline=None)
@given(st.integers(0, 19), st.integers(1, 255))
def test_one_altered_byte_shows(at: int, change: int) -> None:
    altered = bytearray(_sealed(b"data"))
    altered[at] ^= change
    with pytest.raises(IntegrityError):
        open_segment(altered, key=_KEY, object_id=_ID, index=2, count=5)


@pytest.mark.parametrize(
    ("key", "object_id", "index", "count"),
    [
        (b"x" * 32, _ID, 2, 5),
        (_KEY, b"x" * 32, 2, 5),
        (_KEY, _ID, 1, 5),
        (_KEY, _ID, 2, 4),
    ],
)
def test_another_key_object_place_or_count_does_not_open(
    key: bytes, object_id: bytes, index: int, count: int
) -> None:
    with pytest.raises(IntegrityError, match="segment"):
        open_segment(_sealed(b"data"), key=key, object_id=object_id, index=index, count=count)


@pytest.mark.parametrize("size", [0, 15])
def test_what_is_too_short_for_a_seal_is_refused(size: int) -> None:
    with pytest.raises(IntegrityError, match=f"{size} bytes"):
        open_segment(bytes(size), key=_KEY, object_id=_ID, index=0, count=1)


def test_a_segment_past_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "MAX_SEGMENT_LENGTH", 3)
    with pytest.raises(UsageError):
        _sealed(b"data")
    with pytest.raises(IntegrityError):
        open_segment(bytes(20), key=_KEY, object_id=_ID, index=0, count=1)


@pytest.mark.parametrize(
    ("key", "object_id", "index", "count"),
    [(b"k", _ID, 0, 1), (_KEY, b"o", 0, 1), (_KEY, _ID, 1, 1), (_KEY, _ID, -1, 1)],
)
def test_impossible_segments_are_refused(
    key: bytes, object_id: bytes, index: int, count: int
) -> None:
    with pytest.raises(UsageError):
        seal_segment(b"", key=key, object_id=object_id, index=index, count=count)


def test_a_box_opens_only_under_its_key_and_what_it_is_bound_to() -> None:
    box = seal_box(b"data", key=_KEY, bound=b"here", random=seeded(1))
    assert open_box(box, key=_KEY, bound=b"here") == b"data"
    assert open_box(box, key=_ID, bound=b"here") is None
    assert open_box(box, key=_KEY, bound=b"there") is None
    assert open_box(box[:27], key=_KEY, bound=b"here") is None
    assert open_box(box[:-1] + b"!", key=_KEY, bound=b"here") is None

"""Segments under lock: AES-256-GCM with a key that no two object versions share.

The nonce is the segment's index, which is safe only because every version of an object, and
every member of a pack, has its own random or derived key. The associated data binds object,
index and count, so a segment cannot be moved, repeated, dropped from the end, or taken from
another object. A sealed segment is 16 bytes longer than its data.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from freehold.domain.errors import IntegrityError, UsageError

Buffer = bytes | bytearray | memoryview
Random = Callable[[int], bytes]
"""Draws that many unpredictable bytes, as ``secrets.token_bytes`` does."""

SEGMENT_LENGTH = 64 * 2**20
"""Bytes of data in a full segment, unless a client chooses otherwise."""
MAX_SEGMENT_LENGTH = 2**30
KEY_LENGTH = 32
TAG_LENGTH = 16
NONCE_LENGTH = 12
BOX_OVERHEAD = NONCE_LENGTH + TAG_LENGTH
_LABEL = b"freehold segment 1"


class Place:
    """Where a segment belongs, as its cipher sees it: key, nonce, associated data."""

    __slots__ = ("bound", "cipher", "index", "nonce", "object_id")

    def __init__(self, *, key: bytes, object_id: bytes, index: int, count: int) -> None:
        if len(key) != KEY_LENGTH or len(object_id) != 32 or not 0 <= index < count < 2**64:
            raise UsageError(
                f"segment {index} of {count} cannot be sealed or opened",
                remedy="Keys and object ids have 32 bytes; segments are numbered from 0.",
            )
        self.object_id, self.index = object_id, index
        self.cipher = AESGCM(key)
        self.nonce = index.to_bytes(NONCE_LENGTH, "big")
        self.bound = _LABEL + object_id + index.to_bytes(8, "big") + count.to_bytes(8, "big")

    def wrong(self, reason: str) -> IntegrityError:
        """The error of a segment that does not open here."""
        return IntegrityError(
            f"segment {self.index} of object {self.object_id.hex()[:16]} does not open: {reason}",
            remedy="Decode it from other columns; if all fail, check the key and the object's id.",
        )


def seal_segment(data: Buffer, *, key: bytes, object_id: bytes, index: int, count: int) -> bytes:
    """``data`` (at most 1 GiB) encrypted and authenticated as segment ``index`` of ``count``.

    UsageError when a key or id is not 32 bytes, or the index lies outside.
    """
    place = Place(key=key, object_id=object_id, index=index, count=count)
    _check_length(data)
    return place.cipher.encrypt(place.nonce, data, place.bound)


def open_segment(sealed: Buffer, *, key: bytes, object_id: bytes, index: int, count: int) -> bytes:
    """The data of a sealed segment; IntegrityError when a byte, its place or the key is wrong."""
    place = Place(key=key, object_id=object_id, index=index, count=count)
    _check_sealed_length(sealed, place)
    try:
        return place.cipher.decrypt(place.nonce, sealed, place.bound)
    except InvalidTag as error:
        raise place.wrong("its bytes, place or key is wrong") from error


def seal_into(
    target: memoryview, data: Buffer, *, key: bytes, object_id: bytes, index: int, count: int
) -> memoryview:
    """As ``seal_segment``, into the beginning of ``target``: returns the part that it fills.

    Three times as fast on segments of 64 MiB, where most of the time goes to fresh memory.
    """
    place = Place(key=key, object_id=object_id, index=index, count=count)
    _check_length(data)
    part = _room(target, memoryview(data).nbytes + TAG_LENGTH)
    place.cipher.encrypt_into(place.nonce, data, place.bound, part)
    return part


def open_into(
    target: memoryview, sealed: Buffer, *, key: bytes, object_id: bytes, index: int, count: int
) -> memoryview:
    """As ``open_segment``, into the beginning of ``target``: returns the part that it fills.

    After an error ``target`` holds nothing of meaning.
    """
    place = Place(key=key, object_id=object_id, index=index, count=count)
    _check_sealed_length(sealed, place)
    part = _room(target, memoryview(sealed).nbytes - TAG_LENGTH)
    try:
        place.cipher.decrypt_into(place.nonce, sealed, place.bound, part)
    except InvalidTag as error:
        raise place.wrong("its bytes, place or key is wrong") from error
    return part


def _check_length(data: Buffer) -> None:
    if memoryview(data).nbytes > MAX_SEGMENT_LENGTH:
        raise UsageError(
            "a segment is longer than 1 GiB", remedy="Cut the object in more segments."
        )


def _check_sealed_length(sealed: Buffer, place: Place) -> None:
    size = memoryview(sealed).nbytes
    if not TAG_LENGTH <= size <= MAX_SEGMENT_LENGTH + TAG_LENGTH:
        raise place.wrong(f"{size} bytes is no length of a sealed segment")


def _room(target: memoryview, size: int) -> memoryview:
    if target.nbytes < size:
        raise UsageError(
            f"a segment of {size} bytes does not fit in {target.nbytes}",
            remedy="Hand in a buffer for the layout's longest segment.",
        )
    return target[:size]


def seal_box(data: bytes, *, key: bytes, bound: bytes, random: Random) -> bytes:
    """``data`` under a key that may seal more than once: a random nonce, then the ciphertext.

    ``bound`` is authenticated and not stored; the box is 28 bytes longer than ``data``.
    """
    nonce = random(NONCE_LENGTH)
    return nonce + AESGCM(key).encrypt(nonce, data, bound)


def open_box(box: bytes, *, key: bytes, bound: bytes) -> bytes | None:
    """What ``seal_box`` sealed, or None when the box, the key or ``bound`` is another."""
    if len(box) < BOX_OVERHEAD:
        return None
    try:
        return AESGCM(key).decrypt(box[:NONCE_LENGTH], box[NONCE_LENGTH:], bound)
    except InvalidTag:
        return None

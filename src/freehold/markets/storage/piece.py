"""Pieces: what a PieceCID names, and the streaming computation of that name.

``height`` counts the levels above the leaves: 127 raw bytes are 4 leaves, a tree of height 2, and
a proof of one leaf has ``height`` siblings. A CID of version 2 (FRC-0069) holds padding, height
and root, so it also tells the raw size, 127 x 2^(height - 2) - padding; version 1 holds the root.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from freehold.domain.errors import CapacityError, ConflictError, UsageError
from freehold.markets.storage import commp

BytesLike = bytes | bytearray | memoryview
"""What can be hashed; anything else with the buffer protocol, as ``memoryview(it)``."""

EMPTY_HEIGHT = 2
"""Height of the smallest tree, and of the CID of an empty payload."""

_V1 = bytes.fromhex("0181e203922020")
_V2 = bytes.fromhex("01559120")
_MAX_TEXT = 80
_READ = 16 * commp.UNIT_RAW


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes by their commitment. ``raw_size`` in bytes; ``root`` 32 bytes; CIDs as text."""

    cid: str
    cid_v1: str
    raw_size: int
    height: int
    root: bytes

    @classmethod
    def of(cls, root: bytes, raw_size: int, height: int) -> Self:
        """The piece with this root, size and height; UsageError if they do not fit together."""
        cid = _text(_encoded(root, raw_size, height))
        return cls(cid, _text(_V1 + root), raw_size, height, root)

    @property
    def padding(self) -> int:
        """Zero bytes between the payload and the end of the tree."""
        return capacity(self.height) - self.raw_size


def capacity(height: int) -> int:
    """Raw bytes that a tree of ``height`` (at least 2) holds."""
    return 127 << (height - EMPTY_HEIGHT)


def height_of(raw_size: int) -> int:
    """Height of the smallest tree for ``raw_size`` bytes; CapacityError above 63."""
    height = EMPTY_HEIGHT + max(0, -(-raw_size // 127) - 1).bit_length()
    if height > commp.MAX_HEIGHT:
        raise CapacityError(
            f"a piece of {raw_size} bytes is larger than any tree", remedy="Split the object."
        )
    return height


def leaf_count(piece: Piece) -> int:
    """Leaves that carry payload: the ones that can be challenged."""
    return (1 << piece.height) - ((128 * piece.padding // 127) >> 5)


def raw_size_of(leaves: int) -> int:
    """Whole raw bytes that ``leaves`` leaves hold."""
    return leaves * commp.NODE * 127 // 128


def cid_from(root: bytes, raw_size: int, height: int) -> str:
    """The PieceCID v2; UsageError if root, size and height do not fit together."""
    return Piece.of(root, raw_size, height).cid


def parse_cid(text: str) -> Piece:
    """The piece that a PieceCID v2 names; UsageError on anything but its one encoding.

    The CID of an empty payload is read, too; such a piece has no leaf and cannot be proven.
    """
    if not text.startswith("b") or len(text) > _MAX_TEXT:
        raise _invalid(text, "it is not a short text in multibase base32")
    body = text[1:].upper()
    try:
        data = base64.b32decode(body + "=" * (-len(body) % 8))
    except ValueError:
        raise _invalid(text, "it is not base32") from None
    if _text(data) != text:
        raise _invalid(text, "it is not written the one canonical way")
    return parse_cid_bytes(data)


def parse_cid_bytes(data: bytes) -> Piece:
    """Like ``parse_cid``, for the binary form."""
    name = data.hex()
    if data[:4] != _V2:
        raise _invalid(name, "it does not start as a PieceCID v2 does")
    if len(data) < 5 or data[4] != len(data) - 5 or not 34 <= data[4] < 128:
        raise _invalid(name, "its length is wrong")
    padding, rest = _read_varint(data[5:], name)
    if len(rest) != 1 + commp.NODE:
        raise _invalid(name, "its length is wrong")
    height, root = rest[0], rest[1:]
    if not EMPTY_HEIGHT <= height <= commp.MAX_HEIGHT:
        raise _invalid(name, f"no tree has height {height}")
    return Piece.of(root, capacity(height) - padding, height)


def _invalid(name: str, reason: str) -> UsageError:
    shown = name if len(name) <= 100 else name[:97] + "..."
    return UsageError(
        f"{shown!r} is not a PieceCID v2: {reason}",
        remedy="Copy the CID again, whole; it starts with bafkzci.",
    )


def _text(data: bytes) -> str:
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, name: str) -> tuple[int, bytes]:
    value = 0
    for i, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if i and not byte:
                raise _invalid(name, "its padding is not in the shortest form")
            return value, data[i + 1 :]
    raise _invalid(name, "its padding is too long")


def _encoded(root: bytes, raw_size: int, height: int) -> bytes:
    if len(root) != commp.NODE or root[-1] & 0xC0:
        raise UsageError(
            f"{root.hex()} is not the root of a piece", remedy="A root has 254 bits in 32 bytes."
        )
    if not EMPTY_HEIGHT <= height <= commp.MAX_HEIGHT:
        raise UsageError(f"no piece has height {height}", remedy="Heights are 2 to 63.")
    if not 0 <= raw_size <= capacity(height) or (not raw_size and height != EMPTY_HEIGHT):
        raise UsageError(
            f"{raw_size} bytes do not fit a tree of height {height}",
            remedy=f"Such a tree holds 1 to {capacity(height)} bytes.",
        )
    if not raw_size and root != commp.ZERO_ROOTS[height]:
        raise UsageError(
            f"{root.hex()} is not the root of an empty piece", remedy="Its leaves are all zeros."
        )
    body = _varint(capacity(height) - raw_size) + bytes([height]) + root
    return _V2 + bytes([len(body)]) + body


def commit(source: BytesLike | _Readable) -> Piece:
    """The piece of all bytes of ``source``: bytes-like, or a binary file read to its end.

    Memory stays at about 2 MiB whatever the size. UsageError if there is not a single byte: an
    empty payload has a CID, but nothing that could be proven.
    """
    if not hasattr(source, "read"):
        view = _flat(source)
        committer = Committer(view.nbytes)
        committer.update(view)
        return committer.finish()
    committer = Committer()
    while chunk := source.read(_READ):
        committer.update(chunk)
    return committer.finish()


class Committer:
    """Computes a piece while its bytes pass by, in chunks of any size.

    Keeps at most one unit of raw bytes and one root for each height; large chunks are hashed
    where they lie. ``sink`` receives the roots of ``commp.UNIT_HEIGHT`` in order, joined, as they
    become known (of a smaller piece, its root): what ``proof.CachedTree`` is made of. For one
    thread at a time; several committers in several threads run side by side.
    """

    def __init__(
        self, raw_size_hint: int | None = None, *, sink: Callable[[bytes], object] | None = None
    ) -> None:
        self._sink = sink
        self._pending = bytearray()
        self._stack: list[tuple[int, bytes]] = []
        self._size = 0
        self._piece: Piece | None = None
        if raw_size_hint is not None:
            commp.expect(raw_size_hint)

    @property
    def size(self) -> int:
        """Raw bytes taken so far."""
        return self._size

    def update(self, data: BytesLike) -> None:
        """Take the next bytes; ConflictError after ``finish``."""
        if self._piece is not None:
            raise ConflictError("this piece is finished", remedy="Start another Committer.")
        view = _flat(data)
        self._size += view.nbytes
        if self._pending:
            view = self._fill(view)
        whole = view.nbytes // commp.UNIT_RAW * commp.UNIT_RAW
        if whole:
            self._push(commp.unit_roots(view[:whole]))
        self._pending += view[whole:]

    def finish(self) -> Piece:
        """The piece of everything taken; UsageError if that was nothing."""
        if self._piece is None:
            self._piece = self._finished()
        return self._piece

    def _fill(self, view: memoryview) -> memoryview:
        """Complete the pending unit from ``view`` as far as it goes; what is left of it."""
        taken = min(commp.UNIT_RAW - len(self._pending), view.nbytes)
        self._pending += view[:taken]
        if len(self._pending) == commp.UNIT_RAW:
            self._push(commp.unit_roots(memoryview(self._pending)))
            self._pending = bytearray()
        return view[taken:]

    def _push(self, roots: bytes) -> None:
        if self._sink is not None:
            self._sink(roots)
        for start in range(0, len(roots), commp.NODE):
            height, node = commp.UNIT_HEIGHT, roots[start : start + commp.NODE]
            while self._stack and self._stack[-1][0] == height:
                node = commp.parent(self._stack.pop()[1], node)
                height += 1
            self._stack.append((height, node))

    def _finished(self) -> Piece:
        if not self._size:
            raise UsageError(
                "an empty piece cannot be proven", remedy="Store at least one byte, or nothing."
            )
        height = height_of(self._size)
        if height < commp.UNIT_HEIGHT:
            root = commp.subtree_root(self._pending, height=height)
            if self._sink is not None:
                self._sink(root)
            return Piece.of(root, self._size, height)
        if self._pending:
            self._push(commp.tail_root(memoryview(self._pending)))
        return Piece.of(self._joined(height), self._size, height)

    def _joined(self, height: int) -> bytes:
        """The root at ``height``, with padding to the right of everything on the stack."""
        at, node = self._stack.pop()
        while at < height:
            if self._stack and self._stack[-1][0] == at:
                node = commp.parent(self._stack.pop()[1], node)
            else:
                node = commp.parent(node, commp.ZERO_ROOTS[at])
            at += 1
        return node


def _flat(data: object) -> memoryview:
    """``data`` as a view of single bytes, copied only if it is not contiguous."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError(
            f"{type(data).__name__} cannot be hashed as a piece",
            remedy="Pass bytes, a memoryview or a file opened in binary mode.",
        )
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())

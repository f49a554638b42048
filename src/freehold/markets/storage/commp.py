"""The piece commitment (CommP): fr32 expansion and a SHA-256 tree, plain and compiled.

127 raw bytes become four leaves of 254 bits, little-endian, in 32 bytes each; a node is
``sha256(left || right)`` with the top two bits of its last byte cleared. A *unit* is the subtree
over 2,048 leaves: 65,024 raw bytes, 64 KiB of leaves. Whole units go to the compiled kernel,
once ``warm`` has loaded it; everything else, and everything until then, goes to ``hashlib``.
Both are exact. Subtrees of nothing but padding come from a table and are never hashed.

Source: the Filecoin specification, "Piece commitment", and FRC-0069 for heights.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from threading import Lock
from typing import Protocol

NODE = 32
"""Bytes of a leaf, a node, a root."""
UNIT_HEIGHT = 11
UNIT_RAW = 127 << (UNIT_HEIGHT - 2)
"""Raw bytes of one unit."""
MAX_HEIGHT = 63
"""Tallest tree whose leaves can be counted in 64 bits."""

_LEAF_BITS = 254
_LEAF_MASK = (1 << _LEAF_BITS) - 1
_COLD_UNITS = 32
"""Units (2 MiB) that hashlib takes before the kernel is loaded: what loading it costs."""
_CLEARED = [bytes([value & 0x3F]) for value in range(256)]
_log = logging.getLogger(__name__)


class _Kernel(Protocol):
    def unit_roots(self, raw: memoryview, /) -> bytes: ...


class _Engine:
    """The one kernel of this process, and whether it was asked for."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.kernel: _Kernel | None = None
        self.tried = False
        self.cold_units = 0


_engine = _Engine()


def parent(left: bytes, right: bytes) -> bytes:
    """The node above two nodes."""
    digest = hashlib.sha256(left + right).digest()
    return digest[:31] + _CLEARED[digest[31]]


def _zero_roots() -> tuple[bytes, ...]:
    roots = [bytes(NODE)]
    while len(roots) <= MAX_HEIGHT:
        roots.append(parent(roots[-1], roots[-1]))
    return tuple(roots)


ZERO_ROOTS = _zero_roots()
"""Root of the subtree of each height whose payload is nothing but zeros."""


def leaves(raw: bytes | bytearray | memoryview) -> list[bytes]:
    """The leaves that carry ``raw``; a last partial leaf is filled with zeros."""
    found: list[bytes] = []
    for start in range(0, len(raw), 127):
        bits = int.from_bytes(raw[start : start + 127], "little")
        found += [
            (bits >> shift & _LEAF_MASK).to_bytes(NODE, "little")
            for shift in range(0, 4 * _LEAF_BITS, _LEAF_BITS)
        ]
    return found[: -(-len(raw) * 8 // _LEAF_BITS)]


def levels(nodes: list[bytes], *, start: int, height: int) -> list[list[bytes]]:
    """Every level from ``nodes`` at height ``start`` up to the root at ``height``.

    Levels hold only nodes with something below them; what is missing on the right is padding.
    """
    found = [nodes]
    for below in range(start, height):
        nodes = found[-1]
        if len(nodes) % 2:
            nodes = [*nodes, ZERO_ROOTS[below]]
        found.append([parent(x, y) for x, y in zip(nodes[::2], nodes[1::2], strict=True)])
    return found


def subtree_root(raw: bytes | bytearray | memoryview, *, height: int) -> bytes:
    """Root of the tree of ``height`` that starts with ``raw``, one byte to a whole tree of it."""
    return levels(leaves(raw), start=0, height=height)[-1][0]


def _plain_roots(raw: memoryview) -> bytes:
    starts = range(0, len(raw), UNIT_RAW)
    return b"".join(subtree_root(raw[i : i + UNIT_RAW], height=UNIT_HEIGHT) for i in starts)


def unit_roots(raw: memoryview) -> bytes:
    """The 32-byte roots of the whole units that ``raw`` consists of, joined."""
    kernel = _engine.kernel
    if kernel is None and not _engine.tried:
        _engine.cold_units += len(raw) // UNIT_RAW
        if _engine.cold_units > _COLD_UNITS:
            warm()
            kernel = _engine.kernel
    return _plain_roots(raw) if kernel is None else kernel.unit_roots(raw)


def tail_root(raw: memoryview) -> bytes:
    """The root of the last unit, of which ``raw`` is the part with payload; not empty."""
    if _engine.kernel is None or len(raw) < UNIT_RAW // 16:
        return subtree_root(raw, height=UNIT_HEIGHT)
    return _engine.kernel.unit_roots(memoryview(bytes(raw).ljust(UNIT_RAW, b"\0")))


def expect(raw_size: int) -> None:
    """Load the kernel now if hashing ``raw_size`` bytes would load it half-way."""
    if raw_size > _COLD_UNITS * UNIT_RAW and not _engine.tried:
        warm()


def warm(cache: Path | None = None) -> bool:
    """Load the kernel, compiling it (about one CPU-second) where ``cache`` does not have it.

    ``cache`` is the folder for machine code, by default the user's cache folder. True if the
    kernel is ready; False where it cannot be had, or ``FREEHOLD_NO_JIT=1`` forbids it: then all
    hashing stays with hashlib, which is exact and about thirty times slower.
    """
    with _engine.lock:
        if not _engine.tried:
            _engine.kernel = _checked_kernel(cache)
            _engine.tried = True
    return _engine.kernel is not None


def _checked_kernel(cache: Path | None) -> _Kernel | None:
    if os.environ.get("FREEHOLD_NO_JIT", "") not in {"", "0"}:
        return None
    try:
        from freehold.markets.storage.kernel import Kernel, user_cache
    except ImportError as error:
        _log.warning("hashing pieces slowly: no compiler here (%s); install llvmlite", error)
        return None
    try:
        kernel = Kernel.open(user_cache() if cache is None else cache)
    except RuntimeError as error:  # What LLVM raises on a processor that it does not know.
        _log.warning("hashing pieces slowly: compiling failed here (%s)", error)
        return None
    sample = _sample()
    if kernel.unit_roots(memoryview(sample)) != _plain_roots(memoryview(sample)):
        _log.error("hashing pieces slowly: the compiled kernel is wrong on this processor")
        return None
    return kernel


def _sample() -> bytes:
    """One unit in which every byte position of a leaf takes every value sooner or later."""
    return hashlib.shake_128(b"freehold piece commitment").digest(UNIT_RAW)

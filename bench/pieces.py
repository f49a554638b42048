"""Real pieces of any size in no time: a payload that repeats 127 bytes.

127 bytes are four leaves, so all whole subtrees of one level are equal and a tree of any height is
known by one node a level, one on the border where the payload ends, and the zero subtrees behind.
Commitments and proofs are those of the whole payload.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from freehold.markets.storage import commp
from freehold.markets.storage.piece import capacity, height_of

_QUAD = 127
_QUAD_HEIGHT = 2


@dataclass(frozen=True, slots=True)
class Pattern:
    """``size`` bytes: the 127 bytes of ``seed`` again and again."""

    seed: int
    size: int
    full: tuple[tuple[bytes, ...], ...]
    border: tuple[bytes, ...]

    @property
    def height(self) -> int:
        """Levels above the leaves."""
        return len(self.full) - 1

    @property
    def root(self) -> bytes:
        """The commitment."""
        return self.node(self.height, 0)

    @property
    def leaves(self) -> int:
        """Leaves that carry payload."""
        padding = capacity(self.height) - self.size
        return (1 << self.height) - ((128 * padding // 127) >> 5)

    def node(self, level: int, index: int) -> bytes:
        """A node of the tree, ``level`` 0 for a leaf."""
        span = _QUAD << level
        if (index + 1) * span <= self.size << _QUAD_HEIGHT:
            row = self.full[level]
            return row[index % len(row)]
        if level >= _QUAD_HEIGHT:
            at_border = index == self.size * 4 // span
            return self.border[level] if at_border else commp.ZERO_ROOTS[level]
        quad = _levels(self.payload(self.size % _QUAD))[level]
        inside = index - (self.size // _QUAD << (_QUAD_HEIGHT - level))
        return quad[inside] if inside < len(quad) else commp.ZERO_ROOTS[level]

    def proof(self, leaf: int) -> bytes:
        """The leaf and its siblings from the bottom up."""
        path = [self.node(0, leaf)]
        path += [self.node(level, (leaf >> level) ^ 1) for level in range(self.height)]
        return b"".join(path)

    def payload(self, length: int) -> bytes:
        """The first ``length`` bytes."""
        block = _block(self.seed)
        return (block * (length // _QUAD + 1))[:length]


@lru_cache(maxsize=4_096)
def pattern(seed: int, size: int) -> Pattern:
    """The piece of a number and a size of at least one byte."""
    height = height_of(size)
    full = [tuple(row) for row in _levels(_block(seed))]
    while len(full) <= height:
        (below,) = set(full[-1])
        full.append((commp.parent(below, below),))
    return Pattern(seed, size, tuple(full), _border(seed, size, full))


def _border(seed: int, size: int, full: list[tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """The node of every level that the end of the payload lies in (a zero one where it lies
    between two); the two lowest levels are not kept."""
    quads, rest = divmod(size, _QUAD)
    last = _levels(_block(seed)[:rest])[-1][0] if rest else commp.ZERO_ROOTS[_QUAD_HEIGHT]
    border = [b"", b"", last]
    for level in range(_QUAD_HEIGHT, len(full) - 1):
        if quads >> (level - _QUAD_HEIGHT) & 1:
            border.append(commp.parent(full[level][0], border[level]))
        else:
            border.append(commp.parent(border[level], commp.ZERO_ROOTS[level]))
    return tuple(border)


def _levels(raw: bytes) -> list[list[bytes]]:
    """Leaves, pairs and the node of one quad."""
    return commp.levels(commp.leaves(raw), start=0, height=_QUAD_HEIGHT)


def _block(seed: int) -> bytes:
    return hashlib.shake_256(b"freehold" + seed.to_bytes(8, "big")).digest(_QUAD)

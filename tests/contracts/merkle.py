"""Pieces, trees and leaf proofs for the contract tests, straight from the rules with hashlib.

fr32: 127 payload bytes become 128, as four little-endian 254-bit numbers (two zero bits each).
A node is sha256(left || right) with the two top bits of its last byte cleared. A piece of height
h (PieceCID v2, FRC-0069) is a tree of 2**h leaves of 32 bytes; the proof of a leaf is the leaf
and its h siblings from the bottom up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from eth_utils.crypto import keccak

LEAF = 32
QUAD_IN, QUAD_OUT = 127, 128
FIELD_BITS = 254


def node(left: bytes, right: bytes) -> bytes:
    """The parent of two nodes."""
    digest = hashlib.sha256(left + right).digest()
    return digest[:31] + bytes([digest[31] & 0x3F])


def fr32(data: bytes) -> bytes:
    """Payload, padded with zeros to whole quads, in fr32."""
    padded = data + bytes(-len(data) % QUAD_IN)
    out = bytearray()
    for start in range(0, len(padded), QUAD_IN):
        number = int.from_bytes(padded[start : start + QUAD_IN], "little")
        for i in range(4):
            part = number >> (FIELD_BITS * i) & ((1 << FIELD_BITS) - 1)
            out += part.to_bytes(LEAF, "little")
    return bytes(out)


def height_of(size: int) -> int:
    """The least height whose tree holds `size` payload bytes."""
    height = 2
    while QUAD_IN << (height - 2) < size:
        height += 1
    return height


def leaf_count(padding: int, height: int) -> int:
    """Leaves that hold data: 2**height less those of `padding` payload bytes."""
    return (1 << height) - ((QUAD_OUT * padding // QUAD_IN) >> 5)


@lru_cache(maxsize=64)
def zero(level: int) -> bytes:
    """The root of a tree of 2**level zero leaves."""
    return bytes(LEAF) if level == 0 else node(zero(level - 1), zero(level - 1))


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of 2**height leaves of which the first ones are given, the others zero."""

    height: int
    levels: tuple[tuple[bytes, ...], ...] = field(repr=False)

    @property
    def root(self) -> bytes:
        return self.levels[-1][0]

    def at(self, level: int, index: int) -> bytes:
        """A node; those beyond the given leaves are zero subtrees."""
        row = self.levels[level]
        return row[index] if index < len(row) else zero(level)

    def proof(self, leaf: int) -> bytes:
        """leaf || siblings."""
        path = [self.at(0, leaf)]
        for level in range(self.height):
            path.append(self.at(level, (leaf >> level) ^ 1))
        return b"".join(path)


def tree_of(leaves: list[bytes], height: int) -> Tree:
    """The tree over the given first leaves."""
    levels = [tuple(leaves)]
    for level in range(height):
        row = levels[-1]
        half = (len(row) + 1) // 2
        right = [row[2 * i + 1] if 2 * i + 1 < len(row) else zero(level) for i in range(half)]
        levels.append(tuple(node(row[2 * i], right[i]) for i in range(half)))
    return Tree(height, tuple(levels))


@dataclass(frozen=True, slots=True)
class Piece:
    """A committed payload."""

    size: int
    height: int
    leaves: int
    tree: Tree

    @property
    def root(self) -> bytes:
        return self.tree.root

    def proof(self, leaf: int) -> bytes:
        return self.tree.proof(leaf)


def piece_of(data: bytes) -> Piece:
    """Commit a payload of at least one byte."""
    height = height_of(len(data))
    raw = fr32(data)
    leaves = [raw[i : i + LEAF] for i in range(0, len(raw), LEAF)]
    padding = (QUAD_IN << (height - 2)) - len(data)
    return Piece(
        len(data), height, leaf_count(padding, height), tree_of(leaves[: 1 << height], height)
    )


@lru_cache(maxsize=512)
def sample(seed: int, size: int = 300) -> Piece:
    """A distinct piece for a number."""
    stream = hashlib.shake_256(seed.to_bytes(8, "big")).digest(size)
    return piece_of(stream)


def challenge(seed: bytes, set_id: int, i: int, span: int) -> int:
    """The leaf that challenge i of a round draws out of `span`."""
    packed = seed + set_id.to_bytes(32, "big") + i.to_bytes(8, "big")
    return int.from_bytes(keccak(packed), "big") % span


def locate(live: list[tuple[int, int]], leaf: int) -> tuple[int, int]:
    """(piece id, offset) of a leaf of a set; `live` is (piece id, leaves) in order."""
    for piece_id, leaves in live:
        if leaf < leaves:
            return piece_id, leaf
        leaf -= leaves
    raise IndexError(leaf)

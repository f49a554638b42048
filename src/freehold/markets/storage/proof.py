"""Proofs that a leaf of a piece is there, from a cached tree and one small read.

A proof is the leaf and its ``height`` siblings from the bottom up, 32 bytes each, packed. The
cached tree keeps one level (of subtrees over 64 KiB of leaves, 0.05 % of the piece), so that a
proof reads 65,024 aligned raw bytes and never the whole piece. Its file: magic, version, height,
level, raw size, root, then the roots of that level that have payload; integers big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Self

from freehold.domain.errors import IntegrityError, UsageError, VersionError
from freehold.domain.ids import keccak
from freehold.markets.storage import commp
from freehold.markets.storage.commp import NODE
from freehold.markets.storage.piece import Committer, Piece, capacity, leaf_count

ReadRange = Callable[[int, int], bytes]
"""``(offset, length)`` to exactly that many raw bytes of the piece."""

_MAGIC = b"FHTR"
_VERSION = 1
_HEADER = struct.Struct(">4sBBBxQ32s")
_READ = 16 * commp.UNIT_RAW


@dataclass(frozen=True, slots=True)
class CachedTree:
    """The upper levels of one piece's tree: ``levels[i]`` has height ``level + i``."""

    piece: Piece
    level: int
    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, piece: Piece, roots: bytes) -> Self:
        """The tree over ``roots``, as the sink of a Committer received them.

        IntegrityError if they do not lead to the root of ``piece``; UsageError if it is empty.
        """
        _need_leaves(piece)
        level = _level(piece)
        if len(roots) != _count(piece) * NODE:
            raise _unfit(piece, "it has another number of nodes")
        nodes = [roots[i : i + NODE] for i in range(0, len(roots), NODE)]
        levels = commp.levels(nodes, start=level, height=piece.height)
        if levels[-1][0] != piece.root:
            raise _unfit(piece, "its nodes lead to another root")
        return cls(piece, level, tuple(tuple(each) for each in levels))

    @classmethod
    def load(cls, data: bytes, piece: Piece) -> Self:
        """Read the file form back; IntegrityError if it is damaged or of another piece."""
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise _unfit(piece, "it is not the file of a tree")
        _, version, height, level, raw_size, root = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise VersionError(
                f"the cached tree of {piece.cid} has version {version}, not {_VERSION}",
                remedy="Build it again from the piece.",
            )
        if (height, level, raw_size, root) != _identity(piece):
            raise _unfit(piece, "it was made for another piece")
        return cls.of(piece, data[_HEADER.size :])

    def to_bytes(self) -> bytes:
        """The file form."""
        header = _HEADER.pack(_MAGIC, _VERSION, *_identity(self.piece))
        return header + b"".join(self.levels[0])


def build(source: BinaryIO, cache_sink: BinaryIO) -> Piece:
    """Commit to all of ``source`` and write its cached tree to ``cache_sink``."""
    roots = bytearray()
    committer = Committer(sink=roots.extend)
    while chunk := source.read(_READ):
        committer.update(chunk)
    piece = committer.finish()
    cache_sink.write(CachedTree.of(piece, bytes(roots)).to_bytes())
    return piece


def read_size(piece: Piece) -> int:
    """The most raw bytes that one proof of ``piece`` reads."""
    return min(capacity(_level(piece)), piece.raw_size)


def prove(leaf_index: int, cache: CachedTree, read_range: ReadRange) -> bytes:
    """The leaf and its siblings, packed: 32 x (1 + height) bytes.

    Reads one range. UsageError if there is no such leaf; IntegrityError, naming the range, if
    the bytes read are not those that were committed to.
    """
    piece = cache.piece
    if not 0 <= leaf_index < leaf_count(piece):
        raise UsageError(
            f"piece {piece.cid} has no leaf {leaf_index}",
            remedy=f"It has leaves 0 to {leaf_count(piece) - 1}.",
        )
    below = _lower_levels(leaf_index >> cache.level, cache, read_range)
    path = [below[0][_within(leaf_index, cache.level)]]
    for height, nodes in enumerate([*below[:-1], *cache.levels[:-1]]):
        local = height < cache.level
        index = (_within(leaf_index, cache.level) if local else leaf_index) >> height ^ 1
        path.append(nodes[index] if index < len(nodes) else commp.ZERO_ROOTS[height])
    return b"".join(path)


def verify(root: bytes, height: int, leaf_index: int, proof: bytes) -> bool:
    """Whether ``proof`` shows the leaf at ``leaf_index`` of the tree with this root and height."""
    if len(proof) != NODE * (1 + height) or not 0 <= leaf_index < 1 << height:
        return False
    node = proof[:NODE]
    for level in range(height):
        sibling = proof[NODE * (level + 1) : NODE * (level + 2)]
        right = leaf_index >> level & 1
        node = commp.parent(sibling, node) if right else commp.parent(node, sibling)
    return node == root


def challenge_index(seed: bytes, set_id: int, i: int, leaf_range: int) -> int:
    """The leaf that challenge ``i`` asks for, of ``leaf_range`` leaves (FilOzone/pdp's rule)."""
    if len(seed) != NODE or leaf_range <= 0:
        raise UsageError(
            f"no challenge follows from a seed of {len(seed)} bytes over {leaf_range} leaves",
            remedy="Use the round's 32-byte seed and the set's frozen range.",
        )
    packed = seed + set_id.to_bytes(32, "big") + i.to_bytes(8, "big")
    return int.from_bytes(keccak(packed), "big") % leaf_range


def odds(challenges: int, lost_fraction: float, periods: int) -> float:
    """Probability that losing this fraction of the leaves is noticed within so many periods."""
    if challenges < 0 or periods < 0 or not 0 <= lost_fraction <= 1:
        raise UsageError(
            f"no odds of {challenges} challenges in {periods} periods at {lost_fraction} lost",
            remedy="Counts are not negative and the lost fraction lies between 0 and 1.",
        )
    return float(1 - (1 - lost_fraction) ** (challenges * periods))


def _level(piece: Piece) -> int:
    return min(commp.UNIT_HEIGHT, piece.height)


def _count(piece: Piece) -> int:
    return -(-piece.raw_size // capacity(_level(piece)))


def _identity(piece: Piece) -> tuple[int, int, int, bytes]:
    return piece.height, _level(piece), piece.raw_size, piece.root


def _within(leaf_index: int, level: int) -> int:
    return leaf_index & (1 << level) - 1


def _need_leaves(piece: Piece) -> None:
    if not piece.raw_size:
        raise UsageError(
            f"piece {piece.cid} is empty and cannot be proven", remedy="Store at least one byte."
        )


def _unfit(piece: Piece, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the cached tree of {piece.cid} cannot be used: {reason}",
        remedy="Build it again from the piece.",
    )


def _lower_levels(index: int, cache: CachedTree, read_range: ReadRange) -> list[list[bytes]]:
    """Levels 0 to ``cache.level`` of one subtree, read from the piece and checked."""
    piece, size = cache.piece, capacity(cache.level)
    offset = index * size
    length = min(size, piece.raw_size - offset)
    raw = read_range(offset, length)
    found = commp.levels(commp.leaves(raw), start=0, height=cache.level) if raw else []
    if len(raw) != length or found[-1][0] != cache.levels[0][index]:
        raise IntegrityError(
            f"piece {piece.cid} is damaged within bytes {offset} to {offset + length}",
            remedy="Restore the piece from a backup, or have the column regenerated.",
        )
    return found

"""Commitments and cached proof trees of pieces, as bytes arrive and again from the disk."""

from __future__ import annotations

import os

from freehold.markets.storage import proof
from freehold.markets.storage.piece import Committer, Piece, parse_cid
from freehold.markets.storage.proof import CachedTree
from freehold.node.files import disk, replace_file
from freehold.node.store import Store

READ = 2**20


class PieceHasher:
    """Computes a piece and its tree's file form while bytes arrive; about 0.05 % of memory."""

    def __init__(self, size: int) -> None:
        self._roots = bytearray()
        self._committer = Committer(size, sink=self._roots.extend)

    def update(self, data: bytes | memoryview) -> None:
        """Take more bytes."""
        self._committer.update(data)

    def finish(self) -> tuple[Piece, bytes]:
        """The piece and its tree in disk format."""
        piece = self._committer.finish()
        return piece, CachedTree.of(piece, bytes(self._roots)).to_bytes()


class Trees:
    """Answers challenges about held pieces from their cached trees and one small read each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def prove(self, cid: str, leaf: int) -> bytes:
        """The leaf and its siblings; IntegrityError when the bytes asked for are damaged."""
        piece = parse_cid(cid)
        tree = self._load(piece)
        with self._store.opened(cid) as handle:
            return proof.prove(leaf, tree, lambda offset, length: os.pread(handle, length, offset))

    def _load(self, piece: Piece) -> CachedTree:
        file = self._store.tree_file(piece.cid)
        with disk(file):
            return CachedTree.load(file.read_bytes(), piece)

    def rebuild(self, cid: str) -> Piece:
        """Make the cached tree again from the piece's bytes; returns what they really are."""
        hasher = PieceHasher(parse_cid(cid).raw_size)
        with self._store.opened(cid) as handle:
            offset = 0
            while block := os.pread(handle, READ, offset):
                hasher.update(block)
                offset += len(block)
        piece, tree = hasher.finish()
        if piece.cid == cid:
            replace_file(self._store.tree_file(cid), tree)
        return piece

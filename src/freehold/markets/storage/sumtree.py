"""A sum tree over the leaf counts of a set's pieces, as the verifier contract keeps it.

``sums[i]`` is the number of leaves in the ``2^h`` pieces that end with piece ``i``, where ``h`` is
the number of trailing one bits of ``i`` (a Fenwick tree). Adding, removing and finding take
O(log n). Piece ids count up from 0 and are never used again. Source: FilOzone/pdp, PDPVerifier.
"""

from __future__ import annotations

from freehold.domain.errors import NotFoundError, UsageError


def height_of(index: int) -> int:
    """How many lower nodes the sum at ``index`` takes in: the trailing one bits of ``index``."""
    return (~index & index + 1).bit_length() - 1


class SumTree:
    """Leaf counts of the pieces of one set, in the order of their addition."""

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._leaves: list[int] = []
        self._total = 0

    @property
    def total(self) -> int:
        """Leaves of all pieces: the range of challenges."""
        return self._total

    @property
    def sums(self) -> tuple[int, ...]:
        """The stored partial sums, as the contract stores them."""
        return tuple(self._sums)

    def __len__(self) -> int:
        return len(self._sums)

    def leaves(self, piece_id: int) -> int:
        """Leaves of one piece; 0 once it is removed, NotFoundError if it never was."""
        if not 0 <= piece_id < len(self._leaves):
            raise NotFoundError(
                f"the set has no piece {piece_id}", remedy=f"It has seen {len(self)} pieces."
            )
        return self._leaves[piece_id]

    def add(self, leaves: int) -> int:
        """Append a piece of ``leaves`` (at least one) leaves; its id."""
        if leaves <= 0:
            raise UsageError(
                f"a piece of {leaves} leaves cannot be proven", remedy="Add pieces with payload."
            )
        index = len(self._sums)
        below = (self._sums[index - (1 << level)] for level in range(height_of(index)))
        self._sums.append(leaves + sum(below))
        self._leaves.append(leaves)
        self._total += leaves
        return index

    def remove(self, piece_id: int) -> int:
        """Take a piece out of the range; the leaves it had. NotFoundError if it is not there."""
        leaves = self.leaves(piece_id)
        if not leaves:
            raise NotFoundError(
                f"piece {piece_id} was removed before", remedy="Remove a piece only once."
            )
        index = piece_id
        while index < len(self._sums):
            self._sums[index] -= leaves
            index += 1 << height_of(index)
        self._leaves[piece_id] = 0
        self._total -= leaves
        return leaves

    def find(self, leaf: int) -> tuple[int, int]:
        """The piece that holds leaf ``leaf`` of the whole set, and the leaf's index in it."""
        if not 0 <= leaf < self._total:
            raise NotFoundError(
                f"the set has no leaf {leaf}", remedy=f"It has {self._total} leaves."
            )
        index, left = -1, leaf
        for level in reversed(range(len(self._sums).bit_length())):
            probe = index + (1 << level)
            if probe < len(self._sums) and self._sums[probe] <= left:
                left -= self._sums[probe]
                index = probe
        return index + 1, left

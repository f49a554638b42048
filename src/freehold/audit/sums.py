"""A sum tree over the leaf counts of a set's pieces, to find the piece of a challenged leaf."""

from __future__ import annotations


class Sums:
    """Counts by position that can change, with a search by running sum (Fenwick)."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._tree: list[int] = [0]
        self.total = 0

    def append(self, count: int) -> None:
        """Add a count at the next position."""
        self._counts.append(count)
        place = len(self._counts)
        covered = place - (place & -place)
        below, node = place - 1, count
        while below > covered:
            node += self._tree[below]
            below -= below & -below
        self._tree.append(node)
        self.total += count

    def clear(self, position: int) -> None:
        """Set the count at a position to zero."""
        gone = self._counts[position]
        self._counts[position] = 0
        self.total -= gone
        place = position + 1
        while place < len(self._tree):
            self._tree[place] -= gone
            place += place & -place

    def find(self, leaf: int) -> tuple[int, int]:
        """The position of a leaf and its offset there; ``leaf`` must be under ``total``."""
        place = 0
        step = 1 << len(self._counts).bit_length()
        while step:
            if place + step < len(self._tree) and self._tree[place + step] <= leaf:
                place += step
                leaf -= self._tree[place]
            step >>= 1
        return place, leaf

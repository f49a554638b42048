"""Plain Merkle trees: ceil(log2 n) levels over n leaves, zeros where nothing stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from freehold.domain.ids import keccak

EMPTY = bytes(32)


@dataclass(frozen=True, slots=True)
class Merkle:
    """A tree's levels, the leaves first; every leaf is a hash of 32 bytes."""

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, leaves: Sequence[bytes]) -> Self:
        """The tree of leaves in this order; of none, one zero word."""
        levels = [tuple(leaves) or (EMPTY,)]
        while len(levels[-1]) > 1:
            below = levels[-1] + (EMPTY,) * (len(levels[-1]) % 2)
            pairs = range(0, len(below), 2)
            levels.append(tuple(keccak(below[i] + below[i + 1]) for i in pairs))
        return cls(tuple(levels))

    @property
    def root(self) -> bytes:
        """The hash at the top."""
        return self.levels[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """The hashes beside the way from a leaf to the root."""
        return tuple(
            row[beside] if (beside := (index >> level) ^ 1) < len(row) else EMPTY
            for level, row in enumerate(self.levels[:-1])
        )

"""A trace with everything behind its hashes."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.markets.models.trace.merkle import Merkle
from freehold.markets.models.trace.values import (
    OWNER,
    Bond,
    Cell,
    Column,
    Facts,
    Leaf,
    Member,
    Node,
    Sums,
    Trace,
    Words,
    pack,
)


@dataclass(frozen=True, slots=True)
class Built:
    """A subnet's trace with everything that its hashes stand for.

    ``rows``, ``sums`` and ``dividends`` have one entry more than there are uids: what ran up
    before each, and behind the last. ``table`` is active stake and row sum of each member.
    """

    facts: Facts
    trace: Trace
    permits: tuple[int, ...]
    members: tuple[Member, ...]
    weights: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]
    table: tuple[tuple[int, int], ...]
    columns: tuple[Column, ...]
    bonds: tuple[Bond, ...]
    dividends: tuple[tuple[int, ...], ...]
    cells: tuple[Cell, ...]
    sums: tuple[Sums, ...]
    leaves: tuple[Leaf, ...]
    tree: Merkle

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Who holds the uids."""
        return self.facts.nodes

    def grains(self, uid: int) -> int:
        """What a node is paid, dust included; of ``OWNER``, the subnet's owner."""
        if uid == OWNER:
            return self.trace.owner_part
        dust = self.trace.dust if uid == self.trace.dust_uid else 0
        return self.cells[uid].server + self.cells[uid].validator + dust

    def permit_words(self) -> Words:
        """The permits as they are hashed."""
        return pack([uid + 1 for uid in self.permits], 16)

    def member_words(self) -> Words:
        """The members as they are hashed."""
        return pack([member.lane() for member in self.members], 64)

    def table_words(self) -> Words:
        """The table as it is hashed."""
        return pack([active << 28 | total for active, total in self.table], 64)

    def weight_words(self, uid: int) -> Words:
        """A node's weights as they are hashed."""
        return pack(self.weights[uid], 16)

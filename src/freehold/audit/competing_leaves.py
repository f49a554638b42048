"""The accounts of a root, of which only leaves are known that its proposer had to show.

Up to the first leaf that is not one's own, all are the same; it is searched for in many places at
once, for a leaf's path tells whether everything before it is the same too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError, NotFoundError
from freehold.domain.ids import Address, raw_address
from freehold.economics.trees import Leaf, Tree
from freehold.ledger.contracts.base import convert
from freehold.ledger.values import Value
from freehold.markets.models.trace.values import Header

SPREAD = 63
"""Places that are looked at together."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A leaf that was shown, with the nodes beside its way up."""

    account: Address
    grains: int
    index: int
    path: tuple[int, ...]

    def words(self) -> tuple[object, ...]:
        """As the contract takes it."""
        return self.account, self.grains, self.index, list(self.path)


@dataclass(frozen=True, slots=True)
class Glimpse(Tree):
    """A tree of which two neighbours are known: ``first`` is where an account stands, or would."""

    header: Header
    shown: Mapping[int, Shown]
    first: int

    @property
    def count(self) -> int:
        """Leaves."""
        return self.header.count

    def place(self, account: Address) -> int:  # noqa: ARG002 - it is the one in question
        """Where the account in question is, or would be."""
        return self.first

    def leaf(self, index: int) -> Leaf:
        """A leaf that was shown; NotFoundError of another."""
        found = self._of(index)
        return Leaf(found.account, found.grains)

    def path(self, index: int) -> tuple[int, ...]:
        """Its path."""
        return self._of(index).path

    def _of(self, index: int) -> Shown:
        if index not in self.shown:
            raise NotFoundError(f"leaf {index} was not shown", remedy="Demand it.")
        return self.shown[index]


class Leaves:
    """What was shown of a root's leaves, beside one's own tree (None: nobody earned anything)."""

    def __init__(self, header: Header, own: Tree | None) -> None:
        self._header, self._own = header, own
        self.shown: dict[int, Shown] = {}

    def add(self, proof: Value) -> None:
        """A leaf as the event ``Answered`` tells it; the chain has checked it."""
        found = convert(Shown, proof)
        self.shown[found.index] = found

    def wanted(self) -> list[int]:
        """The leaves to demand next; none once the first false one is known."""
        return spread(*self._bounds())

    def disorder(self) -> tuple[Shown, Shown] | None:
        """Two neighbours that do not rise, where the first false leaf is one of them."""
        _, first = self._bounds()
        if not 0 < first < self._header.count:
            return None
        pair = self.shown[first - 1], self.shown[first]
        rises = raw_address(pair[0].account) < raw_address(pair[1].account)
        return None if rises else pair

    def glimpse(self) -> tuple[Address, Tree]:
        """The first account whose grains are wrong, and the tree to show it of. IntegrityError
        where none is."""
        _, first = self._bounds()
        named = [each for each in (self._mine(first), self._theirs(first)) if each is not None]
        if not named:
            raise IntegrityError("no account's grains are wrong", remedy="Report this root.")
        account = min(named, key=raw_address)
        empty = Tree.of({account: 10**9})
        return account, Glimpse(
            empty.accounts, empty.grains, empty.levels, self._header, self.shown, first
        )

    def _bounds(self) -> tuple[int, int]:
        """As ``bounds`` tells."""
        return bounds({each: self._agrees(each) for each in self.shown}, self._header.count)

    def _agrees(self, index: int) -> bool:
        own, found = self._own, self.shown[index]
        if (
            own is None
            or index >= own.count
            or own.leaf(index) != Leaf(found.account, found.grains)
        ):
            return False
        return all(
            beside == own.node(level, (index >> level) ^ 1)
            for level, beside in enumerate(found.path)
            if index >> level & 1
        )

    def _mine(self, index: int) -> Address | None:
        own = self._own
        return own.leaf(index).account if own is not None and index < own.count else None

    def _theirs(self, index: int) -> Address | None:
        found = self.shown.get(index)
        return found.account if found else None


def spread(low: int, high: int) -> list[int]:
    """Places between two, as far from each other as so few can be."""
    between = high - low - 1
    parts = min(SPREAD, between) + 1
    return [low + (high - low) * part // parts for part in range(1, parts)]


def bounds(agrees: Mapping[int, bool], count: int) -> tuple[int, int]:
    """The last place up to which a list is the same as one's own (-1: none), and the first place
    known behind it up to which it is not, or the list's length."""
    low = max((at for at, same in agrees.items() if same), default=-1)
    return low, min((at for at in agrees if at > low), default=count)

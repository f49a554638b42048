"""Sum trees over what accounts have earned: one root pays everybody, and any lie in it shows.

A leaf is an account and all that it ever earned, in whole *grains* of 10^9 base units; leaves are
sorted by account, and no account has two. A node is one word of 32 bytes, ``hash || sum``: the
first 24 bytes of a Keccak-256, and the sum of all leaves below it in 8 bytes. A leaf hashes
``LEAF || account || grains``, each padded in front to 32 bytes, a node ``NODE || left || right``,
so that every sum is in the hash above it. There are ceil(log2 n) levels above the leaves; where
nothing stands there is the word of zeros, and the bits of an index say left or right.

Two words that collide take 2^96 hashes; a second word for a given one takes 2^192. The contract
``roots`` computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import ConflictError, IntegrityError, NotFoundError, UsageError
from freehold.domain.ids import Address, checksum, keccak, raw_address
from freehold.economics.tree_hash import Words, hashes

GRAIN = 10**9
"""Base units in a grain; what is less than one waits until it is, and is never paid early."""
MAX_COUNT, MAX_SUM = 2**32, 2**64 - 1
"""Accounts of a tree, and grains of a tree, at most."""
LEAF = keccak(b"Freehold reward leaf")
NODE = keccak(b"Freehold reward node")
RECORD = 28
"""Bytes of a leaf in the data that a proposer serves: account, grains (both big-endian)."""
_ACCOUNT = 20
_RECORD = np.dtype([("account", np.uint8, (_ACCOUNT,)), ("grains", ">u8")])


@dataclass(frozen=True, slots=True)
class Leaf:
    """An account and the grains that it ever earned."""

    account: Address
    grains: int

    def word(self) -> int:
        """The leaf's node."""
        body = bytes(12) + raw_address(self.account) + self.grains.to_bytes(32, "big")
        return _word(LEAF, body, self.grains)


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring leaves from ``first`` on, and the nodes beside their paths, from the leaves up,
    left before right."""

    first: int
    leaves: tuple[Leaf, ...]
    beside: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A sum tree. ``accounts`` has the shape (n, 20), ``grains`` (n,), each level (nodes, 4)."""

    accounts: NDArray[np.uint8]
    grains: Words
    levels: tuple[Words, ...]

    @classmethod
    def of(cls, amounts: Mapping[Address, int]) -> Self:
        """The tree of what accounts ever earned, in base units; those below a grain stay out.

        Raises UsageError for a negative amount, an empty tree or too much in all.
        """
        kept = {account: amount // GRAIN for account, amount in amounts.items() if amount >= GRAIN}
        if min(amounts.values(), default=0) < 0:
            raise UsageError("an amount below zero", remedy="Earnings only ever grow.")
        if sum(kept.values()) > MAX_SUM:
            raise _too_much()
        raw = bytes.fromhex("".join(account[2:] for account in kept))
        accounts = np.frombuffer(raw, np.uint8).reshape(-1, _ACCOUNT)
        return cls.of_columns(accounts, np.fromiter(kept.values(), np.uint64, len(kept)))

    @classmethod
    def of_columns(cls, accounts: NDArray[np.uint8], grains: Words) -> Self:
        """The tree of accounts (n, 20) and grains (n,) in any order.

        Raises ConflictError for an account that comes twice, UsageError as ``of`` does, also for
        a leaf of no grains.
        """
        _check(len(accounts), grains)
        keys = _keys(accounts)
        order = np.lexsort(keys[::-1])
        ordered = accounts[order]
        repeats = np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1))
        if len(repeats):
            raise ConflictError(
                f"account {checksum(ordered[repeats[0]].tobytes())} comes twice",
                remedy="Add up what an account earned, and give it one leaf.",
            )
        return cls(ordered, grains[order], _levels(ordered, grains[order]))

    @classmethod
    def read(cls, data: bytes) -> Self:
        """The tree of served data; IntegrityError unless it is exactly what ``data`` gives."""
        if not data or len(data) % RECORD:
            raise _not_served(f"{len(data)} bytes are not whole leaves of {RECORD}")
        records = np.frombuffer(data, _RECORD)
        accounts, grains = records["account"], records["grains"].astype(np.uint64)
        try:
            tree = cls.of_columns(accounts, grains)
        except (ConflictError, UsageError) as error:
            raise _not_served(error.message) from error
        if not np.array_equal(tree.accounts, accounts):
            raise _not_served("the accounts are not sorted")
        return tree

    def data(self) -> bytes:
        """What the proposer serves: every leaf in 28 bytes, in order."""
        records = np.empty(self.count, _RECORD)
        records["account"], records["grains"] = self.accounts, self.grains
        return records.tobytes()

    @property
    def count(self) -> int:
        """Leaves."""
        return len(self.grains)

    @property
    def depth(self) -> int:
        """Levels above the leaves: the length of every path."""
        return len(self.levels) - 1

    @property
    def root(self) -> int:
        """The word at the top; its low 64 bits are the total."""
        return _number(self.levels[-1][0])

    @property
    def total(self) -> int:
        """Grains of all leaves together."""
        return self.root & MAX_SUM

    def leaf(self, index: int) -> Leaf:
        """A leaf by its index; NotFoundError beyond the last."""
        if not 0 <= index < self.count:
            raise NotFoundError(
                f"no leaf {index} among {self.count}", remedy="Indexes count from 0."
            )
        return Leaf(checksum(self.accounts[index].tobytes()), int(self.grains[index]))

    def index(self, account: Address) -> int:
        """Where an account's leaf is; NotFoundError when it has none."""
        place = self.place(account)
        if place == self.count or self.accounts[place].tobytes() != raw_address(account):
            raise NotFoundError(
                f"account {account} has earned nothing by this epoch",
                remedy="Ask for a later epoch, or check the account.",
            )
        return place

    def place(self, account: Address) -> int:
        """How many leaves lie before an account: its index, or where it would be."""
        low, high, wanted = 0, self.count, raw_address(account)
        while low < high:
            middle = (low + high) // 2
            if self.accounts[middle].tobytes() < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def path(self, index: int) -> tuple[int, ...]:
        """The nodes beside the way from a leaf to the root."""
        self.leaf(index)
        return tuple(self.node(level, (index >> level) ^ 1) for level in range(self.depth))

    def paths(self, first: int, count: int) -> Words:
        """The paths of neighbouring leaves at once, shape (count, depth, 4), as bytes in memory."""
        indexes = np.arange(first, min(first + count, self.count))
        found = np.zeros((len(indexes), self.depth, 4), np.uint64)
        for level, nodes in enumerate(self.levels[:-1]):
            beside = (indexes >> level) ^ 1
            there = beside < len(nodes)
            found[there, level] = nodes[beside[there]]
        return found

    def span(self, first: int, count: int) -> Span:
        """Neighbouring leaves and what proves them together."""
        leaves = tuple(self.leaf(index) for index in range(first, first + count))
        return Span(first, leaves, tuple(self._beside(first, first + count - 1)))

    def node(self, level: int, index: int) -> int:
        """A word of the tree, the leaves at level 0; zero where nothing stands."""
        nodes = self.levels[level]
        return _number(nodes[index]) if index < len(nodes) else 0

    def _beside(self, low: int, high: int) -> Iterator[int]:
        for level in range(self.depth):
            if low & 1:
                yield self.node(level, low - 1)
            if not high & 1:
                yield self.node(level, high + 1)
            low, high = low >> 1, high >> 1


def proves(root: int, leaf: Leaf, index: int, path: Sequence[int]) -> bool:
    """Whether a path leads from a leaf at an index to a root."""
    word, total = leaf.word(), leaf.grains
    if index < 0 or index >> len(path):
        return False
    for level, beside in enumerate(path):
        pair = (beside, word) if index >> level & 1 else (word, beside)
        total += beside & MAX_SUM
        if total > MAX_SUM:
            return False
        word = parent(*pair)
    return word == root


def parent(left: int, right: int) -> int:
    """The node above two; their sums must fit together into 64 bits."""
    body = left.to_bytes(32, "big") + right.to_bytes(32, "big")
    return _word(NODE, body, (left & MAX_SUM) + (right & MAX_SUM))


def depth_of(count: int) -> int:
    """ceil(log2 count): the length of every path in a tree of ``count`` leaves."""
    return (count - 1).bit_length()


def first_sunk(before: Tree, after: Tree) -> Leaf | None:
    """The first leaf of ``before`` whose account has less in ``after``: a proof of fraud."""
    at = np.searchsorted(_joined(after.accounts), _joined(before.accounts))
    inside = np.minimum(at, after.count - 1)
    same = (after.accounts[inside] == before.accounts).all(axis=1)
    sunk = np.flatnonzero(~same | (after.grains[inside] < before.grains))
    return before.leaf(int(sunk[0])) if len(sunk) else None


def _levels(accounts: NDArray[np.uint8], grains: Words) -> tuple[Words, ...]:
    blocks = np.zeros((len(grains), 64), np.uint8)
    blocks[:, 12:32] = accounts
    blocks[:, 56:] = grains.astype(">u8").view(np.uint8).reshape(-1, 8)
    levels = [_nodes(LEAF, blocks.view(np.uint64), grains)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        if len(below) & 1:
            below = np.vstack([below, np.zeros((1, 4), np.uint64)])
        sums = _sums(below)
        levels.append(_nodes(NODE, below.reshape(-1, 8), sums[::2] + sums[1::2]))
    return tuple(levels)


def _nodes(tag: bytes, blocks: Words, sums: Words) -> Words:
    made = np.empty((len(blocks), 4), np.uint64)
    made[:, :3] = hashes(tag, blocks)
    made[:, 3] = sums.astype(">u8").view(np.uint64)
    return made


def _sums(nodes: Words) -> Words:
    return np.ascontiguousarray(nodes[:, 3]).view(">u8").astype(np.uint64)


def _word(tag: bytes, body: bytes, total: int) -> int:
    return int.from_bytes(keccak(tag + body)[:24] + total.to_bytes(8, "big"), "big")


def _number(node: Words) -> int:
    return int.from_bytes(node.tobytes(), "big")


def _keys(accounts: NDArray[np.uint8]) -> tuple[NDArray[np.generic], ...]:
    """Columns to sort by: 8, 8 and 4 bytes."""
    flat = np.ascontiguousarray(accounts).view(np.uint8)
    return tuple(
        np.ascontiguousarray(flat[:, part]).view(kind).ravel()
        for part, kind in ((slice(0, 8), ">u8"), (slice(8, 16), ">u8"), (slice(16, 20), ">u4"))
    )


def _joined(accounts: NDArray[np.uint8]) -> NDArray[np.void]:
    """One value an account, in the order of accounts."""
    big = np.dtype([("a", ">u8"), ("b", ">u8"), ("c", ">u4")])
    return np.ascontiguousarray(accounts).view(big).ravel()


def _check(count: int, grains: Words) -> None:
    if not 0 < count <= MAX_COUNT:
        raise UsageError(
            f"a tree of {count} accounts", remedy="An epoch without earnings has no root."
        )
    if not grains.all():
        raise UsageError("a leaf of no grains", remedy="Leave out who has earned nothing.")
    # Halves of 32 bits, whose sums cannot overflow.
    if (int((grains >> np.uint64(32)).sum()) << 32) + int(
        (grains & np.uint64(2**32 - 1)).sum()
    ) > MAX_SUM:
        raise _too_much()


def _too_much() -> UsageError:
    return UsageError(
        f"more than {MAX_SUM} grains in all", remedy="Check the amounts: they are base units."
    )


def _not_served(reason: str) -> IntegrityError:
    return IntegrityError(
        f"this is no data of a root: {reason}",
        remedy="Take it from another source; if the proposer serves it, dispute the root.",
    )

"""Reward roots as values: headers, leaves and their paths, and what disproves a root.

The rules are those of docs/decisions/0008-reward-roots.md; the trees are
``freehold.economics.trees``. Everything here reads the arguments of a call as they stand in a
transaction's input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Self

from eth_abi.abi import encode

from freehold.audit import inputs
from freehold.audit.inputs import Fields
from freehold.audit.transactions import Transaction
from freehold.domain.ids import Address, keccak, raw_address
from freehold.economics.trees import LEAF, MAX_SUM, NODE, Leaf, depth_of

ROOTS = "roots"
DISPUTES = {"order": 3, "padding": 2, "sum": 6, "leaf": 3, "sunk": 4}
"""Reasons that make a root void, and how many arguments the call that shows each has."""
UNSERVED = "not served"


@dataclass(frozen=True, slots=True)
class Header:
    """What a proposer put down; totals in grains, ``until`` the end of its dispute window."""

    position: int
    since: int
    epoch: int
    parent_total: int
    root: int
    count: int
    data: bytes
    proposer: Address
    until: int
    bond: int

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """The header of a struct."""
        numbers = {
            name: inputs.number(fields, name)
            for name in ("position", "since", "epoch", "parent_total", "root", "count", "until",
                         "bond")
        }  # fmt: skip
        proposer, data = inputs.account(fields, "proposer"), inputs.data(fields, "data")
        return cls(**numbers, data=data, proposer=proposer)

    @property
    def total(self) -> int:
        """Grains of all leaves."""
        return self.root & MAX_SUM

    def hash(self) -> bytes:
        """What the contract remembers of it."""
        words = ["uint256"] * 6 + ["bytes32", "address", "uint256", "uint256"]
        return keccak(encode(words, astuple(self)))


@dataclass(frozen=True, slots=True)
class Proof:
    """A leaf at an index and the nodes beside its way to the root, from the leaf up."""

    leaf: Leaf
    index: int
    path: tuple[int, ...]

    @classmethod
    def of(cls, fields: Fields) -> Self:
        """The proof of a struct, or of the arguments of a claim."""
        leaf = Leaf(inputs.account(fields, "account"), inputs.number(fields, "grains"))
        return cls(leaf, inputs.number(fields, "index"), tuple(inputs.numbers(fields, "path")))

    def root(self) -> int | None:
        """The word that the path leads to; None where a sum does not fit."""
        if not 0 <= self.leaf.grains <= MAX_SUM:
            return None
        return climb(self.leaf.word(), self.index, self.path)

    def stands(self, header: Header) -> bool:
        """Whether it is a leaf of a root, at the depth that its count has."""
        inside = self.index < header.count and len(self.path) == depth_of(header.count)
        return inside and self.root() == header.root

    def ends(self) -> bool:
        """Whether nothing stands to the right of the path."""
        return all(self.index >> i & 1 or not beside for i, beside in enumerate(self.path))


def climb(word: int, index: int, path: Sequence[int]) -> int | None:
    """The word above a node; None where the sums do not fit into 64 bits."""
    for level, beside in enumerate(path):
        left, right = (beside, word) if index >> level & 1 else (word, beside)
        above = _parent(left, right)
        if above is None:
            return None
        word = above
    return word


def span_root(call: Fields) -> int | None:
    """The root above the neighbouring leaves of a ``claim_many``; None where there is none."""
    leaves = [Leaf(inputs.account(f, "account"), inputs.number(f, "grains"))
              for f in inputs.structs(call, "leaves")]  # fmt: skip
    if not leaves or any(leaf.grains > MAX_SUM for leaf in leaves):
        return None
    beside, low = list(inputs.numbers(call, "beside")), inputs.number(call, "first")
    row: list[int | None] = [leaf.word() for leaf in leaves]
    for _ in range(inputs.number(call, "depth")):
        if low & 1:
            row.insert(0, beside.pop(0) if beside else None)
        if len(row) & 1:
            row.append(beside.pop(0) if beside else None)
        row = [_above(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        low >>= 1
    return row[0] if len(row) == 1 and not beside else None


def shown_leaves(
    transaction: Transaction, final: Mapping[int, int]
) -> Iterator[tuple[Address, int]]:
    """Accounts and grains that the claims in an input prove under final roots by epoch."""
    for call in inputs.calls(transaction, ROOTS, "claim", 5):
        proof = Proof.of(call)
        if proof.root() == final.get(inputs.number(call, "epoch"), -1):
            yield proof.leaf.account, proof.leaf.grains
    for call in inputs.calls(transaction, ROOTS, "claim_many", 5):
        if span_root(call) == final.get(inputs.number(call, "epoch"), -1):
            for fields in inputs.structs(call, "leaves"):
                yield inputs.account(fields, "account"), inputs.number(fields, "grains")


def claim_of(
    transaction: Transaction, account: Address, grains: int
) -> tuple[int, Proof | None] | None:
    """The epoch under whose root an input claims a leaf, with its proof where it was claimed alone;
    None where no input tells."""
    for call in inputs.calls(transaction, ROOTS, "claim", 5):
        proof = Proof.of(call)
        if proof.leaf == Leaf(account, grains):
            return inputs.number(call, "epoch"), proof
    for call in inputs.calls(transaction, ROOTS, "claim_many", 5):
        told = (account, grains)
        if any((f["account"], f["grains"]) == told for f in inputs.structs(call, "leaves")):
            return inputs.number(call, "epoch"), None
    return None


def disproved(transaction: Transaction, reason: str, header: Header, parent: bytes) -> bool:
    """Whether a call in an input shows that a root is false; ``parent`` is the hash of the root
    before it."""
    shown: dict[str, Callable[[Fields, Header], bool]] = {
        "order": _order, "padding": _padding, "sum": _sum, "leaf": _leaf,
        "sunk": lambda call, root: _sunk(call, root, parent),
    }  # fmt: skip
    calls = inputs.calls(transaction, ROOTS, f"dispute_{reason}", DISPUTES[reason])
    return any(
        Header.of(inputs.struct(call, "header")) == header and shown[reason](call, header)
        for call in calls
    )


def _parent(left: int, right: int) -> int | None:
    total = (left & MAX_SUM) + (right & MAX_SUM)
    return None if total > MAX_SUM else _word(NODE, left, right, total)


def _above(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else _parent(left, right)


def _word(tag: bytes, first: int, second: int, total: int) -> int:
    digest = keccak(tag + first.to_bytes(32, "big") + second.to_bytes(32, "big"))
    return int.from_bytes(digest[:24], "big") << 64 | total


def _order(call: Fields, header: Header) -> bool:
    first, second = (Proof.of(inputs.struct(call, name)) for name in ("first", "second"))
    neighbours = second.index == first.index + 1 and first.stands(header) and second.stands(header)
    return neighbours and not _rises(first, second)


def _padding(call: Fields, header: Header) -> bool:
    last = Proof.of(inputs.struct(call, "last"))
    return last.stands(header) and last.index + 1 == header.count and not last.ends()


def _sum(call: Fields, header: Header) -> bool:
    left, right, stated, index = (
        inputs.number(call, name) for name in ("left", "right", "stated", "index")
    )
    false = stated <= MAX_SUM and stated != (left & MAX_SUM) + (right & MAX_SUM)
    path = inputs.numbers(call, "path")
    return false and climb(_word(NODE, left, right, stated), index, path) == header.root


def _leaf(call: Fields, header: Header) -> bool:
    proof, stated = Proof.of(inputs.struct(call, "leaf")), inputs.number(call, "stated")
    account = int.from_bytes(raw_address(proof.leaf.account), "big")
    if stated > MAX_SUM or stated == proof.leaf.grains:
        return False
    word = _word(LEAF, account, proof.leaf.grains, stated)
    return climb(word, proof.index, proof.path) == header.root


def _sunk(call: Fields, header: Header, parent: bytes) -> bool:
    former = Header.of(inputs.struct(call, "parent"))
    before = Proof.of(inputs.struct(call, "before"))
    after = [Proof.of(fields) for fields in inputs.structs(call, "after")]
    known = former.position + 1 == header.position and former.hash() == parent
    if not known or not before.stands(former) or not all(p.stands(header) for p in after):
        return False
    if len(after) == 2:
        neighbours = after[1].index == after[0].index + 1
        return neighbours and _rises(after[0], before) and _rises(before, after[1])
    return bool(after) and _sank(header.count, before, after[0])


def _sank(count: int, before: Proof, after: Proof) -> bool:
    if after.leaf.account == before.leaf.account:
        return after.leaf.grains < before.leaf.grains
    return after.index == 0 if _rises(before, after) else after.index + 1 == count


def _rises(first: Proof, second: Proof) -> bool:
    return raw_address(first.leaf.account) < raw_address(second.leaf.account)

"""The pieces of a trace and how each is hashed; contract module ``traced`` does the same.

Hashes are Keccak-256 over a tag and whole words of 32 bytes. Vectors over validators are packed
into words, the first value in the lowest bits; their hash covers the count of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from freehold.domain.ids import Address, keccak, raw_address
from freehold.markets.models.yuma.values import Rules

VERSION = 1
OWNER = 0xFFFF
"""Stands for a subnet's owner where a uid is expected, and for nobody in a prune word."""
EMPTY = bytes(32)
NOBODY = Address("0x" + "00" * 20)
SEATS_MAX, NODES_MAX, PRUNED = 256, 4_096, 16

Words: TypeAlias = tuple[int, ...]


def word(value: int | bytes | str) -> bytes:
    """32 bytes of a number, a hash or an account."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return bytes(12) + raw_address(Address(value))
    return value.to_bytes(32, "big")


def tagged(tag: str, *values: int | bytes | str) -> bytes:
    """Hash of a tag's hash and words."""
    return keccak(keccak(f"Freehold {tag}".encode()) + b"".join(map(word, values)))


def pack(values: Sequence[int], bits: int) -> Words:
    """A vector as words; ``bits`` divides 256 and holds every value."""
    each = 256 // bits
    return tuple(
        sum(value << (bits * k) for k, value in enumerate(values[at : at + each]))
        for at in range(0, len(values), each)
    )


def unpack(words: Sequence[int], bits: int) -> list[int]:
    """All places of a packed vector, also those behind its last value."""
    mask = (1 << bits) - 1
    return [value >> at & mask for value in words for at in range(0, 256, bits)]


def vector(words: Sequence[int]) -> bytes:
    """Hash of a packed vector."""
    head = word(32) + word(len(words))
    return keccak(head + b"".join(map(word, words)))


@dataclass(frozen=True, slots=True)
class Header:
    """A root of rewards as it was proposed (contract ``roots``); totals in grains."""

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

    def words(self) -> tuple[object, ...]:
        """As a contract takes it."""
        return (
            self.position, self.since, self.epoch, self.parent_total, self.root,
            self.count, self.data, self.proposer, self.until, self.bond,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """A subnet's rules of an epoch: those of Yuma (stakes in grains), seconds of immunity, and the
    owner's part in ten-thousandths."""

    rules: Rules
    immunity: int
    owner_bps: int


@dataclass(frozen=True, slots=True)
class Row:
    """What a validator revealed: (uid, weight) with rising uids; when it was committed, seconds."""

    entries: tuple[tuple[int, int], ...]
    committed: int

    def packed(self) -> bytes:
        """The row's bytes, 16 bits each."""
        return b"".join(
            uid.to_bytes(2, "big") + weight.to_bytes(2, "big") for uid, weight in self.entries
        )


@dataclass(frozen=True, slots=True)
class Node:
    """Who held a uid at the epoch's end, since when (seconds), with what stake (grains), which is 0
    where it is below the least or none was recorded."""

    account: Address
    generation: int
    registered: int
    stake: int

    def words(self) -> tuple[object, ...]:
        return self.account, self.generation, self.registered, self.stake

    def hash(self) -> bytes:
        return tagged("trace node", self.account, self.generation, self.registered, self.stake)


@dataclass(frozen=True, slots=True)
class Member:
    """A validator of the epoch: its place among those of the trace before (-1 for none), whether
    it revealed weights, and its share of the stake, I32F32."""

    uid: int
    was: int
    active: bool
    share: int

    def lane(self) -> int:
        """64 bits: uid 16, place and one 12, activity 1, share 35."""
        return self.uid << 48 | (self.was + 1) << 36 | int(self.active) << 35 | self.share


@dataclass(frozen=True, slots=True)
class Column:
    """Consensus and rank of a node, I32F32."""

    consensus: int
    rank: int

    def words(self) -> tuple[object, ...]:
        return self.consensus, self.rank

    def hash(self) -> bytes:
        return tagged("trace column", self.consensus, self.rank)


@dataclass(frozen=True, slots=True)
class Bond:
    """A node's bonds: of every validator what the next epoch starts from, of 65535, and what it
    gains by them, I32F32."""

    stored: tuple[int, ...]
    gains: tuple[int, ...]

    def parts(self) -> tuple[bytes, bytes]:
        """Hashes of both."""
        return vector(pack(self.stored, 16)), vector(pack(self.gains, 64))

    def hash(self) -> bytes:
        return tagged("trace bond", *self.parts())


@dataclass(frozen=True, slots=True)
class Cell:
    """Grains of a node's incentive, of its dividends, and of both shares together, by which nodes
    are pruned; the larger remainder of the first two, of 2^32, and one (0 for no share)."""

    server: int
    validator: int
    combined: int
    remainder: int

    def words(self) -> tuple[object, ...]:
        return self.server, self.validator, self.combined, self.remainder

    def hash(self) -> bytes:
        return tagged("trace cell", self.server, self.validator, self.combined, self.remainder)


@dataclass(frozen=True, slots=True)
class Sums:
    """What ran up along the uids before one: grains of stake, whether any consensus is not 0,
    ranks, incentives, grains paid, and the largest remainder with its uid."""

    stake: int = 0
    consensus: bool = False
    ranks: int = 0
    incentives: int = 0
    paid: int = 0
    best: int = 0
    best_uid: int = 0

    def word(self) -> int:
        """All of it in 256 bits."""
        ranks = int(self.consensus) << 39 | self.ranks
        tail = self.paid << 49 | self.best << 16 | self.best_uid
        return self.stake << 192 | ranks << 152 | self.incentives << 113 | tail


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a trace holds of a uid, by hashes; ``sums`` is a plain word."""

    node: bytes
    raw: bytes
    rows: bytes
    column: bytes
    sums: int
    bond: bytes
    dividends: bytes
    cell: bytes

    def words(self) -> tuple[int | bytes, ...]:
        return (
            self.node, self.raw, self.rows, self.column,
            self.sums, self.bond, self.dividends, self.cell,
        )  # fmt: skip

    def hash(self) -> bytes:
        return tagged("trace leaf", *self.words())


@dataclass(frozen=True, slots=True)
class Trace:
    """What a subnet's epoch comes to; every field as in contract module ``traced``."""

    nodes: bytes
    count: int
    permits: bytes
    members: bytes
    size: int
    table: bytes
    dividends: bytes
    stake: int
    consensus: int
    ranks: int
    incentives: int
    dividend_total: int
    dividend_sum: int
    emission: int
    owner_part: int
    dust: int
    dust_uid: int
    prune: int

    FIELDS: ClassVar[int] = 18

    def words(self) -> tuple[int | bytes, ...]:
        return (
            self.nodes, self.count, self.permits, self.members, self.size, self.table,
            self.dividends, self.stake, self.consensus, self.ranks, self.incentives,
            self.dividend_total, self.dividend_sum, self.emission, self.owner_part,
            self.dust, self.dust_uid, self.prune,
        )  # fmt: skip

    def hash(self) -> bytes:
        return tagged("trace", *self.words())


@dataclass(frozen=True, slots=True)
class Pay:
    """Grains for an account by a cell of a subnet, and what it got before in the same list."""

    account: Address
    subnet: int
    uid: int
    grains: int
    before: int

    def words(self) -> tuple[int | str, ...]:
        return self.account, self.subnet, self.uid, self.grains, self.before

    def hash(self) -> bytes:
        return tagged("trace pay", *self.words())

    def rank(self) -> tuple[bytes, int, int]:
        """What the list is sorted by."""
        return raw_address(self.account), self.subnet, self.uid


@dataclass(frozen=True, slots=True)
class Batch:
    """What a root's ``data`` names: the traces of all subnets, and the list of what is paid."""

    subnets: bytes
    subnet_count: int
    cells: bytes
    cell_count: int
    version: int = VERSION

    def words(self) -> tuple[int | bytes, ...]:
        return self.version, self.subnets, self.subnet_count, self.cells, self.cell_count

    def hash(self) -> bytes:
        return tagged("batch of traces", *self.words())


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger knows of a subnet's epoch: everything that its trace follows from.

    ``opened``: when the first epoch began that the root covers; ``ended``: when the last one
    ended, seconds. ``budget`` in grains. ``rows`` by uid, of those who revealed.
    """

    subnet: int
    owner: Address
    terms: Terms
    nodes: tuple[Node, ...]
    rows: dict[int, Row] = field(default_factory=dict)
    budget: int = 0
    opened: int = 0
    ended: int = 0

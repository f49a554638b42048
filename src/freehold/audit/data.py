"""Read every shard of an object from every node, and say which node's column differs.

Each column must commit to the root that its deal names on the chain; all must begin with the same
head; and whichever k of them are decoded must give the same sealed segments, so that no choice of
nodes can be given other data. With the owner's keys the head and every segment are also opened.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from freehold.domain.errors import FreeholdError, IntegrityError, NotEnoughShardsError
from freehold.domain.ids import Address
from freehold.markets.storage.column import PREFIX_LENGTH, ColumnLayout, regenerate
from freehold.markets.storage.erasure import Code
from freehold.markets.storage.piece import Committer

BLOCK = 4 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """A column as its deal has it on the chain: slot, node, root, raw bytes, height."""

    slot: int
    node: Address
    root: bytes
    size: int
    height: int


class ShardSource(Protocol):
    """Where columns are read: a client's session with the nodes."""

    def read(self, target: Target, offset: int, length: int) -> bytes:
        """Bytes of a column as its node gives them; FreeholdError where it does not."""


class ObjectKeys(Protocol):
    """The owner's keys to one object; both raise IntegrityError where the bytes are not theirs."""

    def open_head(self, header: bytes) -> object:
        """Open the sealed header that every column begins with."""

    def open_segment(self, index: int, count: int, sealed: memoryview) -> object:
        """Open a sealed segment."""


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What was found at one column; ``fault`` is None where it is whole.

    ``offset`` is the first byte that differs, where enough others are whole to tell; ``segment``
    is where that lies, None in the head.
    """

    slot: int
    node: Address
    bytes_read: int
    fault: str | None = None
    offset: int | None = None
    segment: int | None = None


@dataclass(frozen=True, slots=True)
class DataReport:
    """Every column, how many segments were decoded and from how many choices of k columns."""

    columns: tuple[ColumnReport, ...]
    segments: int
    subsets: int
    opened: bool
    fault: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every column is whole and all of them agree."""
        return self.fault is None and all(column.fault is None for column in self.columns)

    @property
    def differing(self) -> tuple[ColumnReport, ...]:
        """The columns that are not what the chain says."""
        return tuple(column for column in self.columns if column.fault is not None)

    def to_json(self) -> dict[str, object]:
        """A JSON object with all of it."""
        return {"freehold_data_verification": 1, "passed": self.passed, **asdict(self)}


def _quiet(_stage: str, _done: int, _total: int) -> None:
    return None


def verify_object(
    targets: Sequence[Target],
    *,
    k: int,
    source: ShardSource,
    keys: ObjectKeys | None = None,
    progress: Callable[[str, int, int], None] = _quiet,
) -> DataReport:
    """Read every byte of every column and check it; memory is about two segments.

    ``progress`` gets the stage, bytes done and bytes there are. Never raises for what a node
    does: the report names it.
    """
    check = _Check(targets, k, source, progress)
    columns = [check.column(target) for target in targets]
    whole = [t for t, found in zip(targets, columns, strict=True) if found.fault is None]
    try:
        layout, head = check.head(whole)
        columns = [_located(check, layout, whole, found) for found in columns]
        subsets = _subsets([t.slot for t in whole], k)
        if keys is not None:
            keys.open_head(head[PREFIX_LENGTH:])
        for segment in range(layout.segments):
            check.segment(layout, segment, subsets, whole, keys)
    except FreeholdError as error:
        return DataReport(tuple(columns), 0, 0, keys is not None, error.message)
    return DataReport(tuple(columns), layout.segments, len(subsets), keys is not None)


class _Check:
    """One object's columns, read from their nodes."""

    def __init__(
        self,
        targets: Sequence[Target],
        k: int,
        source: ShardSource,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._targets = {target.slot: target for target in targets}
        self._k = k
        self._source = source
        self._progress = progress
        self._total = sum(target.size for target in targets)
        self._done = 0

    def column(self, target: Target) -> ColumnReport:
        """Read a whole column and commit to it."""
        committer, count = Committer(), 0
        try:
            for data in self._blocks(target):
                committer.update(data)
                count += len(data)
            found = committer.finish()
        except FreeholdError as error:
            return ColumnReport(target.slot, target.node, count, f"it is not given: {error}")
        if (found.root, found.height) != (target.root, target.height):
            fault = f"it commits to 0x{found.root.hex()}, the deal names 0x{target.root.hex()}"
            return ColumnReport(target.slot, target.node, count, fault)
        return ColumnReport(target.slot, target.node, count)

    def head(self, whole: Sequence[Target]) -> tuple[ColumnLayout, bytes]:
        """The layout and the bytes that all whole columns begin with."""
        if len(whole) < self._k:
            raise NotEnoughShardsError(
                f"only {len(whole)} columns are whole, {self._k} are needed to decode",
                remedy="Repair the object's columns.",
            )
        layout = ColumnLayout.parse(self.read(whole[0], 0, PREFIX_LENGTH))
        if (layout.k, layout.n, layout.total) != (self._k, len(self._targets), whole[0].size):
            raise IntegrityError(
                f"the columns say {layout.k} of {layout.n}, {layout.total} bytes; the deal says "
                f"{self._k} of {len(self._targets)}, {whole[0].size} bytes",
                remedy="The deal was opened for other bytes: store the object again.",
            )
        heads = {t.slot: self.read(t, 0, layout.data_offset) for t in whole}
        first = heads[whole[0].slot]
        other = [slot for slot, head in heads.items() if head != first]
        if other:
            raise IntegrityError(
                f"columns {other} begin with another manifest than column {whole[0].slot}",
                remedy="The object was stored wrongly: store it again.",
            )
        return layout, first

    def segment(
        self,
        layout: ColumnLayout,
        segment: int,
        subsets: Sequence[Sequence[int]],
        whole: Sequence[Target],
        keys: ObjectKeys | None,
    ) -> None:
        """Decode a segment from every choice of k columns; all must give the same bytes."""
        offset, length = layout.shard_offset(segment), layout.shard_length(segment)
        shards = {t.slot: self.read(t, offset, length) for t in whole}
        code, sealed_length = Code(layout.k, layout.n), layout.sealed_length(segment)
        digests: dict[bytes, Sequence[int]] = {}
        for subset in subsets:
            sealed = code.decode({slot: shards[slot] for slot in subset}, sealed_length)
            if keys is not None and not digests:
                keys.open_segment(segment, layout.segments, sealed)
            digests.setdefault(hashlib.sha256(sealed).digest(), subset)
        if len(digests) > 1:
            one, other, *_ = digests.values()
            raise IntegrityError(
                f"segment {segment} decodes differently from columns {list(one)} and {list(other)}",
                remedy="The object was stored wrongly: store it again.",
            )

    def first_difference(
        self, layout: ColumnLayout, whole: Sequence[Target], slot: int
    ) -> int | None:
        """Where a column first differs from what the whole ones make of it."""
        target, at = self._targets[slot], 0
        readers = {t.slot: _reader(self, t) for t in whole}
        for expected in regenerate(layout, slot, readers):
            found = self.read(target, at, len(expected))
            if found != expected:
                return at + _mismatch(expected, found)
            at += len(expected)
        return None

    def read(self, target: Target, offset: int, length: int) -> bytes:
        """Bytes of a column, in blocks that no node can make larger."""
        parts = []
        for start in range(offset, offset + length, BLOCK):
            size = min(BLOCK, offset + length - start)
            parts.append(self._source.read(target, start, size)[:size])
        return b"".join(parts)

    def _blocks(self, target: Target) -> Iterator[bytes]:
        for start in range(0, target.size, BLOCK):
            data = self.read(target, start, min(BLOCK, target.size - start))
            self._done += len(data)
            self._progress("data", self._done, self._total)
            yield data


def _located(
    check: _Check, layout: ColumnLayout, whole: Sequence[Target], found: ColumnReport
) -> ColumnReport:
    """A differing column with the place of its first wrong byte, where that can be told."""
    if found.fault is None or found.bytes_read == 0:
        return found
    try:
        offset = check.first_difference(layout, whole, found.slot)
    except FreeholdError:
        return found  # its node gave it once and does not now: the fault stands without a place
    segment = None if offset is None else _segment(layout, offset)
    return ColumnReport(found.slot, found.node, found.bytes_read, found.fault, offset, segment)


def _segment(layout: ColumnLayout, offset: int) -> int | None:
    """The segment whose shard holds byte ``offset`` of a column; None in the head."""
    starts = [layout.shard_offset(index) for index in range(layout.segments)]
    return bisect_right(starts, offset) - 1 if starts and offset >= starts[0] else None


def _reader(check: _Check, target: Target) -> Callable[[int, int], bytes]:
    return lambda offset, length: check.read(target, offset, length)


def _mismatch(expected: bytes, found: bytes) -> int:
    pairs = enumerate(zip(expected, found, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(expected), len(found)))


def _subsets(slots: Sequence[int], k: int) -> list[tuple[int, ...]]:
    """Choices of k columns in which every column takes part, and the parity ones together."""
    starts = sorted({*range(0, len(slots) - k + 1, k), len(slots) - k})
    return [tuple(slots[start : start + k]) for start in starts]

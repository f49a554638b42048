"""How an object lies on one node: prefix, sealed header, then one shard of every segment.

The first 32 bytes are clear, so that whoever repairs needs no key::

    "FHC1" | version u8 | k u8 | n u8 | 0 | header u32 | segments u32 | segment u64 | last u64

with big-endian lengths in bytes: of the header, of the data in a full segment, and of the data
in the last one. Prefix and header are the same in all n columns; then follows, for each
segment, shard ``index`` of its sealed form (16 bytes longer than its data).

Data is padded with zeros to the sizes of Padmé (Nikitin et al., PURBs, 2019), at least 4 KiB:
at most 12 % more, 3 % above 1 MiB, and a size tells no more than O(log log) bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from freehold.domain.errors import (
    CapacityError,
    IntegrityError,
    NotEnoughShardsError,
    UsageError,
    VersionError,
)
from freehold.markets.storage.erasure import MAX_SHARDS, Code
from freehold.markets.storage.seal import MAX_SEGMENT_LENGTH, SEGMENT_LENGTH, TAG_LENGTH

Reader = Callable[[int, int], bytes]
"""``read(offset, length)`` of one column: exactly ``length`` bytes."""

PREFIX_LENGTH = 32
MAX_HEADER_LENGTH = 8 * 2**20
MAX_SEGMENTS = 2**20
MIN_PADDED = 4096
_VERSION = 1
_MAGIC = b"FHC1"
_PREFIX = struct.Struct(">4sBBBBIIQQ")


def padded_size(size: int, *, least: int = MIN_PADDED) -> int:
    """The size on nodes of ``size`` bytes of data: the next Padmé size, at least ``least``."""
    if size <= least:
        return least
    exponent = size.bit_length() - 1
    spare = exponent - exponent.bit_length()
    return -(-size >> spare) << spare


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes ``start`` to ``stop`` of the data of one segment."""

    segment: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """Where everything lies in each of an object's n columns; all lengths in bytes.

    Building one out of bounds raises IntegrityError, so a hostile prefix costs nothing.
    """

    k: int
    n: int
    segments: int
    segment_length: int
    last_length: int
    header_length: int

    def __post_init__(self) -> None:
        within = (
            1 <= self.k <= self.n <= MAX_SHARDS
            and 1 <= self.segments <= MAX_SEGMENTS
            and 1 <= self.last_length <= self.segment_length <= MAX_SEGMENT_LENGTH
            and 1 <= self.header_length <= MAX_HEADER_LENGTH
        )
        if not within:
            raise IntegrityError(
                f"no column has {self.k} of {self.n} shards, {self.segments} segments of "
                f"{self.segment_length} (last {self.last_length}) and a header of "
                f"{self.header_length} bytes",
                remedy="The column was not written by freehold; fetch it from another node.",
            )

    @classmethod
    def plan(
        cls,
        size: int,
        *,
        k: int,
        n: int,
        header_length: int,
        segment_length: int = SEGMENT_LENGTH,
    ) -> ColumnLayout:
        """The layout of an object of ``size`` bytes; CapacityError above 2^20 segments."""
        if size < 0 or segment_length < 1:
            raise UsageError(
                f"an object of {size} bytes cannot be cut in segments of {segment_length}",
                remedy="Sizes are not negative and segments not empty.",
            )
        padded = padded_size(size)
        count = -(-padded // segment_length)
        if count > MAX_SEGMENTS:
            raise CapacityError(
                f"an object of {size} bytes needs {count} segments; {MAX_SEGMENTS} is the limit",
                remedy="Store it in parts, or choose longer segments.",
            )
        last = padded - (count - 1) * segment_length
        full = segment_length if count > 1 else last
        return cls(k, n, count, full, last, header_length)

    @classmethod
    def parse(cls, prefix: bytes) -> ColumnLayout:
        """The layout of a column from its first 32 bytes; IntegrityError or VersionError."""
        if len(prefix) != PREFIX_LENGTH or prefix[:3] != _MAGIC[:3]:
            raise IntegrityError(
                "these bytes do not begin a Freehold column",
                remedy="Fetch the column from another node.",
            )
        magic, version, k, n, zero, header, count, full, last = _PREFIX.unpack(prefix)
        if magic != _MAGIC or version != _VERSION or zero:
            raise VersionError(
                f"the column has format {magic!r} version {version}",
                remedy="Install a newer release of freehold.",
            )
        return cls(k, n, count, full, last, header)

    def prefix(self) -> bytes:
        """The 32 bytes that begin every column of the object."""
        return _PREFIX.pack(
            _MAGIC,
            _VERSION,
            self.k,
            self.n,
            0,
            self.header_length,
            self.segments,
            self.segment_length,
            self.last_length,
        )

    @property
    def data_offset(self) -> int:
        """Where the shard of segment 0 begins."""
        return PREFIX_LENGTH + self.header_length

    @property
    def size(self) -> int:
        """Bytes of data in all segments, padding included."""
        return (self.segments - 1) * self.segment_length + self.last_length

    @property
    def total(self) -> int:
        """Bytes of a whole column: the raw size of its piece."""
        return self.shard_offset(self.segments - 1) + self.shard_length(self.segments - 1)

    def plain_length(self, segment: int) -> int:
        """Bytes of data in ``segment``, padding included."""
        if not 0 <= segment < self.segments:
            raise UsageError(
                f"the object has no segment {segment}",
                remedy=f"Number its segments from 0 to {self.segments - 1}.",
            )
        return self.last_length if segment == self.segments - 1 else self.segment_length

    def sealed_length(self, segment: int) -> int:
        """Bytes of ``segment`` once sealed: what its shards decode to."""
        return self.plain_length(segment) + TAG_LENGTH

    def shard_length(self, segment: int) -> int:
        """Bytes of each shard of ``segment``."""
        return -(-self.sealed_length(segment) // self.k)

    def shard_offset(self, segment: int) -> int:
        """Where in the column the shard of ``segment`` begins."""
        self.plain_length(segment)
        return self.data_offset + segment * -(-(self.segment_length + TAG_LENGTH) // self.k)

    def slices(self, start: int, stop: int) -> Iterator[Slice]:
        """The parts of segments that hold bytes ``start`` to ``stop`` of the data.

        A segment is authenticated as a whole, so each part costs k shards of its segment.
        """
        if not 0 <= start <= stop <= self.size:
            raise UsageError(
                f"bytes {start} to {stop} lie outside the {self.size} bytes of the object",
                remedy="Ask for a range within its size.",
            )
        while start < stop:
            segment, offset = divmod(start, self.segment_length)
            end = min(self.plain_length(segment), offset + stop - start)
            yield Slice(segment, offset, end)
            start += end - offset


def pad(data: bytes, length: int) -> bytes:
    """``data`` with zeros behind it up to ``length`` bytes."""
    return data if len(data) == length else data.ljust(length, b"\0")


REPAIR_BLOCK = 4 * 2**20


def regenerate(
    layout: ColumnLayout,
    index: int,
    readers: Mapping[int, Reader],
    *,
    block: int = REPAIR_BLOCK,
) -> Iterator[bytes]:
    """The bytes of column ``index``, in order, from any k other columns of the object.

    Needs no key: ciphertext suffices. ``layout`` is parsed from any column's prefix; compare it
    with the deal first. Memory is about k + 1 blocks. The first k columns other than ``index``
    are read, and their prefixes and headers must agree. NotEnoughShardsError below k;
    IntegrityError names the column whose bytes are short or disagree. A column that lies about
    its shards shows only in the result's PieceCID: hash the sources to find it.
    """
    code = Code(layout.k, layout.n)
    sources = {i: readers[i] for i in sorted(readers) if i != index}
    if len(sources) < layout.k:
        raise NotEnoughShardsError(
            f"only {len(sources)} of the {layout.k} columns that are needed can be read",
            remedy="Wait until more of the object's nodes answer.",
        )
    chosen = {i: sources[i] for i in list(sources)[: layout.k]}
    yield _agreed_head(layout, chosen)
    for segment in range(layout.segments):
        offset, left = layout.shard_offset(segment), layout.shard_length(segment)
        while left:
            size = min(block, left)
            parts = {i: _exact(i, read, offset, size) for i, read in chosen.items()}
            yield code.rebuild(parts, index)
            offset, left = offset + size, left - size


def _agreed_head(layout: ColumnLayout, chosen: Mapping[int, Reader]) -> bytes:
    heads = {i: _exact(i, read, 0, layout.data_offset) for i, read in chosen.items()}
    first, head = next(iter(heads.items()))
    for i, other in heads.items():
        if other != head or other[:PREFIX_LENGTH] != layout.prefix():
            raise IntegrityError(
                f"column {i} does not begin as column {first} and the layout do",
                remedy="Check both against their PieceCIDs and leave out the one that lies.",
            )
    return head


def _exact(index: int, read: Reader, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise IntegrityError(
            f"column {index} gave {len(data)} of {length} bytes at {offset}",
            remedy="Leave out that column; its node does not hold it whole.",
        )
    return data

"""Systematic, headerless Reed-Solomon: n shards, any k of which give the data back.

Shards 0..k-1 are the data itself, cut in k equal parts (the last padded with zeros); shards
k..n-1 are combinations of them by the pinned matrix of ``galois``. A shard carries no header,
so whoever has k others regenerates it bit for bit, and its PieceCID stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from freehold.domain.errors import IntegrityError, NotEnoughShardsError, UsageError
from freehold.markets.storage import galois

Buffer = bytes | bytearray | memoryview

MAX_SHARDS = 32
"""Columns that one deal of the storage contract can hold."""
PRESETS = ((4, 6), (10, 14), (20, 30))
"""(k, n) for a handful of nodes, a middling network, a large one."""


def room(size: int) -> memoryview:
    """Memory for ``size`` bytes to seal, read or open into.

    Its first contents mean nothing. Use it again: fresh memory costs more than AES does, and
    most of all in large pages, which the kernel seldom has at hand (as numpy would ask for).
    """
    return memoryview(bytearray(size))


@dataclass(frozen=True, slots=True)
class Code:
    """A k of n code; 1 <= k <= n <= 32 (UsageError).

    ``kernel`` is the machine's fastest one unless given.
    """

    k: int
    n: int
    kernel: galois.Kernel = field(default_factory=galois.kernel, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= MAX_SHARDS:
            raise UsageError(
                f"no code takes {self.k} of {self.n} shards",
                remedy=f"Choose 1 <= k <= n <= {MAX_SHARDS}, such as 4 of 6.",
            )

    def shard_length(self, length: int) -> int:
        """Bytes of each shard of ``length`` bytes of data."""
        return -(-length // self.k)

    def encode(self, data: Buffer) -> list[memoryview]:
        """The n shards of ``data``, each of ``shard_length(len(data))`` bytes.

        Data shards are views of ``data`` (only the padded ones are copied): keep it unchanged
        while they are in use.
        """
        view = memoryview(data).cast("B")
        size = self.shard_length(len(view))
        shards = [_part(view, index, size) for index in range(self.k)]
        rows = galois.coding_matrix(self.k, self.n)[self.k :]
        parity = [room(size) for _ in rows]
        self._combine(rows, shards, parity)
        return shards + parity

    def part(self, data: memoryview, index: int, span: slice, into: memoryview) -> memoryview:
        """The bytes ``span`` of shard ``index`` of ``data``, whose length is a multiple of k.

        A view of ``data``, or computed ``into`` memory for that many bytes: while a shard is
        sent part by part, its parity needs no memory of its own.
        """
        size = self.shard_length(len(data))
        self._check_index(index)
        parts = [data[i * size : (i + 1) * size][span] for i in range(self.k)]
        if index < self.k:
            return parts[index]
        target = into[: len(parts[0])]
        self._combine(galois.coding_matrix(self.k, self.n)[index : index + 1], parts, [target])
        return target

    def decode(self, shards: Mapping[int, Buffer], length: int) -> memoryview:
        """The ``length`` bytes of data from any k shards by index, in memory of their own.

        With shards 0..k-1 at hand nothing is computed. Raises NotEnoughShardsError below k,
        IntegrityError on a shard of the wrong length, UsageError on an index outside the code.
        """
        size = self.shard_length(length)
        views = self._views(shards, size)
        data = room(self.k * size)
        parts = [data[index * size : (index + 1) * size] for index in range(self.k)]
        for index, part in enumerate(parts):
            if index in views:
                part[:] = views[index]
        missing = [index for index in range(self.k) if index not in views]
        self._recover(views, missing, [parts[index] for index in missing])
        return data[:length]

    def rebuild(self, shards: Mapping[int, Buffer], index: int) -> bytes:
        """Shard ``index``, bit for bit as encoded, from any k of the *other* shards.

        Errors are those of ``decode``.
        """
        others = {i: shard for i, shard in shards.items() if i != index}
        size = memoryview(next(iter(others.values()))).nbytes if others else 0
        views = self._views(others, size)
        self._check_index(index)
        target = room(size)
        self._recover(views, [index], [target])
        return bytes(target)

    def _recover(
        self,
        views: Mapping[int, memoryview],
        wanted: Sequence[int],
        targets: Sequence[memoryview],
    ) -> None:
        if wanted:
            chosen = sorted(views)[: self.k]
            rows = _recovery(self.k, self.n, tuple(chosen), tuple(wanted))
            self._combine(rows, [views[index] for index in chosen], targets)

    def _combine(
        self, rows: galois.Matrix, shards: Sequence[memoryview], targets: Sequence[memoryview]
    ) -> None:
        if rows and len(shards[0]):
            sources = [np.frombuffer(shard, np.uint8) for shard in shards]
            self.kernel.combine(rows, sources, [np.frombuffer(t, np.uint8) for t in targets])

    def _views(self, shards: Mapping[int, Buffer], size: int) -> dict[int, memoryview]:
        views = {index: memoryview(shard).cast("B") for index, shard in shards.items()}
        for index, view in views.items():
            self._check_index(index)
            if len(view) != size:
                raise IntegrityError(
                    f"shard {index} has {len(view)} bytes, not {size}",
                    remedy="Fetch it again, from another node if need be.",
                )
        if len(views) < self.k:
            raise NotEnoughShardsError(
                f"only {len(views)} of the {self.k} shards that are needed can be read",
                remedy="Wait until more of the object's nodes answer, or repair its columns.",
            )
        return views

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.n:
            raise UsageError(
                f"a {self.k} of {self.n} code has no shard {index}",
                remedy=f"Number the shards from 0 to {self.n - 1}.",
            )


@lru_cache(maxsize=512)
def _recovery(k: int, n: int, chosen: tuple[int, ...], wanted: tuple[int, ...]) -> galois.Matrix:
    """Coefficients that turn the ``chosen`` shards into the ``wanted`` ones."""
    matrix = galois.coding_matrix(k, n)
    data = galois.invert(tuple(matrix[index] for index in chosen))
    return galois.product(tuple(matrix[index] for index in wanted), data)


def _part(view: memoryview, index: int, size: int) -> memoryview:
    part = view[index * size : (index + 1) * size]
    return part if len(part) == size else memoryview(bytes(part).ljust(size, b"\0"))

"""The way out: k columns are read in parallel, checked, decoded if need be, and handed over.

A healthy read takes the k systematic columns straight into one buffer and decodes nothing. A
column that fails is replaced by another for good; one that is much slower than its fellows is
raced against another (hedged). Every segment must open under its AES-GCM tag: when it does not,
further columns are read and left out in turn until it does, and the liars are named. If that
fails, whole columns are hashed against their roots (``audit``) and the liars shut out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import combinations, islice
from queue import Empty, SimpleQueue
from threading import Event, Lock
from time import monotonic
from typing import Protocol

from freehold.client.timing import Timing
from freehold.domain.buffers import Buffers
from freehold.domain.errors import (
    CancelledError,
    FreeholdError,
    InsufficientFundsError,
    IntegrityError,
    NotEnoughShardsError,
)
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.erasure import Code, room
from freehold.markets.storage.seal import open_into

TRIES = 64
"""Combinations of columns that are tried on a segment before whole columns are hashed."""
HEDGE_FLOOR = 1.0
"""Seconds that a column may always take for one shard."""
HEDGE_FACTOR = 3.0
BUFFERS = 2
"""Segments in memory: the one that is handed over, and the one fetched ahead."""


class Column(Protocol):
    """One readable column of an object."""

    def read(self, start: int, into: memoryview, *, stop: Callable[[], bool]) -> None:
        """Fill ``into`` from ``start``; FreeholdError when it cannot."""

    def audit(self) -> bool:
        """Whether the whole column hashes to its root; False also when it cannot be read, but
        InsufficientFundsError when it is the reader who cannot pay for it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to read an object: its layout, id and content key."""

    layout: ColumnLayout
    object_id: bytes
    key: bytes = field(repr=False)


@dataclass(slots=True)
class _Shard:
    slot: int
    view: memoryview
    seconds: float


@dataclass(slots=True)
class _Order:
    """A segment being fetched: its buffer, the reads under way, and what has arrived."""

    index: int
    buffer: memoryview
    reads: dict[Future[_Shard], int] = field(default_factory=dict)
    shards: dict[int, _Shard] = field(default_factory=dict)
    stop: Event = field(default_factory=Event)
    started: float = 0.0


class Download:
    """Reads segments of one object from its columns (by slot); close it when done."""

    def __init__(
        self,
        recipe: Recipe,
        columns: Mapping[int, Column],
        *,
        timing: Timing,
        buffers: Buffers,
        clock: Callable[[], float] = monotonic,
        hedge_floor: float = HEDGE_FLOOR,
    ) -> None:
        self.recipe = recipe
        self.lost: dict[int, FreeholdError] = {}
        self.liars: set[int] = set()
        self._columns = columns
        self._code = Code(recipe.layout.k, recipe.layout.n)
        self._preferred = sorted(columns)
        self._timing, self._clock, self._floor = timing, clock, hedge_floor
        self._pool = ThreadPoolExecutor(max(1, 2 * len(columns)), "column")
        self._spare: SimpleQueue[memoryview] = SimpleQueue()
        self._buffers, self._own = buffers, list[memoryview]()
        self._audited = False
        self._ahead: _Order | None = None

    def segments(self, indexes: Sequence[int]) -> Iterator[memoryview]:
        """The data of each segment of ``indexes``, padding included, fetching one ahead: a column
        goes on with the next segment once it has given its part of this one.

        Each is gone when the next is asked for.
        """
        for position, index in enumerate(indexes):
            order = self._ahead or self._begun(index)
            following = indexes[position + 1 : position + 2]
            self._ahead = self._order(following[0]) if following and self._roomy() else None
            try:
                yield self._finish(order)
            except BaseException:
                if self._ahead is not None:
                    self._ahead.stop.set()
                raise

    def close(self) -> None:
        """Stop reading; returns once no thread uses a buffer any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        while self._own:
            self._buffers.give(self._own.pop())

    def _roomy(self) -> bool:
        """Whether a segment can be fetched ahead: a slow column may still hold a buffer."""
        return len(self._own) < BUFFERS or not self._spare.empty()

    def _buffer(self) -> memoryview:
        try:
            return self._spare.get_nowait()
        except Empty:
            size = self.recipe.layout.shard_length(0) * self.recipe.layout.k
            self._own.append(self._buffers.take(size))
            return self._own[-1]

    def _order(self, index: int) -> _Order:
        return _Order(index, self._buffer(), started=self._clock())

    def _begun(self, index: int) -> _Order:
        order = self._order(index)
        for slot in self._usable()[: self.recipe.layout.k]:
            self._read(order, slot)
        return order

    def _finish(self, order: _Order) -> memoryview:
        try:
            self._gather(order, self.recipe.layout.k)
            return self._open(order)
        finally:
            order.stop.set()
            self._release(order)

    def _release(self, order: _Order) -> None:
        """Give the buffer back once nobody writes to it any more."""
        busy = [read for read in order.reads if not read.done()]
        left = [len(busy)]
        lock = Lock()

        def ended(_: Future[_Shard]) -> None:
            with lock:
                left[0] -= 1
                last = left[0] == 0
            if last:
                self._spare.put(order.buffer)

        for read in busy:
            read.add_done_callback(ended)
        if not busy:
            self._spare.put(order.buffer)

    def _usable(self) -> list[int]:
        return [s for s in self._preferred if not self._out(s)]

    def _read(self, order: _Order, slot: int) -> None:
        length = self.recipe.layout.shard_length(order.index)
        if slot < self.recipe.layout.k:
            view = order.buffer[slot * length : (slot + 1) * length]
        else:
            view = room(length)
        if not order.reads:
            order.started = self._clock()
        order.reads[self._pool.submit(self._fetch, order, slot, view)] = slot

    def _fetch(self, order: _Order, slot: int, view: memoryview) -> _Shard:
        began = self._clock()
        start = self.recipe.layout.shard_offset(order.index)
        with self._timing.stage("network"):
            self._columns[slot].read(start, view, stop=order.stop.is_set)
        return _Shard(slot, view, self._clock() - began)

    def _gather(self, order: _Order, wanted: int) -> None:
        """Wait until ``wanted`` shards are there, replacing failed reads and hedging slow ones."""
        for slot in self.liars.intersection(order.shards):
            del order.shards[slot]
        while len(order.shards) < wanted:
            self._top_up(order, wanted - len(order.shards))
            waiting = [read for read in order.reads if not self._taken(order, read)]
            if not waiting:
                raise self._too_few(len(order.shards))
            done, _ = wait(waiting, self._patience(order), FIRST_COMPLETED)
            if not done:
                self._hedge(order)
            for read in done:
                self._take(order, read)

    def _taken(self, order: _Order, read: Future[_Shard]) -> bool:
        slot = order.reads[read]
        return slot in order.shards or self._out(slot)

    def _out(self, slot: int) -> bool:
        return slot in self.lost or slot in self.liars

    def _take(self, order: _Order, read: Future[_Shard]) -> None:
        slot = order.reads[read]
        try:
            order.shards[slot] = read.result()
        except CancelledError:
            raise
        except FreeholdError as error:
            self.lost[slot] = error
        else:
            self._go_on(slot)

    def _go_on(self, slot: int) -> None:
        """Let a column that is done with a segment read its part of the next."""
        ahead = self._ahead
        if ahead is None or slot in ahead.reads.values():
            return
        if len(ahead.reads) < self.recipe.layout.k:
            self._read(ahead, slot)

    def _top_up(self, order: _Order, missing: int) -> None:
        running = {
            slot
            for read, slot in order.reads.items()
            if slot not in order.shards and not self._out(slot)
        }
        fresh = [s for s in self._usable() if s not in order.reads.values()]
        for slot in fresh[: max(0, missing - len(running))]:
            self._read(order, slot)

    def _patience(self, order: _Order) -> float | None:
        """Seconds to wait before racing the slowest; longer while none has arrived."""
        if not self._fresh(order):
            return None
        times = sorted(shard.seconds for shard in order.shards.values())
        usual = times[len(times) // 2] if times else HEDGE_FACTOR * self._floor
        limit = max(self._floor, HEDGE_FACTOR * usual)
        return max(0.0, limit - (self._clock() - order.started))

    def _fresh(self, order: _Order) -> list[int]:
        return [slot for slot in self._usable() if slot not in order.reads.values()]

    def _hedge(self, order: _Order) -> None:
        """Race every laggard against an untried column, and ask laggards last from now on."""
        slow = [
            slot
            for slot in order.reads.values()
            if slot not in order.shards and slot not in self.lost
        ]
        fresh = self._fresh(order)
        self._preferred.sort(key=lambda slot: (slot in slow, slot))
        order.started = self._clock()
        for slot in fresh[: len(slow)]:
            self._read(order, slot)

    def _open(self, order: _Order) -> memoryview:
        k = self.recipe.layout.k
        chosen = sorted(order.shards)[:k]
        try:
            return self._decode(order, chosen, in_place=True)
        except IntegrityError as error:
            if chosen == list(range(k)):
                self._refetch(order)
            return self._mend(order, error)

    def _refetch(self, order: _Order) -> None:
        """Read the systematic shards again: opening them in place has left nothing of them."""
        for read, slot in list(order.reads.items()):
            if slot < self.recipe.layout.k:
                del order.reads[read], order.shards[slot]
        self._gather(order, self.recipe.layout.k)

    def _decode(self, order: _Order, slots: Sequence[int], *, in_place: bool = False) -> memoryview:
        layout = self.recipe.layout
        length = layout.sealed_length(order.index)
        sealed: memoryview
        if list(slots) == list(range(layout.k)):
            sealed = order.buffer[:length]
            target = sealed if in_place else room(length)
        else:
            with self._timing.stage("erasure"):
                views = {slot: order.shards[slot].view for slot in slots}
                target = sealed = self._code.decode(views, length)
        return self._unseal(target, sealed, order.index)

    def _unseal(self, target: memoryview, sealed: memoryview, index: int) -> memoryview:
        with self._timing.stage("seal"):
            return open_into(
                target,
                sealed,
                key=self.recipe.key,
                object_id=self.recipe.object_id,
                index=index,
                count=self.recipe.layout.segments,
            )

    def _mend(self, order: _Order, cause: IntegrityError) -> memoryview:
        """The segment in spite of columns that lie, which are found and left out from now on."""
        k = self.recipe.layout.k
        for extra in range(k, len(self._columns) + 1):
            try:
                self._gather(order, extra)
            except (NotEnoughShardsError, InsufficientFundsError):
                break
            newest = max(order.shards, key=lambda slot: list(order.shards).index(slot))
            subsets = (
                subset for subset in combinations(sorted(order.shards), k) if newest in subset
            )
            for subset in islice(subsets, TRIES):
                data = self._attempt(order, subset)
                if data is not None:
                    self._blame(order, subset)
                    return data
        return self._audit(order, cause)

    def _attempt(self, order: _Order, subset: Sequence[int]) -> memoryview | None:
        try:
            return self._decode(order, subset)
        except IntegrityError:
            return None

    def _blame(self, order: _Order, subset: Sequence[int]) -> None:
        """Name the columns whose shards differ from what the opened segment encodes to."""
        good = {slot: order.shards[slot].view for slot in subset}
        for slot, shard in order.shards.items():
            if slot not in good and self._code.rebuild(good, slot) != shard.view:
                self.liars.add(slot)

    def _audit(self, order: _Order, cause: IntegrityError) -> memoryview:
        """Hash whole columns against their roots once, then read from those that hold."""
        if self._audited:
            raise cause
        self._audited = True
        usable = self._usable()
        verdicts = list(self._pool.map(lambda slot: self._columns[slot].audit(), usable))
        self.liars.update(s for s, fine in zip(usable, verdicts, strict=True) if not fine)
        if self.liars.isdisjoint(order.shards):
            raise IntegrityError(
                f"{cause.message}, though {len(usable)} columns match their roots",
                remedy="The content key or the object is wrong: recover the catalog, or ask the "
                "owner who shared it for a new token.",
            ) from cause
        kept = {slot: shard for slot, shard in order.shards.items() if slot not in self.liars}
        order.shards = kept
        self._gather(order, self.recipe.layout.k)
        return self._decode(order, sorted(order.shards)[: self.recipe.layout.k])

    def _too_few(self, have: int) -> FreeholdError:
        """Why the columns do not suffice: a lack of money before all else, since no waiting mends
        it and further columns were asked in vain."""
        poor = next((e for e in self.lost.values() if isinstance(e, InsufficientFundsError)), None)
        if poor is not None:
            return poor
        reasons = "; ".join(error.message for error in islice(self.lost.values(), 4))
        return NotEnoughShardsError(
            f"{have} of the {self.recipe.layout.k} columns that are needed can be read"
            + (f": {reasons}" if reasons else ""),
            remedy="Wait until more of the object's nodes answer; a watcher repairs lost columns.",
        )

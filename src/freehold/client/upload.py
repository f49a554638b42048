"""The way in: segments are read and sealed, and every column streams to its node.

Reading and sealing run ahead on a thread of their own; each column has a thread that computes
its shard part by part, hashes the part and sends it while it is still in the processor's cache
(all without the interpreter's lock). Two segments are in memory, in two buffers that are used in
turn, so memory does not grow with the object: twice 64 MiB, and a MiB a column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Protocol, Self

from freehold.client.session import Body
from freehold.client.source import Source, changed
from freehold.client.timing import Timing
from freehold.domain.buffers import Buffers
from freehold.domain.errors import FreeholdError
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.commp import UNIT_RAW
from freehold.markets.storage.erasure import Code, room
from freehold.markets.storage.piece import Committer, Piece
from freehold.markets.storage.seal import seal_into

IN_FLIGHT = 2
PART = 16 * UNIT_RAW
"""Bytes of a column that are computed, hashed and sent at a time: about a MiB."""
Progress = Callable[[int, int], None]
"""``progress(done, total)`` in bytes of all columns; called from several threads in turn."""
Then = Callable[[int, Piece], None]
"""``then(slot, piece)``: what is done with a column that was sent, on the column's thread."""


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All that decides an object's columns, besides its data: layout, sealed header, ids, key."""

    layout: ColumnLayout
    header: bytes
    object_id: bytes
    key: bytes = field(repr=False)

    @property
    def head(self) -> bytes:
        """What every column begins with."""
        return self.layout.prefix() + self.header


class Channel(Protocol):
    """Where one column goes; the first ``held`` bytes are there already."""

    @property
    def held(self) -> int:
        """Bytes that need not be sent again."""

    def send(self, offset: int, body: Body) -> None:
        """Append ``body``; FreeholdError when the node cannot take it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one column: its ``piece``, or the ``error`` that stopped it."""

    piece: Piece | None
    error: FreeholdError | None


class Sealer:
    """Reads and seals the segments of an object, ahead of those who send them.

    It works from ``with`` on, whose end gives its memory back; iterate over it once.
    IntegrityError instead of the last segment when the source changed meanwhile: nothing that
    was sent may then be used, for its key may not seal other bytes.
    """

    def __init__(
        self, source: Source, blueprint: Blueprint, buffers: Buffers, *, timing: Timing
    ) -> None:
        self.blueprint, self.timing = blueprint, timing
        self._buffers, self._own = buffers, list[memoryview]()
        self._source = source
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._sealed: SimpleQueue[Segment | BaseException] = SimpleQueue()
        self._thread = Thread(target=self._run, name="seal", daemon=True)
        self.given_up = False
        """Whether nothing will be sent: those who still choose nodes may end."""

    def __enter__(self) -> Self:
        layout = self.blueprint.layout
        for _ in range(min(IN_FLIGHT, layout.segments)):
            self._own.append(self._buffers.take(layout.k * layout.shard_length(0)))
            self._free.put(self._own[-1])
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._free.put(None)
        self._thread.join()
        if kind is not None:
            return  # Columns may still be sending from the memory: nobody else must write to it.
        for buffer in self._own:
            self._buffers.give(buffer)

    def __iter__(self) -> Iterator[Segment]:
        for _ in range(self.blueprint.layout.segments):
            found = self._sealed.get()
            if isinstance(found, BaseException):
                raise found
            yield found

    def _run(self) -> None:
        try:
            self._seal_all()
        except BaseException as error:  # noqa: BLE001 - raised again by who iterates
            self._sealed.put(error)

    def _seal_all(self) -> None:
        before = self._source.fingerprint()
        last = self.blueprint.layout.segments - 1
        for index in range(last + 1):
            buffer = self._free.get()
            if buffer is None:
                return
            data = self._seal(index, buffer)
            if index == last and self._source.fingerprint() != before:
                raise changed("the source")
            self._sealed.put(Segment(index, data, partial(self._free.put, buffer)))

    def _seal(self, index: int, buffer: memoryview) -> memoryview:
        """Segment ``index``, read and sealed in ``buffer``, with zeros up to a multiple of k."""
        layout = self.blueprint.layout
        plain = buffer[: layout.plain_length(index)]
        with self.timing.stage("disk"):
            _read(self._source, index * layout.segment_length, plain)
        with self.timing.stage("seal"):
            sealed = seal_into(
                buffer,
                plain,
                key=self.blueprint.key,
                object_id=self.blueprint.object_id,
                index=index,
                count=layout.segments,
            )
        whole = buffer[: layout.k * layout.shard_length(index)]
        whole[sealed.nbytes :] = bytes(whole.nbytes - sealed.nbytes)
        return whole


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed segment, a multiple of k bytes long; ``free`` gives its memory back."""

    index: int
    data: memoryview = field(repr=False)
    free: Callable[[], None] = field(repr=False)


def spread(
    sealer: Sealer,
    slots: Iterable[int],
    connect: Callable[[], Mapping[int, Channel]],
    *,
    then: Then,
    progress: Progress = silent,
) -> dict[int, Outcome]:
    """Send the columns ``slots`` and return what became of each.

    ``connect`` gives a channel for each slot; meanwhile, on the other threads, the first segment
    is read, sealed and hashed. One failing column, or ``then`` of one, does not stop the others.
    """
    blueprint, slots = sealer.blueprint, list(slots)
    meter = _Meter(progress, blueprint.layout.total * len(slots))
    lanes = {
        slot: _Lane(slot, blueprint, then=then, timing=sealer.timing, meter=meter) for slot in slots
    }
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(connect)
        try:
            for lane in lanes.values():
                lane.start()
            opening.add_done_callback(partial(_join, lanes))
            for segment in sealer:
                if opening.done():
                    opening.result()
                latch = _Latch(len(lanes), segment.free)
                for lane in lanes.values():
                    lane.give(segment, latch.drop)
            opening.result()
        except BaseException:
            sealer.given_up = True
            for lane in lanes.values():
                lane.stop()
            raise
        finally:
            for lane in lanes.values():
                lane.finish()
            for lane in lanes.values():
                lane.join()
    return {slot: lane.outcome() for slot, lane in lanes.items()}


def _join(lanes: Mapping[int, _Lane], opening: Future[Mapping[int, Channel]]) -> None:
    """Give the lanes their channels; without any they have nothing to do."""
    if opening.exception() is not None:
        for lane in lanes.values():
            lane.stop()
        return
    for slot, channel in opening.result().items():
        lanes[slot].connect(channel)


def _read(source: Source, offset: int, into: memoryview) -> None:
    """Fill ``into``; behind the end of the source come the zeros that hide its size."""
    have = max(0, min(into.nbytes, source.size - offset))
    source.read(offset, into[:have])
    if have < into.nbytes:
        into[have:] = bytes(into.nbytes - have)


class _Latch:
    """Calls ``then`` once ``drop`` was called ``count`` times."""

    def __init__(self, count: int, then: Callable[[], None]) -> None:
        self._left, self._then, self._lock = count, then, Lock()

    def drop(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._then()


class _Meter:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._done, self._lock = 0, Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._progress(self._done, self._total)


class _Lane:
    """One column's thread."""

    def __init__(
        self,
        slot: int,
        blueprint: Blueprint,
        *,
        then: Then,
        timing: Timing,
        meter: _Meter,
    ) -> None:
        self.slot = slot
        self._layout, self._head = blueprint.layout, blueprint.head
        self._code = Code(self._layout.k, self._layout.n)
        self._then = then
        self._channel: Channel | None = None
        self._connected = Event()
        self._timing, self._meter = timing, meter
        self._queue: SimpleQueue[tuple[Segment, Callable[[], None]] | None] = SimpleQueue()
        self._committer = Committer(self._layout.total)
        self._spare = room(PART if slot >= self._layout.k else 0)
        self._piece: Piece | None = None
        self._error: FreeholdError | None = None
        self._crash: BaseException | None = None
        self._stopped = False
        self._reached = 0
        self._thread = Thread(target=self._run, name="column", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, segment: Segment, done: Callable[[], None]) -> None:
        self._queue.put((segment, done))

    def connect(self, channel: Channel) -> None:
        self._channel = channel
        self._connected.set()

    def stop(self) -> None:
        self._stopped = True
        self._connected.set()

    def finish(self) -> None:
        self._queue.put(None)

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def outcome(self) -> Outcome:
        if self._crash is not None:
            raise self._crash
        return Outcome(None if self._error else self._piece, self._error)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            segment, done = item
            self._guarded(partial(self._take, segment))
            del item, segment
            done()
        self._guarded(self._end)

    def _guarded(self, step: Callable[[], None]) -> None:
        if self._stopped or self._error or self._crash:
            return
        try:
            step()
        except FreeholdError as error:
            self._error = error
        except BaseException as error:  # noqa: BLE001 - raised again by ``outcome``
            self._crash = error

    def _take(self, segment: Segment) -> None:
        """Send what the node lacks of a segment's shard; the head goes before the first."""
        base = self._layout.shard_offset(segment.index)
        start = base if segment.index else 0
        stop = base + self._layout.shard_length(segment.index)
        self._pass(segment, self._committer.size, stop, until=self._connected.is_set)
        self._connected.wait()
        if self._channel is None:
            return
        held = min(max(start, self._channel.held), stop)
        self._pass(segment, self._committer.size, held)
        if held < stop:
            body = Body(stop - held, lambda at: self._sending(segment, held + at, stop))
            with self._timing.stage("network"):
                self._channel.send(held, body)
        self._pass(segment, self._committer.size, stop)
        self._reach(stop)

    def _pass(
        self, segment: Segment, start: int, stop: int, *, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Hash what the node has already, or is sent later."""
        if start < stop and not until():
            for _ in self._parts(segment, start, stop):
                if until():
                    break

    def _sending(self, segment: Segment, at: int, stop: int) -> Iterator[memoryview]:
        """The column's bytes from ``at``, where the node says that it stands.

        That may be further than it was sent, by a request before or in a lie: the bytes between
        are hashed all the same, for the root is that of our bytes, whatever a node says.
        """
        self._pass(segment, self._committer.size, at)
        for part in self._parts(segment, at, stop):
            self._reach(at)
            yield part
            at += part.nbytes

    def _reach(self, offset: int) -> None:
        """The node has the first ``offset`` bytes, or is about to."""
        if offset > self._reached:
            self._meter.add(offset - self._reached)
            self._reached = offset

    def _parts(self, segment: Segment, at: int, stop: int) -> Iterator[memoryview]:
        """The column's bytes from ``at`` to ``stop``, hashed when they come by first."""
        if at < min(len(self._head), stop):
            yield self._seen(at, memoryview(self._head)[at:stop])
            at = len(self._head)
        base = self._layout.shard_offset(segment.index)
        while at < stop:
            end = min(at - at % PART + PART, stop)
            with self._timing.stage("erasure"):
                part = self._code.part(
                    segment.data, self.slot, slice(at - base, end - base), self._spare
                )
            yield self._seen(at, part)
            at = end

    def _seen(self, at: int, part: memoryview) -> memoryview:
        fresh = at + part.nbytes - self._committer.size
        if fresh > 0:
            with self._timing.stage("hash"):
                self._committer.update(part[part.nbytes - fresh :])
        return part

    def _end(self) -> None:
        with self._timing.stage("hash"):
            self._piece = self._committer.finish()
        with self._timing.stage("network"):
            self._then(self.slot, self._piece)

"""The way in: segments are read, sealed and spread, and every column streams to its node.

Reading, sealing and coding run on the caller's thread; each column has a thread that sends its
shard and hashes it (both without the interpreter's lock). At most two segments are in flight,
in two buffers that are used in turn, so memory does not grow with the object: twice 64 MiB and
the parity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from freehold.client.source import Source, changed
from freehold.client.timing import Timing
from freehold.domain.errors import FreeholdError
from freehold.markets.storage.column import ColumnLayout
from freehold.markets.storage.erasure import Code, room
from freehold.markets.storage.piece import Committer, Piece
from freehold.markets.storage.seal import seal_into

IN_FLIGHT = 2
Progress = Callable[[int, int], None]
"""``progress(done, total)`` in bytes of all columns; called from several threads in turn."""


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

    def send(self, offset: int, data: memoryview, *, meanwhile: Callable[[], None]) -> None:
        """Append ``data``; FreeholdError when the node cannot take it.

        ``meanwhile`` is done exactly once, while the node works.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one column: its ``piece``, or the ``error`` that stopped it."""

    piece: Piece | None
    error: FreeholdError | None


def spread(
    source: Source,
    blueprint: Blueprint,
    channels: Mapping[int, Channel],
    *,
    timing: Timing,
    progress: Progress = silent,
) -> dict[int, Outcome]:
    """Send the columns of ``channels`` (by slot) and return what became of each.

    One failing column does not stop the others. IntegrityError when the source changes meanwhile;
    then nothing that was sent may be used, for its key may not seal other bytes.
    """
    before = source.fingerprint()
    meter = _Meter(progress, blueprint.layout.total * len(channels))
    lanes = {slot: _Lane(channel, timing, meter) for slot, channel in channels.items()}
    try:
        _feed(source, blueprint, lanes, timing)
    except BaseException:
        for lane in lanes.values():
            lane.stop()
        raise
    finally:
        for lane in lanes.values():
            lane.finish()
    if source.fingerprint() != before:
        raise changed("the source")
    return {slot: lane.outcome() for slot, lane in lanes.items()}


def _feed(source: Source, blueprint: Blueprint, lanes: Mapping[int, _Lane], timing: Timing) -> None:
    layout = blueprint.layout
    code = Code(layout.k, layout.n)
    free: SimpleQueue[memoryview] = SimpleQueue()
    for _ in range(min(IN_FLIGHT, layout.segments)):
        free.put(room(layout.k * layout.shard_length(0)))
    for lane in lanes.values():
        lane.give(memoryview(blueprint.head), lambda: None)
    for index in range(layout.segments):
        buffer = free.get()
        sealed = _seal(source, blueprint, index, buffer, timing)
        with timing.stage("erasure"):
            shards = code.encode(sealed)
        latch = _Latch(len(lanes), partial(free.put, buffer))
        for slot, lane in lanes.items():
            lane.give(shards[slot], latch.drop)
        del sealed, shards


def _seal(
    source: Source, blueprint: Blueprint, index: int, buffer: memoryview, timing: Timing
) -> memoryview:
    """Segment ``index``, read and sealed in ``buffer``, with zeros up to a multiple of k."""
    layout = blueprint.layout
    plain = buffer[: layout.plain_length(index)]
    with timing.stage("disk"):
        _read(source, index * layout.segment_length, plain)
    with timing.stage("seal"):
        sealed = seal_into(
            buffer,
            plain,
            key=blueprint.key,
            object_id=blueprint.object_id,
            index=index,
            count=layout.segments,
        )
    whole = buffer[: layout.k * layout.shard_length(index)]
    whole[sealed.nbytes :] = bytes(whole.nbytes - sealed.nbytes)
    return whole


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
    """One column's thread: it sends first, so that the node works while the client hashes."""

    def __init__(self, channel: Channel, timing: Timing, meter: _Meter) -> None:
        self._channel, self._timing, self._meter = channel, timing, meter
        self._queue: SimpleQueue[tuple[memoryview, Callable[[], None]] | None] = SimpleQueue()
        self._committer = Committer()
        self._error: FreeholdError | None = None
        self._crash: BaseException | None = None
        self._at = 0
        self._stopped = False
        self._thread = Thread(target=self._run, name="column", daemon=True)
        self._thread.start()

    def give(self, block: memoryview, done: Callable[[], None]) -> None:
        self._queue.put((block, done))

    def stop(self) -> None:
        self._stopped = True

    def finish(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def outcome(self) -> Outcome:
        if self._crash is not None:
            raise self._crash
        if self._error is not None:
            return Outcome(None, self._error)
        with self._timing.stage("hash"):
            return Outcome(self._committer.finish(), None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            block, done = item
            try:
                if not (self._stopped or self._error or self._crash):
                    self._take(block)
            except FreeholdError as error:
                self._error = error
            except BaseException as error:  # noqa: BLE001 - raised again by ``outcome``
                self._crash = error
            finally:
                del item, block
                done()

    def _take(self, block: memoryview) -> None:
        skip = max(0, min(block.nbytes, self._channel.held - self._at))
        hashing = partial(self._hash, block)
        if skip < block.nbytes:
            with self._timing.stage("network"):
                self._channel.send(self._at + skip, block[skip:], meanwhile=hashing)
        else:
            hashing()
        self._at += block.nbytes
        self._meter.add(block.nbytes)

    def _hash(self, block: memoryview) -> None:
        with self._timing.stage("hash"):
            self._committer.update(block)

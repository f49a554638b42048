"""The door for dense sources: gateways that stand for thousands of meters and send frames.

``POST /frames`` under a source's token takes one frame (see ``freehold.telemetry.frames``) and
answers once the store has it. The devices of a source NAME are ``source:NAME/0`` and so on, by
their places in its roster; like all that sources say they are alerted to and never paid.

A frame counts once: its boot and number say which it is. The same again is answered and changes
nothing, an older one is refused, so a source sends one after the other and repeats what had no
answer. A source that changes how many devices or which metrics it has begins anew, unwatched until
its devices are known.

What devices are known by is kept in a file of each source now and then (``keep``), and read when
its first frame comes. Threats: floods and huge shapes (one frame at a time of each source, a few in
all, bodies and devices bounded); clocks that run ahead (rows are left out, or their devices would
be deaf until then); a full store (the frame is not answered, and is kept later); all meters odd at
once (one alert says so, and the worst have theirs); a crash (frames since the file was written are
known to the store, so they are not kept twice). Not met here: a source that gives old rows a new
number after such a crash, which count again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fastapi import Request
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import CapacityError, FreeholdError, UsageError
from freehold.domain.files import write_whole
from freehold.node.files import disk, make_folder
from freehold.node.logs import fields
from freehold.node.streams import small_body
from freehold.node.telemetry.access import bearer
from freehold.node.telemetry.app import BODY_SECONDS, SLACK, Route
from freehold.node.telemetry.dense import DenseDetector
from freehold.node.telemetry.intake import Door
from freehold.node.telemetry.meters import Meters
from freehold.node.telemetry.refusals import BusyError, MediaError
from freehold.telemetry import states
from freehold.telemetry.bulk import BlockSink, Bulk, Frame
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.frames import BODY_MAX, DEVICES_MAX, Parcel, decode
from freehold.telemetry.refusals import ReplayError
from freehold.telemetry.sources import AHEAD, Source, Sources

ROSTERS_MAX = 2 * DEVICES_MAX
"""Devices of all sources together: about 1.3 kB of memory each, with eight metrics."""
TOLD_MAX = 1_000
"""Findings of a frame that are told, the worst: of more the source itself is the subject."""
AT_ONCE = 4
"""Frames that are read and worked on at the same time: each may take some 30 MB."""
_Place = tuple[int, int]
_NOTHING: _Place = (-1, 0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a frame: counted now (``new``) or before, and how many rows count."""

    new: bool
    rows: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a source is, as long as it begins nothing anew."""

    did: str
    roster: int
    metrics: tuple[str, ...]


@dataclass(slots=True)
class _Held:
    """A source that sent frames; ``last`` and ``saved`` are the boot and number of the last frame
    that counts, and of the one after which its file was written."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    shape: _Shape | None = None
    bulk: Bulk | None = None
    last: _Place = _NOTHING
    saved: _Place = _NOTHING
    read: bool = False


class Frames:
    """Takes frames into the store; may be used from any thread. ``folder`` has a file of each
    source, ``now`` gives milliseconds since 1970."""

    def __init__(
        self, folder: Path, *, sources: Sources, sink: BlockSink,
        listener: Callable[[Sequence[Finding]], None], now: Callable[[], int],
    ) -> None:  # fmt: skip
        with disk(folder):
            make_folder(folder)
        self._folder, self._sources = folder, sources
        self._sink, self._listener, self._now = sink, listener, now
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def take(self, source: Source, parcel: Parcel) -> Taken:
        """Take a frame of ``source``, durably. ReplayError for one before the last, UsageError
        where no row can be used, CapacityError; what the store raises, and then it is to come
        again."""
        with self._lock:
            held = self._held.setdefault(source.name, _Held())
        place = (parcel.boot, parcel.number)
        with held.turn:
            self._read(source, held)
            shape = _Shape(source.did.text, parcel.roster, parcel.metrics)
            same = held.shape is not None and held.shape.did == shape.did
            if same and place <= held.last:
                return _known(held.last, place)
            frame = _usable(parcel.frame, latest=self._now() + AHEAD)
            bulk = self._bulk(source, held, shape)
            segment = f"frame-{source.name}-{shape.did[-16:]}-{place[0]:x}-{place[1]:x}"
            bulk.settle(unless=segment)
            rows = bulk.take(segment, frame)
            held.last = place
        return Taken(new=True, rows=rows)

    def keep(self) -> None:
        """Forget sources that are no more, and write what changed to the files."""
        known = {source.name: source.did.text for source in self._sources.all()}
        with self._lock:
            for name in [name for name in self._held if name not in known]:
                del self._held[name]
        with disk(self._folder):
            for file in self._folder.glob("*.state"):
                if file.stem not in known:
                    file.unlink(missing_ok=True)
        self.save()

    def save(self) -> None:
        """Write what changed to the files; what cannot be written now stays as it was."""
        with self._lock:
            held = list(self._held.items())
        for name, each in held:
            try:
                self._save(name, each)
            except FreeholdError as error:
                _log.warning("not saved", extra=fields(source=name, reason=error.message))

    def _save(self, name: str, held: _Held) -> None:
        with held.turn:
            if held.bulk is None or held.shape is None or held.saved == held.last:
                return
            held.bulk.settle()
            shape, last = held.shape, held.last
            data = held.bulk.encode([shape.did, shape.roster, list(shape.metrics), list(last)])
        with disk(self._folder):
            write_whole(self._folder / f"{name}.state", data)
        held.saved = last

    def _read(self, source: Source, held: _Held) -> None:
        """Go on from the file of a source, where there is one that is whole and its own."""
        if held.read:
            return
        file = self._folder / f"{source.name}.state"
        with disk(file):
            data = file.read_bytes() if file.exists() else b""
        if data:
            try:
                self._restore(source, held, data)
            except FreeholdError as error:
                _log.warning("begun anew", extra=fields(source=source.name, reason=error.message))
        held.read = True

    def _restore(self, source: Source, held: _Held, data: bytes) -> None:
        match states.decode(data)[0]:
            case [str(did), int(roster), list(names), [int(boot), int(number)]]:
                shape = _Shape(did, roster, tuple(str(name) for name in names))
            case _:
                return
        if did != source.did.text:
            return
        self._claim(held, shape)
        bulk = self._begin(source, shape)
        bulk.decode(data)
        held.bulk, held.last, held.saved = bulk, (boot, number), (boot, number)

    def _bulk(self, source: Source, held: _Held, shape: _Shape) -> Bulk:
        """The source as it is now; CapacityError where there is no room for it."""
        if held.bulk is not None and held.shape == shape:
            return held.bulk
        if held.bulk is not None:
            held.bulk.settle()
        self._claim(held, shape)
        held.bulk = None  # before there are two
        held.bulk = self._begin(source, shape)
        return held.bulk

    def _claim(self, held: _Held, shape: _Shape) -> None:
        with self._lock:
            others = (each.shape for each in self._held.values() if each is not held)
            devices = shape.roster + sum(each.roster for each in others if each is not None)
            if devices > ROSTERS_MAX:
                raise CapacityError(
                    f"the sources have {devices:,} devices together, {ROSTERS_MAX:,} is the most",
                    remedy="Run another telemetry service for some of them.",
                )
            held.shape = shape

    def _begin(self, source: Source, shape: _Shape) -> Bulk:
        names = [f"{source.id}/{place}" for place in range(shape.roster)]
        detector = DenseDetector(shape.roster, len(shape.metrics))
        told = partial(self._tell, source.id)
        return Bulk(names, shape.metrics, detector=detector, sink=self._sink, listener=told)

    def _tell(self, source: str, findings: Sequence[Finding]) -> None:
        if len(findings) > TOLD_MAX:
            worst = sorted(findings, key=lambda each: (-each.severity, -each.score))[:TOLD_MAX]
            findings = [_crowd(source, findings), *worst]
        self._listener(findings)


def _crowd(source: str, findings: Sequence[Finding]) -> Finding:
    at = max(each.at for each in findings)
    return Finding(
        key=f"crowd/{source}/{at}", kind="crowd", subject=source, metric="", since=at, at=at,
        severity=Severity.CRITICAL, score=1.0,
        reason=f"{len(findings):,} of its devices are odd at once, the worst are told one by one",
    )  # fmt: skip


def _known(last: _Place, place: _Place) -> Taken:
    if place == last:
        return Taken(new=False, rows=0)
    raise ReplayError(
        f"frame {place[1]} of boot {place[0]} is older than the last, {last[1]} of {last[0]}",
        remedy="Send frames in order, with a larger boot after each start.",
    )


def _usable(frame: Frame, *, latest: int) -> Frame:
    """The rows whose times can be; UsageError for none."""
    fits = (frame.times >= 0) & (frame.times <= latest)
    if fits.all():
        return frame
    if not fits.any():
        raise UsageError(
            "no row of the frame has a usable time", remedy="Check the clock of the sender."
        )
    return Frame(frame.devices[fits], frame.times[fits], frame.values[fits])


class FrameDoor:
    """``POST /frames``; for one event loop."""

    def __init__(self, frames: Frames, *, door: Door, workers: Executor, meters: Meters) -> None:
        self._frames, self._door, self._workers, self._meters = frames, door, workers, meters
        self._busy: set[str] = set()

    def routes(self) -> tuple[Route, ...]:
        """Method, path and handler."""
        return (("POST", "/frames", self.post),)

    async def post(self, request: Request) -> Response:
        """One frame of a source."""
        source = self._door.source(bearer(request.headers.get("authorization")))
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise MediaError("the body is encoded", remedy="Send the frame as it is.")
        with self._alone(source.name):
            body = await small_body(request, limit=BODY_MAX + SLACK, seconds=BODY_SECONDS)
            loop = asyncio.get_running_loop()
            taken = await loop.run_in_executor(self._workers, partial(self._take, source, body))
        return JSONResponse({"new": taken.new, "rows": taken.rows})

    def _take(self, source: Source, body: bytes) -> Taken:
        parcel = decode(body)
        taken = self._frames.take(source, parcel)
        self._meters.samples.labels("taken").inc(taken.rows * len(parcel.metrics))
        return taken

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        if name in self._busy or len(self._busy) >= AT_ONCE:
            raise BusyError(
                "another frame is being taken",
                remedy="Wait for the answer to a frame before the next one.",
                seconds=1,
            )
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

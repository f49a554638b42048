"""Dense sources: many devices that report the same metrics together, such as a scrape or a plant's
controller, without a batch and a signature of each.

``take`` checks a frame's rows, scores them, tells what it finds and hands the rows to the store,
all in columns. Who calls it vouches for the source; such readings are kept and alerted to, and
never paid. A row counts once: one that is no later than its device's last is passed over, and a
segment that is kept already is left as it is, so a source that got no answer sends the same frame
under the same name again.

A reading outside of what its metric can physically be is kept with its mark and scored as missing.
Threats: frames of another shape, times and values out of range (refused or marked); floods (rows
of a frame are bounded); a store that fails (its error passes, nothing goes on before the frame came
again, and its rows are not scored anew). Findings may be told twice after a crash, under the same
key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import ConflictError, IntegrityError, UsageError
from freehold.telemetry import states
from freehold.telemetry.cleaning import Flags, Floats, Rules, Whole
from freehold.telemetry.findings import Finding
from freehold.telemetry.marks import Mark
from freehold.telemetry.pipeline import Detector, anomaly
from freehold.telemetry.reading import VALUE_MAX
from freehold.telemetry.rows import Rows

ROWS_MAX = 1 << 20
METRICS_MAX = 64
NEVER = -1


class BlockSink(Protocol):
    """Where frames are kept (`Store`)."""

    def keep(self, segment: str, rows: Rows) -> None:
        """Keep rows durably; a segment that is kept already is left as it is."""
        ...

    def keep_block(
        self,
        segment: str,
        devices: NDArray[np.object_],
        times: Whole,
        names: Sequence[str],
        values: Floats,
        scores: NDArray[np.float32],
    ) -> None:
        """Keep sound readings of many devices at once, as ``keep`` does."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Rows of a source: ``devices`` (n,) are places in its roster, each once; ``times`` (n,)
    milliseconds, ``values`` (n, metrics) in SI units, NaN where nothing was read."""

    devices: Whole
    times: Whole
    values: Floats


class Bulk:
    """One source, or a share of it: ``devices`` (ids as texts) and ``metrics`` are its roster. May
    be called from several threads, which take turns; shares of a roster go side by side."""

    def __init__(
        self,
        devices: Sequence[str],
        metrics: Sequence[str],
        *,
        detector: Detector,
        sink: BlockSink,
        listener: Callable[[Sequence[Finding]], None],
    ) -> None:
        if not devices or not 0 < len(metrics) <= METRICS_MAX or len(set(metrics)) < len(metrics):
            raise UsageError(
                f"a source of {len(devices)} devices and {len(metrics)} metrics cannot be taken",
                remedy=f"Name a device at least, and 1 to {METRICS_MAX} metrics, each once.",
            )
        self._names = np.empty(len(devices), object)
        self._names[:] = devices
        self._metrics = tuple(metrics)
        self._rules = Rules.of(metrics)
        self._bounded = np.isfinite(self._rules.low) | np.isfinite(self._rules.high)
        self._last = np.full(len(devices), NEVER, np.int64)
        self._detector, self._sink, self._listener = detector, sink, listener
        self._turn = threading.Lock()
        self._pending: tuple[str, _Taken] | None = None

    def take(self, segment: str, frame: Frame) -> int:
        """Take a frame under a name of its own; how many rows count. Durable on return.

        UsageError for a frame of another shape; what the sink raises passes, and the same frame
        under the same name goes on from there: ConflictError for another one before that.
        """
        self._check(frame)
        with self._turn:
            name, taken = self._pending or (segment, None)
            if name != segment:
                raise _unkept(name)
            if taken is None:
                taken = self._judge(frame)
                self._pending = segment, taken
            self._keep(segment, taken)
            self._pending = None
        return len(taken.times)

    def settle(self, *, unless: str = "") -> None:
        """Keep the frame that could not be kept, if there is one; what the sink raises passes. The
        frame ``unless`` is left, for it comes again."""
        with self._turn:
            if self._pending is not None and self._pending[0] != unless:
                self._keep(*self._pending)
                self._pending = None

    def encode(self, words: object = None) -> bytes:
        """What the source is known by, for ``decode`` of a new one of the same roster; ``words``
        (what JSON can say) come with it. ConflictError while a frame could not be kept: whoever
        goes on from there would pass it over."""
        with self._turn:
            if self._pending is not None:
                raise _unkept(self._pending[0])
            detector = np.frombuffer(self._detector.encode(), np.uint8)
            return states.encode(words, {"last": self._last, "detector": detector})

    def decode(self, data: bytes) -> None:
        """Go on from what ``encode`` gave; IntegrityError for other bytes."""
        _, arrays = states.decode(data)
        last, detector = arrays.get("last"), arrays.get("detector")
        if last is None or detector is None or last.shape != self._last.shape:
            raise IntegrityError("a checkpoint is damaged", remedy="Delete it.")
        with self._turn:
            self._detector.decode(detector.tobytes())
            self._last = last.astype(np.int64)

    def _check(self, frame: Frame) -> None:
        n, size = len(frame.devices), len(self._names)
        fits = frame.times.shape == (n,) and frame.values.shape == (n, len(self._metrics))
        if not fits or not 0 < n <= ROWS_MAX:
            raise UsageError(
                "the frame has another shape than its source",
                remedy=f"Give 1 to {ROWS_MAX:,} rows: devices, times (n,), values (n, metrics).",
            )
        known = frame.devices.min() >= 0 and frame.devices.max() < size
        if not known or (n > 1 and not _distinct(frame.devices, size)):
            raise UsageError(
                "a row is of no device of its source, or of one that has a row already",
                remedy="Give each device one row of a frame.",
            )

    def _judge(self, frame: Frame) -> _Taken:
        """Score rows that are new, and tell what is found."""
        fresh = frame.times > self._last[frame.devices]
        if not fresh.all():
            frame = Frame(frame.devices[fresh], frame.times[fresh], frame.values[fresh])
        wrong = self._impossible(frame.values)
        sound = frame.values if wrong is None else np.where(wrong, np.nan, frame.values)
        scores = np.zeros(len(frame.times), np.float32)
        if len(frame.times):
            self._last[frame.devices] = frame.times
            found, alerts = self._detector.step(frame.devices, frame.times, sound)
            scores = found.astype(np.float32)
            if alerts:
                told = [
                    anomaly(
                        str(self._names[frame.devices[each.row]]), self._metrics[each.column],
                        int(frame.times[each.row]), each,
                    )
                    for each in alerts
                ]  # fmt: skip
                self._listener(told)
        return _Taken(frame.devices, frame.times, frame.values, sound, wrong, scores)

    def _impossible(self, values: Floats) -> Flags | None:
        """Which readings can physically not be, infinite ones among them; None for none."""
        wrong: Flags = np.abs(values) > VALUE_MAX
        for column in np.flatnonzero(self._bounded):
            low, high = self._rules.low[column], self._rules.high[column]
            wrong[:, column] |= (values[:, column] < low) | (values[:, column] > high)
        return wrong if wrong.any() else None

    def _keep(self, segment: str, taken: _Taken) -> None:
        if not len(taken.times):
            return
        if taken.wrong is not None:
            rows = self._marked(taken, taken.wrong)
            if len(rows):
                self._sink.keep(f"{segment}-marked", rows)
        names = self._names[taken.devices]
        columns = (taken.times, self._metrics, taken.sound, taken.scores)
        self._sink.keep_block(segment, names, *columns)

    def _marked(self, taken: _Taken, wrong: Flags) -> Rows:
        """Readings that can physically not be, as they came; infinite ones are left out."""
        row, column = np.nonzero(wrong & np.isfinite(taken.values))
        devices, at = np.unique(taken.devices[row], return_inverse=True)
        count = len(row)
        return Rows(
            tuple(self._names[devices].tolist()),
            self._metrics,
            at.astype(np.int32),
            column.astype(np.int32),
            taken.times[row],
            taken.values[row, column],
            np.full(count, np.uint8(Mark.RANGE)),
            np.zeros(count),
            taken.scores[row],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """A frame that was judged; ``sound`` are its values without the impossible ones, which
    ``wrong`` (None for none) tells."""

    devices: Whole
    times: Whole
    values: Floats
    sound: Floats
    wrong: Flags | None
    scores: NDArray[np.float32]


def _unkept(name: str) -> ConflictError:
    return ConflictError(
        f"frame {name} could not be kept", remedy="Send it again before the next one."
    )


def _distinct(places: Whole, size: int) -> bool:
    seen = np.zeros(size, np.bool_)
    seen[places] = True
    return int(np.count_nonzero(seen)) == len(places)

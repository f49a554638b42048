"""Dense sources: what counts, what is marked, what is told, and a store that fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from freehold.domain.errors import CapacityError, ConflictError, IntegrityError, UsageError
from freehold.telemetry.bulk import METRICS_MAX, ROWS_MAX, Bulk, Frame
from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.marks import Mark
from freehold.telemetry.pipeline import Alert
from freehold.telemetry.rows import Rows

DEVICES, METRICS = ("0xa", "0xb", "0xc"), ("roof.temperature", "roof.odd")
NOW = 1_800_000_000_000


@dataclass
class Kept:
    """A store that keeps what it is given, and may be full."""

    blocks: dict[str, tuple[list[str], list[int], list[list[float]]]] = field(default_factory=dict)
    marked: dict[str, Rows] = field(default_factory=dict)
    full: bool = False

    def keep(self, segment: str, rows: Rows) -> None:
        self.marked.setdefault(segment, rows)

    def keep_block(
        self, segment: str, devices: NDArray[np.object_], times: Whole, names: Sequence[str],
        values: Floats, scores: NDArray[np.float32],
    ) -> None:  # fmt: skip
        if self.full:
            raise CapacityError("the store is full", remedy="Free space.")
        assert tuple(names) == METRICS
        assert len(scores) == len(times)
        self.blocks.setdefault(segment, (devices.tolist(), times.tolist(), values.tolist()))


@dataclass
class Listening:
    """A detector that alerts to rows above 400 and notes what it saw."""

    seen: list[tuple[list[int], list[list[float]]]] = field(default_factory=list)

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        self.seen.append((devices.tolist(), values.tolist()))
        odd = np.flatnonzero(values[:, 1] > 400)
        alerts = [
            Alert(int(row), 1, int(times[row]), float(values[row, 1]), 0.0, 9.0, 0.9, 20.0)
            for row in odd
        ]
        return np.full(len(devices), 0.5), alerts

    def encode(self) -> bytes:
        return repr(len(self.seen)).encode()

    def decode(self, data: bytes) -> None:
        self.seen = [([], [])] * int(data)


def ignore(_: Sequence[Finding]) -> None:
    """A listener that does not care."""


class Source:
    """A source of three devices with two metrics."""

    def __init__(self) -> None:
        self.kept, self.detector, self.told = Kept(), Listening(), list[Finding]()
        self.bulk = Bulk(
            DEVICES, METRICS, detector=self.detector, sink=self.kept, listener=self.told.extend
        )

    def take(self, segment: str, *rows: tuple[int, int, float, float]) -> int:
        return self.bulk.take(segment, frame(*rows))


def frame(*rows: tuple[int, int, float, float]) -> Frame:
    """Rows of device, seconds and two values."""
    return Frame(
        np.array([row[0] for row in rows]),
        np.array([NOW + 1_000 * row[1] for row in rows]),
        np.array([row[2:] for row in rows], float),
    )


def test_sound_rows_are_scored_and_kept() -> None:
    source = Source()
    assert source.take("one", (0, 1, 290.0, 3.0), (2, 1, 291.0, 4.0)) == 2
    assert source.kept.blocks == {
        "one": (["0xa", "0xc"], [NOW + 1_000] * 2, [[290.0, 3.0], [291.0, 4.0]])
    }
    assert not source.kept.marked
    assert source.detector.seen == [([0, 2], [[290.0, 3.0], [291.0, 4.0]])]
    assert not source.told


def test_a_row_no_later_than_the_last_is_passed_over() -> None:
    source = Source()
    source.take("one", (0, 5, 290.0, 3.0), (1, 5, 290.0, 3.0))
    assert source.take("two", (0, 5, 295.0, 9.0), (1, 4, 295.0, 9.0), (2, 1, 295.0, 9.0)) == 1
    assert source.kept.blocks["two"][0] == ["0xc"]
    assert source.take("three", (0, 5, 295.0, 9.0)) == 0
    assert "three" not in source.kept.blocks
    assert source.take("four", (0, 6, 295.0, 9.0)) == 1


def test_what_can_not_be_is_marked_and_scored_as_missing() -> None:
    source = Source()
    source.take("one", (0, 1, 1_000.0, 3.0), (1, 1, np.inf, 4.0), (2, 1, np.nan, -np.inf))
    nan = float("nan")
    expected = [[nan, 3.0], [nan, 4.0], [nan, nan]]
    np.testing.assert_equal(source.kept.blocks["one"][2], expected)
    np.testing.assert_equal(source.detector.seen[0][1], expected)
    (rows,) = source.kept.marked.values()
    assert (rows.devices, rows.value.tolist(), rows.metric.tolist()) == (("0xa",), [1_000.0], [0])
    assert rows.marks.tolist() == [Mark.RANGE]
    assert rows.time.tolist() == [NOW + 1_000]


def test_what_is_found_is_told_with_names() -> None:
    source = Source()
    source.take("one", (2, 1, 290.0, 500.0))
    (found,) = source.told
    assert (found.subject, found.metric, found.kind) == ("0xc", "roof.odd", "anomaly")
    assert (found.at, found.severity) == (NOW + 1_000, Severity.CRITICAL)
    assert found.key == f"anomaly/0xc/roof.odd/{NOW + 1_000}"


def test_a_frame_that_was_not_kept_comes_again_and_is_scored_once() -> None:
    source = Source()
    source.kept.full = True
    with pytest.raises(CapacityError):
        source.take("one", (0, 1, 290.0, 500.0))
    with pytest.raises(ConflictError, match="frame one"):
        source.take("two", (0, 2, 290.0, 3.0))
    source.kept.full = False
    assert source.take("one", (0, 1, 290.0, 500.0)) == 1
    assert source.take("two", (0, 2, 290.0, 3.0)) == 1
    assert list(source.kept.blocks) == ["one", "two"]
    assert len(source.detector.seen) == 2
    assert len(source.told) == 1


def test_a_source_goes_on_from_a_checkpoint() -> None:
    source = Source()
    source.take("one", (0, 5, 290.0, 3.0))
    later = Source()
    later.bulk.decode(source.bulk.encode())
    assert later.take("two", (0, 5, 290.0, 3.0)) == 0
    assert len(later.detector.seen) == 1
    for data in (b"", b"nonsense", Bulk(
        ("0xa",), METRICS, detector=Listening(), sink=Kept(), listener=ignore
    ).encode()):  # fmt: skip
        with pytest.raises(IntegrityError):
            later.bulk.decode(data)


@pytest.mark.parametrize(
    "wrong",
    [
        Frame(np.array([0]), np.array([NOW, NOW]), np.zeros((1, 2))),
        Frame(np.array([0]), np.array([NOW]), np.zeros((1, 3))),
        Frame(np.array([3]), np.array([NOW]), np.zeros((1, 2))),
        Frame(np.array([-1]), np.array([NOW]), np.zeros((1, 2))),
        Frame(np.array([1, 1]), np.array([NOW, NOW]), np.zeros((2, 2))),
        Frame(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2))),
        Frame(
            np.zeros(ROWS_MAX + 1, np.int64), np.zeros(ROWS_MAX + 1, np.int64),
            np.zeros((ROWS_MAX + 1, 2)),
        ),
    ],
)  # fmt: skip
def test_a_frame_of_another_shape_is_refused(wrong: Frame) -> None:
    source = Source()
    with pytest.raises(UsageError):
        source.bulk.take("one", wrong)
    assert not source.detector.seen


@pytest.mark.parametrize(
    ("devices", "metrics"),
    [
        ((), METRICS),
        (DEVICES, ()),
        (DEVICES, ("a", "a")),
        (DEVICES, [f"m{number}" for number in range(METRICS_MAX + 1)]),
    ],
)
def test_a_roster_needs_devices_and_metrics(devices: Sequence[str], metrics: Sequence[str]) -> None:
    with pytest.raises(UsageError):
        Bulk(devices, metrics, detector=Listening(), sink=Kept(), listener=ignore)


class Crowded(Listening):
    """A detector in which nobody else should be."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.met = threading.Semaphore(1), threading.Event()

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, Sequence[Alert]]:
        if not self.inside.acquire(blocking=False):
            self.met.set()
            return np.zeros(len(devices)), []
        self.met.wait(0.1)
        self.inside.release()
        return super().step(devices, times, values)


def test_threads_take_turns() -> None:
    detector, kept = Crowded(), Kept()
    bulk = Bulk(DEVICES, METRICS, detector=detector, sink=kept, listener=ignore)
    threads = [
        threading.Thread(target=bulk.take, args=(f"s{n}", frame((n, 1, 290.0, 3.0))))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not detector.met.is_set()
    assert len(kept.blocks) == len(detector.seen) == 3

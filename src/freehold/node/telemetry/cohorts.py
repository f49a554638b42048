"""Devices beside their peers: readings on their way to the store, compared on common ticks.

The devices of one cell are a cohort, and so are all nodes, in what nodes have in common; of nodes
that run on one machine, which all measure the same, one stands for all. A machine is known by when
it started, from what nodes tell of its uptime; who does not tell is not compared. Cohorts
are compared over all partitions of the process: ``Cohorts`` is the sink of each, in front of the
real one, and notes what passes; ``step`` does the work. A cohort's tick is as long as its devices'
usual period. It is judged once most devices have been heard after it, so who is late is left out
and batches of an hour are waited for, up to ``OPEN`` ticks.

What is learnt is kept in a file from time to time. After a crash the partitions hand on again what
came since their own checkpoints; a tick that was judged is not judged again.

Threats: times from the future (left out, with readings that are marked out of range); a device
that invents metrics, or many devices (bounded; who comes too late is not compared); a node that
says it runs where another does (it is compared no more; the one that was first is); a flood
between two steps (what is over ``WAITING`` readings is left out and counted, never the store).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.files import write_whole
from freehold.learning.anomaly import cohort, evidence, explain, incidents
from freehold.telemetry import states
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.marks import Mark
from freehold.telemetry.members import Member
from freehold.telemetry.metrics import limits
from freehold.telemetry.partition import Listener, Sink
from freehold.telemetry.rows import Rows

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

METRICS = 16
"""Metrics of a cohort that are compared, by first appearance."""
DEVICES = 16_384
"""Devices that are compared in all: 3 kB each."""
LADDER = tuple(1_000 * each for each in (10, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600))
"""Lengths of ticks, milliseconds."""
OPEN = 128
"""Ticks of a cohort that wait for readings at the most."""
AHEAD = 60_000
"""Milliseconds that a reading may be ahead of now."""
WAITING = 2_000_000
"""Readings that wait for ``step``."""
UNTOLD = 10_000
"""Findings that wait for a listener that fails, the latest."""
QUIET = 64
"""Ticks without anything odd after which what comes is a new incident."""
KEEP = 600_000
"""Milliseconds between two times that the state is kept."""
ASKS = evidence.ALERT / evidence.MOST
NODES = "nodes"
UPTIME = "host.uptime"
SAME_START = 2_000
"""Milliseconds between the starts of one machine as two nodes tell them, at most."""
FILE = "cohorts"
_LATE = 25.0
"""Percent of the devices that a tick is judged without."""
_USUAL = 0.1
_LEFT_OUT = int(Mark.RANGE | Mark.DRIFT | Mark.DUPLICATE | Mark.LATE)
_OWN = ("agent.", "edge.")
"""Metrics that devices report of themselves."""


@dataclass(slots=True)
class _Tick:
    """Sum and number of readings (devices, METRICS)."""

    total: Floats
    count: Whole


@dataclass(slots=True)
class _Cohort:
    """``heard`` is each device's latest time, ``began`` when its machine started, 0 where not
    known; ``peers`` are the cohorts, by device, that ``state`` compares; ``period`` the usual time
    between two readings, and ``length`` of a tick, 0 where not known yet, in milliseconds;
    ``judged`` the latest tick."""

    devices: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, int] = field(default_factory=dict)
    heard: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    began: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    peers: Whole = field(default_factory=lambda: np.zeros(0, np.int64))
    period: float = 0.0
    length: int = 0
    judged: int = -1
    ticks: dict[int, _Tick] = field(default_factory=dict)
    state: cohort.State | None = None
    open: incidents.Open = field(default_factory=lambda: incidents.start(0))


class Cohorts:
    """A ``Sink`` in front of ``sink``. ``member`` gives the member with an id; findings are of
    kind ``cohort``. IntegrityError where ``file`` is damaged."""

    def __init__(
        self, sink: Sink, *, member: Callable[[str], Member | None], listener: Listener, file: Path
    ) -> None:
        self._sink, self._member, self._listener = sink, member, listener
        self._file = file
        self._lock, self._bench = threading.Lock(), threading.Lock()
        self._waiting: deque[Rows] = deque()
        self._count = self.left_out = 0
        self._kept_at = 0
        self._untold: list[Finding] = []
        self._cohorts: dict[str, _Cohort] = {}
        if file.exists():
            self._cohorts = _decode(file.read_bytes())

    def keep(self, segment: str, rows: Rows) -> None:
        """As the sink's; what it took waits for ``step``."""
        self._sink.keep(segment, rows)
        with self._lock:
            if self._count + len(rows) > WAITING:
                self.left_out += len(rows)
                return
            self._waiting.append(rows)
            self._count += len(rows)

    def step(self, now: int) -> None:
        """Take what came, judge the ticks that are over, tell what is found; ``now`` is
        milliseconds. What the listener raises is raised; it is told again by the next step."""
        with self._bench:
            self._kept_at = self._kept_at or now
            while (rows := self._next()) is not None:
                self._take(rows, now)
            for name, one in self._cohorts.items():
                self._untold += _judge(name, one)
            del self._untold[:-UNTOLD]
            if now - self._kept_at >= KEEP:
                self._save()
                self._kept_at = now
            if self._untold:
                self._listener(self._untold)
                self._untold = []

    def close(self) -> None:
        """Keep the state."""
        with self._bench:
            self._save()

    def _next(self) -> Rows | None:
        with self._lock:
            if not self._waiting:
                return None
            rows = self._waiting.popleft()
            self._count -= len(rows)
            return rows

    def _save(self) -> None:
        write_whole(self._file, _encode(self._cohorts))

    def _take(self, rows: Rows, now: int) -> None:
        """Note readings, cohort by cohort."""
        sound = (rows.marks & np.uint8(_LEFT_OUT) == 0) & (rows.std == 0)
        sound &= rows.time <= now + AHEAD
        names = [self._cohort_of(device) for device in rows.devices]
        known = {name: at for at, name in enumerate(dict.fromkeys(filter(None, names)))}
        places = np.array([known.get(name, -1) for name in names], np.int64)
        of = places[rows.device] if len(places) else places
        for name, at in known.items():
            chosen = np.flatnonzero(sound & (of == at))
            if len(chosen):
                self._note(name, rows, chosen)

    def _cohort_of(self, device: str) -> str:
        """The name of a device's cohort, empty for none."""
        member = self._member(device)
        if member is None or member.kind == "source":
            return ""
        return NODES if member.kind == "node" else member.cell and f"cell {member.cell}"

    def _note(self, name: str, rows: Rows, chosen: Whole) -> None:
        first = {UPTIME: 0} if name == NODES else {}
        one = self._cohorts.setdefault(name, _Cohort(metrics=first))
        wanted = [metric if _compared(name, metric) else "" for metric in rows.metrics]
        metric = _places(one.metrics, wanted, rows.metric[chosen], METRICS)
        chosen, metric = chosen[metric >= 0], metric[metric >= 0]
        room = DEVICES - sum(len(each.devices) for each in self._cohorts.values())
        device = _places(one.devices, rows.devices, rows.device[chosen], len(one.devices) + room)
        here = np.flatnonzero(device >= 0)
        if len(here):
            _grow(one)
            times, values = rows.time[chosen][here], rows.value[chosen][here]
            _start(one, device[here], metric[here], times, values)
            _pace(one, device[here], times)
            _add(one, device[here], metric[here], times, values)


def _compared(name: str, metric: str) -> bool:
    if name == NODES:
        return metric.startswith("host.") or metric.rpartition(".")[2] == "latency"
    return not metric.startswith(_OWN)


def _places(
    known: dict[str, int], names: Sequence[str], which: npt.NDArray[np.int32], most: int
) -> Whole:
    """Places of ``names[which]`` in ``known``, which grows to ``most``; -1 for who has none."""
    found = np.full(len(names), -1, np.int64)
    for at in np.unique(which).tolist():
        if names[at] and (names[at] in known or len(known) < most):
            found[at] = known.setdefault(names[at], len(known))
    return found[which]


def _grow(one: _Cohort) -> None:
    """Make room for devices that are new."""
    held, size = len(one.heard), len(one.devices)
    if held == size:
        return
    one.heard = np.pad(one.heard, (0, size - held))
    one.began = np.pad(one.began, (0, size - held))
    fresh = incidents.start(size)
    for name in ("last", "since", "level", "before"):
        getattr(fresh, name)[:held] = getattr(one.open, name)
    fresh.row, one.open = one.open.row, fresh
    more = ((0, size - held), (0, 0))
    for tick in one.ticks.values():
        tick.total, tick.count = np.pad(tick.total, more), np.pad(tick.count, more)
    if one.state is not None:
        one.peers = np.pad(one.peers, (0, size - held), constant_values=cohort.ALONE)
        one.state = cohort.regroup(one.state, one.peers)


def _start(one: _Cohort, device: Whole, metric: Whole, times: Whole, values: Floats) -> None:
    """Learn when machines started."""
    told = np.flatnonzero(metric == one.metrics.get(UPTIME, -1))
    one.began[device[told]] = times[told] - (1_000 * values[told]).astype(np.int64)


def _peers(name: str, one: _Cohort) -> Whole:
    """Cohort 0 of each device, ``ALONE`` for nodes of a machine that has one in it already."""
    peers = np.zeros(len(one.devices), np.int64)
    if name != NODES:
        return peers
    order = np.argsort(one.began, kind="stable")
    machine = np.empty_like(order)
    machine[order] = np.cumsum(np.diff(one.began[order], prepend=0) > SAME_START)
    _, first = np.unique(machine, return_index=True)
    peers[:] = cohort.ALONE
    peers[first] = 0
    peers[one.began == 0] = cohort.ALONE
    return peers


def _pace(one: _Cohort, device: Whole, times: Whole) -> None:
    """Learn the usual period, and how long a tick is from that."""
    order = np.lexsort((times, device))
    device, times = device[order], times[order]
    before = np.r_[0, times[:-1]]
    first = np.r_[True, device[1:] != device[:-1]]
    passed = times - np.where(first, one.heard[device], before)
    seen = passed[(passed > 0) & (passed < times)]
    np.maximum.at(one.heard, device, times)
    if not len(seen):
        return
    middle = float(np.median(seen))
    one.period += (middle - one.period) * (_USUAL if one.period else 1.0)
    if not one.length or not one.length / 8 < one.period < 1.5 * one.length:
        fitting = next((each for each in LADDER if one.period <= 1.1 * each), LADDER[-1])
        if fitting != one.length:
            one.length, one.judged, one.ticks, one.state = fitting, -1, {}, None


def _add(one: _Cohort, device: Whole, metric: Whole, times: Whole, values: Floats) -> None:
    """Add readings to the ticks they belong to, those that are judged excepted."""
    if not one.length:
        return
    at = times // one.length
    shape = (len(one.devices), METRICS)
    newest = int(one.heard.max()) // one.length
    for number in np.unique(at[(at > one.judged) & (at > newest - OPEN)]).tolist():
        tick = one.ticks.setdefault(number, _Tick(np.zeros(shape), np.zeros(shape, np.int64)))
        here = at == number
        np.add.at(tick.total, (device[here], metric[here]), values[here])
        np.add.at(tick.count, (device[here], metric[here]), 1)


def _judge(name: str, one: _Cohort) -> list[Finding]:
    """What the ticks that are over show."""
    found: list[Finding] = []
    if not one.ticks or len(one.devices) < cohort.LEAST:
        return found
    newest = int(one.heard.max()) // one.length
    live = one.heard[one.heard >= (newest - OPEN) * one.length]
    over = int(np.percentile(live, _LATE, method="lower")) // one.length
    for number in sorted(one.ticks):
        if number >= over and number > newest - OPEN:
            break
        tick = one.ticks.pop(number)
        one.judged = number
        values = np.full(tick.total.shape, np.nan)
        np.divide(tick.total, tick.count, out=values, where=tick.count > 0)
        found += _compare(name, one, number * one.length, values)
    return found


def _compare(name: str, one: _Cohort, at: int, values: Floats) -> list[Finding]:
    """What one row (devices, METRICS) shows."""
    peers = _peers(name, one)
    state = one.state or cohort.start(peers, METRICS)
    if not np.array_equal(one.peers, peers):
        state = cohort.regroup(state, peers)
    one.peers = peers
    one.state, scores = cohort.step(state, values)
    odd = np.where(scores >= ASKS, scores, 0.0)
    one.open, _ = incidents.step(one.open, odd, QUIET)
    told = np.flatnonzero(incidents.alerts(one.open, ASKS)).tolist()
    one.open.last[odd > 0] = one.open.row - 1  # it lasts while anything is odd
    if not told:
        return []
    ids = list(one.devices)
    metrics = [*one.metrics, *[""] * (METRICS - len(one.metrics))]
    seen = cohort.explain(one.state, values, told, one.open, metrics)
    among = f"the {int((peers == 0).sum())} {'nodes' if name == NODES else 'devices of its cell'}"
    return [
        _finding(ids[each.series], each, at, float(scores[each.series]), among) for each in seen
    ]


def _finding(subject: str, seen: explain.Finding, at: int, score: float, among: str) -> Finding:
    low, high = limits(seen.metric).within(seen.low, seen.high)
    return Finding(
        key=f"cohort/{subject}/{seen.metric}/{at}", kind="cohort", subject=subject,
        metric=seen.metric, since=at, at=at, severity=Severity.WARNING, score=score,
        reason=f"{seen.metric} is {seen.value:g}; {among} let expect {low:g} to {high:g}",
        value=seen.value, low=low, high=high,
    )  # fmt: skip


def _encode(cohorts: dict[str, _Cohort]) -> bytes:
    words: list[object] = []
    arrays: dict[str, states.Array] = {}
    for place, (name, one) in enumerate(cohorts.items()):
        words.append(
            [name, list(one.devices), list(one.metrics), one.period, one.length, one.judged,
             one.open.row, one.state is not None]
        )  # fmt: skip
        held: dict[str, states.Array] = {
            "heard": one.heard, "last": one.open.last, "since": one.open.since,
            "level": one.open.level, "began": one.began,
        }  # fmt: skip
        if one.state is not None:
            held |= cohort.arrays(one.state)
        arrays |= {f"{place}/{each}": array for each, array in held.items()}
    return states.encode(words, arrays)


def _decode(data: bytes) -> dict[str, _Cohort]:
    words, arrays = states.decode(data)
    if not isinstance(words, list):
        raise _damaged()
    try:
        return {
            str(word[0]): _restored(word, _of(place, arrays)) for place, word in enumerate(words)
        }
    except (KeyError, ValueError, TypeError, IndexError, UsageError) as error:
        raise _damaged() from error


def _of(place: int, arrays: dict[str, states.Array]) -> dict[str, states.Array]:
    start = f"{place}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def _restored(word: Sequence[object], held: dict[str, states.Array]) -> _Cohort:
    _, devices, metrics, period, length, judged, row, learnt = word
    if not isinstance(devices, list) or not isinstance(metrics, list):
        raise _damaged()
    size = len(devices)
    last, since, level = held["last"].copy(), held["since"].copy(), held["level"].copy()
    began = held.get("began", np.zeros(size)).astype(np.int64)
    if not len(began) == len(held["heard"]) == len(last) == len(since) == len(level) == size:
        raise _damaged()
    return _Cohort(
        devices={str(name): at for at, name in enumerate(devices)},
        metrics={str(name): at for at, name in enumerate(metrics)},
        heard=held["heard"].astype(np.int64),
        began=began,
        peers=np.full(size, cohort.ALONE),
        period=float(str(period)),
        length=int(str(length)),
        judged=int(str(judged)),
        state=cohort.restore(held, np.full(size, cohort.ALONE)) if learnt else None,
        open=incidents.Open(
            int(str(row)), last.astype(np.int64), since.astype(np.int64),
            level.astype(np.float64), np.zeros(size),
        ),
    )  # fmt: skip


def _damaged() -> IntegrityError:
    return IntegrityError(
        "the kept state of the cohorts is damaged",
        remedy="Delete it; what is usual is learnt anew.",
    )

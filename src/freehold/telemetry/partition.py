"""One share of the devices: takes their batches durably, and works on what it took.

``take`` verifies batches, lets the guard judge them and logs them, all in one transaction; what
it says is admitted is never lost and counts once. ``work`` cuts what is new, hands its rows to
the sink and its findings to the listener, and keeps the state from time to time. After a crash
the cuts since the state kept last are worked on again, and give the same segments and keys.

Threats: replay, forgery and foreign batches (refused, and told where the device is known); a
batch on another partition's topic (refused, for its guard is elsewhere); a sink that fails (what
it did not keep is handed to it again, and nothing goes on before); a device that invents metrics
(256 at most). Trusts whoever lists the members, and the disk once it said that it synced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from freehold.domain.did import ForgedError
from freehold.domain.errors import CapacityError, ConflictError, FreeholdError, IntegrityError
from freehold.telemetry import lies, pipeline, states
from freehold.telemetry.columns import Columns, unpack
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.journal import Counts, Entry, Journal, Logged
from freehold.telemetry.labels import METRICS_OF_DEVICE
from freehold.telemetry.lies import Incidents, Known, Watch
from freehold.telemetry.members import Member, Members, UnknownError, claimed, share
from freehold.telemetry.pipeline import Arrival, Detector, Output
from freehold.telemetry.quality import explain, score
from freehold.telemetry.reading import Batch, open_batch
from freehold.telemetry.refusals import ReplayError
from freehold.telemetry.replay import Bounds
from freehold.telemetry.rows import Rows

Listener = Callable[[Sequence[Finding]], None]
"""Is told findings; the same key again is the same incident."""
CUT = 2_048
"""Batches that are worked on at once."""
SILENT_PERIODS, SILENT_LEAST = 5.0, 60_000
UNWATCHED = "node"
"""The kind of members whose readings nobody pays for and may be alike."""
_MINUTE = 60_000
_DAMPED = 65_536
_SILENCE_EVERY = 1_000


class Sink(Protocol):
    """Where rows are kept."""

    def keep(self, segment: str, rows: Rows) -> None:
        """Keep rows durably; a segment that is kept already is left as it is."""
        ...


class MisroutedError(ConflictError):
    """A batch that came to the partition of another device."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: counted now (``new``), counted before, or refused; ``missing``
    batches of its device have been passed over and not come."""

    new: bool
    missing: int = 0
    refusal: FreeholdError | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The file of partition ``part`` of ``partitions``."""

    path: Path
    network_id: bytes
    part: int = 0
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """How a partition works; times in milliseconds.

    The state is kept after ``checkpoint`` of arrivals or ``batches``, whichever is first.
    """

    bounds: Bounds = field(default_factory=Bounds)
    watch: Watch = field(default_factory=Watch)
    checkpoint: int = 60_000
    batches: int = 20_000


@dataclass(frozen=True, slots=True)
class _Opened:
    batch: Batch
    columns: Columns
    member: Member
    data: bytes


class Partition:
    """Owns the file of ``place`` until ``close``; may be used by several threads.

    ``now`` is milliseconds when the process starts: before that nobody could be heard.
    """

    def __init__(
        self, place: Place, *, members: Members, detector: Callable[[], Detector], sink: Sink,
        listener: Listener, now: int, rules: Rules | None = None,
    ) -> None:  # fmt: skip
        self.place = place
        self._members, self._detector = members, detector
        self._sink, self._listener = sink, listener
        self._rules = rules or Rules()
        self._door, self._bench = threading.RLock(), threading.RLock()
        self._journal = Journal(
            place.path, part=place.part, partitions=place.partitions, bounds=self._rules.bounds
        )
        self._opened, self._now = now, now
        self._fresh: dict[int, tuple[int, Columns, int]] = {}
        self._known: dict[str, Known] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._damped: dict[tuple[str, str], int] = {}
        self._told: dict[str, int] = {}
        self._silence_at = 0
        try:
            self._load()
        except BaseException:
            self._journal.close()
            raise

    def take(self, batches: Sequence[bytes], *, now: int) -> list[Outcome]:
        """What became of each; durable on return. CapacityError or UnavailableError where the
        file cannot be written: then none of them was taken."""
        opened = [self._open(data) for data in batches]
        with self._door:
            self._now = max(self._now, now)
            admitted: list[tuple[int, _Opened]] = []
            with self._journal.turn(now) as entry:
                outcomes = [self._admit(entry, each, admitted) for each in opened]
            self._note(admitted)
            refused = [
                finding
                for data, outcome in zip(batches, outcomes, strict=True)
                if isinstance(outcome.refusal, ReplayError | ForgedError)
                for finding in self._refused(data, outcome.refusal, now)
            ]
        self._tell(refused)
        return outcomes

    def work(self, *, now: int | None = None) -> None:
        """Work on all that was taken; ``now`` (milliseconds) moves the time from which devices
        are silent. What the sink or the listener raises is raised once all before it is kept;
        call again to go on."""
        with self._bench:
            self._now = max(self._now, now or 0)
            if self._broken:
                self._load()
            self._hand_on()
            while self._done < self._journal.last:
                last = min(self._done + CUT, self._journal.last)
                self._journal.cut(self._done + 1, last)
                self._run(self._done + 1, last)
                self._hand_on()
            self._tell(self._silent())
            if self._last_kept < self._done and self._due():
                self._keep()

    @property
    def home(self) -> str:
        """A name that this file has and no other: its guard's memory is nowhere else."""
        return self._journal.home

    def sender(self, data: bytes) -> str:
        """The id of the member that a batch says it is of, not verified; empty where of none."""
        did = claimed(data)
        member = None if did is None else self._members.find(did)
        return "" if member is None else member.id

    def quality(self, member: str) -> float:
        """The quality of a device now, 0 to 1; 0.5 is that of one not yet heard of."""
        with self._bench:
            slot = self._state.labels.find(member)
            if slot is None:
                return 0.5
            one = states.take(self._state.record, np.array([slot]))
            return float(score(one, now=self._now)[0])

    def explain(self, member: str) -> dict[str, float]:
        """The parts of a device's quality by name, empty of one not yet heard of."""
        with self._bench:
            slot = self._state.labels.find(member)
            if slot is None:
                return {}
            one = states.take(self._state.record, np.array([slot]))
            return explain(one, 0, now=self._now)

    def tally(self, since: int, until: int) -> dict[str, tuple[int, float]]:
        """Of each device, readings that arrived from ``since`` to before ``until`` and have no
        mark of unsoundness, and the mean quality as they came; the same from the same log."""
        with self._bench:
            found = [*self._journal.counts(since, until), *self._unkept(since, until)]
            names = self._state.labels.devices
        if not found:
            return {}
        every = np.concatenate(found)
        sound = np.bincount(every["slot"], every["sound"], minlength=len(names))
        earned = np.bincount(every["slot"], every["sound"] * every["quality"].astype(np.float64))
        return {
            names[slot]: (int(sound[slot]), float(earned[slot] / sound[slot]))
            for slot in np.flatnonzero(sound).tolist()
        }

    def marked(self, member: str, since: int = 0) -> str:
        """Why a device was found lying at ``since`` or later, across restarts; empty where it was
        not."""
        return self._journal.marked(member, since)

    def evidence(self, since: int, until: int, member: str) -> Iterator[bytes]:
        """The batches of a device that arrived from ``since`` to before ``until``, as signed."""
        return self._journal.evidence(since, until, member)

    def forget(self, before: int) -> None:
        """Delete evidence and counts from before ``before``."""
        with self._bench:
            self._journal.forget(before, worked=self._last_kept)

    def close(self) -> None:
        """Keep the state and give the file up."""
        with self._bench, self._door:
            try:
                if self._last_kept < self._done and not self._pending:
                    self._keep()
            finally:
                self._journal.close()

    def _open(self, data: bytes) -> _Opened | FreeholdError:
        try:
            batch = open_batch(data, network_id=self.place.network_id)
            member = self._member(batch)
            return _Opened(batch, unpack(batch), member, data)
        except FreeholdError as error:
            return error

    def _member(self, batch: Batch) -> Member:
        member = self._members.find(batch.device)
        if member is None:
            raise UnknownError(
                f"{batch.device.text} is not enrolled",
                remedy="Enrol it with `freehold device add`, or wait until the ledger shows it.",
            )
        if share(member.id, self.place.partitions) != self.place.part:
            raise MisroutedError(
                f"{member.id} belongs to another partition",
                remedy="Publish to the topic fh/dev/ and the device's own id.",
            )
        return member

    def _admit(
        self, entry: Entry, opened: _Opened | FreeholdError, admitted: list[tuple[int, _Opened]]
    ) -> Outcome:
        if isinstance(opened, FreeholdError):
            return Outcome(new=False, refusal=opened)
        try:
            self._check_names(opened)
            verdict = entry.admit(opened.batch, opened.data, opened.member.id)
        except (ReplayError, CapacityError) as error:
            return Outcome(new=False, refusal=error)
        if verdict.new:
            admitted.append((entry.last, opened))
        return Outcome(verdict.new, verdict.missing)

    def _check_names(self, opened: _Opened) -> None:
        names = self._names.get(opened.member.id, frozenset())
        new = opened.columns.table.names
        if not names.issuperset(new) and len(names.union(new)) > METRICS_OF_DEVICE:
            raise CapacityError(
                f"{opened.member.id} named more than {METRICS_OF_DEVICE} metrics",
                remedy="Give metrics fixed names, with nothing in them that changes.",
            )

    def _note(self, admitted: Sequence[tuple[int, _Opened]]) -> None:
        """Keep at hand what ``work`` needs of batches just logged."""
        for number, each in admitted:
            if number - self._done <= 2 * CUT:
                self._fresh[number] = each.batch.time, each.columns, each.batch.boot
            self._name(each.member.id, each.columns)
            member = each.member
            self._known[member.id] = Known(member.owner, member.cell, member.kind != UNWATCHED)

    def _name(self, member: str, columns: Columns) -> None:
        names = self._names.get(member, frozenset())
        if not names.issuperset(columns.table.names):
            self._names[member] = names.union(columns.table.names)

    def _refused(self, data: bytes, error: FreeholdError, now: int) -> list[Finding]:
        """That somebody forged, replayed or kept back a device's batch: one finding a minute of
        each device and kind."""
        did, kind = claimed(data), type(error).__name__
        member = None if did is None else self._members.find(did)
        if member is None or now - self._damped.get((member.id, kind), -_MINUTE) < _MINUTE:
            return []
        while len(self._damped) >= _DAMPED:
            del self._damped[next(iter(self._damped))]
        self._damped[member.id, kind] = now
        return [
            Finding(
                key=f"refused/{member.id}/{kind}/{now}", kind="refused", subject=member.id,
                metric="", since=now, at=now, severity=Severity.WARNING, score=1.0,
                reason=error.message,
            )
        ]  # fmt: skip

    def _load(self) -> None:
        """Go back to the state kept last, and do again what came after."""
        self._done, data = self._journal.state()
        self._last_kept, self._kept_at = self._done, self._now
        self._pending: list[tuple[str, Output]] = []
        self._counts: list[tuple[int, Counts]] = []
        self._lies: Incidents = {}
        self._looked = 0
        self._state = pipeline.start(self._detector())
        if data:
            self._restore(data)
        for member in self._state.labels.devices:
            self._names[member] = self._state.labels.names(member)
        self._broken = False
        for first, last in self._journal.cuts(self._done):
            self._run(first, last)
        for arrival in self._arrivals(self._done + 1, self._journal.last):
            self._name(arrival.member, arrival.columns)

    def _restore(self, data: bytes) -> None:
        words, arrays = states.decode(data)
        if not isinstance(words, list) or len(words) != 3:
            raise IntegrityError("a checkpoint is damaged", remedy="Delete it.")
        self._looked, seen, known = words
        self._lies = {name: (since, at) for name, (since, at) in seen.items()}
        self._known |= {name: Known(*each) for name, each in known.items()}
        self._state = pipeline.decode(self._detector(), arrays["state"].tobytes())

    def _run(self, first: int, last: int) -> None:
        arrivals = self._arrivals(first, last)
        self._broken = True  # a step that fails leaves the state half changed
        if arrivals:
            self._state, output = pipeline.step(self._state, arrivals)
            told = self._watch(arrivals[-1].arrived)
            output = replace(output, findings=output.findings + told)
            self._counts.append((first, output.counts))
            name = f"{self.place.part:04d}-{first:012d}-{last:012d}"
            self._pending.append((name, output))
        self._done, self._broken = last, False

    def _hand_on(self) -> None:
        """Hand rows and findings to those who keep them; what fails stays first in line."""
        while self._pending:
            segment, output = self._pending[0]
            self._sink.keep(segment, output.rows)
            self._tell(output.findings)
            del self._pending[0]

    def _arrivals(self, first: int, last: int) -> list[Arrival]:
        return [self._arrival(each) for each in self._journal.since(first - 1, until=last)]

    def _arrival(self, logged: Logged) -> Arrival:
        fresh = self._fresh.pop(logged.id, None)
        if fresh is None:
            batch = open_batch(logged.data, network_id=self.place.network_id)
            fresh = batch.time, unpack(batch), batch.boot
        return Arrival(logged.member, logged.arrived, *fresh)

    def _watch(self, now: int) -> tuple[Finding, ...]:
        """Look for lies when arrivals pass a multiple of the time between two looks."""
        every = self._rules.watch.every
        if self._looked // every == now // every:
            return ()
        self._looked = now
        tick = self._rules.watch.tick
        found = lies.watch(self._state, self._about, self._lies, now=now, tick=tick)
        for each in (lie.finding for lie in found if lie.marked):
            self._journal.mark(each.subject, each.kind, each.at, f"{each.kind}: {each.reason}")
        return tuple(lie.finding for lie in found)

    def _about(self, member: str) -> Known:
        return self._known.get(member, Known())

    def _silent(self) -> list[Finding]:
        """Devices that should have been heard of by now."""
        if self._now - self._silence_at < _SILENCE_EVERY:
            return []
        self._silence_at = self._now
        pulse, count = self._state.pulse, len(self._state.labels.devices)
        heard = pulse.heard[:count]
        usual = np.maximum(SILENT_PERIODS * pulse.period[:count], SILENT_LEAST)
        quiet = np.flatnonzero(
            (pulse.count[:count] > 1) & (self._now - np.maximum(heard, self._opened) > usual)
        )
        names = [self._state.labels.devices[slot] for slot in quiet]
        since = dict(zip(names, heard[quiet].tolist(), strict=True))
        fresh = {name: at for name, at in since.items() if self._told.get(name) != at}
        self._told = since
        return [self._silence(name, at) for name, at in fresh.items()]

    def _silence(self, member: str, since: int) -> Finding:
        return Finding(
            key=f"silent/{member}/{since}", kind="silent", subject=member, metric="",
            since=since, at=self._now, severity=Severity.WARNING, score=1.0,
            reason=f"nothing came for {(self._now - since) // 1000:,} seconds",
        )  # fmt: skip

    def _unkept(self, since: int, until: int) -> Iterator[Counts]:
        for _, counts in self._counts:
            yield counts[(counts["arrived"] >= since) & (counts["arrived"] < until)]

    def _due(self) -> bool:
        late = self._now - self._kept_at >= self._rules.checkpoint
        return late or self._done - self._last_kept >= self._rules.batches

    def _keep(self) -> None:
        known = {
            name: [each.owner, each.cell, each.watched] for name, each in self._known.copy().items()
        }
        words = [self._looked, self._lies, known]
        inner = np.frombuffer(pipeline.encode(self._state), np.uint8)
        self._journal.save(self._done, states.encode(words, {"state": inner}), self._counts)
        self._last_kept, self._kept_at, self._counts = self._done, self._now, []

    def _tell(self, findings: Sequence[Finding]) -> None:
        if findings:
            self._listener(findings)

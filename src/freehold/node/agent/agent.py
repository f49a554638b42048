"""The agent: three loops that fail and wait apart, over one buffer and one journal.

Sensing never waits for the network, sending never holds up sensing, and care (directives,
commands) holds up neither; what must end in time, the holds of commands, is looked after by the
thread that runs the agent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.errors import FreeholdError
from freehold.node.agent import keys as key_files
from freehold.node.agent.board import FileBoard, NoBoard
from freehold.node.agent.buffer import FILE as BUFFER_FILE
from freehold.node.agent.buffer import Buffer, Sealed
from freehold.node.agent.directives import Directives
from freehold.node.agent.edge import Edge
from freehold.node.agent.rounds import Rounds
from freehold.node.agent.sensors import Collector, build
from freehold.node.agent.settings import Settings
from freehold.node.agent.settings import load as load_settings
from freehold.node.agent.standing import RetiredError
from freehold.node.agent.transports import LaterError, Transport, open_transport
from freehold.telemetry.metrics import INTERVAL
from freehold.telemetry.reading import Reading

CARE_SECONDS = 10.0
"""Between two looks at directives and commands."""
TICK_SECONDS = 1.0
PAUSE_MAX = 60.0
"""The longest that sending waits after failures, unless the service asks for more."""
WAIT_MAX = 600
JOIN_SECONDS = 10.0
"""For all loops together, once the agent is to end."""
LAST_SECONDS = 5.0
"""In which the last readings are sealed and sent; what is not sent then waits for the next boot."""
SCORE, LOST, REFUSED = "edge.score", "agent.lost.count", "agent.refused.count"


@dataclass(frozen=True, slots=True)
class Progress:
    """What the agent did so far: batches ever sent, waiting, lost and refused; the last error."""

    boot: int
    sent: int
    buffered: int
    lost: int
    refused: int
    held: int
    error: str

    def line(self) -> str:
        """One line for people."""
        parts = [f"sent {self.sent:,}", f"buffered {self.buffered:,}"]
        parts += [
            f"{name} {count:,}"
            for name, count in (("lost", self.lost), ("refused", self.refused), ("held", self.held))
            if count
        ]
        return ", ".join(parts) + (f"; {self.error}" if self.error else "")


class Agent:
    """One device that runs; open it with ``Agent.open``, end it with ``stop``."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        boot: int,
        keys: key_files.Keys,
        transport: Transport | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        from freehold.node.agent.care import Care

        self._settings, self._transport, self._wall = settings, transport, wall
        self._boot = boot
        self._interval = 0
        self._errors: dict[str, str] = {}
        self._fatal: BaseException | None = None
        self._stop, self._fresh, self._sealed = (threading.Event() for _ in range(3))
        self._buffer = Buffer(folder / BUFFER_FILE, room=settings.buffer)
        self._edge = Edge()
        self._rounds = Rounds(network_id=settings.network, did=keys.did, boot=boot, sign=keys.sign)
        self._collector = Collector(
            build(settings.sensors, folder=folder), tell=lambda text: self._note("sensor", text)
        )
        self._directives = Directives(folder, settings, clock=wall)
        self._care = Care(
            settings, folder, keys.agent,
            board=FileBoard(Path(settings.board)) if settings.board else NoBoard(),
            directives=self._directives, tell=lambda text: self._note("command", text), wall=wall,
        )  # fmt: skip

    @classmethod
    def open(cls, folder: Path, *, wall: Callable[[], float] = time.time) -> Agent:
        """The agent of the device in ``folder``, in a new boot."""
        settings, keys = load_settings(folder), key_files.load(folder)
        transport = None
        if settings.services:
            transport = open_transport(
                settings.services[0], device=settings.address, fingerprint=settings.fingerprint
            )
        boot = key_files.next_boot(folder)
        return cls(settings, folder, boot=boot, keys=keys, transport=transport, wall=wall)

    def run(self, report: Callable[[Progress], None] = lambda _progress: None) -> None:
        """Run until ``stop``; tell of progress every second and at the end. RetiredError where
        the device is retired; an error that is none of ours ends the agent, too, for its service
        manager to start it again."""
        loops = [self._sensing, self._sending, self._caring]
        threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=loop.__name__, daemon=True)
            for loop in loops
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.wait(TICK_SECONDS):
                self._try("hold", self._care.end_due)
                report(self.progress())
        finally:
            self.stop()
            busy = _join(threads, JOIN_SECONDS)
            try:
                report(self.progress())
            finally:
                self._close(busy)
        if self._fatal is not None:
            raise self._fatal

    def stop(self) -> None:
        """End ``run`` soon; from any thread, but from no handler of a signal: it takes locks."""
        self._stop.set()
        self._fresh.set()

    def progress(self) -> Progress:
        """What was done so far."""
        return Progress(
            boot=self._boot,
            sent=self._buffer.count("sent"),
            buffered=self._buffer.waiting,
            lost=self._buffer.count("lost"),
            refused=self._buffer.count("refused"),
            held=self._care.held(),
            error="; ".join(sorted(set(self._errors.values()))),
        )

    def sense(self) -> None:
        """Read all sensors once, and keep what is due to be sent."""
        now, pace = int(self._wall() * 1_000), self._directives.pace()
        readings = self._collector.read(now, metrics=pace.metrics)
        score = self._edge.score(readings)
        urgent = score > 0 and score >= pace.threshold
        readings += self._own(now, score if urgent else None, interval=pace.interval)
        due = self._rounds.take(
            readings, now=now, batch=pace.batch, urgent=urgent, pause=1_000 * pace.interval
        )
        for batch in due:
            self._buffer.put(batch)
            self._fresh.set()

    def send(self) -> bool:
        """Send what fits one window, oldest first; whether anything waited."""
        if self._transport is None:
            return False
        batches = self._buffer.oldest(self._transport.window)
        if not batches:
            return False
        taken: list[Sealed] = []
        try:
            self._transport.send(batches, lambda batch, why: self._settle(taken, batch, why))
        finally:
            if taken:
                self._buffer.delivered(taken)
        return True

    def _settle(self, taken: list[Sealed], batch: Sealed, why: str) -> None:
        if not why:
            taken.append(batch)
            return
        self._note("refused", f"batch {batch.sequence} of boot {batch.boot} was refused: {why}")
        self._buffer.refuse(batch, why)

    def _own(self, now: int, score: float | None, *, interval: int) -> list[Reading]:
        """What the agent says of itself, where there is something to say."""
        counts = {LOST: self._buffer.count("lost"), REFUSED: self._buffer.count("refused")}
        own = [Reading(name, "1", now, float(count)) for name, count in counts.items() if count]
        if interval != self._interval:
            self._interval = interval
            own.append(Reading(INTERVAL, "s", now, float(interval)))
        return own if score is None else [*own, Reading(SCORE, "1", now, score)]

    def _sensing(self) -> None:
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                self._try("buffer", self.sense)
                due = max(due + self._directives.pace().interval, time.monotonic())
            self._try("buffer", self._flush)
        finally:
            self._sealed.set()

    def _flush(self) -> None:
        for batch in self._rounds.flush(int(self._wall() * 1_000)):
            self._buffer.put(batch)

    def _sending(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            self._fresh.clear()
            try:
                more = self.send()
                self._errors.pop("send", None)
                pause = 0.0
                if not more:
                    self._fresh.wait(PAUSE_MAX)
            except FreeholdError as error:
                self._note("send", error.message)
                pause = min(PAUSE_MAX, 2 * pause or 1.0)
                asked = error.wait if isinstance(error, LaterError) else 0
                self._stop.wait(max(pause, float(min(asked, WAIT_MAX))))
        if not pause:
            self._try("send", self._send_last)

    def _send_last(self) -> None:
        """Send what sensing left, for a short time."""
        until = time.monotonic() + LAST_SECONDS
        self._sealed.wait(LAST_SECONDS)
        while time.monotonic() < until and self.send():
            pass

    def _caring(self) -> None:
        while not self._stop.is_set():
            self._try("standing", self._care.check)
            self._try("directive", self._care.follow)
            self._try("command", self._care.obey)
            self._stop.wait(CARE_SECONDS)

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:  # noqa: BLE001  told by run, in the main thread
            self._fatal = error
            self.stop()

    def _try(self, what: str, deed: Callable[[], None]) -> None:
        """Do it; an error is noted and the loop goes on, unless the device is out of service."""
        try:
            deed()
        except RetiredError:
            raise
        except FreeholdError as error:
            self._note(what, error.message)
        else:
            self._errors.pop(what, None)

    def _note(self, what: str, message: str) -> None:
        self._errors[what] = message

    def _close(self, busy: Set[str] = frozenset()) -> None:
        """Close all, but for connections that a loop still waits on: they end with the process."""
        if self._transport is not None and self._sending.__name__ not in busy:
            self._transport.close()
        if self._caring.__name__ not in busy:
            self._care.close()
        self._buffer.close()


def _join(threads: Sequence[threading.Thread], seconds: float) -> set[str]:
    """Wait for threads, ``seconds`` for all of them; the names of those that still run."""
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {thread.name for thread in threads if thread.is_alive()}

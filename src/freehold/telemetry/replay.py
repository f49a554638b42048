"""The guard at the door: each batch of a device counts once, whatever is sent again or kept back.

For every device the guard remembers its latest boots, and of each the highest sequence number and
which of the last ``window`` arrived, by eight bytes of their hash. So within the window batches
may come in any order; the same batch again is a duplicate, which is acknowledged and not counted;
another batch in its place is refused, and so is whatever is older than what is remembered. A boot
that was followed by another may still deliver what was under way, ``window`` batches at most:
a copy of the device that lives on in the old boot is refused soon.

It is one SQLite file (WAL, synced at each commit) that one process owns. A turn is a transaction:
store what is new *inside* it (``Turn.write``, into tables that ``schema`` adds to the file), so
that what is remembered and what is kept are one, whenever a crash comes.

Threats: replay and rollback, across restarts of either side; a cloned device; a flood (only
paired devices may reach the guard, since each costs a row of 0.6 to 2.3 kB). Not met here: a
device that signs old values anew, which ``spoofing`` looks for.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from freehold.domain.did import Did
from freehold.telemetry.reading import Batch
from freehold.telemetry.records import Cell, Form, Records
from freehold.telemetry.refusals import AlteredError, ReplayError, RollbackError, StaleError

WINDOW = 64
"""Batches of one boot that may overtake each other; fixed, for it is in the file."""
BOOTS = 4
"""Boots of a device that are remembered."""
DAY = 86_400_000
VERSION = 1
BUSY_SECONDS = 5.0
_SCHEMA = (
    "CREATE TABLE devices (device BLOB PRIMARY KEY, state BLOB NOT NULL) STRICT, WITHOUT ROWID"
)
_FORM = Form(
    version=VERSION,
    schema=(_SCHEMA,),
    full="Free space on the disk; devices send again what was not acknowledged.",
    busy="Check the disk; if another process guards this file, stop it.",
    damaged="Restore it from a backup; without it, old batches could count again.",
    cache=8_192,
)
_FLOOR = struct.Struct("<q")
_BOOT = struct.Struct(f"<5Q{WINDOW}Q")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a batch's time may be from now, in milliseconds, and how many devices' states stay
    in memory."""

    age: int = 30 * DAY
    ahead: int = 600_000
    kept: int = 16_384


@dataclass(frozen=True, slots=True)
class Boot:
    """What came in one boot: sequence numbers ``first`` to ``high``, ``count`` of them.

    ``ends`` is the last number that still may come, 0 while this is the newest boot. ``tags`` has
    the tag of sequence number s at s mod WINDOW, 0 where it has not come.
    """

    boot: int
    first: int
    high: int
    count: int = 0
    ends: int = 0
    tags: tuple[int, ...] = field(default=(0,) * WINDOW, repr=False)

    @property
    def missing(self) -> int:
        """Batches that were passed over and have not come."""
        return self.high - self.first + 1 - self.count


@dataclass(frozen=True, slots=True)
class Past:
    """A device's boots, newest first; of boots up to ``floor`` nothing is remembered."""

    floor: int = -1
    boots: tuple[Boot, ...] = ()

    @property
    def missing(self) -> int:
        """Batches of the remembered boots that have not come."""
        return sum(boot.missing for boot in self.boots)

    def encode(self) -> bytes:
        """The row of the file."""
        return _FLOOR.pack(self.floor) + b"".join(
            _BOOT.pack(b.boot, b.first, b.high, b.count, b.ends, *b.tags) for b in self.boots
        )

    @classmethod
    def decode(cls, row: bytes) -> Past:
        """The past that ``encode`` wrote."""
        (floor,) = _FLOOR.unpack_from(row)
        boots = _BOOT.iter_unpack(row[_FLOOR.size :])
        return cls(floor, tuple(Boot(b, f, h, c, e, tuple(t)) for b, f, h, c, e, *t in boots))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``new`` counts; what is not was counted before. ``missing`` batches of the device's
    remembered boots have been passed over and not come."""

    new: bool
    missing: int


def judge(past: Past, batch: Batch) -> tuple[Past, bool]:
    """The past with ``batch`` in it, and whether it is new.

    Raises RollbackError, AlteredError, or ReplayError for one that fell out of the window.
    """
    before = _boot(past, batch)
    tag = _tag(batch)
    if batch.sequence > before.high:
        after = _advanced(before, batch, tag)
    else:
        known = _known(before, batch)
        if known == tag:
            return past, False
        if known:
            raise AlteredError(
                f"{_name(batch)} came before with other content",
                remedy="A key must live in one device only; pair this one anew.",
            )
        first = min(before.first, batch.sequence)
        after = replace(
            before, first=first, count=before.count + 1, tags=_set(before.tags, batch.sequence, tag)
        )
    return _with(past, after), True


def _boot(past: Past, batch: Batch) -> Boot:
    """What is known of the batch's boot; a fresh one where it may begin."""
    for boot in past.boots:
        if boot.boot == batch.boot:
            return boot
    if batch.boot <= past.floor:
        raise RollbackError(
            f"{_name(batch)} is from before the boots that are remembered",
            remedy="If the device was reset or restored from a backup, pair it anew.",
        )
    older = bool(past.boots) and batch.boot < past.boots[0].boot
    fresh = batch.sequence if older or not past.boots else 1
    return Boot(batch.boot, fresh, fresh - 1, ends=batch.sequence + WINDOW if older else 0)


def _advanced(before: Boot, batch: Batch, tag: int) -> Boot:
    if before.ends and batch.sequence > before.ends:
        raise RollbackError(
            f"{_name(batch)} goes on in a boot that ended",
            remedy="A key must live in one device only; pair this one anew.",
        )
    tags = list(before.tags)
    for passed in range(max(before.high, batch.sequence - WINDOW) + 1, batch.sequence):
        tags[passed % WINDOW] = 0
    tags[batch.sequence % WINDOW] = tag
    return replace(before, high=batch.sequence, count=before.count + 1, tags=tuple(tags))


def _known(before: Boot, batch: Batch) -> int:
    """The tag in the place of a batch that is not ahead, 0 where none came."""
    if batch.sequence <= before.high - WINDOW:
        raise ReplayError(
            f"{_name(batch)} is more than {WINDOW} batches late",
            remedy="Send batches in order, and go on only once they are acknowledged.",
        )
    return before.tags[batch.sequence % WINDOW]


def _set(tags: tuple[int, ...], sequence: int, tag: int) -> tuple[int, ...]:
    at = sequence % WINDOW
    return (*tags[:at], tag, *tags[at + 1 :])


def _with(past: Past, boot: Boot) -> Past:
    others = [other for other in past.boots if other.boot != boot.boot]
    if others and boot.boot > others[0].boot and not others[0].ends:
        others[0] = replace(others[0], ends=others[0].high + WINDOW)
    boots = sorted((boot, *others), key=lambda each: each.boot, reverse=True)
    floor = boots[BOOTS].boot if len(boots) > BOOTS else past.floor
    return Past(floor, tuple(boots[:BOOTS]))


def _tag(batch: Batch) -> int:
    return int.from_bytes(sha256(batch.statement()).digest()[:8], "big") or 1


def _name(batch: Batch) -> str:
    return f"batch {batch.sequence} of boot {batch.boot} of {batch.device.text}"


class Guard:
    """The file ``path``, which no other process may use at the same time."""

    def __init__(
        self, path: Path, *, bounds: Bounds | None = None, schema: Sequence[str] = ()
    ) -> None:
        self._bounds = bounds or Bounds()
        self._lock = threading.RLock()
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._records = Records(path, replace(_FORM, always=schema, patience=BUSY_SECONDS))

    @contextmanager
    def turn(self, now: int) -> Iterator[Turn]:
        """A transaction at ``now`` (milliseconds): all that it admits is remembered, durably, when
        the block ends, and nothing of it when the block raises."""
        with self._lock:
            turn = Turn(self, now)
            with self._records.write():
                yield turn
                rows = turn.rows()
                self.write("REPLACE INTO devices VALUES (?, ?)", rows)
            self._keep(rows)

    def past(self, device: Did) -> Past:
        """What is remembered of ``device``."""
        with self._lock:
            row = self._kept.get(device.raw) or self._row(device.raw)
            return Past.decode(row) if row else Past()

    def write(self, statement: str, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Run ``statement`` once for each of ``rows``: within a turn as part of it, outside of one
        each row by itself."""
        self._records.run_many(statement, rows)

    def read(self, query: str, *values: Cell) -> list[tuple[Cell, ...]]:
        """What ``query`` finds; bound it by a LIMIT."""
        return self._records.rows(query, values)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    @property
    def bounds(self) -> Bounds:
        """What the guard was opened with."""
        return self._bounds

    def _row(self, device: bytes) -> bytes | None:
        found = self.read("SELECT state FROM devices WHERE device = ?", device)
        return bytes(found[0][0]) if found and isinstance(found[0][0], bytes) else None

    def _keep(self, rows: list[tuple[bytes, bytes]]) -> None:
        for device, row in rows:
            self._kept[device] = row
            self._kept.move_to_end(device)
        while len(self._kept) > self._bounds.kept:
            self._kept.popitem(last=False)


class Turn:
    """One transaction of a guard."""

    def __init__(self, guard: Guard, now: int) -> None:
        self._guard = guard
        self._now = now
        self._changed: dict[Did, Past] = {}

    def admit(self, batch: Batch) -> Verdict:
        """Whether a verified ``batch`` counts; a refusal leaves the turn as it was.

        Raises StaleError and what ``judge`` raises.
        """
        self._check_time(batch)
        past = self._changed.get(batch.device) or self._guard.past(batch.device)
        after, new = judge(past, batch)
        if new:
            self._changed[batch.device] = after
        return Verdict(new, after.missing)

    def write(self, statement: str, rows: Iterable[tuple[Cell, ...]]) -> None:
        """Run ``statement`` once for each of ``rows``, as part of the turn."""
        self._guard.write(statement, rows)

    def rows(self) -> list[tuple[bytes, bytes]]:
        """What the turn changes in the file."""
        return [(device.raw, past.encode()) for device, past in self._changed.items()]

    def _check_time(self, batch: Batch) -> None:
        bounds = self._guard.bounds
        if batch.time < self._now - bounds.age:
            raise StaleError(
                f"{_name(batch)} is {(self._now - batch.time) // 1000:,} seconds old",
                remedy="Set the device's clock, or drop what is so old.",
            )
        if batch.time > self._now + bounds.ahead:
            raise StaleError(
                f"{_name(batch)} is {(batch.time - self._now) // 1000:,} seconds ahead of now",
                remedy="Set the device's clock.",
            )

"""The journal: what was handed to the engine since a dump, one synced record at a time.

A file is a header and records; a record is a marker, a length, a CRC-32 and a JSON payload.
Each record is on the disk before the next is appended, so only the last one can be torn: a bad
record at the end is cut off, one with good records behind it is damage and is refused.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from freehold.domain.errors import IntegrityError, UnavailableError, VersionError
from freehold.ledger.devnet.disk import Appendable, Disk
from freehold.ledger.devnet.seals import Seal

_HEADER = b"freehold-journal 1\n"
_FAMILY = b"freehold-journal "
_MARK = b"\xf5FHR"
_FRAME = struct.Struct("<4sII")
RECORD_LIMIT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its time, its raw transactions (0x-hex), which transactions of earlier blocks
    of this journal the engine refused, as (record, position), and the seals of the blocks that
    were mined since the record before."""

    time: int
    transactions: tuple[str, ...] = ()
    refused: tuple[tuple[int, int], ...] = ()
    seals: tuple[Seal, ...] = ()


@dataclass(frozen=True, slots=True)
class Skew:
    """From here on the chain's time is the wall clock plus ``seconds``."""

    seconds: int


Record = Block | Skew


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal file holds, and how many of its bytes are sound."""

    records: tuple[Record, ...]
    sound: int
    torn: int


@dataclass(slots=True)
class Journal:
    """An open journal. ``append`` returns once the record is durable."""

    name: str
    disk: Disk
    file: Appendable
    count: int
    sound: int
    broken: str = field(default="")

    @classmethod
    def create(cls, disk: Disk, name: str) -> Journal:
        """A new, empty journal."""
        disk.replace(name, _HEADER)
        return cls(name, disk, disk.append_to(name, keep=len(_HEADER)), 0, len(_HEADER))

    @classmethod
    def resume(cls, disk: Disk, name: str, contents: Contents) -> Journal:
        """An existing journal, cut after its last sound record."""
        file = disk.append_to(name, keep=contents.sound)
        return cls(name, disk, file, len(contents.records), contents.sound)

    def append(self, record: Record) -> None:
        """Write a record durably; UnavailableError when the disk refuses, after which the
        journal takes no more: what follows a failed sync cannot be trusted."""
        if self.broken:
            raise _unwritable(self.name, self.broken)
        frame = encode(record)
        try:
            self.file.append(frame)
            self.file.sync()
        except OSError as error:
            self.broken = str(error)
            raise _unwritable(self.name, self.broken) from error
        self.count += 1
        self.sound += len(frame)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def encode(record: Record) -> bytes:
    """A record as it stands in the file."""
    payload = json.dumps(_plain(record), separators=(",", ":")).encode()
    return _FRAME.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


def _plain(record: Record) -> dict[str, object]:
    if isinstance(record, Skew):
        return {"skew": record.seconds}
    seals = [(seal.number, seal.mix, seal.hash) for seal in record.seals]
    return {"t": record.time, "x": record.transactions, "r": record.refused, "s": seals}


def parse(data: bytes, name: str) -> Contents:
    """The sound records of a journal's bytes.

    Raises VersionError for another kind of file, IntegrityError when it is damaged in the middle.
    """
    if not data.startswith(_HEADER):
        return _headless(data, name)
    records: list[Record] = []
    offset = len(_HEADER)
    while (record := _record_at(data, offset)) is not None:
        records.append(record[0])
        offset = record[1]
    if _sound_record_after(data, offset):
        raise IntegrityError(
            f"the journal {name} is damaged at byte {offset}, with sound records behind",
            remedy="Restore the devnet's folder from a backup; the disk may be failing.",
        )
    return Contents(tuple(records), offset, len(data) - offset)


def _headless(data: bytes, name: str) -> Contents:
    if _HEADER.startswith(data):
        return Contents((), 0, len(data))
    if data.startswith(_FAMILY):
        raise VersionError(
            f"the journal {name} was written by a newer release",
            remedy="Install the newer release of freehold.",
        )
    raise IntegrityError(
        f"{name} is not a journal of a devnet",
        remedy="Restore the devnet's folder from a backup; the disk may be failing.",
    )


def _record_at(data: bytes, offset: int) -> tuple[Record, int] | None:
    if offset + _FRAME.size > len(data):
        return None
    mark, length, check = _FRAME.unpack_from(data, offset)
    start = offset + _FRAME.size
    payload = data[start : start + length]
    if mark != _MARK or len(payload) != length or zlib.crc32(payload) != check:
        return None
    try:
        return _built(json.loads(payload)), start + length
    except (ValueError, KeyError, TypeError):
        return None


def _built(fields: dict[str, object]) -> Record:
    if "skew" in fields:
        return Skew(_number(fields["skew"]))
    refused = (_list(pair) for pair in _list(fields["r"]))
    return Block(
        time=_number(fields["t"]),
        transactions=tuple(str(raw) for raw in _list(fields["x"])),
        refused=tuple((_number(record), _number(position)) for record, position in refused),
        seals=tuple(_seal(_list(each)) for each in _list(fields.get("s", []))),
    )


def _seal(parts: list[object]) -> Seal:
    number, mix, name = parts
    return Seal(_number(number), str(mix), str(name))


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a number")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list")
    return value


def _sound_record_after(data: bytes, offset: int) -> bool:
    found = data.find(_MARK, offset + 1)
    while found >= 0:
        if _record_at(data, found) is not None:
            return True
        found = data.find(_MARK, found + 1)
    return False


def without_refused(records: Sequence[Record]) -> list[Record]:
    """The records with transactions left out that the engine had refused."""
    refused = {pair for record in records if isinstance(record, Block) for pair in record.refused}
    kept: list[Record] = []
    for number, record in enumerate(records):
        if isinstance(record, Block):
            taken = tuple(
                raw
                for position, raw in enumerate(record.transactions)
                if (number, position) not in refused
            )
            record = Block(record.time, taken, seals=record.seals)
        kept.append(record)
    return kept


def _unwritable(name: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"the devnet cannot write its journal {name}: {reason}",
        remedy="Free disk space or repair the disk; nothing unwritten was accepted.",
    )

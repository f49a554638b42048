"""Dumps of the engine's state: numbered files, checked whole, the two newest kept.

Dump n is followed by journal n; together they give everything up to dump n + 1.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from dataclasses import dataclass

from freehold.domain.errors import IntegrityError, VersionError
from freehold.ledger.devnet.disk import Disk

_MAGIC = b"freehold-state 1\n"
_FAMILY = b"freehold-state "
_NAME = re.compile(r"state-(\d{6})\.bin")
_JOURNAL = re.compile(r"journal-(\d{6})\.log")
_DIGEST = 32
KEEP = 2


@dataclass(frozen=True, slots=True)
class Dump:
    """The engine's state after a block, as anvil compresses it, and the clock's skew then."""

    number: int
    head: int
    head_hash: str
    skew: int
    state: bytes


def state_name(number: int) -> str:
    """The file of a dump."""
    return f"state-{number:06d}.bin"


def journal_name(number: int) -> str:
    """The file of the journal behind a dump; 0 stands for genesis."""
    return f"journal-{number:06d}.log"


def save(disk: Disk, dump: Dump) -> None:
    """Check a dump and write it durably; IntegrityError when the engine gave half a state."""
    check(dump)
    meta = {"head": dump.head, "hash": dump.head_hash, "skew": dump.skew}
    body = json.dumps(meta).encode() + b"\n" + dump.state
    disk.replace(state_name(dump.number), _MAGIC + hashlib.sha256(body).digest() + body)


def check(dump: Dump) -> None:
    """IntegrityError unless the state decompresses to JSON that ends at the dump's head."""
    try:
        content = json.loads(gzip.decompress(dump.state))
        head = int(content["best_block_number"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise _unusable(dump.number, str(error)) from error
    if head != dump.head:
        raise _unusable(dump.number, f"it ends at block {head}, not {dump.head}")


def load(disk: Disk, number: int) -> Dump:
    """Read a dump; IntegrityError when any byte is missing or wrong."""
    data = disk.read(state_name(number))
    if data.startswith(_FAMILY) and not data.startswith(_MAGIC):
        raise VersionError(
            f"the devnet's {state_name(number)} was written by a newer release",
            remedy="Install the newer release of freehold.",
        )
    digest = data[len(_MAGIC) : len(_MAGIC) + _DIGEST]
    body = data[len(_MAGIC) + _DIGEST :]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise _unusable(number, "its checksum is wrong")
    meta, _, state = body.partition(b"\n")
    fields = json.loads(meta)
    return Dump(number, int(fields["head"]), str(fields["hash"]), int(fields["skew"]), state)


def newest(disk: Disk) -> Dump | None:
    """The newest dump that is whole and whose journals are all there; None for genesis.

    IntegrityError when dumps exist and none can be used.
    """
    numbers = _numbers(disk, _NAME)
    journals = set(_numbers(disk, _JOURNAL))
    for number in reversed(numbers):
        wanted = range(number, max(numbers[-1], number) + 1)
        try:
            dump = load(disk, number)
        except (IntegrityError, ValueError, KeyError) as error:
            if isinstance(error, VersionError):
                raise
            continue
        # The newest dump's own journal may not exist yet: the crash came between the two.
        if all(each in journals for each in wanted if each != numbers[-1]):
            return dump
    if numbers and 0 not in journals:
        raise IntegrityError(
            f"none of the devnet's dumps {numbers} is whole",
            remedy="Restore the devnet's folder from a backup; the disk may be failing.",
        )
    return None


def journals_from(disk: Disk, number: int) -> list[int]:
    """The numbers of the journals to replay behind a dump, in order and without a gap."""
    found = [each for each in _numbers(disk, _JOURNAL) if each >= number]
    if found != list(range(number, number + len(found))):
        raise IntegrityError(
            f"journals are missing behind dump {number}: only {found} are there",
            remedy="Restore the devnet's folder from a backup.",
        )
    return found


def highest(disk: Disk) -> int:
    """The highest number that any dump or journal carries, 0 in an empty folder."""
    return max([0, *_numbers(disk, _NAME), *_numbers(disk, _JOURNAL)])


def prune(disk: Disk) -> None:
    """Remove all but the newest dumps and the journals behind them."""
    kept = _numbers(disk, _NAME)[-KEEP:]
    if len(kept) < KEEP:
        return
    for number in _numbers(disk, _NAME):
        if number < kept[0]:
            disk.remove(state_name(number))
    for number in _numbers(disk, _JOURNAL):
        if number < kept[0]:
            disk.remove(journal_name(number))


def drop_unusable(disk: Disk) -> None:
    """Remove dumps that cannot be read, once a newer whole one is there."""
    *older, _ = _numbers(disk, _NAME) or [0]
    for number in older:
        try:
            load(disk, number)
        except (IntegrityError, ValueError, KeyError):
            disk.remove(state_name(number))


def _numbers(disk: Disk, pattern: re.Pattern[str]) -> list[int]:
    matches = (pattern.fullmatch(name) for name in disk.names())
    return sorted(int(match[1]) for match in matches if match is not None)


def _unusable(number: int, reason: str) -> IntegrityError:
    return IntegrityError(
        f"the devnet's dump {number} cannot be used: {reason}",
        remedy="The dump before it and its journal are used; check the disk.",
    )

"""Rows that were committed to, kept until they are revealed: a lost salt is a lost epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.ids import hex32
from freehold.markets.models.weights import Row
from freehold.node.files import disk, replace_file

VERSION = 1
FILE = "committed.json"
KEPT = 4
_SIZE_MAX = 2**18


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row for an epoch, of a uid and its generation, with 32 random bytes; ``sent`` once the
    commitment was mined, ``done`` once nothing is left to do."""

    epoch: int
    uid: int
    generation: int
    row: bytes
    salt: bytes
    sent: bool = False
    done: bool = False


class Vault:
    """The file of the last rows; durable when ``keep`` returns."""

    def __init__(self, folder: Path) -> None:
        """IntegrityError where the file is damaged."""
        self._file = folder / FILE
        self._rows = self._read()

    @property
    def rows(self) -> Sequence[Sealed]:
        """What is kept, oldest first."""
        return self._rows

    def of(self, epoch: int) -> Sealed | None:
        """What was sealed for an epoch."""
        return next((each for each in self._rows if each.epoch == epoch), None)

    def keep(self, sealed: Sealed) -> None:
        """Keep a row in place of another one of its epoch; DiskFullError or UnavailableError leave
        what was kept before."""
        others = [each for each in self._rows if each.epoch != sealed.epoch]
        rows = sorted([*others, sealed], key=lambda each: each.epoch)[-KEPT:]
        told = {"version": VERSION, "rows": [_words(each) for each in rows]}
        replace_file(self._file, json.dumps(told).encode())
        self._rows = rows

    def _read(self) -> list[Sealed]:
        with disk(self._file):
            try:
                with self._file.open("rb") as file:
                    raw = file.read(_SIZE_MAX + 1)
            except FileNotFoundError:
                return []
        try:
            return _rows(parse_document(raw, size=_SIZE_MAX))
        except (MalformedError, UsageError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{self._file} is damaged ({error})",
                remedy="Move it away: the row of this epoch is lost, the next ones are not.",
            ) from error


def packed(row: Row) -> bytes:
    """A row as it is revealed: four bytes an entry, uid and weight, big-endian."""
    return b"".join(uid.to_bytes(2, "big") + weight.to_bytes(2, "big") for uid, weight in row)


def _words(sealed: Sealed) -> dict[str, object]:
    return {
        "epoch": sealed.epoch,
        "uid": sealed.uid,
        "generation": sealed.generation,
        "row": sealed.row.hex(),
        "salt": "0x" + sealed.salt.hex(),
        "sent": sealed.sent,
        "done": sealed.done,
    }


def _rows(told: object) -> list[Sealed]:
    if not isinstance(told, dict) or told["version"] != VERSION:
        raise ValueError("it has another version")
    return [
        Sealed(
            int(each["epoch"]), int(each["uid"]), int(each["generation"]),
            bytes.fromhex(each["row"]), hex32(each["salt"]),
            each["sent"] is True, each["done"] is True,
        )
        for each in told["rows"]
    ]  # fmt: skip

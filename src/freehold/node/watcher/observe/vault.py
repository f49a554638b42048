"""What a watcher committed to, kept until it is revealed: without it a restart would be silence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.control.consensus import Observation
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import IntegrityError, UsageError
from freehold.domain.ids import address, hex32
from freehold.node.files import disk, replace_file

VERSION = 1
FILE = "observed.json"
_SIZE_MAX = 2**16


@dataclass(frozen=True, slots=True)
class Sealed:
    """The round, the 32 random bytes, what was seen, and whether it was told."""

    round: int
    salt: bytes
    told: tuple[Observation, ...]
    revealed: bool = False


class Vault:
    """One file in a watcher's state folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def keep(self, sealed: Sealed) -> None:
        """Durable on return; DiskFullError or UnavailableError leave what was kept before."""
        fields = {
            "version": VERSION,
            "round": sealed.round,
            "salt": "0x" + sealed.salt.hex(),
            "told": _columns(sealed.told),
            "revealed": sealed.revealed,
        }
        replace_file(self._file, json.dumps(fields).encode())

    def load(self) -> Sealed | None:
        """What was kept last; IntegrityError where the file is no such thing."""
        with disk(self._file):
            try:
                with self._file.open("rb") as file:
                    raw = file.read(_SIZE_MAX + 1)
            except FileNotFoundError:
                return None
        try:
            return _sealed(parse_document(raw, size=_SIZE_MAX))
        except (MalformedError, UsageError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{self._file.name} is damaged ({error})",
                remedy="Remove it: this round is not revealed, and the next one goes on as usual.",
            ) from error


def _columns(told: Sequence[Observation]) -> list[str]:
    return [f"{each.subject} {each.aspect.hex()} {each.value}" for each in told]


def _sealed(fields: object) -> Sealed:
    if not isinstance(fields, dict) or fields["version"] != VERSION:
        raise ValueError("it has another version")
    number, told, revealed = fields["round"], fields["told"], fields["revealed"]
    if not isinstance(number, int) or not isinstance(told, list) or not isinstance(revealed, bool):
        raise ValueError("a part has another type")
    return Sealed(number, hex32(fields["salt"]), tuple(map(_observation, told)), revealed)


def _observation(line: object) -> Observation:
    subject, aspect, value = str(line).split(" ")
    return Observation(address(subject), hex32("0x" + aspect), int(value))

"""The lines of a chain export: canonical JSON, each sealed together with all before it.

A line is ``{"<kind>":{…},"seal":"0x…"}`` where the seal is the Keccak-256 of the previous seal and
the line's text without its own. So the last seal names the whole file, and a line that was
changed is known by itself. Kinds, in order: one ``export``, then ``block`` and ``claim``, one
``end``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from freehold.audit.report import Place, Spot
from freehold.domain.ids import keccak

CHECK = "export"
VERSION = 1
MAX_LINE = 64 << 20
FIRST_SEAL = bytes(32)
KINDS = ("export", "block", "claim", "end")

_SEAL = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, its kind, its fields, its seal and where it ends in the file."""

    number: int
    kind: str
    fields: Mapping[str, object]
    seal: bytes
    end: int

    @property
    def place(self) -> Place:
        """Where this line stands, with its block where it names one."""
        block = self.fields.get("number", self.fields.get("block"))
        return Place(line=self.number, block=block if isinstance(block, int) else None)


def render(kind: str, fields: Mapping[str, object], seal: bytes) -> tuple[bytes, bytes]:
    """The text of a line that follows ``seal``, newline included, and its own seal."""
    body = _canonical({kind: fields})
    sealed = keccak(seal + body)
    return body[:-1] + b',"seal":"0x' + sealed.hex().encode() + b'"}\n', sealed


def read(source: BinaryIO) -> Iterator[Line]:
    """Every line of an export; Differs at the first that is cut, malformed or not canonical.

    Whether the seal fits is left to ``check_seal``, so that what a line says can be checked
    first and named more closely.
    """
    offset = 0
    number = 0
    while text := source.readline(MAX_LINE + 1):
        number += 1
        offset += len(text)
        yield _parse(text, number, offset)


def check_seal(line: Line, previous: bytes) -> None:
    """Differs unless the line and those before it are as they were written."""
    _, sealed = render(line.kind, line.fields, previous)
    spot = Spot(CHECK, line.place).field("seal")
    spot.same("the seal of the line", expected=sealed, found=line.seal)


def _parse(text: bytes, number: int, offset: int) -> Line:
    spot = Spot(CHECK, Place(line=number))
    if not text.endswith(b"\n"):
        raise spot.differs("the end of the line", expected="a newline", found=_brief(text[-20:]))
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise spot.differs("the line", expected="JSON", found=error) from error
    if not isinstance(fields, dict) or len(fields) != 2 or "seal" not in fields:
        raise spot.differs("the line", expected="one kind and a seal", found=_brief(text))
    kind = next(name for name in fields if name != "seal")
    if kind not in KINDS or not isinstance(fields[kind], dict):
        raise spot.differs("the kind of the line", expected=", ".join(KINDS), found=_brief(kind))
    if _canonical(fields) + b"\n" != text:
        raise spot.differs("the text", expected="canonical JSON", found=_brief(text))
    return Line(number, kind, fields[kind], _seal(fields["seal"], spot.field("seal")), offset)


def _seal(value: object, spot: Spot) -> bytes:
    if not isinstance(value, str) or _SEAL.fullmatch(value) is None:
        raise spot.differs("the seal", expected="0x and 64 lower-case digits", found=_brief(value))
    return bytes.fromhex(value[2:])


def _canonical(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _brief(value: object) -> str:
    return repr(value)[:80]

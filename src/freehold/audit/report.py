"""What a verification found: counts per check, and the first thing that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from freehold.domain.errors import IntegrityError

_REMEDY = "Compare with another copy or RPC: either this record or the network is wrong."


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line of the export, block, transaction hash, log, field.

    ``log`` is the index of the log in its block, as explorers count it.
    """

    line: int | None = None
    block: int | None = None
    transaction: str | None = None
    log: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        named = {k: v for k, v in asdict(self).items() if v is not None}
        return ", ".join(f"{name} {value}" for name, value in named.items()) or "the whole"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what its recomputation says."""

    check: str
    what: str
    place: Place
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: expected {self.expected}, found {self.found}"


class Differs(Exception):
    """A check failed; ``difference`` says where and how. `verify` turns it into its report."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference)
        self.difference = difference

    def at(self, place: Place) -> Differs:
        """The same with what ``place`` knows filled in where this place knows nothing."""
        mine = {k: v for k, v in asdict(self.difference.place).items() if v is not None}
        return Differs(replace(self.difference, place=replace(place, **mine)))

    def refusal(self) -> IntegrityError:
        """The error that a user meets where there is no report to carry the difference."""
        return IntegrityError(str(self.difference), remedy=_REMEDY)


@dataclass(frozen=True, slots=True)
class Spot:
    """A check at a place: it compares, and says what differs there."""

    check: str
    place: Place = Place()

    def field(self, name: str) -> Spot:
        """The same spot, narrowed to a field."""
        return replace(self, place=replace(self.place, field=name))

    def same(self, what: str, *, expected: object, found: object) -> None:
        """Differs unless ``expected`` equals ``found``."""
        if expected != found:
            raise self.differs(what, expected=expected, found=found)

    def differs(self, what: str, *, expected: object, found: object) -> Differs:
        """The failure of this check here."""
        return Differs(Difference(self.check, what, self.place, _show(expected), _show(found)))


def _show(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex() if len(value) <= 64 else f"{len(value)} bytes 0x{value.hex()}"
    return str(value)


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification.

    ``counts`` are things checked, by check; ``notes`` what could not be checked and why, which
    is no difference; ``head`` the last block's number, hash and time.
    """

    network: str
    first_block: int
    head_block: int
    head_hash: str
    counts: Mapping[str, int]
    figures: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    difference: Difference | None = None
    head_time: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing differed."""
        return self.difference is None

    def but(self, *, notes: tuple[str, ...], difference: Difference | None) -> Report:
        """The same with other notes and difference."""
        return replace(self, notes=notes, difference=difference)

    def to_json(self) -> dict[str, object]:
        """A JSON object with all of it."""
        return {
            "freehold_verification": 1,
            "passed": self.passed,
            **asdict(self),
            "counts": dict(self.counts),
            "figures": dict(self.figures),
            "notes": list(self.notes),
        }

"""Pay for readings: what an epoch's purchases and its emission bring to each device. Exact, pure.

A purchase is split among the devices that its query matches, each by its weight: readings of the
matching metrics that counted, of the `METRICS_MAX` with most, times quality (millionths), times
honesty (of 10^4). So metrics that are made up under a pattern do not multiply pay. What matches
nobody waits for the next epoch; so does what a root has no room for. Divisions round down, and
what they leave (`Pay.dust`) stays in the roots.

Emission follows what burned: each purchase that is paid brings at most ``share_bps`` of its own
burn, to those whom it pays, in the same proportion. So who buys from himself gets back less than
he paid, whatever else is bought: `SHARE_MAX` of what burned at the most. Amounts are base units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address, address

BPS, HONEST = 10_000, 10_000
SHARE_MAX = 9_500
"""Ten-thousandths of what burned that come back as emission at most, whatever a network says."""
QUERY_MAX, STARS_MAX = 160, 4
METRICS_MAX = 8
"""Metrics of a device that count under one purchase."""
_METRIC = re.compile(r"[a-z0-9_.*]{1,48}")
_CELL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORM = "Write metric=GLOB;device=ADDRESS;cell=PREFIX, of which one or two may be left out."


@dataclass(frozen=True, slots=True)
class Query:
    """Readings that a buyer wants; an empty part matches all.

    ``metric`` may have up to four ``*``, each for any text; ``cell`` is a prefix, and matches only
    devices whose owner showed where they stand.
    """

    metric: str = ""
    device: Address | None = None
    cell: str = ""

    @classmethod
    def parse(cls, text: str) -> Query:
        """The query of a text such as ``metric=roof.*;cell=u33d``; UsageError."""
        parts = dict[str, str]()
        for part in text.split(";"):
            name, equals, value = part.partition("=")
            if not equals or not value or name not in ("metric", "device", "cell"):
                raise _wrong(f"{part[:QUERY_MAX]!r} is no part of a query")
            if name in parts:
                raise _wrong(f"{name} comes twice")
            parts[name] = value
        if len(text.encode()) > QUERY_MAX:
            raise _wrong(f"a query has at most {QUERY_MAX} bytes")
        metric, cell = parts.get("metric", ""), parts.get("cell", "")
        if metric and (_METRIC.fullmatch(metric) is None or metric.count("*") > STARS_MAX):
            raise _wrong(f"{metric[:48]!r} names no metrics")
        if cell and _CELL.fullmatch(cell) is None:
            raise _wrong(f"{cell[:64]!r} begins no cell")
        device = address(parts["device"]) if "device" in parts else None
        return cls(metric, device, cell)

    def text(self) -> str:
        """The canonical text."""
        told = (("metric", self.metric), ("device", self.device), ("cell", self.cell))
        return ";".join(f"{name}={value}" for name, value in told if value)

    def readings(self, row: Row) -> int:
        """How many readings of a device it asks for, of the metrics with most."""
        if self.device not in (None, row.device) or not row.cell.startswith(self.cell):
            return 0
        found = (n for metric, n in row.counted.items() if matches(self.metric, metric))
        return sum(nlargest(METRICS_MAX, found))


@dataclass(frozen=True, slots=True)
class Purchase:
    """What was bought for an epoch under number ``id``: ``net`` goes to devices, ``burned`` is
    gone, ``carried`` waits since epochs before."""

    id: int
    query: str
    net: int
    burned: int
    carried: int = 0

    @property
    def amount(self) -> int:
        """All that there is to pay."""
        return self.net + self.carried


@dataclass(frozen=True, slots=True)
class Row:
    """What a device did in an epoch: readings that counted by metric, quality in millionths,
    honesty of 10^4; ``barred`` gets nothing; ``cell`` where its owner showed it."""

    device: Address
    owner: Address
    counted: Mapping[str, int]
    quality: int
    honesty: int = HONEST
    cell: str = ""
    barred: bool = False

    def weight(self, query: Query) -> int:
        """What a purchase is split by."""
        return 0 if self.barred else query.readings(self) * self.quality * self.honesty


@dataclass(frozen=True, slots=True)
class Terms:
    """``share_bps`` of what burned may come as emission, ``drawn`` of it did; ``room`` is the most
    that the next root can add."""

    share_bps: int
    room: int
    drawn: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What a device gets: of purchases, and of the emission."""

    paid: int = 0
    minted: int = 0


@dataclass(frozen=True, slots=True)
class Sold:
    """What became of a purchase: ``paid`` and ``minted`` went to devices, ``waiting`` is carried
    on, ``dust`` is what rounding left of the rest."""

    id: int
    paid: int
    minted: int
    waiting: int
    dust: int


@dataclass(frozen=True, slots=True)
class Pay:
    """What each device gets that gets anything, and what became of each purchase."""

    parts: Mapping[Address, Part] = field(default_factory=dict)
    sold: tuple[Sold, ...] = ()

    @property
    def paid(self) -> int:
        """All that devices get of purchases."""
        return sum(each.paid for each in self.parts.values())

    @property
    def minted(self) -> int:
        """All that they get of the emission."""
        return sum(each.minted for each in self.parts.values())


_Due = tuple[Purchase, Mapping[Address, int]]
"""A purchase that matches somebody, and the weights of those."""


def matches(glob: str, name: str) -> bool:
    """Whether a name is what a pattern says, each ``*`` for any text; an empty one says nothing."""
    if not glob:
        return True
    first, *rest = glob.split("*")
    if not rest:
        return name == glob
    if not name.startswith(first) or len(name) < len(first) + len(rest[-1]):
        return False
    at, end = len(first), len(name) - len(rest[-1])
    for part in rest[:-1]:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(rest[-1]) and at <= end


def mintable(purchases: Sequence[Purchase], rows: Sequence[Row], terms: Terms) -> int:
    """The most emission that an epoch may bring, whatever was drawn."""
    return _most(_due(purchases, rows), terms)


def settle(purchases: Sequence[Purchase], rows: Sequence[Row], terms: Terms) -> Pay:
    """What an epoch's purchases and emission bring; the order of neither matters."""
    due = _due(purchases, rows)
    whole = sum(each.amount for each, _ in due)
    ceilings = sum(_mintable(each, terms) for each, _ in due)
    drawn = min(terms.drawn, _most(due, terms))
    parts: dict[Address, Part] = {}
    sold = {each.id: Sold(each.id, 0, 0, each.amount, 0) for each in purchases}
    for each, weights in due:
        fits = _fit(each.amount, whole, terms.room)
        comes = drawn * _mintable(each, terms) // ceilings if ceilings else 0
        paid, minted = _split(fits, weights), _split(comes, weights)
        for device in weights:
            before = parts.get(device, Part())
            parts[device] = Part(before.paid + paid[device], before.minted + minted[device])
        told, got = sum(paid.values()), sum(minted.values())
        sold[each.id] = Sold(each.id, told, got, each.amount - fits, fits - told)
    kept = {device: part for device, part in sorted(parts.items()) if part != Part()}
    return Pay(kept, tuple(sold[number] for number in sorted(sold)))


def _due(purchases: Iterable[Purchase], rows: Sequence[Row]) -> list[_Due]:
    """Purchases that match somebody, by number, with the weights of whom they match."""
    found: list[_Due] = []
    for each in sorted(purchases, key=lambda each: each.id):
        weights = _weights(each.query, rows) if each.amount else {}
        if weights:
            found.append((each, weights))
    return found


def _weights(query: str, rows: Sequence[Row]) -> dict[Address, int]:
    try:
        wanted = Query.parse(query)
    except UsageError:
        # The contract takes any text; one that says nothing matches nobody.
        return {}
    weighed = {row.device: row.weight(wanted) for row in rows}
    return {device: weight for device, weight in weighed.items() if weight > 0}


def _most(due: Sequence[_Due], terms: Terms) -> int:
    whole = sum(each.amount for each, _ in due)
    spent = sum(_fit(each.amount, whole, terms.room) for each, _ in due)
    return min(sum(_mintable(each, terms) for each, _ in due), max(0, terms.room - spent))


def _fit(amount: int, whole: int, room: int) -> int:
    """What of an amount a root has room for, the same share of each purchase."""
    return amount if whole <= room else amount * max(0, room) // whole


def _mintable(purchase: Purchase, terms: Terms) -> int:
    return purchase.burned * min(terms.share_bps, SHARE_MAX) // BPS


def _split(amount: int, weights: Mapping[Address, int]) -> dict[Address, int]:
    whole = sum(weights.values())
    return {device: amount * weight // whole for device, weight in weights.items()}


def _wrong(reason: str) -> UsageError:
    return UsageError(f"the query cannot be read: {reason}", remedy=_FORM)

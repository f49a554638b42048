"""Samples of other people's monitoring under our names: one series of theirs, one metric of ours.

A series is a name and labels. Its metric ends in their name in small letters, so that what is
measured stays readable, and begins with the values of the labels as far as they fit. Wherever
that alone could be another series' name too, ten digits of the SHA-256 of the whole stand between:
``idle.0.6f2c1b9a30.node_cpu_seconds_total``. Whatever does not fit our readings is left out and
counted, never bent: values that are no finite numbers or are beyond ``VALUE_MAX``, times out of
range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from freehold.telemetry.metrics import NAME_MAX, limits
from freehold.telemetry.reading import (
    METRICS_MAX,
    READINGS_MAX,
    SPAN_MAX,
    TIME_MAX,
    VALUE_MAX,
    Reading,
)
from freehold.telemetry.units import BY_SYMBOL

DIGEST = 10
"""Hexadecimal digits that tell series apart."""
LAST_MAX = 36
"""Characters of the sender's own name that are kept."""
QUIET = ("job",)
"""Labels whose values are left out of the readable part."""
_FOREIGN = re.compile(r"[^a-z0-9_]+")
_EXACT = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_AFTER_UNIT = ("_total", "_sum", "_max", "_min", "_avg", "_mean")
_SUFFIXES = {
    "seconds": "s", "milliseconds": "ms", "bytes": "B", "celsius": "Cel", "kelvin": "K",
    "fahrenheit": "degF", "ratio": "1", "percent": "%", "volts": "V", "millivolts": "mV",
    "amperes": "A", "amps": "A", "watts": "W", "joules": "J", "hertz": "Hz", "meters": "m",
    "pascals": "Pa", "kilograms": "kg", "rpm": "rpm", "lux": "lx",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Harvest:
    """What a request held: readings in its own order, and how many samples were left out."""

    readings: Sequence[Reading]
    skipped: int = 0


class Gatherer:
    """Collects the samples of one request that can be readings, and counts the others."""

    def __init__(self) -> None:
        self.skipped = 0
        self._readings: list[Reading] = []
        self._units: dict[str, str] = {}

    def add(self, metric: str, unit: str, time: int, value: float) -> None:
        """Take a sample; ``time`` in milliseconds. A metric keeps the unit that came first."""
        sound = abs(value) <= VALUE_MAX and 0 < time <= TIME_MAX  # False for NaN, too
        if sound and self._units.setdefault(metric, unit) == unit:
            self._readings.append(Reading(metric, unit, time, value))
        else:
            self.skipped += 1

    def harvest(self) -> Harvest:
        """What was collected."""
        return Harvest(self._readings, self.skipped)


def guess_unit(name: str) -> str:
    """The unit that the end of a name in the style of Prometheus tells, ``1`` where none does."""
    for ending in _AFTER_UNIT:
        name = name.removesuffix(ending)
    return _SUFFIXES.get(name.rpartition("_")[2], "1")


def metric_name(name: str, labels: Sequence[tuple[str, str]], *, unit: str) -> str:
    """Our name of a series; ``labels`` are sorted by their names, which differ."""
    low = name.lower()
    words = [_word(value) for key, value in labels if key not in QUIET]
    last = _fitting(_word(low), unit) if "." not in low else _dotted(low, unit)
    if not labels and low == last and _EXACT.fullmatch(low) and len(low) <= NAME_MAX:
        return low
    last = last[-LAST_MAX:].strip("._") or "value"
    middle = f"{_digest(name, labels)}.{last}"
    room = NAME_MAX - len(middle) - 1
    head = ".".join(word for word in words if word)[:room].strip("._") if room > 0 else ""
    return f"{head}.{middle}" if head else middle


def _word(value: str) -> str:
    return _FOREIGN.sub("_", value.lower()).strip("_")


def _dotted(low: str, unit: str) -> str:
    words = [word for word in (_word(part) for part in low.split(".")) if word]
    head, last = words[:-1], words[-1] if words else "value"
    return ".".join((*head, _fitting(last, unit)))


def _fitting(last: str, unit: str) -> str:
    """``last``, or another word where ours of that name measures something else."""
    quantity = limits(last).quantity if 0 < len(last) <= NAME_MAX else ""
    return f"{last}_raw" if quantity and BY_SYMBOL[unit].quantity != quantity else last


def _digest(name: str, labels: Sequence[tuple[str, str]]) -> str:
    """Lengths go in as well, so that no two series have the same bytes."""
    hashed = sha256()
    for part in (name, *(text for pair in labels for text in pair)):
        raw = part.encode(errors="surrogatepass")
        hashed.update(len(raw).to_bytes(4, "little") + raw)
    return hashed.hexdigest()[:DIGEST]


def parcels(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """The readings in lists that each make one batch: few enough metrics, in order of time."""
    places: dict[tuple[str, str], int] = {}
    groups: list[list[Reading]] = []
    for reading in readings:
        place = places.setdefault((reading.metric, reading.unit), len(places)) // METRICS_MAX
        if place == len(groups):
            groups.append([])
        groups[place].append(reading)
    for group in groups:
        group.sort(key=lambda reading: reading.time)
        yield from _cut(group)


def _cut(group: list[Reading]) -> Iterator[list[Reading]]:
    start = 0
    for at, reading in enumerate(group):
        if at - start == READINGS_MAX or reading.time - group[start].time > SPAN_MAX:
            yield group[start:at]
            start = at
    yield group[start:]

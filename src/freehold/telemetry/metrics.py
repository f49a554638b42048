"""What metrics are called and what they can be: quantity and physical limits by the last word.

A name is words of small letters, digits and ``_`` joined by dots, such as ``host.cpu.load`` or
``roof.temperature``. The last word says what is measured; one that is not listed here may carry
any unit and any finite value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from freehold.telemetry.refusals import MalformedError, WrongUnitError
from freehold.telemetry.units import Unit

NAME_MAX = 48
INTERVAL = "agent.interval"
"""Seconds between a device's readings from now on, which it tells once and whenever it changes, so
that one that became slower is not taken for silent."""
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_NAMES_KEPT = 4_096


@dataclass(frozen=True, slots=True)
class Limits:
    """What a metric can be, in SI: ``low`` to ``high``, changing by ``rate`` a second at most.

    ``restless`` metrics come from a sensor with noise of its own: one that never moves is stuck.
    """

    quantity: str
    low: float = -inf
    high: float = inf
    rate: float = inf
    restless: bool = False

    def within(self, low: float, high: float) -> tuple[float, float]:
        """A range as far as it can be."""
        return min(max(low, self.low), self.high), max(min(high, self.high), self.low)


ANYTHING = Limits("")
LIMITS = {
    "temperature": Limits("temperature", 183.15, 423.15, 1.0, restless=True),
    "humidity": Limits("number", 0.0, 1.0, 0.05, restless=True),
    "pressure": Limits("pressure", 3e4, 1.2e5, 200.0, restless=True),
    "voltage": Limits("voltage", -1e6, 1e6, restless=True),
    "current": Limits("current", -1e5, 1e5, restless=True),
    "frequency": Limits("frequency", 0.0, 1e11),
    "power": Limits("power", -1e9, 1e9),
    "energy": Limits("energy", 0.0),
    "irradiance": Limits("irradiance", 0.0, 2_000.0),
    "illuminance": Limits("illuminance", 0.0, 2e5),
    "wind": Limits("speed", 0.0, 120.0, 50.0),
    "speed": Limits("speed", 0.0, 3e4),
    "level": Limits("length", -12_000.0, 12_000.0),
    "rain": Limits("length", 0.0, 100.0),
    "pm25": Limits("density", 0.0, 1e-4),
    "pm10": Limits("density", 0.0, 1e-4),
    "load": Limits("number", 0.0, 1e5),
    "share": Limits("number", 0.0, 1.0),
    "used": Limits("data", 0.0, 2.0**70),
    "free": Limits("data", 0.0, 2.0**70),
    "flow": Limits("data rate", 0.0, 1e12),
    "latency": Limits("time", 0.0, 1e5),
    "uptime": Limits("time", 0.0, 1e10),
    "fan": Limits("frequency", 0.0, 1e4),
    "count": Limits("number", 0.0),
}


@lru_cache(_NAMES_KEPT)
def limits(name: str) -> Limits:
    """The limits of the metric ``name``; MalformedError when that is no name."""
    if len(name) > NAME_MAX or _NAME.fullmatch(name) is None:
        raise MalformedError(
            f"{name[:NAME_MAX]!r} is not the name of a metric",
            remedy=f"Use at most {NAME_MAX} of a-z, 0-9, _ and single dots between words.",
        )
    return LIMITS.get(name.rpartition(".")[2], ANYTHING)


def check_unit(name: str, unit: Unit) -> None:
    """WrongUnitError where ``unit`` does not measure what ``name`` says."""
    wanted = limits(name).quantity
    if wanted and unit.quantity != wanted:
        raise WrongUnitError(
            f"{name} is a {wanted}, and {unit.symbol} measures {unit.quantity}",
            remedy="Correct the unit in the device's settings, or give the metric another name.",
        )

"""Units of readings, and what they are in SI: ``si = value * scale + offset``.

Codes are what batches carry; a code is never given to another unit. Source of the factors: the
SI brochure, 9th edition, and NIST SP 811 for what stands outside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from freehold.telemetry.refusals import WrongUnitError


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: what it measures, and how to come to the SI unit of the same ``quantity``."""

    code: int
    symbol: str
    quantity: str
    scale: float = 1.0
    offset: float = 0.0


UNITS = (
    Unit(0, "1", "number"),
    Unit(1, "%", "number", 0.01),
    Unit(2, "K", "temperature"),
    Unit(3, "Cel", "temperature", 1.0, 273.15),
    Unit(4, "degF", "temperature", 5 / 9, 459.67 * 5 / 9),
    Unit(5, "Pa", "pressure"),
    Unit(6, "hPa", "pressure", 100.0),
    Unit(7, "bar", "pressure", 1e5),
    Unit(8, "W", "power"),
    Unit(9, "kW", "power", 1e3),
    Unit(10, "J", "energy"),
    Unit(11, "Wh", "energy", 3.6e3),
    Unit(12, "kWh", "energy", 3.6e6),
    Unit(13, "V", "voltage"),
    Unit(14, "mV", "voltage", 1e-3),
    Unit(15, "A", "current"),
    Unit(16, "mA", "current", 1e-3),
    Unit(17, "Hz", "frequency"),
    Unit(18, "MHz", "frequency", 1e6),
    Unit(19, "rpm", "frequency", 1 / 60),
    Unit(20, "s", "time"),
    Unit(21, "ms", "time", 1e-3),
    Unit(22, "B", "data"),
    Unit(23, "KiB", "data", 2.0**10),
    Unit(24, "MiB", "data", 2.0**20),
    Unit(25, "GiB", "data", 2.0**30),
    Unit(26, "B/s", "data rate"),
    Unit(27, "Mbit/s", "data rate", 125e3),
    Unit(28, "m", "length"),
    Unit(29, "mm", "length", 1e-3),
    Unit(30, "m/s", "speed"),
    Unit(31, "km/h", "speed", 1 / 3.6),
    Unit(32, "m3", "volume"),
    Unit(33, "L", "volume", 1e-3),
    Unit(34, "lx", "illuminance"),
    Unit(35, "W/m2", "irradiance"),
    Unit(36, "ug/m3", "density", 1e-9),
    Unit(37, "kg/m3", "density"),
    Unit(38, "kg", "mass"),
    Unit(39, "deg", "angle", 0.017453292519943295),
    Unit(40, "rad", "angle"),
)
BY_SYMBOL = {unit.symbol: unit for unit in UNITS}


def unit(symbol: str) -> Unit:
    """The unit that people write as ``symbol``; WrongUnitError for an unknown one."""
    found = BY_SYMBOL.get(symbol)
    if found is None:
        raise WrongUnitError(f"{symbol!r} is not a known unit", remedy=f"Use one of: {_known()}.")
    return found


def unit_of(code: int) -> Unit:
    """The unit of a code on the wire; WrongUnitError for an unknown one."""
    if not 0 <= code < len(UNITS):
        raise WrongUnitError(
            f"{code} is not the code of a unit", remedy="Install a newer release of freehold."
        )
    return UNITS[code]


def _known() -> str:
    return ", ".join(BY_SYMBOL)

"""Aspects: what watchers agree on of a node or device, by name and as the 32 bytes of the ledger.

The bytes are the name itself, filled with zeros, so that everybody can read them on the chain.
Values are whole numbers:

- ``reachable``: the share of probes that a node answered, 0 to 10^4;
- ``speed``: how often 1 KiB a second must be doubled to come to what a node serves, 0 where it
  serves less; so two watchers agree where one sees up to twice what the other does;
- ``honest``: the share of a device's readings that are sound, 0 to 10^4, and 0 of one that was
  caught lying, or silent for two rounds in a row after it had been told of; of a single round of
  silence, and of a device that never reported, nothing is told;
- ``reading:METRIC``: what a device measures, in millionths of the metric's SI unit.
"""

from __future__ import annotations

from freehold.domain.errors import UsageError

WHOLE = 10_000
"""All of a share."""
MICRO = 1_000_000
"""Units of a reading in one SI unit."""
SIZE = 32
_READING = "reading:"


def aspect(name: str) -> bytes:
    """The 32 bytes of an aspect; UsageError for a name that has no such bytes."""
    raw = name.encode()
    if not 0 < len(raw) <= SIZE or not name.isprintable():
        raise UsageError(
            f"{name[:40]!r} is no aspect", remedy=f"Name it in 1 to {SIZE} printable bytes."
        )
    return raw.ljust(SIZE, b"\0")


def name_of(of: bytes) -> str:
    """The name of an aspect, in hex where it is no text."""
    raw = of.rstrip(b"\0")
    text = raw.decode(errors="replace")
    return text if raw and text.isprintable() and text.encode() == raw else "0x" + of.hex()


def reading(metric: str) -> bytes:
    """The aspect of a metric; UsageError where its name is longer than 24 bytes."""
    return aspect(_READING + metric)


def metric_of(of: bytes) -> str:
    """The metric of a reading's aspect, empty of any other."""
    name = name_of(of)
    return name.removeprefix(_READING) if name.startswith(_READING) else ""


REACHABLE, SPEED, HONEST = aspect("reachable"), aspect("speed"), aspect("honest")

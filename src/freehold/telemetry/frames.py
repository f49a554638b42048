"""A frame on its way: many devices that report the same metrics together, in one body.

Little-endian, no padding::

    magic     3  b"FHF"
    version   1  1
    boot      8  of the sender, larger at each of its starts
    number    8  of the frame in that boot, rising from 1
    roster    4  how many devices the sender stands for
    rows      4
    metrics   2
    names        of each metric one byte of length and the name
    devices   4  of each row, its place in the roster
    times     8  of each row, milliseconds since 1970
    values    8  of each row all metrics, doubles in SI units, NaN for what was not read

Pure. Threats: lengths that do not add up, and shapes that would fill the memory (refused before
anything is made of them).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from freehold.domain.errors import VersionError
from freehold.telemetry.bulk import METRICS_MAX, Frame
from freehold.telemetry.metrics import NAME_MAX, limits
from freehold.telemetry.reading import COUNT_MAX
from freehold.telemetry.refusals import MalformedError, TooLargeError

VERSION = 1
DEVICES_MAX, VALUES_MAX = 2**17, 2**20
"""Devices of one sender, and values of one frame."""
_MAGIC = b"FHF"
_HEAD = struct.Struct("<3sBQQIIH")
_ROW = 12
_VALUE = 8
BODY_MAX = (
    _HEAD.size + METRICS_MAX * (1 + NAME_MAX) + DEVICES_MAX * _ROW + VALUES_MAX * _VALUE
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A frame of a sender of ``roster`` devices, and the frame's place in what it sends."""

    boot: int
    number: int
    roster: int
    metrics: tuple[str, ...]
    frame: Frame


def encode(parcel: Parcel) -> bytes:
    """The body to send; MalformedError or TooLargeError say what a receiver would refuse."""
    frame, names = parcel.frame, parcel.metrics
    _check(parcel.boot, parcel.number, parcel.roster, len(frame.devices), names)
    head = _HEAD.pack(
        _MAGIC, VERSION, parcel.boot, parcel.number, parcel.roster, len(frame.devices), len(names)
    )
    parts = (
        frame.devices.astype("<u4"), frame.times.astype("<i8"), frame.values.astype("<f8"),
    )  # fmt: skip
    words = b"".join(bytes([len(name)]) + name.encode() for name in names)
    return b"".join((head, words, *(part.tobytes() for part in parts)))


def decode(body: bytes) -> Parcel:
    """What was sent; MalformedError, TooLargeError or VersionError."""
    if body[:3] != _MAGIC or len(body) < _HEAD.size:
        raise _malformed("it does not begin as a frame does")
    if body[3] != VERSION:
        raise VersionError(
            f"the frame has version {body[3]}, not {VERSION}",
            remedy="Install a newer release of freehold on whichever side is behind.",
        )
    _, _, boot, number, roster, rows, count = _HEAD.unpack_from(body)
    names, at = _names(body, count)
    _check(boot, number, roster, rows, names)
    if len(body) != at + rows * (_ROW + _VALUE * count):
        raise _malformed(f"it has {len(body):,} bytes, and says another number")
    devices = np.frombuffer(body, "<u4", rows, at).astype(np.int64)
    times = np.frombuffer(body, "<i8", rows, at + 4 * rows).astype(np.int64)
    values = np.frombuffer(body, "<f8", rows * count, at + _ROW * rows).astype(np.float64)
    frame = Frame(devices, times, values.reshape(rows, count))
    return Parcel(boot, number, roster, names, frame)


def _names(body: bytes, count: int) -> tuple[tuple[str, ...], int]:
    """The names of the metrics, and where they end."""
    if count > METRICS_MAX:
        raise _too_large(f"{count:,} metrics are more than the {METRICS_MAX} of a frame")
    names, at = list[str](), _HEAD.size
    for _ in range(count):
        end = at + 1 + (body[at] if at < len(body) else 0)
        names.append(body[at + 1 : end].decode("ascii", "replace"))
        at = end
    return tuple(names), at


def _check(boot: int, number: int, roster: int, rows: int, names: Sequence[str]) -> None:
    if not 0 <= boot <= COUNT_MAX or not 0 < number <= COUNT_MAX:
        raise _malformed("its boot or its number is out of range")
    if not names or len(set(names)) < len(names) or not 0 < rows <= roster:
        raise _malformed("it names no metric, or one twice, or has no rows, or too many")
    if roster > DEVICES_MAX or rows * len(names) > VALUES_MAX:
        raise _too_large(
            f"{rows:,} rows of {len(names)} metrics and {roster:,} devices are more than the "
            f"{VALUES_MAX:,} values and {DEVICES_MAX:,} devices of a frame"
        )
    for name in names:
        limits(name)


def _malformed(reason: str) -> MalformedError:
    return MalformedError(
        f"the frame is malformed: {reason}", remedy="Correct the program that sends it."
    )


def _too_large(reason: str) -> TooLargeError:
    return TooLargeError(reason, remedy="Send several smaller frames, or use several sources.")

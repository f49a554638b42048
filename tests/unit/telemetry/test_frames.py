"""Frames as bytes: what was sent comes out, and nothing else is let in."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from freehold.domain.errors import FreeholdError, VersionError
from freehold.telemetry import frames
from freehold.telemetry.bulk import METRICS_MAX, Frame
from freehold.telemetry.frames import BODY_MAX, DEVICES_MAX, VALUES_MAX, Parcel, decode, encode
from freehold.telemetry.refusals import MalformedError, TooLargeError

NOW = 1_800_000_000_000
METRICS = ("meter.power", "meter.voltage")
FRAME = Frame(
    np.array([0, 2]), np.array([NOW, NOW + 1]), np.array([[1.5, np.nan], [-2.0, 230.0]])
)  # fmt: skip
PARCEL = Parcel(7, 1, 3, METRICS, FRAME)
COUNTS_AT = struct.calcsize("<3sBQQ")


def blank(rows: int, metrics: int) -> Frame:
    return Frame(np.arange(rows), np.zeros(rows, np.int64), np.zeros((rows, metrics)))


def test_what_was_sent_comes_out() -> None:
    found = decode(encode(PARCEL))
    assert (found.boot, found.number, found.roster, found.metrics) == (7, 1, 3, METRICS)
    for got, sent in zip(
        (found.frame.devices, found.frame.times, found.frame.values),
        (FRAME.devices, FRAME.times, FRAME.values), strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(got, sent)
        assert got.flags.aligned
        assert got.flags.writeable


def test_the_largest_frame_fits_the_body() -> None:
    names = tuple(f"{number:048d}" for number in range(METRICS_MAX))
    rows = VALUES_MAX // METRICS_MAX
    assert len(encode(Parcel(1, 1, rows, names, blank(rows, METRICS_MAX)))) < BODY_MAX
    wide = Parcel(1, 1, DEVICES_MAX, names[:8], blank(DEVICES_MAX, 8))
    assert len(encode(wide)) < BODY_MAX


@pytest.mark.parametrize(
    "wrong",
    [
        replace(PARCEL, number=0),
        replace(PARCEL, boot=2**63),
        replace(PARCEL, roster=1),
        replace(PARCEL, metrics=()),
        replace(PARCEL, metrics=("a", "a")),
        replace(PARCEL, metrics=("No Name", "b")),
        replace(PARCEL, frame=blank(0, 2)),
    ],
)
def test_what_no_receiver_takes_is_not_sent(wrong: Parcel) -> None:
    with pytest.raises(MalformedError):
        encode(wrong)


@pytest.mark.parametrize(
    ("roster", "rows", "metrics"),
    [(DEVICES_MAX + 1, 1, 1), (DEVICES_MAX, DEVICES_MAX, 9), (1, 1, METRICS_MAX + 1)],
)
def test_shapes_beyond_bounds_are_refused_before_anything_is_made(
    roster: int, rows: int, metrics: int
) -> None:
    names = b"".join(b"\2m%c" % (48 + number) for number in range(metrics))
    head = encode(PARCEL)[:COUNTS_AT] + struct.pack("<IIH", roster, rows, metrics)
    with pytest.raises(TooLargeError):
        decode(head + names)


def test_any_cut_and_any_flipped_byte_of_the_head_is_refused_or_another_frame() -> None:
    body = encode(PARCEL)
    for size in range(len(body)):
        with pytest.raises(MalformedError):
            decode(body[:size])
    with pytest.raises(MalformedError):
        decode(body + b"x")
    with pytest.raises(VersionError):
        decode(body[:3] + b"\2" + body[4:])
    for at in range(COUNTS_AT + 40):
        for bit in range(8):
            bad = bytearray(body)
            bad[at] ^= 1 << bit
            try:
                found = decode(bytes(bad))
            except FreeholdError:
                continue
            assert found.frame.values.shape == (2, 2)


def test_names_are_checked_by_the_receiver() -> None:
    body = encode(PARCEL).replace(b"meter.power", b"meter power")
    with pytest.raises(MalformedError, match="not the name of a metric"):
        decode(body)
    assert frames.VERSION == 1

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import inf, nan

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.telemetry import remote_write
from freehold.telemetry.foreign import Gatherer, metric_name, parcels
from freehold.telemetry.metrics import NAME_MAX, limits
from freehold.telemetry.reading import METRICS_MAX, READINGS_MAX, Reading, pack
from freehold.telemetry.refusals import MalformedError, TooLargeError
from freehold.telemetry.remote_write import decode
from freehold.telemetry.units import BY_SYMBOL

NOW = 1_790_000_000_000
Labels = Sequence[tuple[str, str]]
Sample = tuple[float, int]


def varint(number: int) -> bytes:
    out = bytearray()
    number %= 2**64
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def nested(tag: int, body: bytes) -> bytes:
    return bytes([tag]) + varint(len(body)) + body


def series(labels: Labels, samples: Sequence[Sample], more: bytes = b"") -> bytes:
    body = b"".join(
        nested(0x0A, nested(0x0A, key.encode()) + nested(0x12, value.encode()))
        for key, value in labels
    )
    for value, time in samples:
        body += nested(0x12, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time))
    return nested(0x0A, body + more)


def request(*parts: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(b"".join(parts)))


CPU = (("__name__", "node_cpu_seconds_total"), ("cpu", "0"), ("mode", "idle"))
UP = (("__name__", "up"),)
BODY = request(series(CPU, [(1.5, NOW), (2.5, NOW + 15_000)]), series(UP, [(1, NOW)]))


def test_samples_become_readings() -> None:
    first, second, up = decode(BODY).readings
    assert first.metric.startswith("0.idle.")
    assert first.metric.endswith(".node_cpu_seconds_total")
    assert (first.unit, first.time, first.value) == ("s", NOW, 1.5)
    assert (second.metric, second.value) == (first.metric, 2.5)
    assert up == Reading("up", "1", NOW, 1.0)


def test_series_that_differ_only_in_labels_stay_apart() -> None:
    pairs = [[("a", "1")], [("b", "1")], [("a", "1"), ("job", "x")], [("a_1", "")], []]
    names = {metric_name("x", pair, unit="1") for pair in pairs}
    assert len(names) == len(pairs)


@given(
    st.text(max_size=80),
    st.dictionaries(st.text(max_size=8), st.text(max_size=60), max_size=5),
    st.sampled_from(sorted(BY_SYMBOL)),
)
def test_every_series_gets_a_sound_name(name: str, labels: dict[str, str], unit: str) -> None:
    made = metric_name(name, sorted(labels.items()), unit=unit)
    assert len(made) <= NAME_MAX
    limits(made)
    pack([Reading(made, unit, NOW, 1.0)])


def test_a_name_of_ours_with_another_unit_gets_another_name() -> None:
    body = request(series([("__name__", "temperature")], [(21.5, NOW)]))
    (reading,) = decode(body).readings
    assert reading.metric.endswith("temperature_raw")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("node_hwmon_temp_celsius", "Cel"), ("process_resident_memory_bytes", "B"),
        ("http_request_duration_seconds_sum", "s"), ("node_hwmon_in_volts", "V"),
        ("disk_used_ratio", "1"), ("node_load1", "1"), ("bytes_total", "B"),
        ("http_request_duration_seconds_count", "1"),
    ],
)  # fmt: skip
def test_units_are_told_by_the_end_of_the_name(name: str, unit: str) -> None:
    (reading,) = decode(request(series([("__name__", name)], [(1, NOW)]))).readings
    assert reading.unit == unit


def test_the_end_of_a_series_is_no_sample() -> None:
    stale = struct.unpack("<d", bytes.fromhex("020000000000f07f"))[0]
    found = decode(request(series(UP, [(stale, NOW), (1, NOW)])))
    assert (len(found.readings), found.skipped) == (1, 0)


@pytest.mark.parametrize(
    "sample", [(nan, NOW), (inf, NOW), (-inf, NOW), (1e101, NOW), (1, 0), (1, -5), (1, 2**62)]
)
def test_what_is_no_reading_is_left_out_and_counted(sample: Sample) -> None:
    found = decode(request(series(UP, [sample, (1, NOW)])))
    assert [reading.time for reading in found.readings] == [NOW]
    assert found.skipped == 1


def test_histograms_are_counted_and_what_is_unknown_is_passed_over() -> None:
    more = nested(0x22, b"\x08\x01") + nested(0x1A, b"exemplar") + b"\x7d\0\0\0\0"
    found = decode(request(nested(0x1A, b"metadata"), series(UP, [(1, NOW)], more)))
    assert (len(found.readings), found.skipped) == (1, 1)


@pytest.mark.parametrize(
    "labels",
    [[], [("job", "x")], [("__name__", "")], [*UP, ("a", "1"), ("a", "2")]],
)
def test_labels_that_make_no_series_are_refused(labels: Labels) -> None:
    with pytest.raises(MalformedError):
        decode(request(series(labels, [(1, NOW)])))


def test_a_bomb_is_refused_by_what_it_says_of_itself() -> None:
    with pytest.raises(TooLargeError, match="inflated"):
        decode(request(bytes(remote_write.BODY_MAX + 1)))
    with pytest.raises(TooLargeError):
        decode(bytes(remote_write.COMPRESSED_MAX + 1))


@pytest.mark.parametrize(
    "parts",
    [
        [series(UP, [])] * (remote_write.SERIES_MAX + 1),
        [series(UP, [(1, NOW)] * (remote_write.SAMPLES_MAX + 1))],
        [series([*UP, *((f"l{n}", "") for n in range(remote_write.LABELS_MAX))], [(1, NOW)])],
        [series([*UP, ("l", "x" * remote_write.LABEL_BYTES_MAX)], [(1, NOW)])],
    ],
)
def test_more_than_is_read_at_once_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(TooLargeError):
        decode(request(*parts))


def test_every_truncation_is_typed() -> None:
    whole = bytes(cramjam.snappy.decompress_raw(BODY))
    for end in range(1, len(whole)):
        try:
            decode(request(whole[:end]))
        except (MalformedError, TooLargeError):
            continue
        assert end == len(series(CPU, [(1.5, NOW), (2.5, NOW + 15_000)]))
    for end in range(len(BODY)):
        with pytest.raises((MalformedError, TooLargeError)):
            decode(BODY[:end])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_flip_is_typed(data: st.DataObject) -> None:
    whole = bytearray(cramjam.snappy.decompress_raw(BODY))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    packed = data.draw(st.booleans())
    try:
        decode(request(bytes(whole)) if packed else bytes(whole))
    except (MalformedError, TooLargeError):
        return


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2**44)), min_size=1, max_size=300))
def test_parcels_keep_every_reading_once_in_batches_that_pack(
    made: list[tuple[int, int]],
) -> None:
    readings = [Reading(f"m{n}", "1", time, 1.0) for n, time in made]
    out = list(parcels(readings))
    assert sorted(repr(reading) for parcel in out for reading in parcel) == sorted(
        map(repr, readings)
    )
    for parcel in out:
        assert len({reading.metric for reading in parcel}) <= METRICS_MAX
        pack(parcel)


def test_long_parcels_are_cut() -> None:
    out = list(parcels([Reading("m", "1", n + 1, 1.0) for n in range(READINGS_MAX + 1)]))
    assert [len(parcel) for parcel in out] == [READINGS_MAX, 1]


def test_a_metric_has_one_unit_in_a_request() -> None:
    gatherer = Gatherer()
    gatherer.add("a", "s", NOW, 1)
    gatherer.add("a", "B", NOW, 1)
    found = gatherer.harvest()
    assert (len(found.readings), found.skipped) == (1, 1)

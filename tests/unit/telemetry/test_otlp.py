"""Against the official messages, which write what our reader reads."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service

from freehold.telemetry import otlp
from freehold.telemetry.foreign import Harvest
from freehold.telemetry.otlp import JSON, PROTOBUF, accepted, decode, refused
from freehold.telemetry.refusals import MalformedError, TooLargeError

if TYPE_CHECKING:
    Request = service.ExportMetricsServiceRequest

NOW = 1_790_000_000_000


def request(*metrics: dict[str, object], host: str = "a") -> Request:
    attributes = [{"key": "host.name", "value": {"stringValue": host}}]
    shape = {
        "resourceMetrics": [
            {"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]}
        ]
    }
    made = service.ExportMetricsServiceRequest()
    json_format.ParseDict(shape, made)
    return made


def point(value: float | str | None = 1.5, time: int = NOW, **more: object) -> dict[str, object]:
    found: dict[str, object] = {"timeUnixNano": str(time * 1_000_000), **more}
    return found if value is None else found | {"asDouble": value}


def gauge(*points: dict[str, object], name: str = "m", unit: str = "") -> dict[str, object]:
    return {"name": name, "unit": unit, "gauge": {"dataPoints": points}}


def spread(**more: object) -> dict[str, object]:
    return point(None) | {"count": "3"} | more


BUCKETS = {"bucketCounts": ["1", "2"], "explicitBounds": [1.0]}
EVERYTHING = request(
    gauge(point(), point(None, asInt="-7"), name="system.cpu.load_average.1m", unit="1"),
    {"name": "net.io", "unit": "By", "sum": {"dataPoints": [point(9.0)], "isMonotonic": True}},
    {"name": "lat", "unit": "s", "histogram": {"dataPoints": [spread(sum=2.5, **BUCKETS)]}},
    {"name": "exp", "unit": "s", "exponentialHistogram": {"dataPoints": [spread(scale=1)]}},
    {"name": "old", "summary": {"dataPoints": [spread(sum=4.0)]}},
    gauge(point(attributes=[{"key": "core", "value": {"intValue": "3"}}]), name="t", unit="Cel"),
)


def both(made: Request) -> Harvest:
    """What is read of it, the same in either encoding."""
    found = decode(made.SerializeToString(), kind=PROTOBUF)
    text = json_format.MessageToJson(made).encode()
    assert decode(text, kind=JSON) == found
    return found


def test_gauges_sums_and_spreads_are_read_alike_in_both_encodings() -> None:
    found = both(EVERYTHING)
    ends = [(r.metric.partition(".")[0], r.metric.rpartition(".")[2]) for r in found.readings]
    assert all(head in ("a", "3") for head, _ in ends)
    assert [(end, r.unit, r.value) for (_, end), r in zip(ends, found.readings, strict=True)] == [
        ("1m", "1", 1.5), ("1m", "1", -7.0), ("io", "B", 9.0), ("lat_count", "1", 3.0),
        ("lat_sum", "s", 2.5), ("exp_count", "1", 3.0),
        ("old_count", "1", 3.0), ("old_sum", "1", 4.0), ("t", "Cel", 1.5),
    ]  # fmt: skip
    assert {r.time for r in found.readings} == {NOW}
    assert found.skipped == 0


def test_hosts_stay_apart() -> None:
    (one,), (two,) = (both(request(gauge(point()), host=host)).readings for host in "ab")
    assert one.metric != two.metric


def test_an_unknown_unit_becomes_part_of_the_name() -> None:
    (reading,) = both(request(gauge(point(), name="took", unit="us"))).readings
    assert (reading.metric.rpartition(".")[2], reading.unit) == ("took_us", "1")


@pytest.mark.parametrize("bad", [point("NaN"), point("-Infinity"), point(1.0, 0)])
def test_points_that_are_no_reading_are_counted(bad: dict[str, object]) -> None:
    found = both(request(gauge(bad, point())))
    assert (len(found.readings), found.skipped) == (1, 1)


def test_a_point_that_says_that_nothing_was_measured_is_none() -> None:
    found = both(request(gauge(point(None, flags=1), point())))
    assert (len(found.readings), found.skipped) == (1, 0)


def test_gzip_is_read_and_its_bombs_are_not() -> None:
    raw = EVERYTHING.SerializeToString()
    assert decode(gzip.compress(raw), kind=PROTOBUF, gzipped=True) == both(EVERYTHING)
    with pytest.raises(TooLargeError):
        decode(gzip.compress(bytes(otlp.BODY_MAX + 1)), kind=PROTOBUF, gzipped=True)
    for bad in (raw, gzip.compress(raw)[:-1], gzip.compress(raw) + b"x"):
        with pytest.raises(MalformedError):
            decode(bad, kind=PROTOBUF, gzipped=True)


def test_a_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(16 * otlp.BODY_MAX))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            decode(bomb, kind=JSON, gzipped=True)
        assert tracemalloc.get_traced_memory()[1] < 3 * otlp.BODY_MAX
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"resourceMetrics":1}', b'{"resourceMetrics":[1]}', b"[" * 100_000,
        b'{"a":' * 50_000, b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{}]}]}]}',
    ],
)  # fmt: skip
def test_bad_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(body, kind=JSON)


@pytest.mark.parametrize(
    "bad",
    [
        '"asDouble":"x"', '"asDouble":true', '"asInt":[]', '"timeUnixNano":"-1","asInt":1',
        '"timeUnixNano":1.5,"asInt":1', '"asInt":1,"flags":"x"', '"attributes":{}',
        '"attributes":[{"key":1,"value":{"intValue":1}}]', f'"asInt":"{"9" * 5000}"',
    ],
)  # fmt: skip
def test_json_of_the_wrong_kind_is_refused(bad: str) -> None:
    metric = f'{{"name":"a","gauge":{{"dataPoints":[{{{bad}}}]}}}}'
    body = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}'
    with pytest.raises(MalformedError):
        decode(body.encode(), kind=JSON)


def test_floods_are_refused() -> None:
    pair = {"key": "k", "value": {"intValue": "1"}}
    with pytest.raises(TooLargeError, match="attributes"):
        decode(request(gauge(point(attributes=[pair] * 65))).SerializeToString(), kind=PROTOBUF)
    with pytest.raises(TooLargeError):
        decode(bytes(otlp.BODY_MAX + 1), kind=JSON)
    points = request(*[gauge(*[point(None)] * 10_001)] * 5).SerializeToString()
    with pytest.raises(TooLargeError, match="points"):
        decode(points, kind=PROTOBUF)


def test_every_truncation_is_typed() -> None:
    raw = EVERYTHING.SerializeToString()
    for end in range(1, len(raw)):
        with pytest.raises(MalformedError):
            decode(raw[:end], kind=PROTOBUF)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_flip_is_typed(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from((PROTOBUF, JSON)))
    text = json_format.MessageToJson(EVERYTHING).encode()
    raw = bytearray(EVERYTHING.SerializeToString() if kind == PROTOBUF else text)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(raw), kind=kind)
    except (MalformedError, TooLargeError):
        return


def test_answers_are_those_of_the_protocol() -> None:
    answer = service.ExportMetricsServiceResponse()
    answer.ParseFromString(accepted(300, kind=PROTOBUF))
    assert answer.partial_success.rejected_data_points == 300
    assert "300 points" in answer.partial_success.error_message
    assert json_format.Parse(accepted(300, kind=JSON), type(answer)()) == answer
    assert accepted(0, kind=PROTOBUF) == b""
    assert json.loads(accepted(0, kind=JSON)) == {}
    assert refused("no", kind=PROTOBUF) == b"\x12\x02no"
    assert json.loads(refused("no", kind=JSON)) == {"message": "no"}

"""What OpenTelemetry pushes: OTLP/HTTP metrics in protobuf or JSON, perhaps gzipped.

Gauges and sums give one reading for each of their points, histograms and summaries their count
and their sum; the attributes of the resource and of the point tell series apart. Points that fit
no reading are left out and counted, as the answer says. Both encodings are read into the same
shape, then walked once. Source: OTLP specification 1.x, OpenTelemetry protocol metrics v1.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

from pydantic_core import from_json

from freehold.telemetry.fields import Budget, Field, Kind, Table, broken, read
from freehold.telemetry.foreign import Gatherer, Harvest, guess_unit, metric_name
from freehold.telemetry.refusals import TooLargeError
from freehold.telemetry.units import BY_SYMBOL

COMPRESSED_MAX, BODY_MAX = 2**20, 2**22
"""Bytes of a request as it comes and as it is."""
FIELDS_MAX = 1_000_000
POINTS_MAX = 50_000
ATTRIBUTES_MAX, ATTRIBUTE_MAX, NAME_MAX = 64, 512, 256
"""Attributes of a point with its resource; characters of a value and of a name that are read."""
PROTOBUF, JSON = "application/x-protobuf", "application/json"
_UCUM = {
    "By": "B", "KiBy": "KiB", "MiBy": "MiB", "GiBy": "GiB", "By/s": "B/s", "[degF]": "degF",
    "{rpm}": "rpm", "": "1",
}  # fmt: skip
_NO_VALUE = 1
"""The flag of a point that only says that nothing was measured."""

_ANY: Table = {
    1: Field("stringValue", Kind.TEXT),
    2: Field("boolValue", Kind.NUMBER),
    3: Field("intValue", Kind.SIGNED),
    4: Field("doubleValue", Kind.DOUBLE),
}
_PAIR: Table = {1: Field("key", Kind.TEXT), 2: Field("value", _ANY)}
_NUMBER: Table = {
    3: Field("timeUnixNano", Kind.FIXED),
    4: Field("asDouble", Kind.DOUBLE),
    6: Field("asInt", Kind.SIGNED_FIXED),
    7: Field("attributes", _PAIR, many=True),
    8: Field("flags", Kind.NUMBER),
}


def _spread(attributes: int, flags: int) -> Table:
    return {
        3: Field("timeUnixNano", Kind.FIXED),
        4: Field("count", Kind.FIXED),
        5: Field("sum", Kind.DOUBLE),
        attributes: Field("attributes", _PAIR, many=True),
        flags: Field("flags", Kind.NUMBER),
    }


def _points(table: Table) -> Table:
    return {1: Field("dataPoints", table, many=True)}


_METRIC: Table = {
    1: Field("name", Kind.TEXT),
    3: Field("unit", Kind.TEXT),
    5: Field("gauge", _points(_NUMBER)),
    7: Field("sum", _points(_NUMBER)),
    9: Field("histogram", _points(_spread(9, 10))),
    10: Field("exponentialHistogram", _points(_spread(1, 10))),
    11: Field("summary", _points(_spread(7, 8))),
}
_SCOPE: Table = {2: Field("metrics", _METRIC, many=True)}
_RESOURCE: Table = {
    1: Field("resource", {1: Field("attributes", _PAIR, many=True)}),
    2: Field("scopeMetrics", _SCOPE, many=True),
}
_REQUEST: Table = {1: Field("resourceMetrics", _RESOURCE, many=True)}
_NUMBERS, _SPREADS = ("gauge", "sum"), ("histogram", "exponentialHistogram", "summary")
Shape = dict[str, object]
Labels = tuple[tuple[str, str], ...]


def decode(body: bytes, *, kind: str, gzipped: bool = False) -> Harvest:
    """The readings of a request as it came, in ``kind`` PROTOBUF or JSON.

    MalformedError or TooLargeError.
    """
    data = _inflated(body) if gzipped else body
    if len(data) > BODY_MAX:
        raise _too_large(f"{len(data):,} bytes")
    shape = read(data, _REQUEST, Budget(FIELDS_MAX)) if kind == PROTOBUF else _parsed(data)
    reader = _Reader()
    for resource in _items(shape, "resourceMetrics"):
        shared = _labels(_part(resource, "resource"))
        for scope in _items(resource, "scopeMetrics"):
            for metric in _items(scope, "metrics"):
                reader.read(metric, shared)
    return reader.gatherer.harvest()


def accepted(rejected: int, *, kind: str) -> bytes:
    """The body of an ExportMetricsServiceResponse; ``rejected`` points were left out."""
    reason = f"{rejected} points are no finite numbers or have no usable time" if rejected else ""
    if kind == JSON:
        partial = {"rejectedDataPoints": str(rejected), "errorMessage": reason}
        return json.dumps({"partialSuccess": partial} if rejected else {}).encode()
    if not rejected:
        return b""
    inner = b"\x08" + _varint(rejected) + b"\x12" + _varint(len(reason)) + reason.encode()
    return b"\x0a" + _varint(len(inner)) + inner


def refused(message: str, *, kind: str) -> bytes:
    """The body of a google.rpc.Status that says why a request was refused."""
    if kind == JSON:
        return json.dumps({"message": message}).encode()
    raw = message.encode()
    return b"\x12" + _varint(len(raw)) + raw


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _inflated(body: bytes) -> bytes:
    if len(body) > COMPRESSED_MAX:
        raise _too_large(f"{len(body):,} bytes")
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(body, BODY_MAX + 1)
    except zlib.error as error:
        raise broken("it is not gzip") from error
    if len(data) <= BODY_MAX and (not inflater.eof or inflater.unused_data):
        raise broken("its gzip ends early, or something follows it")
    return data


def _parsed(data: bytes) -> Shape:
    try:
        value: object = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise broken("it is not JSON") from error
    if not isinstance(value, dict):
        raise broken("it is no object")
    return value


class _Reader:
    """Walks metrics into a gatherer."""

    def __init__(self) -> None:
        self.gatherer = Gatherer()
        self._left = POINTS_MAX

    def read(self, metric: Shape, shared: Labels) -> None:
        """Take all points of one metric."""
        name = _text(metric, "name")[:NAME_MAX]
        if not name:
            raise broken("a metric has no name")
        symbol, suffix = _unit(name, _text(metric, "unit"))
        for form in _NUMBERS:
            for point in self._points(metric, form):
                self._add(name + suffix, symbol, point, shared, _number_of(point))
        for form in _SPREADS:
            for point in self._points(metric, form):
                self._add(f"{name}_count", "1", point, shared, _number(point, "count"))
                if "sum" in point:
                    total = _number(point, "sum")
                    self._add(f"{name}{suffix}_sum", symbol, point, shared, total)

    def _points(self, metric: Shape, form: str) -> Iterator[Shape]:
        for point in _items(_part(metric, form), "dataPoints"):
            self._left -= 1
            if self._left < 0:
                raise _too_large(f"more than {POINTS_MAX:,} points")
            yield point

    def _add(self, name: str, unit: str, point: Shape, shared: Labels, value: float) -> None:
        if _whole(point, "flags") & _NO_VALUE:
            return
        labels = sorted({**dict(shared), **dict(_labels(point))}.items())
        if len(labels) > ATTRIBUTES_MAX:
            raise _too_large(f"a point with more than {ATTRIBUTES_MAX} attributes")
        time = _whole(point, "timeUnixNano") // 1_000_000
        self.gatherer.add(metric_name(name, labels, unit=unit), unit, time, value)


def _unit(name: str, symbol: str) -> tuple[str, str]:
    """Our unit, and what to add to the name where theirs is none of ours."""
    ours = _UCUM.get(symbol, symbol)
    if not symbol:
        return guess_unit(name.lower().replace(".", "_")), ""
    if ours in BY_SYMBOL:
        return ours, ""
    return "1", "" if symbol.startswith("{") else f"_{symbol[:8]}"


def _items(shape: Shape, name: str) -> Iterator[Shape]:
    found = shape.get(name)
    if found is None:
        return
    if not isinstance(found, list):
        raise broken(f"{name} is no list")
    for item in found:
        if not isinstance(item, dict):
            raise broken(f"{name} holds something else than objects")
        yield item


def _part(shape: Shape, name: str) -> Shape:
    found = shape.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise broken(f"{name} is no object")
    return found


def _labels(shape: Shape) -> Labels:
    labels: list[tuple[str, str]] = []
    for pair in _items(shape, "attributes"):
        value = next(iter(_part(pair, "value").values()), None)
        if isinstance(value, str | int | float):
            labels.append((_text(pair, "key")[:NAME_MAX], _plain(value)[:ATTRIBUTE_MAX]))
        if len(labels) > ATTRIBUTES_MAX:
            raise _too_large(f"more than {ATTRIBUTES_MAX} attributes in one place")
    return tuple(labels)


def _plain(value: str | float) -> str:
    """One text for a value, whichever encoding it came in: JSON may write 1.0 as 1."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def _text(shape: Shape, name: str) -> str:
    found = shape.get(name, "")
    if not isinstance(found, str):
        raise broken(f"{name} is no text")
    return found


def _whole(shape: Shape, name: str) -> int:
    """A whole number, which JSON may write as a text."""
    found = shape.get(name, 0)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= 20:
        return int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**64:
        raise broken(f"{name} is no whole number")
    return found


def _number_of(point: Shape) -> float:
    if "asInt" in point:
        return _number(point, "asInt")
    return _number(point, "asDouble") if "asDouble" in point else float("nan")


def _number(shape: Shape, name: str) -> float:
    """A number, which JSON may write as a text such as ``NaN`` or ``-12``."""
    found = shape.get(name, 0)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise broken(f"{name} is no number")
    if isinstance(found, str) and len(found) > 32:
        raise broken(f"{name} is no number")
    try:
        return float(found)
    except (ValueError, OverflowError) as error:
        raise broken(f"{name} is no number") from error


def _too_large(reason: str) -> TooLargeError:
    return TooLargeError(
        f"the request has {reason}", remedy="Lower the batch size of the exporter."
    )

"""Requests and responses of the protocol, to and from the bodies that carry them.

A body is JSON, or JSON and after it the bytes of those tensors that say ``binary_data_size``; then
a header of HTTP, ``Inference-Header-Content-Length``, says where the JSON ends.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from freehold.domain.document import MalformedError as NotJSONError
from freehold.domain.document import parse_document
from freehold.markets.models.tensor import plain
from freehold.markets.models.tensor.refusals import malformed, too_large
from freehold.markets.models.tensor.values import Tensor, check_name

Parameter = str | int | float | bool
HEADER = "inference-header-content-length"
SIZE = "binary_data_size"
TEXT_MAX = 4096
"""Characters of an id or of a parameter's value."""
_WHOLE = 2**63


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most: bytes of ``json`` and of the whole ``body``, ``tensors`` and
    ``parameters`` by number, ``parts`` (objects and lists of JSON)."""

    json: int = 2**21
    body: int = 2**24
    tensors: int = 64
    parameters: int = 64
    parts: int = 200_000


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that is asked for; ``binary`` is None where the request decides for all."""

    name: str
    binary: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked; without ``outputs`` all are wanted, binary if ``binary_output``."""

    inputs: tuple[Tensor, ...]
    id: str = ""
    outputs: tuple[Wanted, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    binary_output: bool = False

    def binary(self, names: Collection[str]) -> frozenset[str]:
        """Those of the outputs ``names`` that are to come as bytes."""
        asked = {wanted.name: wanted.binary for wanted in self.outputs}
        chosen = {name: asked.get(name) for name in names}
        return frozenset(
            name for name, own in chosen.items() if own or (own is None and self.binary_output)
        )


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answers."""

    model: str
    outputs: tuple[Tensor, ...]
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a message; ``header_length`` of them are JSON, all of them where it is None."""

    data: bytes
    header_length: int | None = None

    def headers(self) -> dict[str, str]:
        """The headers of HTTP that it travels under."""
        if self.header_length is None:
            return {"content-type": "application/json"}
        return {
            "content-type": "application/octet-stream",
            HEADER: str(self.header_length),
        }


def header_length(value: str | None) -> int | None:
    """Parse ``Inference-Header-Content-Length``; MalformedError where it is no number."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise malformed("Inference-Header-Content-Length is no number")
    return int(value)


def encode_request(request: Request, *, binary: bool = False) -> Body:
    """A request as bytes; ``binary``: its inputs go as bytes, not as lists."""
    inputs, chunks = _written(request.inputs, {t.name for t in request.inputs} if binary else ())
    members: dict[str, object] = {"inputs": inputs}
    if request.id:
        members["id"] = request.id
    parameters: dict[str, Parameter] = dict(request.parameters)
    if request.binary_output:
        parameters["binary_data_output"] = True
    if parameters:
        members["parameters"] = parameters
    if request.outputs:
        members["outputs"] = [_asked(wanted) for wanted in request.outputs]
    return _body(members, chunks)


def encode_response(response: Response, *, binary: Collection[str] = ()) -> Body:
    """A response as bytes; the outputs named by ``binary`` go as bytes, the others as lists."""
    outputs, chunks = _written(response.outputs, binary)
    members: dict[str, object] = {"model_name": response.model}
    if response.version:
        members["model_version"] = response.version
    if response.id:
        members["id"] = response.id
    if response.parameters:
        members["parameters"] = dict(response.parameters)
    return _body(members | {"outputs": outputs}, chunks)


def decode_request(
    data: bytes, header_length: int | None = None, limits: Limits = LIMITS
) -> Request:
    """The request of a body; MalformedError, NotFiniteError or TooLargeError."""
    members, binary = _parted(data, header_length, limits)
    parameters = dict(_parameters(members, limits))
    return Request(
        inputs=_tensors(members, "inputs", binary, limits),
        id=_text(members, "id"),
        outputs=tuple(_wanted(each) for each in _list(members, "outputs", limits)),
        binary_output=parameters.pop("binary_data_output", False) is True,
        parameters=parameters,
    )


def decode_response(
    data: bytes, header_length: int | None = None, limits: Limits = LIMITS
) -> Response:
    """The response of a body; MalformedError, NotFiniteError or TooLargeError."""
    members, binary = _parted(data, header_length, limits)
    return Response(
        model=_text(members, "model_name"),
        outputs=_tensors(members, "outputs", binary, limits),
        version=_text(members, "model_version"),
        id=_text(members, "id"),
        parameters=_parameters(members, limits),
    )


# --- writing ---------------------------------------------------------------------------------


def _written(
    tensors: Sequence[Tensor], binary: Collection[str]
) -> tuple[list[dict[str, object]], list[bytes]]:
    written, chunks = [], []
    for tensor in tensors:
        members: dict[str, object] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if tensor.name in binary:
            members["parameters"] = {SIZE: len(tensor.data)}
            chunks.append(tensor.data)
        else:
            members["data"] = plain.write(tensor)
        written.append(members)
    return written, chunks


def _asked(wanted: Wanted) -> dict[str, object]:
    if wanted.binary is None:
        return {"name": wanted.name}
    return {"name": wanted.name, "parameters": {"binary_data": wanted.binary}}


def _body(members: Mapping[str, object], chunks: Sequence[bytes]) -> Body:
    text = json.dumps(members, separators=(",", ":"), allow_nan=False).encode()
    return Body(b"".join((text, *chunks)), len(text)) if chunks else Body(text)


# --- reading ---------------------------------------------------------------------------------


def _parted(
    data: bytes, header: int | None, limits: Limits
) -> tuple[dict[str, object], memoryview]:
    if len(data) > limits.body:
        raise too_large(f"it has more than {limits.body:,} bytes")
    end = len(data) if header is None else header
    if end > len(data):
        raise malformed("its JSON is shorter than Inference-Header-Content-Length says")
    if end > limits.json:
        raise too_large(f"its JSON has more than {limits.json:,} bytes: send tensors as bytes")
    try:
        members = parse_document(data[:end], size=limits.json, parts=limits.parts)
    except NotJSONError as error:
        raise malformed(str(error)) from error
    if not isinstance(members, dict):
        raise malformed("it is not an object")
    return members, memoryview(data)[end:]


class _Chunks:
    """Hands out what comes after the JSON, in order."""

    def __init__(self, binary: memoryview) -> None:
        self.left = binary

    def take(self, name: str, size: object) -> bytes:
        if type(size) is not int or not 0 <= size <= len(self.left):
            raise malformed(f"{name} has fewer bytes than its {SIZE} says")
        taken, self.left = bytes(self.left[:size]), self.left[size:]
        return taken


def _tensors(
    members: Mapping[str, object], which: str, binary: memoryview, limits: Limits
) -> tuple[Tensor, ...]:
    chunks = _Chunks(binary)
    tensors = tuple(_tensor(each, chunks) for each in _list(members, which, limits))
    if not tensors:
        raise malformed(f"it has no {which}")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise malformed(f"two of its {which} have one name")
    if chunks.left:
        raise malformed(f"{len(chunks.left):,} bytes at its end belong to no tensor")
    return tensors


def _tensor(value: object, chunks: _Chunks) -> Tensor:
    members = _object(value, "a tensor")
    name, datatype = _text(members, "name"), _text(members, "datatype")
    check_name(name)
    shape = read_shape(members.get("shape"), name)
    size = _object(members.get("parameters") or {}, "parameters").get(SIZE)
    if size is None:
        return plain.read(name, datatype, shape, members.get("data"))
    if members.get("data") is not None:
        raise malformed(f"{name} has both data and {SIZE}")
    return Tensor(name, datatype, shape, chunks.take(name, size))


def read_shape(value: object, name: str) -> tuple[int, ...]:
    """The whole numbers of a JSON list; MalformedError otherwise."""
    if not isinstance(value, list) or any(type(size) is not int for size in value):
        raise malformed(f"the shape of {name} is not a list of whole numbers")
    return tuple(value)


def _wanted(value: object) -> Wanted:
    members = _object(value, "an output")
    name = _text(members, "name")
    check_name(name)
    binary = _object(members.get("parameters") or {}, "parameters").get("binary_data")
    return Wanted(name, binary if isinstance(binary, bool) else None)


def _list(members: Mapping[str, object], name: str, limits: Limits) -> list[object]:
    value = members.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(f"{name} is not a list")
    if len(value) > limits.tensors:
        raise too_large(f"it has more than {limits.tensors} {name}")
    return value


def _object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise malformed(f"{what} is not an object")
    return value


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise malformed(f"{name} is not a text of at most {TEXT_MAX} characters")
    return value


def _parameters(members: Mapping[str, object], limits: Limits) -> dict[str, Parameter]:
    found = _object(members.get("parameters") or {}, "parameters")
    if len(found) > limits.parameters:
        raise too_large(f"it has more than {limits.parameters} parameters")
    return {name: _parameter(name, value) for name, value in found.items() if value is not None}


def _parameter(name: str, value: object) -> Parameter:
    check_name(name)
    sound = (
        (isinstance(value, str) and len(value) <= TEXT_MAX)
        or (isinstance(value, int) and -_WHOLE <= value < _WHOLE)
        or (isinstance(value, float) and isfinite(value))
    )
    if not sound or not isinstance(value, str | int | float):
        raise malformed(f"the parameter {name} is no short text, finite number or truth value")
    return value

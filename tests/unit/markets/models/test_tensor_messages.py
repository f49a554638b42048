"""Messages of the Open Inference Protocol: lossless both ways, bounded, and strict."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from freehold.domain.errors import FreeholdError
from freehold.markets.models.tensor import (
    DATATYPES,
    Limits,
    MalformedError,
    NotFiniteError,
    Request,
    Response,
    Tensor,
    TooLargeError,
    Wanted,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    from_arrays,
    header_length,
    join,
    split,
    to_arrays,
)

NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
PARAMETERS = st.dictionaries(
    NAMES,
    st.text(max_size=20)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    max_size=4,
)


def numbers(datatype: str, count: int) -> st.SearchStrategy[list[object]]:
    dtype = DATATYPES[datatype]
    each: st.SearchStrategy[object]
    if dtype.kind == "b":
        each = st.booleans()
    elif dtype.kind == "f":
        each = st.floats(width=8 * dtype.itemsize, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    else:
        info = np.iinfo(dtype.name)
        each = st.integers(int(info.min), int(info.max))
    return st.lists(each, min_size=count, max_size=count)


@st.composite
def tensors(draw: st.DrawFn, name: str, *, text: bool) -> Tensor:
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    count = int(np.prod(shape, dtype=int))
    datatype = draw(st.sampled_from([*DATATYPES, "BYTES"]))
    if datatype != "BYTES":
        array = np.array(draw(numbers(datatype, count)), DATATYPES[datatype]).reshape(shape)
        return Tensor.of(name, array)
    kind: st.SearchStrategy[object] = (
        st.text(st.characters(exclude_categories=["Cs"])) if text else st.binary()
    )
    items = np.empty(count, dtype=object)
    items[:] = draw(st.lists(kind, min_size=count, max_size=count))
    return Tensor.of(name, items.reshape(shape))


@st.composite
def groups(draw: st.DrawFn, *, text: bool = True) -> tuple[Tensor, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return tuple(draw(tensors(name, text=text)) for name in names)


@given(groups(), st.text(max_size=30), PARAMETERS, st.booleans(), st.booleans())
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_request_comes_back_as_it_was(
    inputs: tuple[Tensor, ...], name: str, parameters: dict[str, str], binary: bool, out: bool
) -> None:
    wanted = (Wanted("a"), Wanted("b", True), Wanted("c", False))
    request = Request(inputs, name, wanted, parameters, out)
    body = encode_request(request, binary=binary)
    assert decode_request(body.data, body.header_length) == request


@given(groups(text=False), st.text(max_size=30), PARAMETERS)
@hypothesis_settings(max_examples=40, deadline=None)
def test_a_response_comes_back_as_it_was(
    outputs: tuple[Tensor, ...], name: str, parameters: dict[str, str]
) -> None:
    response = Response("m", outputs, "3", name, parameters)
    body = encode_response(response, binary={tensor.name for tensor in outputs})
    assert decode_response(body.data, body.header_length) == response


@given(groups())
@hypothesis_settings(max_examples=50, deadline=None)
def test_arrays_come_back_as_they_were(inputs: tuple[Tensor, ...]) -> None:
    assert from_arrays(to_arrays(inputs)) == inputs


@given(st.binary(max_size=200), st.none() | st.integers(0, 250))
@hypothesis_settings(max_examples=100, deadline=None)
def test_bytes_of_strangers_are_read_or_refused(data: bytes, length: int | None) -> None:
    for decode in (decode_request, decode_response):
        with contextlib.suppress(FreeholdError):
            decode(data, length)


def message(**changes: object) -> bytes:
    tensor = {"name": "x", "shape": [2, 2], "datatype": "INT8", "data": [1, 2, 3, 4]} | changes
    return json.dumps({"inputs": [tensor]}).encode()


def test_lists_may_nest_as_the_shape_says() -> None:
    flat, nested = (decode_request(message(data=d)) for d in ([1, 2, 3, 4], [[1, 2], [3, 4]]))
    assert flat == nested
    assert flat.inputs[0].data == bytes([1, 2, 3, 4])


def test_nulls_and_members_of_other_clients_are_passed_over() -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "BOOL", "data": [True], "parameters": None}
    other = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor], "model": "m"}
    assert decode_request(json.dumps(other).encode()).inputs == (Tensor.of("x", np.array([True])),)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": [1, 2, 3]},
        {"data": [[1, 2], [3]]},
        {"data": [[1, 2, 3], [4]]},
        {"data": [[[1], [2]], [[3], [4]]]},
        {"data": [1, 2, 3, 128]},
        {"data": [1, 2, 3, 10**400]},
        {"data": [1, 2, 3, 4.0]},
        {"data": [1, 2, 3, True]},
        {"data": [1, 2, 3, "4"]},
        {"data": [1, 2, 3, None]},
        {"data": "1234"},
        {"data": None},
        {"shape": [2, -2]},
        {"shape": [2, 2.0]},
        {"shape": [True, 4]},
        {"shape": "2,2"},
        {"shape": [3, 2]},
        {"datatype": "INT7"},
        {"datatype": None},
        {"datatype": "BOOL"},
        {"datatype": "BYTES"},
        {"name": ""},
        {"name": "x" * 129},
        {"name": "a\nb"},
        {"name": 3},
        {"parameters": {"binary_data_size": 4}},
        {"parameters": 7},
        {"datatype": "BYTES", "data": ["a", "b", "c", "\ud800"]},
    ],
)
def test_a_tensor_that_does_not_fit_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_request(message(**changes))
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_are_finite(text: str) -> None:
    body = message(datatype="FP32").replace(b"4]", text.encode() + b"]")
    with pytest.raises(NotFiniteError):
        decode_request(body)
    with pytest.raises(MalformedError):
        decode_request(b'{"inputs":[],"parameters":{"a":' + text.encode() + b"}}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["<f2", "<f4", "<f8"])
def test_bytes_carry_finite_numbers_only_too(value: float, datatype: str) -> None:
    with pytest.raises(NotFiniteError):
        Tensor.of("x", np.array([1, value], datatype))


def test_a_number_that_its_datatype_cannot_hold_is_refused() -> None:
    with pytest.raises(NotFiniteError):
        decode_request(message(datatype="FP16", data=[1, 2, 3, 70_000]))
    assert decode_request(message(datatype="FP64", data=[1, 2, 3, 70_000]))


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"[]", None),
        (b"{}", None),
        (b'{"inputs":[]}', None),
        (b'{"inputs":{}}', None),
        (b'{"inputs":[1]}', None),
        (message(), 10_000),
        (message() + b"tail", len(message())),
        (message(), 3),
        (b'{"inputs":' + b"[" * 900 + b"]" * 900 + b"}", None),
        (b'{"inputs":' + b"[" * 2_000, None),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, length: int | None) -> None:
    with pytest.raises(MalformedError):
        decode_request(body, length)


def test_two_inputs_of_one_name_are_refused() -> None:
    tensor = json.loads(message())["inputs"][0]
    with pytest.raises(MalformedError, match="one name"):
        decode_request(json.dumps({"inputs": [tensor, tensor]}).encode())


@pytest.mark.parametrize(
    ("limits", "body"),
    [
        (Limits(body=10), message()),
        (Limits(json=10), message()),
        (Limits(tensors=1), json.dumps({"inputs": [1, 2]}).encode()),
        (Limits(parameters=1), b'{"parameters":{"a":1,"b":2},"inputs":[]}'),
        (Limits(), message(shape=[2**40, 2**40])),
        (Limits(), message(datatype="BYTES", shape=[2**18 + 1], data=[""])),
        (Limits(), message(shape=[2**24, 0, 2**24, 2**25])),
        (Limits(), message(shape=[1] * 9)),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_made(limits: Limits, body: bytes) -> None:
    with pytest.raises(TooLargeError):
        decode_request(body, None, limits)


@pytest.mark.parametrize(
    "data", [b"\x03\0\0\0ab", b"\xff\xff\xff\xffab", b"\0\0\0", b"\0\0\0\0" * 3]
)
def test_lengths_of_texts_must_add_up(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Tensor("x", "BYTES", (2,), data)


def test_texts_that_are_no_unicode_go_as_bytes() -> None:
    response = Response("m", (Tensor.of("y", np.array([b"\xff"], dtype=object)),))
    with pytest.raises(MalformedError, match="no text"):
        encode_response(response)
    body = encode_response(response, binary={"y"})
    assert decode_response(body.data, body.header_length) == response


def test_a_bool_is_nothing_but_0_and_1() -> None:
    with pytest.raises(MalformedError):
        Tensor("x", "BOOL", (2,), b"\x01\x02")


@pytest.mark.parametrize("text", ["", "-1", "1.0", "+5", "٣", "9" * 13])
def test_the_header_is_a_number(text: str) -> None:
    with pytest.raises(MalformedError):
        header_length(text)


def test_outputs_come_as_bytes_where_asked() -> None:
    request = Request((), outputs=(Wanted("a", False), Wanted("b", True)), binary_output=True)
    assert request.binary(["a", "b", "c"]) == {"b", "c"}


def parts(draw: st.DataObject, rows: Sequence[int]) -> list[tuple[Tensor, ...]]:
    made = []
    for count in rows:
        texts = draw.draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
        items = np.empty(count, dtype=object)
        items[:] = texts
        made.append(from_arrays({"t": items, "n": np.full((count, 2), count, "<f4")}))
    return made


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.data())
@hypothesis_settings(max_examples=50, deadline=None)
def test_rows_that_were_joined_part_again(rows: list[int], draw: st.DataObject) -> None:
    made = parts(draw, rows)
    assert split(join(made), rows) == made
    with pytest.raises(FreeholdError):
        split(join(made), [*rows, 1])

"""Elements of a tensor as JSON has them: lists, flat or nested as the shape says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from freehold.markets.models.tensor.refusals import MalformedError, malformed
from freehold.markets.models.tensor.values import (
    BYTES,
    DATATYPES,
    Tensor,
    count_of,
    elements,
    pack,
)

_KINDS: dict[str, tuple[set[type], str]] = {
    "b": ({bool}, "true or false"),
    "i": ({int}, "whole numbers"),
    "u": ({int}, "whole numbers"),
    "f": ({int, float}, "numbers"),
}


def read(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """The tensor of a JSON list; MalformedError names what does not fit."""
    count = count_of(name, datatype, shape)
    items = _flat(name, shape, data)
    if len(items) != count:
        raise malformed(f"{name} has {len(items):,} elements where its shape has {count:,}")
    packed = _texts(name, items) if datatype == BYTES else _numbers(name, datatype, items)
    return Tensor(name, datatype, shape, packed)


def write(tensor: Tensor) -> list[object]:
    """Its elements as a flat list; MalformedError for BYTES that are no text."""
    if tensor.datatype != BYTES:
        values: list[object] = tensor.array().ravel().tolist()
        return values
    try:
        return [item.decode() for item in elements(tensor.data)]
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"{tensor.name} holds bytes that are no text, which JSON cannot carry",
            remedy="Use binary tensor data: ask for it with `binary_data_output`.",
        ) from error


def _flat(name: str, shape: Sequence[int], data: object) -> list[object]:
    if not isinstance(data, list):
        raise malformed(f"the data of {name} is not a list")
    if len(shape) < 2 or not data or not isinstance(data[0], list):
        return data
    rows: list[object] = [data]
    for size in shape:
        found: list[object] = []
        for row in rows:
            if not isinstance(row, list) or len(row) != size:
                raise malformed(f"the lists of {name} do not nest as its shape says")
            found += row
        rows = found
    return rows


def _numbers(name: str, datatype: str, items: list[object]) -> bytes:
    dtype = DATATYPES[datatype]
    kinds, words = _KINDS[dtype.kind]
    if not set(map(type, items)) <= kinds:
        raise malformed(f"{name} is {datatype}: its elements are {words}")
    try:
        if dtype.kind != "f":
            return np.array(items, dtype).tobytes()
        with np.errstate(over="ignore"):
            return np.array(items, "<f8").astype(dtype).tobytes()
    except OverflowError as error:
        raise malformed(f"{name} holds a number that {datatype} cannot hold") from error


def _texts(name: str, items: list[object]) -> bytes:
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) != len(items):
        raise malformed(f"{name} is BYTES: its elements are texts, or use binary tensor data")
    try:
        return pack(text.encode() for text in texts)
    except UnicodeEncodeError as error:
        raise malformed(f"{name} holds text that is no Unicode") from error

"""What travels between the validator and the process of its scorer: words and arrays.

A frame's JSON has the words and says of each array what it is; the bytes of the arrays follow it.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import IntegrityError
from freehold.markets.models.tensor.values import elements, pack
from freehold.node.workloads.models.wire import ASK, FRAME_MAX, Frame

TEXT = "bytes"
HEAD_MAX = 2**20
ARRAYS_MAX = 900
_PLAIN = re.compile(r"[<>|=][biufcSUMm]\d{1,5}(\[[0-9A-Za-z]{1,8}\])?")
Array = NDArray[np.generic]
Groups = Mapping[str, Mapping[str, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """``words`` are plain JSON; ``groups`` arrays by group and name."""

    words: Mapping[str, object]
    groups: Groups = field(default_factory=dict)

    def frame(self) -> Frame:
        """As it is sent; IntegrityError for arrays that cannot travel."""
        about, parts = [], []
        for group, arrays in self.groups.items():
            for name, array in arrays.items():
                kind, data = _packed(name, array)
                about.append([group, name, kind, list(array.shape), len(data)])
                parts.append(data)
        head = json.dumps({"words": self.words, "arrays": about}).encode()
        if len(head) > HEAD_MAX or len(head) + sum(map(len, parts)) > FRAME_MAX:
            raise _wrong("it is too large")
        return Frame(ASK, len(head), b"".join([head, *parts]))

    @classmethod
    def read(cls, frame: Frame) -> Parcel:
        """The parcel of a frame; IntegrityError."""
        try:
            told = parse_document(frame.data[: frame.header], size=HEAD_MAX)
            if not isinstance(told, dict):
                raise TypeError("it is no object")
            words, about = told["words"], told["arrays"]
            return cls(dict(words), _groups(about, memoryview(frame.data)[frame.header :]))
        except (MalformedError, KeyError, TypeError, ValueError) as error:
            raise _wrong(str(error)) from error

    def group(self, name: str) -> Mapping[str, Array]:
        """The arrays of a group, none where it is not there."""
        return self.groups.get(name, {})


def _groups(about: list[object], data: memoryview) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    at = 0
    for each in about:
        if not isinstance(each, list):
            raise TypeError("an array is told of in another way")
        group, name, kind, shape, length = each
        found.setdefault(str(group), {})[str(name)] = _array(kind, shape, data[at : at + length])
        at += length
    return found


def _packed(name: str, array: Array) -> tuple[str, bytes]:
    if array.dtype.kind == "O":
        if not all(isinstance(item, bytes) for item in array.flat):
            raise _wrong(f"{name} holds objects that are no bytes")
        return TEXT, pack(item for item in array.flat if isinstance(item, bytes))
    if _PLAIN.fullmatch(array.dtype.str) is None:
        raise _wrong(f"{name} has elements of {array.dtype}")
    return array.dtype.str, array.tobytes()


def _array(kind: str, shape: list[int], data: memoryview) -> Array:
    if kind != TEXT:
        if _PLAIN.fullmatch(kind) is None:
            raise ValueError("elements of another type")
        return np.frombuffer(data, np.dtype(kind)).reshape(shape).copy()
    flat = np.empty(prod(shape), dtype=object)
    flat[:] = list(elements(bytes(data)))
    return flat.reshape(shape)


def _wrong(reason: str) -> IntegrityError:
    return IntegrityError(
        f"what goes to or comes from the scorer cannot travel: {reason}",
        remedy="Let tasks hold arrays of numbers or of bytes, of 4 MiB at most.",
    )

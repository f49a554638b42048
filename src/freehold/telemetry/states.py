"""Arrays that grow, states of many rows of which a batch touches a few, and their bytes.

A state is a frozen dataclass of arrays whose first axis is the device or series. It may have
more rows than are in use: ``fitted`` doubles, so that growing is cheap.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import IntegrityError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    State = TypeVar("State", bound=DataclassInstance)
else:
    State = TypeVar("State")

Array = NDArray[np.generic]
Whole = NDArray[np.int64]
_LEAST = 64
_KINDS = frozenset("biuf")
_SIZE = struct.Struct("<I")


def fitted(state: State, size: int, empty: State) -> State:
    """``state`` with room for ``size`` rows; what is added is as the one row of ``empty``."""
    have = len(getattr(state, fields(state)[0].name))
    if have >= size:
        return state
    room = max(_LEAST, 2 * have, size)
    return type(state)(
        *(_longer(getattr(state, f.name), getattr(empty, f.name), room) for f in fields(state))
    )


def _longer(held: Array, empty: Array, room: int) -> Array:
    return np.concatenate((held, np.repeat(empty, room - len(held), axis=0)))


def take(state: State, rows: Whole) -> State:
    """Those rows of a state, in arrays of their own."""
    return type(state)(*(getattr(state, f.name)[rows] for f in fields(state)))


def put(state: State, rows: Whole, part: State) -> None:
    """Write rows back into a state's arrays; of a row that comes twice the last one stays."""
    for f in fields(state):
        getattr(state, f.name)[rows] = getattr(part, f.name)


def named(prefix: str, state: DataclassInstance, size: int) -> dict[str, Array]:
    """The first ``size`` rows of a state's arrays, by ``prefix`` and name."""
    return {f"{prefix}.{f.name}": getattr(state, f.name)[:size] for f in fields(state)}


def unnamed(prefix: str, arrays: Mapping[str, Array], empty: State) -> State:
    """The state of which ``named`` gave the arrays; IntegrityError where one is not as ``empty``
    has it. What an older version did not keep is as in ``empty``."""
    found = []
    sizes = [
        len(arrays[name])
        for name in (f"{prefix}.{f.name}" for f in fields(empty))
        if name in arrays
    ]
    if not sizes:
        raise _damaged()
    for f in fields(empty):
        like = getattr(empty, f.name)
        array = arrays.get(f"{prefix}.{f.name}", np.repeat(like, sizes[0], axis=0))
        if array.dtype != like.dtype or array.shape[1:] != like.shape[1:]:
            raise _damaged()
        found.append(array.copy())
    return type(empty)(*found)


def rounds(rows: Whole) -> list[Whole]:
    """Positions, cut so that no row comes twice in a round and the order of each is kept."""
    if not len(rows):
        return []
    rank = ranks(rows)
    cuts = np.cumsum(np.bincount(rank))[:-1]
    return np.split(np.argsort(rank, kind="stable"), cuts)


def ranks(rows: Whole) -> Whole:
    """How often each entry came before, shape (n,)."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    return rank


def encode(words: object, arrays: Mapping[str, Array]) -> bytes:
    """Bytes of ``words`` (what JSON can say) and arrays of numbers."""
    shapes = [[name, each.dtype.str, list(each.shape)] for name, each in arrays.items()]
    head = json.dumps([words, shapes], separators=(",", ":")).encode()
    bodies = (np.ascontiguousarray(each).tobytes() for each in arrays.values())
    return b"".join((_SIZE.pack(len(head)), head, *bodies))


def decode(data: bytes) -> tuple[object, dict[str, Array]]:
    """What ``encode`` was given; IntegrityError for other bytes."""
    try:
        (size,) = _SIZE.unpack_from(data)
        at = _SIZE.size + size
        words, shapes = json.loads(data[_SIZE.size : at])
        arrays: dict[str, Array] = {}
        for name, text, shape in shapes:
            kind = np.dtype(text)
            if kind.kind not in _KINDS:
                raise _damaged()
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(data, kind, count, at).reshape(shape)
            at += count * kind.itemsize
    except (ValueError, TypeError, struct.error) as error:
        raise _damaged() from error
    if at != len(data):
        raise _damaged()
    return words, arrays


def _damaged() -> IntegrityError:
    return IntegrityError(
        "a checkpoint is damaged", remedy="Delete it; the log says all that it said."
    )

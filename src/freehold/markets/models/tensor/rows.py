"""Requests of several callers as one: tensors joined and split along their first dimension."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from freehold.markets.models.tensor.refusals import MismatchError
from freehold.markets.models.tensor.values import BYTES, DATATYPES, LENGTH, Tensor


def rows_of(tensors: Sequence[Tensor]) -> int:
    """The first dimension that all of them share; MismatchError where they do not."""
    rows = {tensor.shape[0] if tensor.shape else -1 for tensor in tensors}
    if len(rows) != 1 or -1 in rows:
        raise MismatchError(
            "the tensors have no first dimension in common",
            remedy="Give every tensor the same number of rows.",
        )
    return rows.pop()


def join(groups: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """One group of tensors whose rows are those of all groups, in order.

    All groups have the same names, datatypes and shapes but for the first dimension.
    """
    return tuple(
        Tensor(
            parts[0].name,
            parts[0].datatype,
            (sum(part.shape[0] for part in parts), *parts[0].shape[1:]),
            b"".join(part.data for part in parts),
        )
        for parts in zip(*groups, strict=True)
    )


def split(tensors: Sequence[Tensor], counts: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """The groups of ``counts`` rows each that ``join`` made one of; MismatchError where the rows
    are not as many."""
    if rows_of(tensors) != sum(counts):
        raise MismatchError(
            f"there are {rows_of(tensors)} rows where {sum(counts)} were given",
            remedy="Answer each row of the inputs with one row.",
        )
    parted = [_parts(tensor, counts) for tensor in tensors]
    return [tuple(parts) for parts in zip(*parted, strict=True)]


def _parts(tensor: Tensor, counts: Sequence[int]) -> list[Tensor]:
    width, at, parts = prod(tensor.shape[1:]), 0, []
    for count in counts:
        end = _after(tensor, at, count * width)
        shape = (count, *tensor.shape[1:])
        parts.append(Tensor(tensor.name, tensor.datatype, shape, tensor.data[at:end]))
        at = end
    return parts


def _after(tensor: Tensor, at: int, count: int) -> int:
    """Where the ``count`` elements from byte ``at`` end."""
    if tensor.datatype != BYTES:
        return at + count * DATATYPES[tensor.datatype].itemsize
    for _ in range(count):
        at += LENGTH + int.from_bytes(tensor.data[at : at + LENGTH], "little")
    return at

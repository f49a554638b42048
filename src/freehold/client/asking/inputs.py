"""A caller's values as tensors of the types that a model takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from freehold.domain.errors import UsageError
from freehold.markets.models.tensor import DATATYPES, Schema, Tensor


def tensors(inputs: Mapping[str, object], schema: Schema | None) -> tuple[Tensor, ...]:
    """Arrays stay what they are; lists and numbers, which have no size of their own, become what
    the schema says where that loses nothing but a float's last digits.

    UsageError where a value makes no tensor; whether all fit the schema is for it to say.
    """
    kinds = {spec.name: spec.datatype for spec in schema.inputs} if schema is not None else {}
    return tuple(_tensor(name, value, kinds.get(name, "")) for name, value in inputs.items())


def _tensor(name: str, value: object, datatype: str) -> Tensor:
    try:
        with np.errstate(all="ignore"):
            plain = isinstance(value, np.ndarray | np.generic)
            array = value if plain else _fitted(np.asarray(value), datatype)
        return Tensor.of(name, array)
    except (ValueError, OverflowError, TypeError) as error:
        raise UsageError(
            f"the input {name} makes no tensor: {error}"[:300],
            remedy="Give an array, or lists of equally many numbers or texts.",
        ) from error


def _fitted(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], datatype: str) -> object:
    target = DATATYPES.get(datatype)
    if target is None or array.dtype.kind not in "iuf" or target.kind not in "iuf":
        return array
    made = array.astype(target)
    if (array.dtype.kind, target.kind) == ("f", "f") or np.array_equal(made, array):
        return made
    return array

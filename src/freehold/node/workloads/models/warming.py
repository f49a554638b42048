"""What a model is asked before strangers ask it: whether it does what its schema says, and whether
the rows of a batch are answered as each would be alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from freehold.domain.errors import FreeholdError
from freehold.markets.models.tensor import ANY, DATATYPES, Schema, Spec, Tensor, join, split
from freehold.node.workloads.models.loading import Loaded, describe
from freehold.node.workloads.models.refusals import BrokenModelError

ROWS = 3
SEED = 7
RTOL, ATOL = 1e-3, 1e-4
"""How far one row may differ when others are beside it: kernels sum in another order."""


_NOT_THE_INPUTS = (ImportError, MemoryError, NameError, OSError, SystemExit)
"""What no input is to blame for: a file or a library that is not there, a name that is wrong."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """``batches``: requests may be joined; ``note`` says what the warm-up could not show."""

    batches: bool
    note: str = ""


def warm(model: Loaded, *, max_batch: int) -> Warmth:
    """Ask the model its own example, or numbers drawn at random.

    BrokenModelError where the answer breaks the schema, or its own example fails. A model may
    well refuse random numbers: that is noted, and its requests are not joined.
    """
    inputs = model.example or invented(model.schema, rows=1)
    try:
        outputs = model.answer(inputs)
    except (Exception, SystemExit) as error:
        if model.example or isinstance(error, _NOT_THE_INPUTS):
            asked = "its own example" if model.example else "what the schema lets one ask"
            raise BrokenModelError(
                f"the model fails on {asked}: {describe(error)}",
                remedy="Correct the model, or its example.",
            ) from error
        return Warmth(False, f"the model fails on invented inputs: {describe(error)}")
    try:
        model.schema.check_inputs(inputs)
        model.schema.check_outputs(outputs)
    except FreeholdError as error:
        raise BrokenModelError(error.message, remedy=error.remedy) from error
    if max_batch < ROWS or not model.schema.batched:
        return Warmth(False)
    return _batches(model)


def _batches(model: Loaded) -> Warmth:
    inputs = invented(model.schema, rows=ROWS)
    counts = [1] * ROWS
    try:
        together = model.answer(inputs)
        alone = join([model.answer(row) for row in split(inputs, counts)])
        model.schema.check_outputs(together)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the owner's code
        return Warmth(False, f"requests are not joined: {describe(error)}")
    if not all(map(_alike, together, alone)):
        return Warmth(False, "requests are not joined: a row's answer depends on the others")
    return Warmth(True)


def _alike(one: Tensor, other: Tensor) -> bool:
    if (one.name, one.datatype, one.shape) != (other.name, other.datatype, other.shape):
        return False
    if not one.datatype.startswith("FP"):
        return one.data == other.data
    left, right = (each.array().astype(np.float64) for each in (one, other))
    return bool(np.allclose(left, right, rtol=RTOL, atol=ATOL))


def invented(schema: Schema, *, rows: int) -> tuple[Tensor, ...]:
    """Inputs drawn at random, always the same; a dimension of any size is 1, the first ``rows``."""
    random = np.random.default_rng(SEED)
    return tuple(_invented(spec, rows, random) for spec in schema.inputs)


def _invented(spec: Spec, rows: int, random: np.random.Generator) -> Tensor:
    first = [rows if size == ANY else size for size in spec.shape[:1]]
    shape = (*first, *(1 if size == ANY else size for size in spec.shape[1:]))
    if spec.datatype not in DATATYPES:
        texts = np.array([f"row {n}" for n in range(prod(shape))], dtype=object)
        return Tensor.of(spec.name, texts.reshape(shape))
    dtype = DATATYPES[spec.datatype]
    # Small whole numbers, for they may be indices.
    drawn = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
    return Tensor.of(spec.name, np.asarray(drawn).astype(dtype))

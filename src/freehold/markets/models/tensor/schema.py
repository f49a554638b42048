"""What a model takes and gives: the tensors' names, datatypes and shapes, and one hash of them.

The canonical text is JSON with sorted members and no spaces, tensors in their order; its keccak is
the hash that a subnet keeps on the chain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freehold.domain.document import MalformedError as NotJSONError
from freehold.domain.document import parse_document
from freehold.domain.ids import keccak
from freehold.markets.models.tensor.messages import read_shape
from freehold.markets.models.tensor.refusals import MismatchError, malformed, too_large
from freehold.markets.models.tensor.values import (
    BYTES,
    DATATYPES,
    ELEMENTS_MAX,
    RANK_MAX,
    Tensor,
    check_name,
)

ANY = -1
"""A dimension that may have any size."""
TENSORS_MAX = 64
TEXT_MAX = 2**16
"""Bytes of a schema's text."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor of a schema; a dimension of ANY takes any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.datatype != BYTES and self.datatype not in DATATYPES:
            raise malformed(f"{self.name} has the datatype {self.datatype[:40]!r}, unknown here")
        if len(self.shape) > RANK_MAX:
            raise too_large(f"{self.name} has more than {RANK_MAX} dimensions")
        if any(not ANY <= size <= ELEMENTS_MAX for size in self.shape):
            raise malformed(f"{self.name} has a dimension that is neither a size nor -1")

    def metadata(self) -> dict[str, object]:
        """As the protocol's metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def problem(self, tensor: Tensor) -> str:
        """What of ``tensor`` does not fit; empty where all does."""
        if tensor.datatype != self.datatype:
            return f"{self.name} is {self.datatype}, not {tensor.datatype}"
        fits = len(tensor.shape) == len(self.shape) and all(
            own in (ANY, size) for own, size in zip(self.shape, tensor.shape, strict=True)
        )
        return "" if fits else f"{self.name} has the shape {_show(self.shape)}, not {tensor.shape}"


@dataclass(frozen=True, slots=True)
class Schema:
    """The inputs and outputs of a model, at least one of each."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]

    def __post_init__(self) -> None:
        for which, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not specs:
                raise malformed(f"the schema has no {which}")
            if len(specs) > TENSORS_MAX:
                raise too_large(f"the schema has more than {TENSORS_MAX} {which}")
            if len({spec.name for spec in specs}) < len(specs):
                raise malformed(f"two {which} of the schema have one name")

    @property
    def batched(self) -> bool:
        """Whether the first dimension of every tensor may have any size."""
        return all(spec.shape[:1] == (ANY,) for spec in (*self.inputs, *self.outputs))

    def check_inputs(self, tensors: Sequence[Tensor]) -> None:
        """MismatchError unless they are the inputs, in any order."""
        _check(self.inputs, tensors, "input", "Ask the model's metadata what it takes.")

    def check_outputs(self, tensors: Sequence[Tensor]) -> None:
        """MismatchError unless they are the outputs, in any order."""
        _check(self.outputs, tensors, "output", "Correct the model, or its schema.")

    @classmethod
    def of(cls, value: object) -> Schema:
        """The schema of an object with ``inputs`` and ``outputs``, as metadata has them."""
        if not isinstance(value, Mapping):
            raise malformed("the schema is not an object")
        return cls(_specs(value, "inputs"), _specs(value, "outputs"))

    @classmethod
    def parse(cls, text: str | bytes) -> Schema:
        """The schema of a JSON text."""
        try:
            return cls.of(parse_document(text, size=TEXT_MAX))
        except NotJSONError as error:
            raise malformed(f"the schema: {error}") from error

    def metadata(self) -> dict[str, list[dict[str, object]]]:
        """As the protocol's metadata has it."""
        return {
            "inputs": [spec.metadata() for spec in self.inputs],
            "outputs": [spec.metadata() for spec in self.outputs],
        }

    def format(self) -> str:
        """The canonical text, which ``parse`` reads."""
        return json.dumps(self.metadata(), sort_keys=True, separators=(",", ":"))

    def hash(self) -> bytes:
        """The keccak of the canonical text."""
        return keccak(self.format().encode())


def _check(specs: Sequence[Spec], tensors: Sequence[Tensor], what: str, remedy: str) -> None:
    found = {tensor.name: tensor for tensor in tensors}
    for spec in specs:
        tensor = found.pop(spec.name, None)
        problem = f"{spec.name} is missing" if tensor is None else spec.problem(tensor)
        if problem:
            raise MismatchError(f"the {what}s break the schema: {problem}", remedy=remedy)
    if found:
        raise MismatchError(
            f"the {what}s break the schema: {min(found)} is not in it", remedy=remedy
        )


def _specs(members: Mapping[str, object], which: str) -> tuple[Spec, ...]:
    value = members.get(which)
    if not isinstance(value, list):
        raise malformed(f"the {which} of the schema are not a list")
    return tuple(_spec(each) for each in value)


def _spec(value: object) -> Spec:
    if not isinstance(value, Mapping):
        raise malformed("a tensor of the schema is not an object")
    name, datatype, shape = (value.get(member) for member in ("name", "datatype", "shape"))
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise malformed("a tensor of the schema has no name or no datatype")
    return Spec(name, datatype, read_shape(shape, name))


def _show(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if size == ANY else str(size) for size in shape) + "]"

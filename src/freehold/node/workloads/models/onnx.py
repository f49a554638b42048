"""An ONNX file as a model: the graph is the schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from freehold.domain.errors import UnavailableError
from freehold.markets.models.tensor import ANY, Schema, Spec, Tensor
from freehold.node.workloads.models.loading import ONNX, Answer, Loaded
from freehold.node.workloads.models.refusals import BrokenModelError

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_ELSEWHERE = {"AzureExecutionProvider"}
"""Those that send the inputs to another machine."""
_SILENT = 3
"""Only errors are told."""


class _Value(Protocol):
    name: str
    type: str
    shape: Sequence[int | str | None]


class _Session(Protocol):
    def get_inputs(self) -> Sequence[_Value]: ...

    def get_outputs(self) -> Sequence[_Value]: ...

    def run(self, names: Sequence[str], feed: dict[str, object]) -> Sequence[object]: ...


def load_onnx(file: Path, *, schema: Schema | None, threads: int) -> Loaded:
    """The model of an ONNX file; BrokenModelError when onnxruntime cannot take it.

    Outputs that are no tensors (a classifier's ZipMap) are passed over.
    """
    session = _session(file, threads)
    graph = _schema(file, session)
    if schema is not None:
        _check_same(graph, schema)
    return Loaded(schema or graph, _answerer(session, graph), ONNX)


def _session(file: Path, threads: int) -> _Session:
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            "onnxruntime is not installed", remedy="Install it: pip install 'freehold[models]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    here = [name for name in onnxruntime.get_available_providers() if name not in _ELSEWHERE]
    try:
        session: _Session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=here)
    except Exception as error:
        raise BrokenModelError(
            f"{file.name} cannot be loaded: {str(error)[:300]}",
            remedy="Convert the model again, for the operators of this onnxruntime.",
        ) from error
    return session


def _schema(file: Path, session: _Session) -> Schema:
    outputs = [value for value in session.get_outputs() if value.type in _DATATYPES]
    strange = [value.name for value in session.get_inputs() if value.type not in _DATATYPES]
    if strange or not outputs:
        what = f"the input {strange[0]} of {file.name} is" if strange else "its outputs are"
        raise BrokenModelError(
            f"{what} no tensor", remedy="Convert it so that it takes and gives tensors only."
        )
    return Schema(tuple(map(_spec, session.get_inputs())), tuple(map(_spec, outputs)))


def _spec(value: _Value) -> Spec:
    shape = tuple(size if isinstance(size, int) and size >= 0 else ANY for size in value.shape)
    return Spec(value.name, _DATATYPES[value.type], shape)


def _check_same(graph: Schema, wanted: Schema) -> None:
    for has, wants in ((graph.inputs, wanted.inputs), (graph.outputs, wanted.outputs)):
        kinds = [{spec.name: spec.datatype for spec in specs} for specs in (has, wants)]
        if kinds[0] != kinds[1]:
            raise BrokenModelError(
                f"the graph has {kinds[0]} where the schema has {kinds[1]}",
                remedy="Name the graph's inputs and outputs as the schema does.",
            )


def _answerer(session: _Session, graph: Schema) -> Answer:
    names = [spec.name for spec in graph.outputs]

    def answer(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        feed: dict[str, object] = {tensor.name: _fed(tensor) for tensor in tensors}
        found = session.run(names, feed)
        return tuple(map(Tensor.of, names, found))

    return answer


def _fed(tensor: Tensor) -> object:
    array = tensor.array()
    return array.astype(str) if tensor.datatype == "BYTES" else array

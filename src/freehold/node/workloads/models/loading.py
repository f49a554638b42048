"""A model made of a file, in the process that is to run it.

**Whence the schema**: of the subnet where one is given; else of the ONNX graph; else the attribute
``schema`` of the function, the class or its module (an object with ``inputs`` and ``outputs`` as
the protocol's metadata has them); else it is the shapes of the attribute ``example`` (inputs by
name) and of what the model answers to it. Nothing is guessed from annotations.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from freehold.domain.errors import FreeholdError
from freehold.markets.models.tensor import Schema, Spec, Tensor, from_arrays
from freehold.node.workloads.models.refusals import BrokenModelError
from freehold.node.workloads.models.source import Source

PYTHON, ONNX = "python", "onnxruntime_onnx"
MODULE = "freehold_model"
OUTPUT = "output"
"""The name of a single array that no schema names."""
WRITE_ONE = "Write `def answer(inputs):` that takes arrays by name and returns arrays by name."

Answer = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that answers; ``example`` is what its author says it can be asked."""

    schema: Schema
    answer: Answer
    platform: str
    example: tuple[Tensor, ...] = ()


def load(source: Source, *, schema: Schema | None, threads: int) -> Loaded:
    """The model of ``source``; BrokenModelError says what is wrong with it, and what to do."""
    if not source.file.is_file():
        raise BrokenModelError(
            f"there is no file {source.file}",
            remedy="Name the model's file: my_model.py:answer, or net.onnx.",
        )
    if source.name:
        return _function(source, schema)
    from freehold.node.workloads.models.onnx import load_onnx

    return load_onnx(source.file, schema=schema, threads=threads)


def describe(error: BaseException) -> str:
    """An error of the owner's code in one line: what it was, and the line it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:300]}{where}"


# --- Python ----------------------------------------------------------------------------------


def _function(source: Source, given: Schema | None) -> Loaded:
    module = _module(source)
    call = _callable(source, module)
    example = _example(_attribute("example", call, module))
    declared = _attribute("schema", call, module)
    schema = given or (None if declared is None else _schema(declared))
    if schema is None:
        schema = _inferred(source, call, example)
    return Loaded(schema, _answerer(call, schema), PYTHON, example)


def _module(source: Source) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, source.file)
    if spec is None or spec.loader is None:
        raise BrokenModelError(f"{source.file} is no Python file", remedy=WRITE_ONE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    sys.path.insert(0, str(source.file.parent))
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise BrokenModelError(
            f"{source.file.name} needs {error.name}, which is not installed",
            remedy=f"Install {error.name} where freehold is installed.",
        ) from error
    except (Exception, SystemExit) as error:
        raise BrokenModelError(
            f"{source.file.name} cannot be run: {describe(error)}",
            remedy=f"See that `python {source.file.name}` runs.",
        ) from error
    return module


def _callable(source: Source, module: ModuleType) -> Callable[[object], object]:
    found = getattr(module, source.name, None)
    if found is None:
        names = [n for n, v in vars(module).items() if inspect.isfunction(v) and n[0] != "_"]
        raise BrokenModelError(
            f"{source.file.name} has no {source.name}",
            remedy=f"It has {', '.join(names[:8])}: name one of them." if names else WRITE_ONE,
        )
    if inspect.isclass(found):
        found = _made(source, found)
    if not callable(found):
        raise BrokenModelError(
            f"{source.name} of {source.file.name} is no function", remedy=WRITE_ONE
        )
    _check_signature(source, found)
    call: Callable[[object], object] = found
    return call


def _made(source: Source, kind: type) -> object:
    try:
        return kind()
    except Exception as error:
        raise BrokenModelError(
            f"{source.name} of {source.file.name} cannot be made: {describe(error)}",
            remedy="A class is made without arguments; read files in its __init__.",
        ) from error


def _check_signature(source: Source, call: Callable[..., object]) -> None:
    body = call if inspect.isroutine(call) else type(call).__call__
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        raise BrokenModelError(
            f"{source.name} of {source.file.name} is async",
            remedy="Write a plain `def`; several requests at once are the work of --workers.",
        )
    try:
        inspect.signature(call).bind({})
    except TypeError as error:
        raise BrokenModelError(
            f"{source.name} of {source.file.name} does not take one argument, the inputs",
            remedy=WRITE_ONE,
        ) from error
    except ValueError:
        return  # of a builtin whose signature is not known


def _attribute(name: str, call: object, module: ModuleType) -> object:
    return getattr(call, name, getattr(module, name, None))


def _schema(declared: object) -> Schema:
    try:
        return declared if isinstance(declared, Schema) else Schema.of(declared)
    except FreeholdError as error:
        raise BrokenModelError(
            f"the model's schema is wrong: {error.message}",
            remedy="Write {'inputs': [{'name', 'datatype', 'shape'}], 'outputs': [...]}.",
        ) from error


def _example(value: object) -> tuple[Tensor, ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not value:
        raise BrokenModelError(
            "the model's example is no mapping", remedy="Write {'name of an input': array}."
        )
    return from_arrays({str(name): array for name, array in value.items()})


def _inferred(
    source: Source, call: Callable[[object], object], example: tuple[Tensor, ...]
) -> Schema:
    if not example:
        raise BrokenModelError(
            f"nothing says what {source.name} of {source.file.name} takes and gives",
            remedy="Add `schema = {'inputs': [...], 'outputs': [...]}` to the file, or an "
            "`example` of its inputs, or name the subnet's with --schema.",
        )
    try:
        outputs = _tensors(call(_arrays(example)), None)
    except Exception as error:
        raise BrokenModelError(
            f"{source.name} of {source.file.name} fails on its own example: {describe(error)}",
            remedy="Correct the function, or its example.",
        ) from error
    specs = [tuple(Spec(t.name, t.datatype, t.shape) for t in ts) for ts in (example, outputs)]
    return Schema(specs[0], specs[1])


def _answerer(call: Callable[[object], object], schema: Schema) -> Answer:
    return lambda tensors: _tensors(call(_arrays(tensors)), schema)


def _arrays(tensors: Sequence[Tensor]) -> dict[str, object]:
    """Arrays that the model may write into."""
    return {tensor.name: tensor.array().copy() for tensor in tensors}


def _tensors(answer: object, schema: Schema | None) -> tuple[Tensor, ...]:
    if isinstance(answer, Mapping):
        return from_arrays({str(name): array for name, array in answer.items()})
    name = OUTPUT if schema is None else schema.outputs[0].name
    return (Tensor.of(name, answer),)

"""A function becomes a model, or is told what it lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.errors import UsageError
from freehold.markets.models.tensor import MalformedError, Schema, from_arrays, to_arrays
from freehold.node.workloads.models.daemon import read_schema
from freehold.node.workloads.models.loading import Loaded, load
from freehold.node.workloads.models.refusals import BrokenModelError
from freehold.node.workloads.models.source import Source, parse_source
from freehold.node.workloads.models.warming import warm

SCHEMA = """
schema = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
          "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]}
"""
DOUBLE = SCHEMA + "def answer(inputs):\n    return {'y': inputs['x'] * 2}\n"
X = np.ones((3, 2), "<f4")


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


def model(folder: Path, text: str, name: str = "answer", schema: Schema | None = None) -> Loaded:
    file = folder / "my_model.py"
    file.write_text(text)
    return load(parse_source(f"{file}:{name}"), schema=schema, threads=1)


def ask(found: Loaded) -> np.ndarray:
    return to_arrays(found.answer(from_arrays({"x": X})))["y"]


def test_a_function_is_a_model(tmp_path: Path) -> None:
    found = model(tmp_path, DOUBLE)
    assert (ask(found) == X * 2).all()
    assert warm(found, max_batch=8).batches


@pytest.mark.parametrize(
    "body",
    [
        "class answer:\n    def __call__(self, inputs):\n        return inputs['x'] * 2\n",
        "class K:\n    def __call__(self, inputs):\n        return inputs['x'] * 2\nanswer = K()\n",
        "answer = lambda inputs: inputs['x'] * 2\n",
        "import functools\nanswer = functools.partial(lambda k, i: i['x'] * k, 2)\n",
        "def answer(inputs):\n    inputs['x'] *= 2\n    return inputs['x']\n",
        "import beside\ndef answer(inputs):\n    return inputs['x'] * beside.TWO\n",
    ],
)
def test_whatever_can_be_called_with_the_inputs_is(tmp_path: Path, body: str) -> None:
    (tmp_path / "beside.py").write_text("TWO = 2\n")
    assert (ask(model(tmp_path, SCHEMA + body)) == X * 2).all()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "has no answer"),
        ("def other(inputs): pass", "has no answer"),
        ("answer = 3", "no function"),
        ("def answer(): pass", "one argument"),
        ("def answer(a, b): pass", "one argument"),
        ("async def answer(inputs): pass", "is async"),
        ("class answer:\n    async def __call__(self, inputs): pass", "is async"),
        ("class answer:\n    def __init__(self, a): pass", "cannot be made"),
        ("def answer(inputs): pass", "nothing says"),
        ("def answer(:", "SyntaxError"),
        ("import not_there_at_all", "not_there_at_all, which is not installed"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("schema = 3\ndef answer(inputs): pass", "schema is wrong"),
        ("example = 3\ndef answer(inputs): pass", "example is no mapping"),
        ("example = {'x': [1.0]}\ndef answer(inputs): 1 / 0", "fails on its own example"),
    ],
)
def test_what_is_no_model_is_told_what_to_do(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(BrokenModelError, match=word) as caught:
        model(tmp_path, text)
    assert caught.value.remedy


def test_an_example_gives_the_schema_where_nothing_else_does(tmp_path: Path) -> None:
    text = (
        "example = {'x': [[1.0, 2.0]]}\ndef answer(inputs):\n    return inputs['x'].sum(axis=1)\n"
    )
    found = model(tmp_path, text)
    assert found.schema.metadata() == {
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2]}],
        "outputs": [{"name": "output", "datatype": "FP64", "shape": [1]}],
    }
    assert not warm(found, max_batch=8).batches


def test_the_schema_of_the_subnet_comes_first(tmp_path: Path) -> None:
    wanted = Schema.of(
        {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [3, 2]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [3, 2]}],
        }
    )
    assert model(tmp_path, DOUBLE, schema=wanted).schema == wanted


@pytest.mark.parametrize(
    "body",
    [
        "def answer(inputs):\n    return {'y': inputs['x'] - inputs['x'].mean(axis=0)}\n",
        "def answer(inputs):\n    return {'y': inputs['x'].cumsum(axis=0)}\n",
        "def answer(inputs):\n    assert len(inputs['x']) == 1\n    return {'y': inputs['x']}\n",
        "def answer(inputs):\n    return {'y': inputs['x'][:1].repeat(len(inputs['x']), axis=0)}\n",
    ],
)
def test_rows_that_depend_on_each_other_are_not_joined(tmp_path: Path, body: str) -> None:
    warmth = warm(model(tmp_path, SCHEMA + body), max_batch=8)
    assert not warmth.batches
    assert "not joined" in warmth.note


def test_a_model_that_breaks_its_schema_does_not_start(tmp_path: Path) -> None:
    found = model(tmp_path, SCHEMA + "def answer(inputs):\n    return {'y': inputs['x'][0]}\n")
    with pytest.raises(BrokenModelError, match="shape"):
        warm(found, max_batch=8)


def test_a_model_that_refuses_invented_inputs_starts_all_the_same(tmp_path: Path) -> None:
    body = "def answer(inputs):\n    raise ValueError('no face in it')\n"
    assert "no face in it" in warm(model(tmp_path, SCHEMA + body), max_batch=8).note
    with pytest.raises(BrokenModelError, match="no face in it"):
        warm(model(tmp_path, SCHEMA + "example = {'x': [[1.0, 2.0]]}\n" + body), max_batch=8)


@pytest.mark.parametrize("body", ["open('/not/there')", "import not_there_at_all", "not_defined"])
def test_a_model_that_lacks_something_does_not_start(tmp_path: Path, body: str) -> None:
    found = model(tmp_path, SCHEMA + f"def answer(inputs):\n    {body}\n")
    with pytest.raises(BrokenModelError, match=r"not_there_at_all|not_defined|/not/there"):
        warm(found, max_batch=8)


def test_texts_are_bytes_to_the_model(tmp_path: Path) -> None:
    text = (
        "schema = {'inputs': [{'name': 'x', 'datatype': 'BYTES', 'shape': [-1]}],\n"
        "          'outputs': [{'name': 'y', 'datatype': 'BYTES', 'shape': [-1]}]}\n"
        "def answer(inputs):\n    return [item.decode().upper() for item in inputs['x']]\n"
    )
    found = model(tmp_path, text)
    assert warm(found, max_batch=8).batches
    assert found.answer(from_arrays({"x": ["ä", "b"]})) == from_arrays({"y": ["Ä", "B"]})


def test_numbers_that_are_none_are_no_answer(tmp_path: Path) -> None:
    found = model(tmp_path, SCHEMA + "def answer(inputs):\n    return inputs['x'] * float('nan')\n")
    with pytest.raises(MalformedError):
        ask(found)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a/m.py:answer", Source(Path.cwd() / "a/m.py", "answer")),
        ("m.py", Source(Path.cwd() / "m.py", "answer")),
        ("/n.onnx", Source(Path("/n.onnx"), "")),
    ],
)
def test_sources_are_read(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize("text", ["", "m", "m.py:", "m.py:a b", "m.py:a.b", "net.pt"])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no model"):
        parse_source(text)


def test_schemas_are_read_from_files(tmp_path: Path) -> None:
    toml = '[[schema.inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [-1, 2]\n'
    toml += '[[schema.outputs]]\nname = "y"\ndatatype = "FP32"\nshape = [-1, 2]\n'
    (tmp_path / "subnet.toml").write_text(toml)
    found = read_schema(tmp_path / "subnet.toml")
    (tmp_path / "schema.json").write_text(found.format())
    assert read_schema(tmp_path / "schema.json") == found
    for name, text in (("a.json", "{"), ("b.toml", "="), ("c.json", "{}"), ("d.json", "[]")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=name):
            read_schema(tmp_path / name)

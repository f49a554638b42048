"""A classifier that was really trained, served from its ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from freehold.markets.models.tensor import Schema, Tensor
from freehold.node.workloads.models.loading import load
from freehold.node.workloads.models.refusals import BrokenModelError
from freehold.node.workloads.models.source import parse_source
from freehold.node.workloads.models.warming import warm
from unit.node.workloads.models.served import Served, serving

pytestmark = pytest.mark.xdist_group("model-onnx")


@dataclass(frozen=True)
class Digits:
    file: Path
    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    with threadpool_limits(1):  # threads that spin for each other cost more than they bring
        model = LogisticRegression(tol=0.01, max_iter=300).fit(images[:1200], labels[:1200])
    file = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    graph = to_onnx(model, images[:1], options={"zipmap": False})
    file.write_bytes(graph.SerializeToString())
    held_out = images[1200:]
    return Digits(file, held_out, labels[1200:], model.predict_proba(held_out))


@pytest.fixture(scope="module")
def served(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("digits") / "home", digits.file) as found:
        yield found


def test_the_graph_is_the_schema(served: Served) -> None:
    found = served.ask("GET", "/v2/models/digits").json
    assert found["platform"] == "onnxruntime_onnx"
    assert found["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}]
    assert [output["datatype"] for output in list_of(found["outputs"])] == ["INT64", "FP32"]


def list_of(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value


@pytest.mark.parametrize("binary", [False, True])
def test_it_reads_digits_as_well_as_where_it_was_trained(
    served: Served, digits: Digits, binary: bool
) -> None:
    reply = served.infer(Tensor.of("X", digits.images), binary=binary)
    assert reply.status == 200
    label, probability = (tensor.array() for tensor in reply.response().outputs)
    assert (label == digits.labels).mean() > 0.85
    assert np.allclose(probability, digits.probabilities, atol=1e-5)


def test_requests_are_joined_and_answered_as_if_alone(served: Served, digits: Digits) -> None:
    singles = [Tensor.of("X", digits.images[n : n + 1]) for n in range(200)]
    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(served.infer, singles))
    assert {reply.status for reply in replies} == {200}
    found = np.concatenate([reply.response().outputs[1].array() for reply in replies])
    assert np.allclose(found, digits.probabilities[:200], atol=1e-5)
    assert served.metric("batch_rows_count") < served.metric("batch_rows_sum")


def test_a_schema_that_the_graph_does_not_have_is_refused(digits: Digits) -> None:
    wanted = {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
    }
    with pytest.raises(BrokenModelError, match="the schema has"):
        load(parse_source(str(digits.file)), schema=Schema.of(wanted), threads=1)


def test_its_rows_do_not_depend_on_each_other(digits: Digits) -> None:
    model = load(parse_source(str(digits.file)), schema=None, threads=1)
    assert warm(model, max_batch=8).batches
    assert not warm(model, max_batch=1).batches


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not a graph")
    with pytest.raises(BrokenModelError, match="cannot be loaded"):
        load(parse_source(str(tmp_path / "net.onnx")), schema=None, threads=1)

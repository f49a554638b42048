"""The single steps give what other implementations give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from freehold.markets.models.yuma import kernels, reference
from freehold.markets.models.yuma.exp import REACH, exp, sigmoid
from freehold.markets.models.yuma.fixed import div, mul
from freehold.markets.models.yuma.permits import top
from freehold.markets.models.yuma.scale import upscaled, within_limit
from freehold.markets.models.yuma.values import ONE, Fixed, Sparse
from unit.markets.models.yuma.cases import Json, named

pytestmark = pytest.mark.xdist_group("yuma")
CLOSE = 1e-6


def fixed(value: Any) -> Fixed:
    return np.floor(np.asarray(value, np.float64) * ONE).astype(np.int64)


def near(ours: Fixed, theirs: Any, tolerance: float = CLOSE) -> bool:
    return bool((np.abs(ours / ONE - np.asarray(theirs, np.float64)) <= tolerance).all())


def square(matrix: Any, *, zeros: bool = True) -> Sparse:
    """As sparse of n x n, n the larger side; zeros are entries or absent."""
    values = fixed(matrix)
    n = max(values.shape)
    places = np.argwhere(np.ones_like(values) if zeros else values)
    return Sparse.of(n, [(int(i), int(j), int(values[i, j])) for i, j in places])


def cut(matrix: Sparse, like: Any) -> Fixed:
    rows, columns = np.asarray(like).shape
    return matrix.dense()[:rows, :columns]


def padded(vector: Any, n: int) -> Fixed:
    return np.pad(fixed(vector), (0, n - len(vector)))


def weighted_median(case: Json) -> None:
    scores = [[score] for score in case["score"]] or [[0]]
    weighted_median_col(
        case | {"weights": scores, "stake": case["stake"] or [0], "expected": [case["expected"]]}
    )


def weighted_median_col(case: Json) -> None:
    expected = case["expected"]
    for zeros in (True, False):
        matrix = square(case["weights"], zeros=zeros)
        n = len(matrix.starts) - 1
        stake = padded(case["stake"], n)
        total = int(stake.sum())
        majority = int(fixed(case["majority"]))
        # Upstream normalises what is left of the stakes before it looks for the majority.
        stake = div(stake, total)
        arrays = matrix.starts, matrix.targets, matrix.values
        for found in (
            reference.medians(matrix, stake, majority),
            kernels.consensus(*arrays, stake, majority),
        ):
            assert near(found[: len(expected)], expected), (case, found)


def col_clip(case: Json) -> None:
    matrix = square(case["m"])
    limit = padded(case["thr"], len(matrix.starts) - 1)
    assert near(cut(reference.clip(matrix, limit), case["m"]), case["expected"])


def row_normalize(case: Json) -> None:
    matrix = square(case["m"])
    shares = matrix.with_values(div(matrix.values, reference.row_sums(matrix)[matrix.rows]))
    assert near(cut(shares, case["m"]), case["expected"], 1e-4)


def col_max_upscale(case: Json) -> None:
    columns = np.transpose(case["m_transposed"])
    expected = np.transpose(case["expected_transposed"])
    matrix = square(columns)
    assert near(cut(reference.upscaled(matrix), columns), expected, 1e-4)
    n = len(matrix.starts) - 1
    compiled = matrix.with_values(kernels.upscaled(matrix.targets, matrix.values, n))
    assert near(cut(compiled, columns), expected, 1e-4)


def row_hadamard(case: Json) -> None:
    matrix = square(case["m"])
    factors = padded(case["v"], len(matrix.starts) - 1)
    assert near(cut(reference.weighed(matrix, factors), case["m"]), case["expected"])


def row_sum(case: Json) -> None:
    assert near(reference.row_sums(square(case["m"])), case["expected"])


def matmul_rowvec(case: Json) -> None:
    matrix = square(case["m"])
    factors = padded(case["v"], len(matrix.starts) - 1)
    sums = reference.column_sums(reference.weighed(matrix, factors))
    assert near(sums[: len(case["expected"])], case["expected"])


def matmul_transpose(case: Json) -> None:
    matrix = square(case["m"])
    factors = padded(case["v"], len(matrix.starts) - 1)
    sums = reference.row_sums(reference.by_target(matrix, factors))
    assert near(sums[: len(case["expected"])], case["expected"])


def is_topk(case: Json) -> None:
    assert np.flatnonzero(top(fixed(case["x"]), case["k"])).tolist() == case["true_idx"]


def max_upscale_u16(case: Json) -> None:
    assert upscaled(fixed(case["x"])).tolist() == case["expected"]


def check_vec_max_limited(case: Json) -> None:
    assert within_limit(np.array(case["x"], np.int64), case["limit"]) == case["ok"]


def interpolate(case: Json) -> None:
    """``A + ratio * (B - A)``; ours takes B as A lowered, so it gets the two the other way."""
    a, b, ratio = fixed(case["a"]), fixed(case["b"]), int(fixed(case["ratio"]))
    # These values pass 2^33, where shares end, so plain integers check the formula.
    mixed = [
        [x + ((y - x) * ratio >> 32) for x, y in zip(*rows, strict=True)]
        for rows in zip(a.tolist(), b.tolist(), strict=True)
    ]
    far = np.abs(np.array(mixed) / ONE - np.asarray(case["expected"]))
    assert (far <= 1e-4 * np.maximum(1, np.asarray(case["expected"]))).all()
    small = 1e-6
    lower, upper = (square(np.asarray(case[k]) * small) for k in ("a", "b"))
    consensus = np.zeros(len(lower.starts) - 1, np.int64)
    rows, columns = np.asarray(case["a"]).shape
    for j in range(columns):
        consensus[:] = 0
        for i in range(rows):
            consensus[j] = min(int(upper.dense()[i, j]), int(lower.dense()[i, j]))
            got = reference.between(upper, upper, consensus, ratio).dense()[i, j]
            top_value = int(upper.dense()[i, j])
            assert got == top_value + ((int(consensus[j]) - top_value) * ratio >> 32)


def mat_ema_alpha(case: Json) -> None:
    new, old = square(case["new"]), square(case["old"])
    before = reference.aligned(new, old)
    rates = fixed(case["alpha_matrix"]) if "alpha_matrix" in case else fixed(case["alpha"])
    alpha = np.broadcast_to(rates, np.asarray(case["new"]).shape).ravel()
    after = np.minimum(mul(before, ONE - alpha) + mul(new.values, alpha), ONE)
    assert near(cut(new.with_values(after), case["new"]), case["expected"], 1e-4)


def mat_ema_alpha_sparse_drop(case: Json) -> None:
    n = max(case["shape"])
    new, old = (
        Sparse.of(n, [(i, j, int(fixed(value))) for i, j, value in case[name]])
        for name in ("new_nonzero", "old_nonzero")
    )
    alpha = int(fixed(case["alpha"]))
    before = reference.aligned(new, old)
    after = mul(before, ONE - alpha) + mul(new.values, alpha)
    expected = Sparse.of(n, [(i, j, int(fixed(v))) for i, j, v in case["expected_nonzero"]])
    assert near(new.with_values(after).dense(), expected.dense() / ONE)
    # The compiled step too; the same rate low and high leaves it no choice.
    arrays = new.starts, new.targets, new.values, old.starts, old.targets, old.values
    compiled = Sparse(*kernels.liquid(*arrays, np.zeros(n, np.int64), alpha, alpha, ONE))
    assert near(compiled.dense(), expected.dense() / ONE)


def sigmoid_safe(case: Json) -> None:
    middle, slope = int(fixed(case["kappa"])), int(fixed(case["rho"]))
    assert near(sigmoid(fixed(case["x"]), slope=slope, middle=middle), case["expected"])


def exp_safe(case: Json) -> None:
    far = np.array([-(10**3), -21, -20, 20, 21, 10**3], np.int64) * ONE
    found = exp(far)
    assert found[0] == found[1] == found[2] == exp(np.array([-REACH]))[0]
    assert found[3] == found[4] == found[5]
    assert found[3] / ONE == pytest.approx(math.exp(20), rel=1e-8)


CHECKS: dict[str, Callable[[Json], None]] = {
    check.__name__: check
    for check in (
        weighted_median,
        weighted_median_col,
        col_clip,
        row_normalize,
        col_max_upscale,
        row_hadamard,
        row_sum,
        matmul_rowvec,
        matmul_transpose,
        is_topk,
        max_upscale_u16,
        check_vec_max_limited,
        interpolate,
        mat_ema_alpha,
        mat_ema_alpha_sparse_drop,
        sigmoid_safe,
        exp_safe,
    )
}


def cases() -> Iterator[Any]:
    for path, file in named("yuma_math.json"):
        for key, rows in file.items():
            if key in ("source", "note"):
                continue
            name = key.split("_tol")[0]
            for at, row in enumerate(rows if isinstance(rows, list) else [{}]):
                yield pytest.param(name, row, id=f"{path.parent.name}-{name}-{at}")


ALL = list(cases()) or [
    pytest.param("", {}, marks=pytest.mark.skip(reason="no yuma_math.json in FREEHOLD_VECTORS"))
]


@pytest.mark.parametrize(("name", "case"), ALL)
def test_yuma_math_vectors(name: str, case: Json) -> None:
    CHECKS[name](case)

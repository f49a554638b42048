from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import IntegrityError
from freehold.markets.storage import galois

elements = st.integers(0, 255)


def _carryless(a: int, b: int) -> int:
    """Schoolbook multiplication of polynomials, reduced by x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11D << (bit - 8)
    return product


def test_products_are_those_of_the_polynomials() -> None:
    assert all(galois.multiply(a, b) == _carryless(a, b) for a in range(256) for b in range(256))


@settings(deadline=None)
@given(elements.filter(bool))
def test_an_element_times_its_inverse_is_one(a: int) -> None:
    assert galois.multiply(a, galois.inverse(a)) == 1


def test_zero_has_no_inverse() -> None:
    with pytest.raises(ZeroDivisionError):
        galois.inverse(0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_k_rows_of_the_coding_matrix_invert(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 12))
    n = data.draw(st.integers(k, 20))
    chosen = data.draw(st.permutations(range(n)))[:k]
    matrix = galois.coding_matrix(k, n)
    square = tuple(matrix[i] for i in chosen)
    identity = tuple(bytes(int(i == j) for j in range(k)) for i in range(k))
    assert galois.product(galois.invert(square), square) == identity


def test_the_matrix_of_four_of_six_never_changes() -> None:
    """Each entry of the two parity rows is the reciprocal of row xor column."""
    rows = galois.coding_matrix(4, 6)[4:]
    assert [row.hex() for row in rows] == ["47a77aba", "a747ba7a"]
    assert [_carryless(rows[0][j], 4 ^ j) for j in range(4)] == [1, 1, 1, 1]


def _kernels() -> list[galois.Kernel]:
    found = galois.isal()
    return [galois.NumpyKernel()] + ([found] if found else [])


@pytest.mark.parametrize("kernel", _kernels(), ids=lambda kernel: kernel.name)
def test_kernels_compute_the_pinned_code(kernel: galois.Kernel) -> None:
    galois.check(kernel)


@pytest.mark.parametrize("kernel", _kernels(), ids=lambda kernel: kernel.name)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_kernels_agree_with_the_definition_at_any_length(
    kernel: galois.Kernel, data: st.DataObject
) -> None:
    k, length = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 200))
    sources = tuple(data.draw(st.binary(min_size=length, max_size=length)) for _ in range(k))
    rows = tuple(data.draw(st.binary(min_size=k, max_size=k)) for _ in range(3))
    arrays = [np.frombuffer(source, np.uint8) for source in sources]
    assert galois.multiplied(kernel, rows, arrays) == galois.product(rows, sources)


def test_a_length_past_one_block_is_summed_whole() -> None:
    length = galois.NumpyKernel.BLOCK * 8 + 13
    source = np.arange(length, dtype=np.uint64).astype(np.uint8)
    (doubled,) = galois.multiplied(galois.NumpyKernel(), (b"\x02",), [source])
    assert doubled == bytes(_carryless(2, x) for x in source.tobytes())


class _Wrong:
    name = "wrong"

    def __init__(self, length: int) -> None:
        self.length = length

    def combine(
        self,
        rows: galois.Matrix,
        sources: Sequence[galois.Octets],
        outputs: Sequence[galois.Octets],
    ) -> None:
        galois.NumpyKernel().combine(rows, sources, outputs)
        if len(sources[0]) == self.length:
            outputs[-1][-1] ^= 1


@pytest.mark.parametrize("length", [256, 333])
def test_a_kernel_that_differs_is_refused(length: int) -> None:
    """In one product, or in one sum of a length that fits no vector."""
    with pytest.raises(IntegrityError, match="wrong"):
        galois.check(_Wrong(length))

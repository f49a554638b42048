"""GF(2^8) and the kernels that multiply shards by a matrix over it.

The field is GF(2)[x] / (x^8 + x^4 + x^3 + x^2 + 1), polynomial 0x11D; addition is xor. The
code of every column ever written is fixed by ``coding_matrix``: the identity on top, below it
the Cauchy rows ``1 / (i xor j)`` for row i >= k and column j < k. Any k of its rows are
independent, since i and j never meet. A kernel only does the multiplication; before its first
use it must reproduce the whole multiplication table of this page, so no upgrade of a library
can change a shard.

Measured on one core at 4 of 6, MB of data per CPU-second: ISA-L through ctypes 10,000; the
numpy kernel below 710; a numba kernel of the same steps 1,460 after a second of compiling;
pyeclib's own calls 470 to encode and 350 to decode, since they copy and carry a header.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import IntegrityError

Matrix = tuple[bytes, ...]
"""Rows of coefficients, a byte each."""
Octets = npt.NDArray[np.uint8]

POLYNOMIAL = 0x11D


def _powers() -> tuple[bytes, bytes]:
    exponents, logarithms = bytearray(510), bytearray(256)
    value = 1
    for power in range(255):
        exponents[power] = exponents[power + 255] = value
        logarithms[value] = power
        value = value << 1 ^ (POLYNOMIAL if value & 0x80 else 0)
    return bytes(exponents), bytes(logarithms)


_EXP, _LOG = _powers()


def multiply(a: int, b: int) -> int:
    """The product of two field elements."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    """The reciprocal of a field element other than 0 (ZeroDivisionError)."""
    if a == 0:
        raise ZeroDivisionError("0 has no reciprocal in GF(2^8)")
    return _EXP[255 - _LOG[a]]


@lru_cache(maxsize=256)
def _times(factor: int) -> bytes:
    return bytes(multiply(factor, value) for value in range(256))


def _add(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=64)
def coding_matrix(k: int, n: int) -> Matrix:
    """The pinned n x k matrix: identity, then Cauchy rows (0 < k <= n <= 256)."""
    identity = [bytes(int(i == j) for j in range(k)) for i in range(k)]
    return (*identity, *(bytes(inverse(i ^ j) for j in range(k)) for i in range(k, n)))


def invert(matrix: Matrix) -> Matrix:
    """The inverse of a square matrix by Gauss-Jordan; ZeroDivisionError when singular."""
    size = len(matrix)
    rows = [row + bytes(int(i == j) for j in range(size)) for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next((i for i in range(column, size) if rows[i][column]), column)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = rows[column].translate(_times(inverse(rows[column][column])))
        for i in range(size):
            if i != column and rows[i][column]:
                rows[i] = _add(rows[i], rows[column].translate(_times(rows[i][column])))
    return tuple(row[size:] for row in rows)


def product(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product ``left`` x ``right``."""
    return tuple(_combine_row(row, right) for row in left)


def _combine_row(row: bytes, sources: Sequence[bytes]) -> bytes:
    total = bytes(len(sources[0]))
    for factor, source in zip(row, sources, strict=True):
        total = _add(total, source.translate(_times(factor)))
    return total


class Kernel(Protocol):
    """Multiplies a matrix by shards."""

    name: str

    def combine(self, rows: Matrix, sources: Sequence[Octets], outputs: Sequence[Octets]) -> None:
        """Fill an output per row with the sum of coefficient times source.

        All have one length above 0 and below 2 GiB; outputs overlap no source.
        """


class IsalKernel:
    """Intel's ISA-L, called in place on the callers' buffers with the GIL released."""

    name = "isa-l"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._init, self._encode = library.ec_init_tables, library.ec_encode_data
        self._init.restype = self._encode.restype = None
        self._init.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
        self._encode.argtypes = [ctypes.c_int] * 3 + [ctypes.c_void_p] * 3

    def combine(self, rows: Matrix, sources: Sequence[Octets], outputs: Sequence[Octets]) -> None:
        """As ``Kernel.combine``."""
        k, count, length = len(sources), len(rows), len(sources[0])
        tables = ctypes.create_string_buffer(32 * k * count)
        self._init(k, count, b"".join(rows), tables)
        self._encode(length, k, count, tables, _pointers(sources), _pointers(outputs))


def _pointers(arrays: Sequence[Octets]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


class NumpyKernel:
    """The same product by shifts and xors on eight bytes at a time, anywhere numpy runs."""

    name = "numpy"
    BLOCK = 8192
    """64-bit words a step: small enough that a block stays in the cache."""

    def combine(self, rows: Matrix, sources: Sequence[Octets], outputs: Sequence[Octets]) -> None:
        """As ``Kernel.combine``."""
        total, spare = np.empty(self.BLOCK, np.uint64), np.empty(self.BLOCK, np.uint64)
        for start in range(0, len(sources[0]), 8 * self.BLOCK):
            step = slice(start, start + 8 * self.BLOCK)
            block = [_words(source[step]) for source in sources]
            words = len(block[0])
            for row, output in zip(rows, outputs, strict=True):
                _horner(row, block, total[:words], spare[:words])
                part = output[step]
                part[:] = total[:words].view(np.uint8)[: len(part)]


def _words(source: Octets) -> npt.NDArray[np.uint64]:
    if len(source) % 8 == 0:
        return source.view(np.uint64)
    padded = np.zeros(-(-len(source) // 8) * 8, np.uint8)
    padded[: len(source)] = source
    return padded.view(np.uint64)


_LOW = np.uint64(0x0101010101010101)
_REST = np.uint64(0x7F7F7F7F7F7F7F7F)
_REDUCE = np.uint64(POLYNOMIAL & 0xFF)


def _horner(
    row: bytes,
    block: Sequence[npt.NDArray[np.uint64]],
    total: npt.NDArray[np.uint64],
    carry: npt.NDArray[np.uint64],
) -> None:
    """Sum the sources bit by bit of their coefficients, doubling the sum between bits."""
    total[:] = 0
    for bit in range(7, -1, -1):
        if bit < 7:
            np.right_shift(total, np.uint64(7), out=carry)
            np.bitwise_and(carry, _LOW, out=carry)
            np.multiply(carry, _REDUCE, out=carry)
            np.bitwise_and(total, _REST, out=total)
            np.left_shift(total, np.uint64(1), out=total)
            np.bitwise_xor(total, carry, out=total)
        for factor, words in zip(row, block, strict=True):
            if factor >> bit & 1:
                np.bitwise_xor(total, words, out=total)


def multiplied(kernel: Kernel, rows: Matrix, sources: Sequence[Octets]) -> Matrix:
    """The outputs of ``kernel`` as byte strings, in memory of their own."""
    outputs = [np.empty(len(sources[0]), np.uint8) for _ in rows]
    kernel.combine(rows, sources, outputs)
    return tuple(output.tobytes() for output in outputs)


def check(kernel: Kernel) -> None:
    """IntegrityError unless ``kernel`` multiplies as this page defines.

    Covers all 65,536 products, and a sum of 20 sources at a length that fits no vector.
    """
    every = [np.arange(256, dtype=np.uint8)]
    factors = tuple(bytes([factor]) for factor in range(256))
    right = multiplied(kernel, factors, every) == tuple(map(_times, range(256)))
    rows = coding_matrix(20, 22)[20:]
    texts = [bytes((i * 31 + j * 7) % 256 for j in range(333)) for i in range(20)]
    sources = [np.frombuffer(text, np.uint8) for text in texts]
    if not right or multiplied(kernel, rows, sources) != product(rows, tuple(texts)):
        raise IntegrityError(
            f"the erasure kernel {kernel.name!r} does not compute the pinned code",
            remedy="Reinstall freehold with its locked dependencies; no shard was written.",
        )


def _libraries() -> list[str]:
    """Where ISA-L may lie: in pyeclib's wheel first, then where the loader looks."""
    spec = find_spec("pyeclib")
    names = ["libisal.so.2", "libisal.2.dylib"]
    if spec is None or spec.origin is None:
        return names
    package = Path(spec.origin).parent
    folders = [package.parent / "pyeclib.libs", package / ".dylibs"]
    return [str(file) for folder in folders for file in sorted(folder.glob("libisal*"))] + names


def isal() -> IsalKernel | None:
    """ISA-L where this machine has it, else None."""
    for name in _libraries():
        try:
            return IsalKernel(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    return None


@lru_cache(maxsize=1)
def kernel() -> Kernel:
    """The fastest kernel of this machine, checked once; IntegrityError when it computes wrong."""
    chosen = isal() or NumpyKernel()
    check(chosen)
    return chosen

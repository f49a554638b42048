"""A tensor: a name, a datatype, a shape, and its elements as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from freehold.markets.models.tensor.refusals import NotFiniteError, malformed, too_large

BYTES = "BYTES"
DATATYPES: Mapping[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Datatypes of a fixed size; BYTES is the other one."""
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
RANK_MAX = 8
ELEMENTS_MAX, TEXTS_MAX = 2**24, 2**18
"""Elements of a tensor; those of BYTES are looked at one by one, which takes ten times as long."""
NAME_MAX = 128
LENGTH = 4
"""Bytes of the little-endian length that stands before each element of BYTES."""

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Elements in row-major order, little-endian; of BYTES each behind its length (u32).

    MalformedError or TooLargeError where the parts do not fit each other, NotFiniteError for NaN
    and infinities.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        count = count_of(self.name, self.datatype, self.shape)
        if self.datatype == BYTES:
            _check_texts(self.name, self.data, count)
        else:
            _check_numbers(self.name, DATATYPES[self.datatype], self.data, count)

    @classmethod
    def of(cls, name: str, array: object) -> Tensor:
        """The tensor of a numpy array or of what makes one; text and bytes become BYTES."""
        made = np.asarray(array)
        if made.dtype.kind in "OUS":
            return cls(name, BYTES, made.shape, pack(_raw(name, item) for item in made.flat))
        datatype = _NAMES.get(made.dtype.newbyteorder("<"))
        if datatype is None:
            raise malformed(f"{name} has elements of {made.dtype}, which have no datatype")
        return cls(name, datatype, made.shape, made.astype(DATATYPES[datatype]).tobytes())

    def array(self) -> Array:
        """Its elements as a read-only array; BYTES as an object array of ``bytes``."""
        if self.datatype != BYTES:
            return np.frombuffer(self.data, DATATYPES[self.datatype]).reshape(self.shape)
        flat = np.empty(prod(self.shape), dtype=object)
        flat[:] = list(elements(self.data))
        return flat.reshape(self.shape)


def check_name(name: str) -> None:
    """MalformedError unless ``name`` is printable and of 1 to 128 characters."""
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise malformed(f"a name has 1 to {NAME_MAX} printable characters, not {name[:40]!r}")


def count_of(name: str, datatype: str, shape: Sequence[int]) -> int:
    """How many elements a tensor of that shape has."""
    if datatype != BYTES and datatype not in DATATYPES:
        raise malformed(f"{name} has the datatype {datatype[:40]!r}, which is unknown")
    if len(shape) > RANK_MAX:
        raise too_large(f"{name} has {len(shape)} dimensions, more than {RANK_MAX}")
    if any(size < 0 for size in shape):
        raise malformed(f"{name} has a negative dimension")
    count = prod(shape)
    most = TEXTS_MAX if datatype == BYTES else ELEMENTS_MAX
    if count > most or max(shape, default=0) > ELEMENTS_MAX:
        raise too_large(f"{name} has more than {most:,} elements")
    return count


def _check_numbers(name: str, dtype: np.dtype[np.generic], data: bytes, count: int) -> None:
    if len(data) != count * dtype.itemsize:
        raise malformed(
            f"{name} has {len(data):,} bytes where its shape takes {count * dtype.itemsize:,}"
        )
    values = np.frombuffer(data, "u1" if dtype.kind == "b" else dtype)
    if dtype.kind == "b" and values.size and values.max() > 1:
        raise malformed(f"{name} has a BOOL that is neither 0 nor 1")
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise NotFiniteError(
            f"{name} holds NaN or an infinity, or a number that its datatype cannot hold",
            remedy="Send finite numbers only; mark what is missing by a value of its own.",
        )


def _check_texts(name: str, data: bytes, count: int) -> None:
    at = found = 0
    while at + LENGTH <= len(data) and found <= count:
        at += LENGTH + int.from_bytes(data[at : at + LENGTH], "little")
        found += 1
    if at != len(data) or found != count:
        raise malformed(f"{name} is not {count:,} elements of BYTES, each behind its length")


def elements(data: bytes) -> Iterator[bytes]:
    """The elements of a sound BYTES tensor."""
    at = 0
    while at < len(data):
        end = at + LENGTH + int.from_bytes(data[at : at + LENGTH], "little")
        yield data[at + LENGTH : end]
        at = end


def pack(items: Iterable[bytes]) -> bytes:
    """BYTES elements behind their lengths."""
    return b"".join(len(item).to_bytes(LENGTH, "little") + item for item in items)


def _raw(name: str, item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError as error:
            raise malformed(f"{name} holds text that is no Unicode") from error
    raise malformed(f"{name} holds {type(item).__name__}, neither numbers nor text nor bytes")


def from_arrays(arrays: Mapping[str, object]) -> tuple[Tensor, ...]:
    """Tensors of arrays by name."""
    return tuple(Tensor.of(name, array) for name, array in arrays.items())


def to_arrays(tensors: Sequence[Tensor]) -> dict[str, Array]:
    """Arrays of tensors, by name."""
    return {tensor.name: tensor.array() for tensor in tensors}

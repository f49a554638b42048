"""Whether answers of several nodes say the same, and which answer k of n stand behind.

Answers are compared as values, never by their hashes: two runtimes of one model differ in the
last digits of a float and still mean the same (measured between two runtimes of an image
classifier: 6e-7, with equal labels). So floats are compared within a tolerance, or by the label
that they point at; whole numbers and truth values exactly; text exactly, or after normalising.

``same`` is symmetric, but no equivalence: of three answers in a row, each may be close to the
next and the first far from the last. ``vote`` therefore counts around single answers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import UsageError

Values = Mapping[str, NDArray[np.generic]]
"""Outputs of a model by name; text is an array of ``bytes`` objects."""
MOST = 64
"""Answers that one vote may count: each is compared with each."""
_FLOATS, _TEXTS = "f", "OSU"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How near two answers are one: ``|a - b| <= atol + rtol * max(|a|, |b|)``, in each place.

    ``labels``: floats are scores of classes along their last axis, and only what they point at
    counts: b's label must be within the tolerance of a's best score and the other way round.
    ``words``: text is compared without case, width, form (NFKC) and repeated white space.
    """

    rtol: float = 1e-3
    atol: float = 1e-5
    labels: bool = False
    words: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < 1 and 0 <= self.atol < np.inf):
            raise UsageError(
                f"a tolerance of {self.rtol} relative and {self.atol} absolute makes no sense",
                remedy="Take a relative tolerance from 0 to below 1 and an absolute one from 0.",
            )


@dataclass(frozen=True, slots=True)
class Quorum:
    """``k`` of ``n`` answers have to agree."""

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= MOST:
            raise UsageError(
                f"{self.k} of {self.n} answers cannot agree",
                remedy=f"Ask for k of n with 1 <= k <= n <= {MOST}, such as 2/3.",
            )


@dataclass(frozen=True, slots=True)
class Vote:
    """How a vote came out; indices are places in the list of answers.

    ``winner``: the answer that most stand behind, or None where fewer than k do or where two that
    differ have as many. ``dissent``: who says something else than the winner. ``classes``: groups
    of who says the same, the largest first, for people to read.
    """

    winner: int | None
    dissent: tuple[int, ...]
    classes: tuple[tuple[int, ...], ...]


def parse_quorum(text: str) -> Quorum:
    """``Quorum`` of a text such as ``2/3``; UsageError."""
    k, _, n = text.partition("/")
    if not all(part.isascii() and part.isdigit() and len(part) <= 3 for part in (k, n)):
        raise UsageError(f"{text!r} is not k of n", remedy="Write k/n, such as 2/3.")
    return Quorum(int(k), int(n))


def same(one: Values, other: Values, tolerance: Tolerance) -> bool:
    """Whether two answers agree: the same names, shapes and kinds, and each value near enough.

    An answer with a NaN agrees with none, itself included: it stands for no value.
    """
    if one.keys() != other.keys():
        return False
    return all(_same_tensor(one[name], other[name], tolerance) for name in one)


def vote(answers: Sequence[Values], *, k: int, tolerance: Tolerance) -> Vote:
    """Which of ``answers`` at least ``k`` stand behind (itself included); at most 64 answers."""
    if len(answers) > MOST:
        raise UsageError(
            f"a vote over {len(answers)} answers is too large", remedy=f"Ask at most {MOST} nodes."
        )
    agrees = _matrix(answers, tolerance)
    classes = _classes(agrees)
    counts = agrees.sum(axis=1)
    if not len(answers) or counts.max() < max(k, 1):
        return Vote(None, (), classes)
    best = int(counts.argmax())
    rivals = np.flatnonzero(counts == counts[best])
    if not all(agrees[best, rival] for rival in rivals):
        return Vote(None, (), classes)
    dissent = tuple(int(i) for i in np.flatnonzero(~agrees[best]))
    return Vote(best, dissent, classes)


def _same_tensor(one: NDArray[np.generic], other: NDArray[np.generic], by: Tolerance) -> bool:
    if one.shape != other.shape or _kind(one) != _kind(other):
        return False
    if _kind(one) == "text":
        return all(_word(a, by) == _word(b, by) for a, b in zip(one.flat, other.flat, strict=True))
    if _kind(one) == "whole":
        return bool(np.array_equal(one, other))
    a, b = one.astype(np.float64), other.astype(np.float64)
    if np.isnan(a).any() or np.isnan(b).any():
        return False
    return _same_labels(a, b, by) if by.labels and a.ndim else _close(a, b, by)


def _kind(tensor: NDArray[np.generic]) -> str:
    if tensor.dtype.kind in _FLOATS:
        return "float"
    return "text" if tensor.dtype.kind in _TEXTS else "whole"


def _close(a: NDArray[np.float64], b: NDArray[np.float64], by: Tolerance) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(a - b) <= _slack(a, b, by)
    finite = np.isfinite(a) & np.isfinite(b)
    return bool((np.where(finite, near, a == b)).all())


def _slack(a: NDArray[np.float64], b: NDArray[np.float64], by: Tolerance) -> NDArray[np.float64]:
    found: NDArray[np.float64] = by.atol + by.rtol * np.maximum(np.abs(a), np.abs(b))
    return found


def _same_labels(a: NDArray[np.float64], b: NDArray[np.float64], by: Tolerance) -> bool:
    if not a.size:
        return True
    return _points_at(a, b, by) and _points_at(b, a, by)


def _points_at(a: NDArray[np.float64], b: NDArray[np.float64], by: Tolerance) -> bool:
    """Whether the labels of ``b`` are among the best of ``a``, within the tolerance."""
    label = b.argmax(axis=-1, keepdims=True)
    best, there = a.max(axis=-1, keepdims=True), np.take_along_axis(a, label, axis=-1)
    return _close(best, there, by)


def _word(value: object, by: Tolerance) -> bytes | str:
    raw = value.encode() if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        return repr(raw)
    if not by.words:
        return raw
    text = unicodedata.normalize("NFKC", raw.decode(errors="replace")).casefold()
    return " ".join(text.split())


def _matrix(answers: Sequence[Values], tolerance: Tolerance) -> NDArray[np.bool_]:
    agrees = np.zeros((len(answers), len(answers)), dtype=np.bool_)
    for i, one in enumerate(answers):
        for j in range(i, len(answers)):
            agrees[i, j] = agrees[j, i] = same(one, answers[j], tolerance)
    return agrees


def _classes(agrees: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    """Groups around the answers that most of those left agree with; who agrees with none, not
    even with itself, is a group of its own."""
    left, groups = set(range(len(agrees))), []
    while left:
        best = min(left, key=lambda i: (-sum(bool(agrees[i, j]) for j in left), i))
        group = {j for j in left if agrees[best, j]} | {best}
        groups.append(tuple(sorted(group)))
        left -= group
    return tuple(groups)

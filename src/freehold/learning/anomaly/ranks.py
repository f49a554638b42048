"""How rare a score is among a series' own: the calibration that all detectors share.

A score's p-value is its rank among the scores before it (conformal prediction: Vovk, Gammerman
and Shafer, 2005; online, Laxhammar and Falkman, 2014): uniform when nothing changes, whatever
the scores are made of, and the same for a quiet series and a wild one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.domain.errors import UsageError

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BEYOND_MOST = 20.0
"""How much rarer a record may be called for how far it exceeds the one before."""

_SINGLE_MOST = float(np.finfo(np.float32).max)


@dataclass(slots=True)
class Past:
    """The last scores of each series: ``scores`` (series, memory), unset ones NaN, ``count``
    (series,) of all so far."""

    scores: Floats | Singles
    count: Ints


def start(series: int, memory: int, *, single: bool = False) -> Past:
    """Nothing seen yet; ``single`` keeps scores in 32 bits. UsageError on an empty memory."""
    if series < 1 or memory < 1:
        raise UsageError(
            f"{series} series with {memory} scores each remember nothing",
            remedy="Ask for at least one series and one score.",
        )
    nothing: Floats = np.full((series, memory), np.nan)
    kept = nothing.astype(np.float32) if single else nothing
    return Past(kept, np.zeros(series, dtype=np.int64))


def step(past: Past, scores: Floats, present: Bools | None = None) -> tuple[Past, Floats]:
    """p-values (series,) of new scores, which join the past where ``present``; 1 where not.

    Equal scores count as at least as high, so what repeats is never rare.
    """
    here = np.isfinite(scores) if present is None else present & np.isfinite(scores)
    new = _kept(past, np.where(here, scores, 0.0))
    above = np.greater_equal(past.scores, new[:, None]).sum(axis=1)
    held = np.minimum(past.count, past.scores.shape[1])
    rank = (above + 1.0) / (held + 1.0)
    _put(past, new, here)
    return past, np.where(here, rank, 1.0)


def join(past: Past, scores: Floats, present: Bools) -> Past:
    """What ``step`` makes of the past, without p-values; the scores of those present are finite."""
    _put(past, _kept(past, scores), present)
    return past


def surprise(past: Past, scores: Floats) -> tuple[Past, Floats]:
    """How many scores are expected between two as high, 0 where it is not above the lowest.

    The inverse of the p-value; a record's grows with its ratio to the record before, up to
    ``BEYOND_MOST``, since among records rank alone says nothing.
    """
    seen = past.count > 0
    record = np.fmax.reduce(past.scores, axis=1, initial=0.0).astype(np.float64)
    past, rank = step(past, scores)
    ratio = np.divide(scores, record, out=np.ones_like(scores), where=record > 0)
    rare = np.clip(ratio, 1.0, BEYOND_MOST) / rank
    return past, np.where(seen & (rare > 1.0), rare, 0.0)


def _kept(past: Past, scores: Floats) -> Floats | Singles:
    if past.scores.dtype != np.float32:
        return scores
    return np.clip(scores, -_SINGLE_MOST, _SINGLE_MOST).astype(np.float32)


def _put(past: Past, scores: Floats | Singles, here: Bools) -> None:
    which = np.flatnonzero(here)
    past.scores[which, past.count[which] % past.scores.shape[1]] = scores[which]
    past.count[which] += 1

"""A validator's scores as the u16 weights that go on the chain."""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma.fixed import div, normalised, of_u16
from freehold.markets.models.yuma.refusals import MalformedError
from freehold.markets.models.yuma.values import ONE, U16_MAX, Fixed

_WIDE = 32_768 * ONE


def upscaled(scores: Fixed) -> Fixed:
    """Scores of I32F32, none negative, so that the largest becomes 65535; rounded to nearest.

    Zeros stay zeros. Above 32768 the factor is rounded down before it is used, as a score times
    65535 would not fit 64 bits. MalformedError where a score is negative.
    """
    if scores.min(initial=0) < 0:
        raise MalformedError(
            "a score is negative", remedy="Have the scorer return 0 for the worst answers."
        )
    most = int(scores.max(initial=0))
    if most == 0:
        return np.zeros_like(scores)
    if most > _WIDE:
        factor = (U16_MAX * ONE << 32) // most
        scaled = [score * factor >> 32 for score in scores.tolist()]
        return _rounded(np.array(scaled, np.int64))
    return _rounded(div(scores * U16_MAX, most))


def within_limit(weights: Fixed, limit: int) -> bool:
    """Whether no u16 weight is a larger share of its row than ``limit`` of 65535."""
    shares = normalised(weights)
    return int(shares.max(initial=0)) <= of_u16(limit)


def _rounded(values: Fixed) -> Fixed:
    whole: Fixed = (values + ONE // 2) >> 32
    return np.minimum(whole, U16_MAX)

"""Estimates for readings that did not come, each with its standard deviation.

Between two readings the estimate is the straight line, and its variance that of a Brownian
bridge with the series' own mean square of a change ``v``, plus ``v / 4``: exact at the middle of
one missing reading of white noise, cautious for what moves less freely than a random walk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freehold.telemetry.cleaning import Cleaned, Floats, Whole
from freehold.telemetry.marks import UNSOUND

FILL_MAX = 64
"""Missing readings of a gap that are estimated; a longer gap stays empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Imputed:
    """Estimates, shape (n,) each: ``after`` is the position of the reading that ended the gap."""

    after: Whole
    times: Whole
    values: Floats
    std: Floats


def impute(times: Whole, values: Floats, cleaned: Cleaned) -> Imputed:
    """Fill the gaps before readings of shape (n,), as ``clean`` found them.

    A gap that ends in an unsound reading, or is longer than FILL_MAX, is left open.
    """
    ends = np.flatnonzero(
        (cleaned.missing > 0)
        & (cleaned.missing <= FILL_MAX)
        & (cleaned.marks & np.uint8(UNSOUND) == 0)
    )
    missing = cleaned.missing[ends]
    after = np.repeat(ends, missing)
    ahead = np.arange(len(after)) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    whole = np.repeat(missing + 1, missing)
    share = ahead / whole
    since, before = cleaned.since[after], cleaned.before[after]
    return Imputed(
        after,
        since + np.rint(share * (times[after] - since)).astype(np.int64),
        before + share * (values[after] - before),
        np.sqrt(cleaned.step[after] * (share * (whole - ahead) + 0.25)),
    )

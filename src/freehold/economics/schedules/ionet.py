"""io.net's emission: 500 million at genesis, 300 million over 240 shrinking months.

The published months (1: 3,333,333; August 2024: 3,299,497; September: 3,266,003; June 2025:
2,979,456) and the published total of 300,000,000 are met together by a first month of exactly
10^7 / 3, the one factor that makes 240 months of it 300 million, and cumulative figures rounded
half up. The factor that is often quoted, 0.989849199, is the quotient of the first two *rounded*
months: with it no rounding gives September or June, and 240 months come to 300,005,579.
"""

from __future__ import annotations

from freehold.economics.schedules import geometric
from freehold.economics.schedules.vesting import MONTH_SECONDS, Part

STEP_SECONDS = MONTH_SECONDS
NATIVE = 10**18
"""Base units (10^-18) of one IO."""
CAP_IO = 800_000_000
GENESIS_IO = 500_000_000
EMISSION_IO = 300_000_000
MONTHS = 240
FIRST = 10**7 * NATIVE // 3
"""Base units of the first month."""
FACTOR = 989_848_952_962_349_516
"""The factor a month in 10^-18."""
QUOTED_FACTOR = 989_849_199
"""The quoted factor in 10^-9, for comparison only."""

ALLOCATION = (
    Part("seed", 1250, 12, 24),
    Part("series A", 1020, 12, 24),
    Part("core", 1130, 12, 36),
    Part("research and ecosystem", 1600, 0, 0),
    Part("community", 5000, 0, 0),
)
"""Shares of the cap. The community's half is the emission and what genesis adds to it."""
COMMUNITY_GENESIS_IO = GENESIS_IO - sum(
    part.share_bps * CAP_IO // 10_000 for part in ALLOCATION if part.name != "community"
)


def month_emission(month: int) -> int:
    """Whole IO of a month, counted from 1; 0 outside the 240."""
    if not 1 <= month <= MONTHS:
        return 0
    return geometric.step(first=FIRST, factor=FACTOR, number=month - 1, grain=NATIVE) // NATIVE

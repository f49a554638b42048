"""What labelled fleets share: the environment that draws them, and intervals of shares.

``FREEHOLD_FLEET_SEED`` sets the seed, ``FREEHOLD_FLEET_SHAPES`` names by comma what devices do:
the lies of ``liars`` and the faults of ``labelled``, of which each takes its own, or all where
none of its own is named.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection

from freehold.domain.errors import UsageError

SEED = 20261128
LIES = (
    "copied", "disguised", "lagged", "replayed", "looped", "jumping", "outlying", "collusive",
)  # fmt: skip
FAULTS = (
    "spike", "step", "drift", "variance", "stuck", "relation", "departure", "season",
)  # fmt: skip


def seed() -> int:
    """The seed of the environment, or the fixed one."""
    text = os.environ.get("FREEHOLD_FLEET_SEED", str(SEED))
    if not text.isdecimal():
        raise UsageError(
            f"FREEHOLD_FLEET_SEED is {text!r}", remedy="Give a whole number, 0 or more."
        )
    return int(text)


def shapes(own: Collection[str]) -> tuple[str, ...]:
    """Those of the environment that are in ``own``, or all; UsageError names unknown ones."""
    text = os.environ.get("FREEHOLD_FLEET_SHAPES", "")
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in LIES + FAULTS]
    if unknown:
        raise UsageError(
            f"FREEHOLD_FLEET_SHAPES has unknown shapes: {', '.join(unknown)}",
            remedy=f"Choose from: {', '.join(LIES + FAULTS)}.",
        )
    return tuple(name for name in names if name in own) or tuple(own)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); (0, 1) of nothing."""
    if not trials:
        return 0.0, 1.0
    z = 1.959963984540054
    share, whole = hits / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / whole
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)) / whole
    return max(0.0, middle - half), min(1.0, middle + half)

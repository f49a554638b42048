"""Where every token of a simulated network is, in whole millionths of a token for each path.

The books balance to the unit in every month: genesis + minted - burned is what circulates, is
staked, lies in the treasury or has not vested. Base units of 10^-18 would not fit 64 bits.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from freehold.domain.money import UNIT

Tokens: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
GRAIN = 10**6
BASE = UNIT // GRAIN
"""Base units of 10^-18 in a grain."""


def grains(base_units: int) -> int:
    """Whole grains of an exact amount; what is less than a grain is dropped."""
    return base_units // BASE


def whole(tokens: Floats) -> Tokens:
    """Grains of an estimate, rounded down."""
    return floor(np.maximum(tokens, 0.0) * GRAIN)


def floor(grains: Floats) -> Tokens:
    """Whole grains, rounded down."""
    return np.asarray(np.floor(grains), dtype=np.int64)


def tokens(amount: Tokens) -> Floats:
    """An amount of grains as tokens."""
    return np.asarray(amount / GRAIN, dtype=np.float64)


class Books:
    """Balances of all paths; each movement names both its ends and takes no more than is there."""

    def __init__(self, genesis: int, paths: int) -> None:
        self.genesis = genesis
        self.unvested = np.full(paths, genesis, dtype=np.int64)
        self.circulating = np.zeros(paths, dtype=np.int64)
        self.bonded = np.zeros(paths, dtype=np.int64)
        self.delegated = np.zeros(paths, dtype=np.int64)
        self.treasury = np.zeros(paths, dtype=np.int64)
        self.minted = np.zeros(paths, dtype=np.int64)
        self.burned = np.zeros(paths, dtype=np.int64)

    def vest(self, amount: int) -> None:
        """Genesis tokens that became free."""
        self.unvested -= amount
        self.circulating += amount

    def mint(self, amount: Tokens) -> None:
        """New tokens, into circulation."""
        self.minted += amount
        self.circulating += amount

    def burn(self, amount: Tokens) -> Tokens:
        """Burn what circulates; returns what there was to burn."""
        taken = np.minimum(amount, self.circulating)
        self.circulating -= taken
        self.burned += taken
        return taken

    def save(self, amount: Tokens) -> None:
        """The treasury's part of the fees."""
        taken = np.minimum(amount, self.circulating)
        self.circulating -= taken
        self.treasury += taken

    def bond(self, wanted: Tokens) -> None:
        """Nodes' stake comes to ``wanted``, as far as tokens circulate."""
        moved = np.minimum(wanted - self.bonded, self.circulating)
        self.bonded += moved
        self.circulating -= moved

    def delegate(self, wanted: Tokens) -> None:
        """Delegated stake comes to ``wanted``, as far as tokens circulate."""
        moved = np.minimum(wanted - self.delegated, self.circulating)
        self.delegated += moved
        self.circulating -= moved

    def slash(self, amount: Tokens, burned: float) -> None:
        """Nodes lose stake: a part burns, the rest compensates clients."""
        taken = np.minimum(amount, self.bonded)
        lost = floor(taken * burned)
        self.bonded -= taken
        self.burned += lost
        self.circulating += taken - lost

    def free(self) -> Tokens:
        """What circulates or is staked."""
        return self.circulating + self.bonded + self.delegated

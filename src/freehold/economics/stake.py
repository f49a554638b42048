"""The stake that a role asks of a node for its capacity: integers, rounded up.

A rule is an amount per unit of capacity; some roles weigh their units by a multiplier, such as the
worth of a device beside the least one. The ``ionet`` preset is that network's: 200 tokens a device
times its multiplier, which counts as one where it is less. The contract ``capacity`` locks the same
integers, its multipliers in basis points; storage locks its own for each byte, in ``faults``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from freehold.domain.money import UNIT

COMPUTE = "compute"
WHOLE_BPS = 10_000
AMOUNT_MAX, PER_MAX = 2**90 - 1, 2**48 - 1
UNITS_MAX, MULTIPLIER_MAX = 2**40 - 1, 1_000 * WHOLE_BPS
"""Bounds of the contract; a multiplier in basis points."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``amount`` base units for every ``per`` units of capacity; ``weighed`` by a multiplier."""

    amount: int
    per: int = 1
    weighed: bool = False

    def stake(self, units: int, multiplier: int | Fraction = 1) -> int:
        """Base units for ``units``, rounded up; a multiplier below one counts as one."""
        whole = units * self.amount * max(Fraction(1), Fraction(multiplier)) / self.per
        return -(-whole.numerator // whole.denominator)


Rules = Mapping[str, Rule]
"""A rule for each role that asks for stake."""

IONET: Rules = {COMPUTE: Rule(200 * UNIT, weighed=True)}
"""Units are devices: 8 H100 at a multiplier of 10 need 16,000 tokens."""

PRESETS: Mapping[str, Rules] = {"ionet": IONET}
"""Of the token models; the others ask for no stake but that of storage."""

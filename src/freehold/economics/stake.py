"""The stake that a role asks of a node for its capacity: integers, rounded up.

A rule is an amount per unit of capacity; some roles weigh their units by a multiplier, such as the
worth of a device beside the least one. The ``ionet`` preset is that network's: 200 tokens a device
times its multiplier, which counts as one where it is less. The contract ``capacity`` locks the same
integers, its multipliers in basis points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from freehold.domain.errors import UsageError
from freehold.domain.money import TIB, UNIT

STORAGE, COMPUTE = "storage", "compute"
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


def storage(per_tib: int) -> Rules:
    """What a storage node locks: ``per_tib`` base units per TiB, units in bytes."""
    return {STORAGE: Rule(per_tib, per=TIB)}


def required(role: str, units: int, multiplier: int | Fraction = 1, *, rules: Rules = IONET) -> int:
    """Base units of stake for ``units`` of capacity; a multiplier below one counts as one.

    UsageError for a role without a rule, for negative units, or where a multiplier is given for
    a role that knows none.
    """
    rule = _rule(role, rules)
    if units < 0:
        raise UsageError(f"{units} units of {role}", remedy="Count capacity from zero.")
    if multiplier != 1 and not rule.weighed:
        raise UsageError(
            f"{role} is not weighed by a multiplier", remedy="Leave the multiplier out."
        )
    return rule.stake(units, multiplier)


def capacity(role: str, stake: int, multiplier: int | Fraction = 1, *, rules: Rules = IONET) -> int:
    """Units of capacity that a stake allows: the most whose ``required`` it covers."""
    one = required(role, 1, multiplier, rules=rules)
    if stake < 0 or one == 0:
        raise UsageError(
            f"no capacity follows from a stake of {stake} for {role}",
            remedy="Give a stake of zero or more, and a role that asks for stake.",
        )
    rule = _rule(role, rules)
    return int(stake * rule.per // (rule.amount * max(Fraction(1), Fraction(multiplier))))


def _rule(role: str, rules: Rules) -> Rule:
    try:
        return rules[role]
    except KeyError:
        known = ", ".join(sorted(rules))
        raise UsageError(
            f"no stake is asked of {role!r} by these rules", remedy=f"Name one of: {known}."
        ) from None

"""The stake that counts in an epoch."""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma.fixed import normalised
from freehold.markets.models.yuma.values import ONE, Fixed, Flags, Inputs, Rules


def shares(rules: Rules, inputs: Inputs) -> Fixed:
    """S: every stake of at least the minimum as a share of all of them, rounded down."""
    # Python's integers: a uint64 times 2^32 has 96 bits.
    counted = [stake if stake >= rules.min_stake else 0 for stake in inputs.stake.tolist()]
    total = sum(counted)
    return np.array([stake * ONE // total if stake else 0 for stake in counted], np.int64)


def active(rules: Rules, inputs: Inputs, stake: Fixed) -> Fixed:
    """A: the shares of those with a permit and recent weights, normalised again."""
    return normalised(np.where(inputs.permits & fresh(rules, inputs), stake, 0))


def fresh(rules: Rules, inputs: Inputs) -> Flags:
    """Who set weights within the activity cutoff."""
    return inputs.updated + rules.activity_cutoff >= inputs.now

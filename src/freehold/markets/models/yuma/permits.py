"""Who may validate: the largest stakes, as many as a subnet has seats."""

from __future__ import annotations

import numpy as np

from freehold.markets.models.yuma.values import Fixed, Flags


def top(values: Fixed, seats: int) -> Flags:
    """The ``seats`` largest values, shape (n,); of equals those of higher uid."""
    chosen = np.zeros(len(values), np.bool_)
    rising = np.argsort(values, kind="stable")
    chosen[rising[max(len(values) - seats, 0) :]] = True
    return chosen


def permits(stake: Fixed, seats: int) -> Flags:
    """The next epoch's permits: the ``seats`` largest normalised stakes that are not 0.

    Stakes that differ by less than 2^-32 of them all are equal here.
    """
    return top(stake, seats) & (stake > 0)

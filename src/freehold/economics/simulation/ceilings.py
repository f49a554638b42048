"""What a schedule allows in one month of one path, where it depends on what the network did.

Filecoin's baseline part follows proven, paid bytes; Bittensor's halving follows what was issued.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from freehold.economics.schedules import filecoin
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.simulation.books import Floats, Tokens, grains, tokens
from freehold.economics.simulation.presets import Preset, simple_issued

_DOUBLING = float(np.log(2.0)) * MONTH_SECONDS / 31_536_000
"""A month's part of ln 2, of a quantity that doubles in 365 days."""
_GROWTH = _DOUBLING
"""Of the baseline, a month."""
_LAMBDA = _DOUBLING / 6
"""Of what remains of the baseline's supply, a month of network time."""
_BASELINE = filecoin.BASELINE_TOTAL / 1e18


class Ceiling(Protocol):
    """Tokens that the schedule allows on each path; called once a month, in order."""

    def allow(self, month: int, minted: Tokens, backed: Floats) -> Floats:
        """``minted`` in grains so far, ``backed`` TiB paid for in this month."""


class ByTime:
    """The schedule's months, whatever the network does."""

    def __init__(self, preset: Preset, months: int) -> None:
        self._months = [grains(amount) for amount in preset.months(months)]

    def allow(self, month: int, minted: Tokens, backed: Floats) -> Floats:
        """As the schedule says."""
        del backed
        return tokens(np.full_like(minted, self._months[month]))


class ByBaseline:
    """Filecoin: the part by time, and the part by network time, in closed form (an estimate)."""

    def __init__(self, start: float, paths: int) -> None:
        self._start = start
        self._realized = np.zeros(paths)
        self._supplied = np.zeros(paths)

    def allow(self, month: int, minted: Tokens, backed: Floats) -> Floats:
        """Network time advances as far as the sum of paid bytes fills the baseline's."""
        del minted
        wanted = self._start * (np.exp(_GROWTH * (month + 1)) - np.exp(_GROWTH * month)) / _GROWTH
        self._realized += np.minimum(backed, wanted)
        passed = np.log1p(self._realized * _GROWTH / self._start) / _GROWTH
        supplied = _BASELINE * -np.expm1(-_LAMBDA * passed)
        new, self._supplied = supplied - self._supplied, supplied
        simple = (simple_issued(month + 1) - simple_issued(month)) / filecoin.NATIVE / 1e18
        return simple + new


class ByIssuance:
    """Bittensor: the era is that of what was really issued when the month began."""

    def __init__(self, preset: Preset) -> None:
        self._cap = preset.cap // 10**18
        self._first = preset.months(1)[0] / 1e18

    def allow(self, month: int, minted: Tokens, backed: Floats) -> Floats:
        """Half as much for each halving of what is left of the cap."""
        del month, backed
        left = np.maximum(1.0 - tokens(minted) / self._cap, 2.0**-60)
        eras = np.floor(np.log2(1.0 / left) + 1e-12)
        allowed: Floats = self._first * 2.0**-eras
        return allowed


def ceiling(preset: Preset, *, months: int, paths: int, baseline: float) -> Ceiling:
    """The rule of ``preset``; ``baseline`` in TiB at launch."""
    if preset.name == "filecoin":
        return ByBaseline(baseline, paths)
    return ByIssuance(preset) if preset.name == "bittensor" else ByTime(preset, months)

"""A sensor's own noise, by which it is known: what it is, who has any, whether two are one's.

What has no noise of its own tells nothing: counters, ramps, steps between a few levels and smooth
curves are alike wherever they are, and come again. Noise is therefore what is left of three
readings in a row (their second difference), without leaps, and is a hallmark only where it takes
many values; a machine that always ran in cycles repeats their shape and not their noise.

Series are (devices, ticks), NaN where nothing came.
"""

from __future__ import annotations

import numpy as np

from freehold.telemetry.cleaning import Flags, Floats, Whole

_TAME = 6.0
_CYCLE_MIN = 4
_VALUES_MIN = 8
"""Different values of noise from which it is a hallmark."""
_ONE_WAY = 0.05
"""Share of moves against the direction of a counter: it begins anew now and then."""
_BOTH_MIN = 48
"""Noise that two rows have in common before they can be alike, or half of what there is."""
_FINE, _GROUPS_MAX, _INNER = 2.0, 20, 0.6
_EXACT, _HABIT = 0.9, 0.6
_SMOOTH_MOST = 0.3
"""Correlation of noise with the next from which it is a curve."""


def noise_of(values: Floats) -> Floats:
    """Second differences, (devices, ticks - 2), 0 where one of three is missing and for leaps."""
    noise = np.nan_to_num(np.diff(values, 2, axis=1), nan=0.0)
    rounding = 1e-9 * np.nanmax(np.abs(np.nan_to_num(values)), axis=1, keepdims=True)
    noise[np.abs(noise) <= rounding] = 0.0
    noise[np.abs(noise) > _usual(noise)] = 0.0
    return noise


def moves_of(values: Floats) -> Floats:
    """Changes from tick to tick, 0 where either is missing."""
    return np.nan_to_num(np.diff(values, axis=1), nan=0.0)


def tame(moves: Floats) -> Floats:
    """Moves cut at _TAME times their usual size, so that a single leap does not speak for all."""
    most = _usual(moves)
    return np.clip(moves, -most, most)


def _usual(moves: Floats) -> Floats:
    """_TAME times the usual size of each row's moves, (devices, 1)."""
    size = np.where(moves != 0, np.abs(moves), np.nan)
    moving = np.isfinite(size).any(axis=1)
    most = np.zeros((len(moves), 1))
    most[moving, 0] = _TAME * np.nanmedian(size[moving], axis=1)
    return most


def is_hallmark(values: Floats, noise: Floats) -> Flags:
    """Which rows have noise of their own: (devices,)."""
    squares = np.square(noise).sum(axis=1)
    smooth = (noise[:, 1:] * noise[:, :-1]).sum(axis=1) > _SMOOTH_MOST * squares
    found: Flags = (different(noise) >= _VALUES_MIN) & ~smooth
    return found & ~is_counter(moves_of(values))


def is_counter(moves: Floats) -> Flags:
    """Which rows move one way: (rows,)."""
    up, down = np.count_nonzero(moves > 0, axis=1), np.count_nonzero(moves < 0, axis=1)
    counter: Flags = np.minimum(up, down) <= _ONE_WAY * np.maximum(up, down)
    return counter


def different(rows: Floats) -> Whole:
    """How many different values but 0 each row has, apart from rounding: (rows,)."""
    ordered = np.sort(rows, axis=1)
    rounding = 1e-6 * np.abs(rows).max(axis=1, keepdims=True)
    fresh = np.diff(ordered, axis=1) > rounding
    found: Whole = fresh.sum(axis=1) + 1 - (rows == 0).any(axis=1)
    return found


def is_telling(late: Floats, early: Floats) -> bool:
    """Whether two rows of noise are alike in themselves, not in the few steps of a pattern: values
    that lie together, as near as the one row follows the other, are a step, and within a step
    only a copy goes on being alike."""
    both = (late != 0) & (early != 0)
    if np.count_nonzero(both) < min(_BOTH_MIN, len(both) // 2):
        return False
    a, b = late[both], early[both]
    b = b * (np.linalg.norm(a) / np.linalg.norm(b))
    width = _FINE * float(np.median(np.abs(a - b))) + 1e-6 * float(np.abs(a).max())
    order = np.argsort(a)
    group = np.zeros(len(a), np.int64)
    group[order[1:]] = np.cumsum(np.diff(a[order]) > width)
    if group.max() >= (_VALUES_MIN if is_exact(a, b) else _GROUPS_MAX):
        return True
    if len(np.unique(np.floor(a / width + 0.5))) < _VALUES_MIN:
        return False
    inner, of = (part - _means(part, group)[group] for part in (a, b))
    return float(inner @ of) > _INNER * float(np.linalg.norm(inner) * np.linalg.norm(of))


def is_exact(late: Floats, early: Floats) -> bool:
    """Whether two rows of noise are the same nearly wherever both have some."""
    both = (late != 0) & (early != 0)
    same = np.abs(late - early)[both] <= 1e-6 * np.abs(late).max()
    return bool(same.mean() > _EXACT)


def is_cyclic(noise: Floats) -> bool:
    """Whether a row went in cycles all the time, for three turns at least."""
    here = np.flatnonzero(noise)
    held = noise[here[0] : here[-1] + 1]
    return any(_is_alike(held[lag:], held[:-lag]) for lag in range(_CYCLE_MIN, len(held) // 3 + 1))


def _is_alike(late: Floats, early: Floats) -> bool:
    both = (late != 0) & (early != 0)
    a, b = late[both], early[both]
    return float(2 * (a @ b)) > _HABIT * float(a @ a + b @ b)


def _means(values: Floats, group: Whole) -> Floats:
    return np.bincount(group, values) / np.bincount(group)

"""Signed lies: series that are copied, replayed, physically impossible, or agreed in a clique.

Pure, over a window of one metric of many devices on common ticks. Every honest sensor has noise
of its own, which nobody else has and which never comes twice; that, and the company of a device's
neighbours (a *cell*), is what a forger lacks. A finding is evidence with a score, never a verdict.

Seldom seen: disguised copies of sensors that are quiet, coarse or broken, which have hardly any
noise to know them by. Not seen here: copies and replays of counters; replays by a device that
leaves readings of its tape out and reports too irregularly to be in ticks, too; an invention that
keeps to the neighbours' range with fresh noise; copies across cells that are delayed or
disguised; cliques of half a cell or more, which are then what the cell says. A clique that reports
a real event in one corner of a cell looks like collusion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import UsageError
from freehold.telemetry.cleaning import Flags, Floats, Whole
from freehold.telemetry.hallmark import (
    different,
    is_counter,
    is_cyclic,
    is_exact,
    is_hallmark,
    is_telling,
    moves_of,
    noise_of,
    tame,
)
from freehold.telemetry.metrics import Limits

TICKS_MIN = 64
"""Ticks of a window at least; what happened in fewer is chance."""
LAGS = 12
"""Ticks that a copy within a cell may be late."""
CELL_MIN, CLIQUE_MIN = 5, 3
"""Devices of a cell before it can contradict one of them, and of a clique."""
CHANGES_MIN = 24
"""Moves of a series in a window before its noise can be recognised."""
_COPIED = 0.7
_QUIET = 1.9
"""Usual noises, by the root of the cell's size, that a sensor's own must have: one and a half
times the error of the cell's median, which all rows share. Less is no hallmark."""
_REPLAYED = 0.8
_BLOCK_VALUES_MIN = 5
"""Different values of noise in a block from which it is a hallmark."""
_TURN = 0.95
"""Of the best likeness: the first lag that is so alike is one turn."""
_LOOP_MIN = 8
_RECENT = 64
_RUN = 16
_FAR = 8.0
_AGREED, _APART = 0.9, 5.0
_BLOCK, _BLOCKS_MIN = 16, 3
_SIGMA = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""
_DECIMALS = 6
_CHUNK = 4_096


class Kind(Enum):
    """What is wrong with a series."""

    COPIED = "copied"
    REPLAYED = "replayed"
    IMPOSSIBLE = "impossible"
    COLLUSIVE = "collusive"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of ``devices`` (rows of the window), since when (milliseconds), and how sure,
    0 to 1. Of a copy without delay both are named: who copied whom does not show."""

    kind: Kind
    devices: tuple[int, ...]
    since: int
    score: float
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """``values`` (devices, ticks) in SI, NaN where nothing came, at ``times`` (ticks,), regular,
    in milliseconds; ``cells`` (devices,) says who are neighbours, ``regular`` who report on these
    ticks, all where it is None: on the ticks of others a series has a pattern that is nobody's."""

    times: Whole
    values: Floats
    cells: Whole
    regular: Flags | None = None

    def __post_init__(self) -> None:
        devices, ticks = self.values.shape
        if self.times.shape != (ticks,) or self.cells.shape != (devices,):
            raise UsageError(
                "the window's shapes do not agree", remedy="Give (ticks,), (devices, ticks)."
            )
        if np.isinf(self.values).any():
            raise UsageError(
                "the window has infinities", remedy="Give NaN where nothing came, and no more."
            )
        if ticks < TICKS_MIN:
            raise UsageError(
                f"{ticks} ticks are too few to tell", remedy=f"Give {TICKS_MIN} ticks or more."
            )

    def regular_rows(self) -> Flags:
        """Which devices report on these ticks."""
        return np.ones(len(self.values), np.bool_) if self.regular is None else self.regular

    def neighbours(self, least: int) -> Iterator[Whole]:
        """The rows of every cell of ``least`` devices or more."""
        order = np.argsort(self.cells, kind="stable")
        cuts = np.flatnonzero(np.diff(self.cells[order])) + 1
        return (rows for rows in np.split(order, cuts) if len(rows) >= least)


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """``values`` (devices, ticks) as in a window, but on ticks of each device's own: ``steps``
    (devices,) long, the last one at ``latest`` (devices,), in milliseconds."""

    latest: Whole
    steps: Floats
    values: Floats


def detect(window: Window, limits: Limits) -> tuple[Finding, ...]:
    """All findings of all kinds, of devices that report on the ticks of the window; ``limits`` are
    the metric's."""
    return (*replayed(own(window)), *among(window, limits))


def among(window: Window, limits: Limits) -> tuple[Finding, ...]:
    """What shows of devices beside others, and of leaps."""
    return (*copied(window), *impossible(window, limits), *collusive(window))


def own(window: Window) -> Own:
    """A window as each device's own, where all report on its ticks."""
    size = len(window.values)
    step = float(window.times[1] - window.times[0])
    return Own(np.full(size, window.times[-1]), np.full(size, step), window.values)


def copied(window: Window) -> tuple[Finding, ...]:
    """Devices whose series is another's: exactly, anywhere; or within a cell in another scale, a
    little late, or with a little noise."""
    exact = list(_exact(window))
    known = {frozenset(finding.devices) for finding in exact}
    disguised = (
        finding
        for rows in window.neighbours(CELL_MIN)
        for finding in _disguised(window, rows)
        if not any(set(finding.devices) <= pair for pair in known)
    )
    return (*exact, *disguised)


def _exact(window: Window) -> Iterator[Finding]:
    moves = np.round(moves_of(window.values), _DECIMALS) + 0.0
    moves[is_counter(moves) | ~window.regular_rows()] = 0.0
    shared = Counter[tuple[int, ...]]()
    since: dict[tuple[int, ...], int] = {}
    for start in range(0, moves.shape[1] - _BLOCK + 1, _BLOCK):
        for rows in _alike(moves[:, start : start + _BLOCK]):
            shared[rows] += 1
            since.setdefault(rows, int(window.times[start]))
    for rows, blocks in shared.items():
        if blocks >= _BLOCKS_MIN:
            yield Finding(
                Kind.COPIED, rows, since[rows], 1 - 0.5**blocks,
                f"{len(rows)} devices moved exactly alike {blocks} times for {_BLOCK} ticks",
            )  # fmt: skip


def _alike(moves: Floats) -> list[tuple[int, ...]]:
    """Groups of rows that are the same, and move often and unevenly enough for that to mean
    something."""
    groups: dict[bytes, list[int]] = {}
    often = np.count_nonzero(moves, axis=1) >= _BLOCK // 2
    uneven = different(np.round(np.diff(moves, axis=1), _DECIMALS)) >= _BLOCK_VALUES_MIN
    for row in np.flatnonzero(often & uneven).tolist():
        groups.setdefault(moves[row].tobytes(), []).append(row)
    return [tuple(rows) for rows in groups.values() if len(rows) > 1]


def _disguised(window: Window, rows: Whole) -> Iterator[Finding]:
    moves = moves_of(window.values[rows])
    own, noise = tame(moves - np.median(moves, axis=0)), noise_of(window.values[rows])
    lively = np.count_nonzero(moves, axis=1) >= CHANGES_MIN
    lively &= is_hallmark(window.values[rows], noise) & window.regular_rows()[rows]
    own[~lively] = 0.0
    size = own.std(axis=1)
    own[size < _QUIET * np.median(size) / np.sqrt(len(rows))] = 0.0
    noise[~lively] = 0.0
    best, lag_of = _likeness(own, noise)
    for late, early in np.argwhere(best > _COPIED).tolist():
        lag = int(lag_of[late, early])
        if late == early or (lag == 0 and late > early):
            continue
        pair = (int(rows[late]), int(rows[early])) if lag == 0 else (int(rows[late]),)
        seen = noise if lag else own
        copy, of = seen[late, lag:], seen[early, : seen.shape[1] - lag]
        if not is_telling(copy, of):
            continue
        since = int(window.times[-1 - _ago(copy, of)])
        when = f"{lag} ticks late" if lag else "at once"
        yield Finding(
            Kind.COPIED, pair, since, float(best[late, early]),
            f"its noise is that of row {int(rows[early])}, {when}",
        )  # fmt: skip


def _likeness(own: Floats, noise: Floats) -> tuple[Floats, Whole]:
    """The greatest correlation of row i with an earlier row j over all lags, and at which lag.

    At once, neighbours share the weather, which ``own`` is free of; later they do not, and taking
    the cell's moves away would only hide what is alike.
    """
    size, ticks = noise.shape
    best, lag_of = _unit(own) @ _unit(own).T, np.zeros((size, size), np.int64)
    for lag in range(1, LAGS + 1):
        found = _unit(noise[:, lag:]) @ _unit(noise[:, : ticks - lag]).T
        lag_of[found > best] = lag
        np.maximum(best, found, out=best)
    return best, lag_of


def replayed(own: Own) -> tuple[Finding, ...]:
    """Devices whose latest noise is noise of their own past: on their ticks or, where those have
    holes, reading by reading, for a tape goes on where it was whenever it is played."""
    ticked = list(_in_chunks(own, np.arange(len(own.values))))
    known = {finding.devices[0] for finding in ticked}
    rows = [row for row in np.flatnonzero(_has_holes(own.values)).tolist() if row not in known]
    return (*ticked, *_in_chunks(_closed(own), np.array(rows, np.int64)))


def _in_chunks(own: Own, rows: Whole) -> Iterator[Finding]:
    for start in range(0, len(rows), _CHUNK):
        yield from _replayed(own, rows[start : start + _CHUNK])


def _has_holes(values: Floats) -> Flags:
    """Rows in which something is missing after the first value: (devices,)."""
    heard = np.isfinite(values)
    return np.asarray((heard[:, :-1] & ~heard[:, 1:]).any(axis=1))


def _closed(own: Own) -> Own:
    """The same readings one after the other, the latest last: stable, for NaN sorts first."""
    order = np.argsort(np.isfinite(own.values), axis=1, kind="stable")
    return replace(own, values=np.take_along_axis(own.values, order, axis=1))


def _replayed(own: Own, rows: Whole) -> Iterator[Finding]:
    noise = noise_of(own.values[rows])
    ticks = noise.shape[1]
    recent = min(_RECENT, ticks // 2)
    likeness = _past_likeness(noise, recent)
    lively = np.count_nonzero(noise[:, -recent:], axis=1) >= CHANGES_MIN
    lively &= is_hallmark(own.values[rows][:, -recent:], noise[:, -recent:])
    best = likeness.max(axis=1)
    lags = _LOOP_MIN + np.argmax(likeness >= _TURN * best[:, None], axis=1)
    for row in np.flatnonzero(lively & (best > _REPLAYED)).tolist():
        lag = int(lags[row])
        late, early = noise[row, lag:], noise[row, : ticks - lag]
        if not is_telling(late[-recent:], early[-recent:]):
            continue
        if not is_exact(late[-recent:], early[-recent:]) and is_cyclic(noise[row]):
            continue
        step, latest = float(own.steps[rows[row]]), int(own.latest[rows[row]])
        yield Finding(
            Kind.REPLAYED, (int(rows[row]),), latest - round(step * _ago(late, early)),
            float(best[row]), f"its noise is its own of {lag * step / 1000:,.0f} seconds before",
        )  # fmt: skip


def _past_likeness(noise: Floats, recent: int) -> Floats:
    """Correlation of the last ``recent`` ticks with those ``lag`` before, (devices, lags), for
    lags from _LOOP_MIN on: 2 a.b / (a.a + b.b), 1 only where both are the same."""
    ticks = noise.shape[1]
    size = 1 << (ticks + recent).bit_length()
    tail = np.fft.rfft(noise[:, -recent:], size)
    dots = np.fft.irfft(np.fft.rfft(noise, size) * np.conj(tail), size)[:, : ticks - recent + 1]
    energy = np.cumsum(np.pad(np.square(noise), ((0, 0), (1, 0))), axis=1)
    past = energy[:, recent:] - energy[:, : ticks - recent + 1]
    both = past + past[:, -1:]
    likeness = np.divide(2 * dots, both, out=np.zeros_like(dots), where=both > 0)
    backwards: Floats = likeness[:, ::-1][:, _LOOP_MIN:]
    return backwards


def impossible(window: Window, limits: Limits) -> tuple[Finding, ...]:
    """Devices that moved faster than the metric can, or stand apart from all their neighbours."""
    apart = (f for rows in window.neighbours(CELL_MIN) for f in _apart(window, rows))
    return (*_fast(window, limits), *apart)


def _fast(window: Window, limits: Limits) -> Iterator[Finding]:
    most = limits.rate * _interval(window.times)
    ticks = np.arange(window.values.shape[1])
    came = np.maximum.accumulate(np.where(np.isfinite(window.values), ticks, -1), axis=1)[:, :-1]
    before = np.take_along_axis(window.values, np.maximum(came, 0), axis=1)
    fast = np.abs(window.values[:, 1:] - before) > most * (ticks[1:] - came)
    for row in np.flatnonzero(fast.any(axis=1)).tolist():
        at = np.flatnonzero(fast[row])
        yield Finding(
            Kind.IMPOSSIBLE, (row,), int(window.times[at[0] + 1]), 1 - 0.5 ** len(at),
            f"it moved by more than {most:g} a tick, {len(at)} times",
        )  # fmt: skip


def _apart(window: Window, rows: Whole) -> Iterator[Finding]:
    values = window.values[rows]
    known = np.isfinite(values).sum(axis=0) >= CELL_MIN
    middle, spread = _middle(values, known)
    beyond = _beyond(values)
    apart = known & (np.abs(values - middle) > _FAR * spread) & (beyond > 0)
    heard = np.isfinite(values)
    lately = (apart | ~heard)[:, -_RUN:].all(axis=1) & (heard[:, -_RUN:].sum(axis=1) >= _RUN / 2)
    for row in np.flatnonzero(lately).tolist():
        start = _run_start(apart[row] | ~heard[row])
        share = float(apart[row].mean())
        yield Finding(
            Kind.IMPOSSIBLE, (int(rows[row]),), int(window.times[start]), (1 + share) / 2,
            f"it is further from its {len(rows) - 1} neighbours than they are from each other",
        )  # fmt: skip


def _beyond(values: Floats) -> Floats:
    """How far each value lies beyond the range of the others, less that range."""
    size = len(values)
    ordered = np.sort(values, axis=0)  # NaN comes last, and stays NaN below
    count = np.isfinite(values).sum(axis=0)
    at = np.arange(values.shape[1])
    low, next_low = ordered[0], ordered[1]
    high = ordered[np.clip(count - 1, 0, size - 1), at]
    next_high = ordered[np.clip(count - 2, 0, size - 1), at]
    over = np.where(values >= high, values - next_high - (next_high - low), -np.inf)
    under = np.where(values <= low, next_low - values - (high - next_low), -np.inf)
    return np.maximum(over, under)


def collusive(window: Window) -> tuple[Finding, ...]:
    """Cliques that agree with each other and not with the rest of their cell."""
    return tuple(
        finding
        for rows in window.neighbours(2 * CLIQUE_MIN + 1)
        for finding in _cliques(window, rows)
    )


def _cliques(window: Window, rows: Whole) -> Iterator[Finding]:
    values = window.values[rows]
    known = np.isfinite(values).sum(axis=0) >= CELL_MIN
    middle, _ = _middle(values, known)
    off = np.where(known & np.isfinite(values), values - middle, 0.0)
    sizes = np.sqrt(np.square(off[:, -_RECENT:]).mean(axis=1))
    far = sizes > _APART * np.median(sizes)
    agreed = _agreed(off[:, -_RECENT:]) & far & far[:, None]
    for clique in _components(agreed):  # less than half of a cell can be far off
        if len(clique) >= CLIQUE_MIN:
            against = _smooth(np.abs(off[clique]).mean(axis=0)) > _APART / 2 * np.median(sizes)
            yield Finding(
                Kind.COLLUSIVE, tuple(rows[clique].tolist()),
                int(window.times[_run_start(against)]),
                1 - float(np.median(sizes) / sizes[clique].min()),
                f"{len(clique)} agree with each other against {len(rows) - len(clique)} neighbours",
            )  # fmt: skip


def _agreed(off: Floats) -> Flags:
    """Whether two rows differ by little beside what both are off, 2 a.b / (a.a + b.b)."""
    square = np.square(off).sum(axis=1)
    both = square + square[:, None]
    dots = 2 * (off @ off.T)
    alike = np.divide(dots, both, out=np.zeros_like(both), where=both > 0)
    agreed: Flags = alike > _AGREED
    return agreed


def _components(linked: Flags) -> list[list[int]]:
    """Groups of rows that are linked, directly or through others; rows without a link are left."""
    left = set(np.flatnonzero(linked.any(axis=1)).tolist())
    groups: list[list[int]] = []
    while left:
        group, edge = set[int](), {left.pop()}
        while edge:
            group |= edge
            edge = set(np.flatnonzero(linked[sorted(edge)].any(axis=0)).tolist()) - group
        left -= group
        groups.append(sorted(group))
    return groups


def _smooth(values: Floats) -> Floats:
    """The mean of the last _BLOCK values at each tick."""
    padded = np.pad(values, (_BLOCK - 1, 0), mode="edge")
    return np.convolve(padded, np.full(_BLOCK, 1 / _BLOCK), mode="valid")


def _unit(rows: Floats) -> Floats:
    """Rows less their mean, of length 1; zeros stay."""
    level = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(level).sum(axis=1, keepdims=True))
    unit: Floats = np.divide(level, length, out=np.zeros_like(level), where=length > 0)
    return unit


def _middle(values: Floats, known: Flags) -> tuple[Floats, float]:
    """The median of each tick, 0 where not enough is known, and the usual spread around it."""
    middle = np.zeros(values.shape[1])
    if not known.any():
        return middle, np.inf
    middle[known] = np.nanmedian(values[:, known], axis=0)
    return middle, _SIGMA * float(np.nanmedian(np.abs(values[:, known] - middle[known])))


def _interval(times: Whole) -> float:
    """Seconds of a tick."""
    return float(times[1] - times[0]) / 1000


def _ago(late: Floats, early: Floats) -> int:
    """Ticks before the end when ``late`` began to be like ``early``: blocks back that agree."""
    blocks = len(late) // _BLOCK
    both = (late != 0) & (early != 0)
    late, early = np.where(both, late, 0.0), np.where(both, early, 0.0)
    a, b = (part[len(part) - blocks * _BLOCK :].reshape(blocks, _BLOCK) for part in (late, early))
    size = np.linalg.norm(late[-_RECENT:]) / max(float(np.linalg.norm(early[-_RECENT:])), 1e-300)
    unlike = np.square(a - size * b).sum(axis=1) > np.square(a).sum(axis=1)
    if not unlike.any():
        return len(late)
    last = min(int(np.flatnonzero(unlike)[-1]) + 1, blocks - 1)
    return (blocks - last) * _BLOCK


def _run_start(flags: NDArray[np.bool_]) -> int:
    """Where the run of true flags that lasts to the end begins."""
    false = np.flatnonzero(~flags)
    return min(int(false[-1]) + 1, len(flags) - 1) if len(false) else 0

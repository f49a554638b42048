"""What goes into an epoch and what comes out of it.

A fixed-point value is an int64 with 32 fractional bits (I32F32); shares are at most ``ONE``.
Arrays are indexed by uid, 0 to n - 1. Times are plain integers of one unit, blocks or seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from freehold.markets.models.yuma.refusals import (
    EntriesError,
    MalformedError,
    RulesError,
    TooManyNodesError,
)

Fixed = npt.NDArray[np.int64]
Targets = npt.NDArray[np.int32]
Stakes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

ONE = 1 << 32
U16_MAX = 0xFFFF
PPM = 1_000_000
NODES_MAX = 4_096
STEEPNESS_MAX = 10_000
EMISSION_MAX = 1 << 128
TIME_MAX = 1 << 62
"""Times are below it, so that one plus a cutoff stays an int64."""
_Item = TypeVar("_Item", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Liquid:
    """Liquid alpha: the rate of a bond lies between ``low`` and ``high``, both of 65535.

    ``steepness`` is in hundredths: 1000 makes the sigmoid exp(-10 (d - 1/2)).
    """

    low: int = 45_875
    high: int = 58_982
    steepness: int = 1_000

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= U16_MAX:
            raise _bounds("0 <= low <= high <= 65535 does not hold for liquid alpha")
        if not 0 <= self.steepness <= STEEPNESS_MAX:
            raise _bounds(f"a steepness is 0 to {STEEPNESS_MAX}")


@dataclass(frozen=True, slots=True)
class Rules:
    """The parameters of a subnet. RulesError where one is out of bounds.

    ``kappa`` and ``bonds_penalty`` are of 65535, ``bonds_ema_ppm`` is the part of the old bonds
    that stays, ``min_stake`` is in the unit of the stakes, ``activity_cutoff`` in that of times.
    """

    max_validators: int
    activity_cutoff: int
    kappa: int = 32_767
    bonds_penalty: int = 65_535
    bonds_ema_ppm: int = 900_000
    yuma3: bool = False
    liquid: Liquid | None = None
    min_stake: int = 0

    def __post_init__(self) -> None:
        for name, value, most in (
            ("max_validators", self.max_validators, NODES_MAX),
            ("activity_cutoff", self.activity_cutoff, TIME_MAX - 1),
            ("kappa", self.kappa, U16_MAX),
            ("bonds_penalty", self.bonds_penalty, U16_MAX),
            ("bonds_ema_ppm", self.bonds_ema_ppm, PPM),
            ("min_stake", self.min_stake, (1 << 64) - 1),
        ):
            if not 0 <= value <= most:
                raise _bounds(f"{name} is 0 to {most}, not {value}")
        if self.liquid is not None and not self.yuma3:
            raise _bounds("liquid alpha goes with yuma3 bonds only")


@dataclass(frozen=True, slots=True)
class Sparse:
    """A matrix by rows: row i is ``targets`` and ``values`` from ``starts[i]`` to ``starts[i+1]``.

    Targets rise strictly within a row. An entry of value 0 is an entry, not an absence: it keeps
    an old bond alive where an absent one drops it.
    """

    starts: Fixed
    targets: Targets
    values: Fixed

    @classmethod
    def of(cls, n: int, entries: Iterable[tuple[int, int, int]]) -> Sparse:
        """From (row, target, value) in any order. EntriesError where a pair comes twice."""
        ordered = sorted(entries)
        _check_pairs(n, ordered)
        counts = np.zeros(n + 1, np.int64)
        for row, _, _ in ordered:
            counts[row + 1] += 1
        targets = np.array([target for _, target, _ in ordered], np.int32)
        return cls(np.cumsum(counts), targets, np.array([v for _, _, v in ordered], np.int64))

    @property
    def rows(self) -> Fixed:
        """The row of every entry, shape (entries,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def row(self, i: int) -> tuple[Targets, Fixed]:
        """Targets and values of one row."""
        span = slice(int(self.starts[i]), int(self.starts[i + 1]))
        return self.targets[span], self.values[span]

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """(row, target, value), rows and targets rising."""
        yield from zip(self.rows.tolist(), self.targets.tolist(), self.values.tolist(), strict=True)

    def dense(self) -> Fixed:
        """The whole matrix, shape (n, n), absent entries 0."""
        n = len(self.starts) - 1
        full = np.zeros((n, n), np.int64)
        full[self.rows, self.targets] = self.values
        return full

    def where(self, kept: Flags) -> Sparse:
        """Only the entries that ``kept``, shape (entries,), says."""
        counts = np.bincount(self.rows[kept], minlength=len(self.starts) - 1)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        return Sparse(starts, self.targets[kept], self.values[kept])

    def with_values(self, values: Fixed) -> Sparse:
        """The same entries with other values."""
        return Sparse(self.starts, self.targets, values)

    def check(self, n: int, most: int) -> None:
        """EntriesError or MalformedError unless this is n x n with values 0 to ``most``."""
        shaped(self.targets, (len(self.targets),), np.dtype(np.int32), "targets")
        shaped(self.values, self.targets.shape, np.dtype(np.int64), "values")
        shaped(self.starts, (n + 1,), np.dtype(np.int64), "starts")
        counts = np.diff(self.starts)
        if self.starts[0] != 0 or self.starts[-1] != len(self.targets) or (counts < 0).any():
            raise _entries("the starts of the rows do not cover the entries")
        if not len(self.targets):
            return
        if self.targets.min() < 0 or self.targets.max() >= n:
            raise _entries(f"a target is no uid below {n}")
        if self.values.min() < 0 or self.values.max() > most:
            raise _entries(f"a value is not 0 to {most}")
        falls = np.flatnonzero(np.diff(self.targets) <= 0) + 1
        if not np.isin(falls, self.starts).all():
            raise _entries("targets of a row do not rise, or one comes twice")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything an epoch follows from.

    ``stake`` uint64 (n,); ``updated`` and ``registered`` int64 (n,): when a node's weights were
    set and when it took its uid; ``permits`` bool (n,): those in force at the start; ``weights``
    and ``bonds`` n x n of u16; ``last_epoch``: the time of the epoch before, whose bonds these
    are; ``committed`` int64 (n,): when weights that were revealed later had been committed.
    """

    stake: Stakes
    updated: Fixed
    registered: Fixed
    permits: Flags
    weights: Sparse
    bonds: Sparse
    now: int
    last_epoch: int
    committed: Fixed | None = None

    def __post_init__(self) -> None:
        n = self.n
        if not 1 <= n <= NODES_MAX:
            raise _many(f"an epoch has 1 to {NODES_MAX} nodes, not {n}")
        shaped(self.stake, (n,), np.dtype(np.uint64), "stake")
        shaped(self.permits, (n,), np.dtype(np.bool_), "permits")
        times = {"updated": self.updated, "registered": self.registered}
        if self.committed is not None:
            times["committed"] = self.committed
        for name, values in times.items():
            shaped(values, (n,), np.dtype(np.int64), name)
            if values.min() <= -TIME_MAX or values.max() >= TIME_MAX:
                raise _malformed(f"a time in {name} is not within 2^62")
        if not max(abs(self.now), abs(self.last_epoch)) < TIME_MAX:
            raise _malformed("now or last_epoch is not within 2^62")
        self.weights.check(n, U16_MAX)
        self.bonds.check(n, U16_MAX)

    @property
    def n(self) -> int:
        """How many uids there are."""
        return len(self.stake)


@dataclass(frozen=True, slots=True)
class Emission:
    """Base units of every uid, floors before dust, and the shares that they are floors of.

    ``server`` pays incentive, ``validator`` dividends; ``combined`` is the floor of both shares
    together, which only ranks nodes. Shares are I32F32, shape (n,).
    """

    total: int
    server: tuple[int, ...]
    validator: tuple[int, ...]
    combined: tuple[int, ...]
    server_share: Fixed
    validator_share: Fixed
    combined_share: Fixed


@dataclass(frozen=True, slots=True)
class Result:
    """One epoch. Vectors are I32F32, shape (n,); matrices are n x n, each with its own entries.

    ``stake`` S and ``active_stake`` A are normalised. ``raw_weights`` are the u16 entries that
    count, ``row_totals`` their sums, ``weights`` W their shares of it. ``consensus`` C, ``rank``
    R = sum of A times ``clipped``, ``incentive`` its shares, ``trust`` the row sums of clipped
    weights (validator trust). ``bond_weights`` lie between W and clipped. ``bonds`` are E before
    the column normalisation of yuma3 (classic: after it), ``bond_shares`` E as dividends use it,
    ``stored_bonds`` the u16 that the next epoch starts from, only of rows that keep a permit.
    ``raw_dividends`` are sums before normalisation, ``dividends`` after.
    """

    stake: Fixed
    active_stake: Fixed
    row_totals: Fixed
    raw_weights: Sparse
    weights: Sparse
    consensus: Fixed
    clipped: Sparse
    rank: Fixed
    incentive: Fixed
    trust: Fixed
    bond_weights: Sparse
    bonds: Sparse
    bond_shares: Sparse
    stored_bonds: Sparse
    raw_dividends: Fixed
    dividends: Fixed
    permits: Flags
    emission: Emission


def shaped(
    array: npt.NDArray[_Item], shape: tuple[int, ...], kind: np.dtype[_Item], name: str
) -> None:
    """MalformedError unless an array has that shape and type."""
    if array.shape != shape or array.dtype != kind:
        found = f"{array.dtype} {array.shape}"
        raise _malformed(f"{name} is {found}, not {kind} {shape}")


def _check_pairs(n: int, ordered: list[tuple[int, int, int]]) -> None:
    before = (-1, -1)
    for row, target, value in ordered:
        if not 0 <= value < TIME_MAX:
            raise _entries(f"an entry has the value {value}, not one below 2^62")
        if not (0 <= row < n and 0 <= target < n):
            raise _entries(f"({row}, {target}) is no pair of uids below {n}")
        if (row, target) == before:
            raise _entries(f"uid {row} names uid {target} twice")
        before = (row, target)


def _bounds(message: str) -> RulesError:
    return RulesError(message, remedy="Take the parameters that the subnet's contract holds.")


def _entries(message: str) -> EntriesError:
    return EntriesError(message, remedy="Give every target once, in rising order, as uids below n.")


def _malformed(message: str) -> MalformedError:
    return MalformedError(message, remedy="Build the inputs from the chain's records again.")


def _many(message: str) -> TooManyNodesError:
    return TooManyNodesError(message, remedy="Split the subnet, or lower its number of uids.")

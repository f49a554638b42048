"""What many watchers agree on: committees, weighted medians and scores, as contract `status` does.

A watcher uses it to know what it is to watch and what to commit to, an auditor to recompute what
was settled. Values are integers in an aspect's unit, weights base units of stake, or seats where
the committee was drawn; scores and shares are ten-thousandths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

from freehold.domain.errors import ConflictError, UsageError
from freehold.domain.ids import Address, keccak, raw_address

BPS = 10_000
VALUE_MAX = 2**120
TOLD_MAX = 128
"""Values that a watcher tells in one round."""
SEATS_MAX = 24
FIRST_SCORE = 5_000
GAIN_MOVED, GAIN_STILL = 2_000, 100
LOSS_STALE, LOSS_FAR, LOSS_SILENT = 5_000, 3_000, 1_000
CLIP = 10
"""Tolerances at which an outlier's distance is clipped."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A watcher of a committee and its weight."""

    watcher: Address
    weight: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a value may differ by: ``bps`` of the median's size, and ``least`` at any rate."""

    bps: int
    least: int = 1

    def within(self, median: int) -> int:
        """The tolerance around a median, in the aspect's unit."""
        return max(self.least, abs(median) * self.bps // BPS)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a watcher saw: ``value`` of one ``aspect`` (32 bytes) of a node or device."""

    subject: Address
    aspect: bytes
    value: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a committee agreed on; ``before`` is the value settled last, None at first."""

    value: int
    before: int | None
    within: int
    told_bps: int
    spread: int

    @property
    def moved(self) -> bool:
        """Whether the value left the tolerance around the one before, or is the first."""
        return self.before is None or abs(self.value - self.before) > self.within

    def is_stale(self, told: int) -> bool:
        """Whether a value is the one before, or near it, where that has moved away."""
        if self.before is None or not self.moved:
            return False
        return abs(told - self.before) <= self.within < abs(told - self.value)


def digest(
    observations: Sequence[Observation],
    *,
    chain_id: int,
    contract: Address,
    round_number: int,
    watcher: Address,
    salt: bytes,
) -> bytes:
    """What a watcher commits to, 32 bytes; ``salt`` is 32 random bytes that it keeps.

    UsageError where there are too many observations, or one has a value or a size out of bounds.
    """
    check(observations, salt)
    told = keccak(
        _encoded(
            [_address_word(each.subject) for each in observations],
            [each.aspect for each in observations],
            [(each.value % 2**256).to_bytes(32, "big") for each in observations],
        )
    )
    head = [_word(chain_id), _address_word(contract), _word(round_number), _address_word(watcher)]
    return keccak(b"".join([*head, salt, told]))


def check(observations: Sequence[Observation], salt: bytes) -> None:
    """UsageError where the contract would refuse to be told this."""
    if len(observations) > TOLD_MAX:
        raise UsageError(
            f"{len(observations)} observations in one round",
            remedy=f"Tell at most {TOLD_MAX} a round; take turns with the others.",
        )
    if len({(each.subject, each.aspect) for each in observations}) != len(observations):
        raise UsageError("one thing is observed twice", remedy="Keep one value of each aspect.")
    if len(salt) != 32 or any(len(each.aspect) != 32 for each in observations):
        raise UsageError("a salt or an aspect is not 32 bytes long", remedy="Hash its name.")
    if any(abs(each.value) > VALUE_MAX for each in observations):
        raise UsageError("a value is out of bounds", remedy="Tell it in a larger unit.")


def draw(
    line: Sequence[Seat], *, seed: bytes, round_number: int, subject: Address, seats: int
) -> list[Seat]:
    """Seats drawn from a line of all members and their stake: one point in each equal stratum.

    The weights of what comes back are seats; who has none is left out.
    """
    whole = sum(each.weight for each in line)
    held: dict[int, int] = {}
    place, end = 0, line[0].weight if line else 0
    for seat in range(seats if whole else 0):
        body = seed + _word(round_number) + _address_word(subject) + _word(seat)
        noise = int.from_bytes(keccak(body)[:8], "big")
        point = (seat << 64 | noise) * whole // (seats << 64)
        while point >= end:
            place += 1
            end += line[place].weight
        held[place] = held.get(place, 0) + 1
    return [Seat(line[place].watcher, count) for place, count in held.items()]


def settle(
    seats: Sequence[Seat],
    told: Mapping[Address, int],
    *,
    before: int | None,
    tolerance: Tolerance,
) -> Settlement:
    """What a committee agrees on; ConflictError where too few told or, the first time, agreed.

    ``told`` is what each watcher revealed; who has no seat is not heard.
    """
    entries = sorted((told[s.watcher], s.weight) for s in seats if s.weight and s.watcher in told)
    whole = sum(each.weight for each in seats)
    heard = sum(weight for _, weight in entries)
    if 2 * heard <= whole:
        raise ConflictError(
            f"watchers with {heard} of {whole} told a value",
            remedy="Wait for a round in which more than half of the weight tells.",
        )
    if before is not None and heard < whole:
        entries = sorted([*entries, (before, whole - heard)])
    value = median(entries, heard if before is None else whole)
    within = tolerance.within(value)
    if before is None and median(entries, whole) - median(entries, whole, whole - heard) > within:
        raise ConflictError(
            "too few watchers agree for a first value",
            remedy="Wait for a round in which more of them tell, or widen the tolerance.",
        )
    return Settlement(value, before, within, heard * BPS // whole, spread(entries))


def median(entries: Sequence[tuple[int, int]], whole: int, below: int = 0) -> int:
    """The least of the rising (value, weight) with half of ``whole`` at or below it.

    ``below`` is weight that lies under all of them. With weight on both sides it is their lower
    weighted median; where they never reach half, the last one.
    """
    reached, value = below, entries[-1][0]
    for each, weight in entries:
        reached += weight
        if 2 * reached >= whole:
            return each
    return value


def spread(entries: Sequence[tuple[int, int]]) -> int:
    """From the value that a quarter of the weight reaches to the one that three quarters reach."""
    whole = sum(weight for _, weight in entries)
    lower, upper = (_reaching(entries, part * whole) for part in (1, 3))
    return upper - lower


def _reaching(entries: Sequence[tuple[int, int]], quarters: int) -> int:
    reached = 0
    for value, weight in entries:
        reached += weight
        if 4 * reached >= quarters:
            return value
    return entries[-1][0]


def scored(score: int, told: int | None, settled: Settlement) -> int:
    """A member's score after a settlement; None where it had a seat and told nothing."""
    if told is None:
        return score - score * LOSS_SILENT // BPS
    apart = abs(told - settled.value)
    if apart <= settled.within:
        gain = GAIN_MOVED if settled.moved else GAIN_STILL
        return score + (BPS - score) * gain // BPS
    if settled.is_stale(told):
        return score - score * LOSS_STALE // BPS
    clip = max(CLIP * settled.within, 1)
    return score - score * LOSS_FAR * min(apart, clip) // (BPS * clip)


def odds(share: float, seats: int = SEATS_MAX) -> float:
    """The most often that liars with a share of all stake hold half of a drawn committee.

    A binomial of seats and share bounds it, however stake is split and ordered, as long as half of
    the seats is one more than they can expect (W. Hoeffding, On the distribution of the number of
    successes in independent trials, Ann. Math. Statist. 27, 1956); beyond that it is 1. Where all
    members sit there are no odds: liars win with half of the stake, and never with less.
    """
    if not 0 <= share <= 1 or seats < 1:
        raise UsageError(
            f"a share of {share} and {seats} seats", remedy="Give a share from 0 to 1, and seats."
        )
    half = (seats + 1) // 2
    if seats * share + 1 > half:
        return 1.0
    return sum(
        comb(seats, held) * share**held * (1 - share) ** (seats - held)
        for held in range(half, seats + 1)
    )


def _encoded(*arrays: Sequence[bytes]) -> bytes:
    # Arrays of words as the ABI lays them out: where each begins, then each behind its length.
    heads, bodies, offset = [], [], 32 * len(arrays)
    for each in arrays:
        heads.append(_word(offset))
        bodies.append(b"".join([_word(len(each)), *each]))
        offset += 32 * (1 + len(each))
    return b"".join([*heads, *bodies])


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address_word(account: Address) -> bytes:
    return raw_address(account).rjust(32, b"\0")

"""Filecoin's emission: 330 million by time, 770 million by proven storage, in attoFIL.

Per epoch of 30 seconds the integers are those of the reward actor (builtin-actors,
actors/reward/src/logic.rs and state.rs). The baseline part moves along *network time* theta: one
epoch passes where the network holds the baseline, less where it holds less. Freehold counts only
bytes that are backed by fees.

For other epochs, the simple part has the closed form ``total * (1 - exp(-lambda * t))`` with t in
30-second epochs of Q.128. The actor's own sum over epochs is e^lambda times that and passes the
330 million by 36 FIL in the end; the closed form never does. The baseline steps once per
settlement epoch of a multiple of 30 seconds, with the growth of that many Filecoin epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import UsageError
from freehold.economics.schedules.fixed import ONE, PLACES, REACH, exp_negative, power, times

EPOCH_SECONDS = 30
NATIVE = 1
"""Base units (10^-18) of one attoFIL."""
SIMPLE_TOTAL = 330_000_000 * 10**18
BASELINE_TOTAL = 770_000_000 * 10**18
LAMBDA = 37396271439864487274534522888786
"""ln 2 / (6 years of epochs), Q.128."""
EXP_LAMBDA_SUB_ONE = 37396273494747879394193016954629
BASELINE_EXPONENT = 340282591298641078465964189926313473653
"""Growth of the baseline an epoch, Q.128: twofold in a year."""
BASELINE_INITIAL = 2_888_888_880_000_000_000
"""Bytes of the baseline at the first epoch: 2.5 EiB."""
LAST_EPOCH = REACH // LAMBDA
"""Nothing is minted past this epoch, 138 years on: exp(-x) is defined no further."""
CEILING = 2**192
"""Bytes at which a baseline stops growing, so that the contract's sums never overflow."""
CATCH_UP = 64
"""Network time that one settlement epoch can make up at most, in settlement epochs."""


def simple_reward(epoch: int) -> int:
    """AttoFIL of the time part in a 30-second epoch, counted from 0."""
    if not 0 <= epoch <= LAST_EPOCH:
        return 0
    return _simple_q128(epoch) >> PLACES


def baseline_reward(prev_theta_q128: int, theta_q128: int) -> int:
    """AttoFIL of the storage part while network time goes from one theta to the next.

    As the actor rounds it in its first epoch: together with the simple part, which is then taken
    off again. UsageError where network time runs backwards or is negative.
    """
    if not 0 <= prev_theta_q128 <= theta_q128:
        raise UsageError(
            f"network time runs from {prev_theta_q128} to {theta_q128}",
            remedy="Give two thetas of at least 0, the earlier one first.",
        )
    first = _simple_q128(0)
    moved = supply_q128(theta_q128, BASELINE_TOTAL) - supply_q128(prev_theta_q128, BASELINE_TOTAL)
    return ((first + moved) >> PLACES) - (first >> PLACES)


def compute_r_theta(
    effective_network_time: int, baseline_at_ent: int, cumsum_realized: int, cumsum_baseline: int
) -> int:
    """Network time in Q.128: the epoch whose baseline is not yet filled, less what it lacks."""
    if effective_network_time == 0:
        return 0
    lacking = ((cumsum_baseline - cumsum_realized) << PLACES) // baseline_at_ent
    return (effective_network_time << PLACES) - lacking


def baseline_from_previous(previous: int, growth: int = BASELINE_EXPONENT) -> int:
    """The baseline in bytes, one epoch after ``previous``."""
    return min(times(previous, growth), CEILING)


def supply_q128(theta: int, total: int) -> int:
    """``total * (1 - exp(-lambda * theta))`` in Q.128, for a Q.128 theta in Filecoin epochs."""
    return (ONE - exp_negative(times(theta, LAMBDA))) * total


def supply(theta: int, total: int) -> int:
    """As ``supply_q128``, in whole base units."""
    return supply_q128(theta, total) >> PLACES


def elapsed_theta(seconds: int) -> int:
    """Seconds as Filecoin epochs in Q.128."""
    return (seconds << PLACES) // EPOCH_SECONDS


def _simple_q128(epoch: int) -> int:
    return times(SIMPLE_TOTAL * EXP_LAMBDA_SUB_ONE, exp_negative(LAMBDA * epoch))


@dataclass(frozen=True, slots=True)
class Baseline:
    """The baseline's state after some settlement epochs of ``ratio`` Filecoin epochs each.

    ``target`` and ``effective`` are bytes: the baseline now, and at network time ``time`` (in
    settlement epochs, rounded up); ``wanted`` and ``realized`` are sums of bytes over epochs.
    """

    ratio: int
    growth: int
    target: int
    effective: int
    time: int = 0
    wanted: int = 0
    realized: int = 0

    @classmethod
    def start(cls, *, epoch_seconds: int, initial: int = BASELINE_INITIAL) -> Baseline:
        """Before the first epoch; UsageError unless epochs are whole Filecoin epochs."""
        if epoch_seconds <= 0 or epoch_seconds % EPOCH_SECONDS:
            raise UsageError(
                f"an epoch of {epoch_seconds} seconds is no number of Filecoin's",
                remedy=f"Choose a multiple of {EPOCH_SECONDS} seconds.",
            )
        ratio = epoch_seconds // EPOCH_SECONDS
        growth = power(BASELINE_EXPONENT, ratio)
        before = ((initial << (2 * PLACES)) // growth) >> PLACES
        return cls(ratio=ratio, growth=growth, target=before, effective=initial)

    def after(self, backed: int) -> Baseline:
        """One settlement epoch on, in which ``backed`` bytes were held and paid for."""
        target = baseline_from_previous(self.target, self.growth)
        realized = self.realized + min(target, backed)
        effective, time, wanted = self.effective, self.time, self.wanted
        for _ in range(CATCH_UP):
            if realized <= wanted:
                break
            time += 1
            effective = baseline_from_previous(effective, self.growth)
            wanted += effective
        # What could not be made up is dropped, or it would be minted later at once.
        realized = min(realized, wanted)
        return Baseline(self.ratio, self.growth, target, effective, time, wanted, realized)

    @property
    def theta(self) -> int:
        """Network time in Filecoin epochs, Q.128."""
        mine = compute_r_theta(self.time, self.effective, self.realized, self.wanted)
        return mine * self.ratio

    def supply(self, total: int = BASELINE_TOTAL) -> int:
        """Base units of the storage part so far."""
        return supply(self.theta, total)

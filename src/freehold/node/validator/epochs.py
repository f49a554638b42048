"""The network's epochs, and when in one a validator does what.

It reveals at the start, asks somewhere in the first half, and commits as soon as it has scored,
at three quarters at the latest. What is sent in the last twentieth may be mined too late, so
nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass

from freehold.ledger.contracts.roots import Roots

SPREAD_MAX = 3_600.0
MARGIN_LEAST = 2
"""Seconds before the end of an epoch in which nothing is committed, however short it is."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """When epoch 0 began, and the seconds of an epoch."""

    genesis: int
    length: int

    @classmethod
    def of(cls, roots: Roots) -> Epochs:
        """Those of a network."""
        return cls(roots.genesis(), roots.epoch_length())

    def at(self, now: int) -> int:
        """The epoch of a moment."""
        return (now - self.genesis) // self.length

    def start(self, epoch: int) -> int:
        """When an epoch begins."""
        return self.genesis + epoch * self.length

    def age(self, now: int) -> int:
        """Seconds since the epoch of a moment began."""
        return (now - self.genesis) % self.length

    @property
    def spread(self) -> float:
        """Seconds over which the questions of a round are strewn."""
        return min(self.length / 8, SPREAD_MAX)

    def asks_at(self, draw: float) -> float:
        """Seconds into an epoch at which a round begins; ``draw`` from 0 to 1. Nobody can tell
        beforehand, so nobody can answer well for just that long."""
        return draw * self.length / 4

    def left_to_ask(self, now: int) -> float:
        """Seconds in which questions may still be put."""
        return self.length / 2 - self.age(now)

    def left_to_score(self, now: int) -> float:
        """Seconds in which answers may still be scored."""
        return self.length * 5 / 8 - self.age(now)

    def is_commit_time(self, now: int) -> bool:
        """Whether what is known has to be committed to, scored anew or not."""
        return self.age(now) * 4 >= self.length * 3

    def can_commit(self, now: int) -> bool:
        """Whether a commitment that is sent now comes in time."""
        return self.length - self.age(now) > max(self.length // 20, MARGIN_LEAST)

    def is_record_time(self, now: int) -> bool:
        """Whether those who have not revealed by now stay away."""
        return self.age(now) * 2 >= self.length

    def turn(self, now: int, place: int, count: int) -> bool:
        """Whether the one in ``place`` of ``count`` has waited for those before it."""
        return self.age(now) - self.length / 2 >= self.length / 4 * place / max(count, 1)

"""The rounds in which watchers agree, and when in one a watcher does what."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address, keccak, raw_address
from freehold.ledger.contracts.status import Status

PROBES = 6
"""Times that a node is probed in a round."""
PROBE_EVERY, COMMIT_AT = 20, 10
"""A probe each twentieth of a round; committed from three tenths on, so that what devices sent
in the round before has arrived, and long before the half is over."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """When round 0 began, and the seconds of a round."""

    genesis: int
    length: int

    @classmethod
    def of(cls, status: Status) -> Rounds:
        """Those of a network."""
        return cls(status.genesis(), status.round_length())

    def at(self, now: int) -> int:
        """The round of a moment."""
        return (now - self.genesis) // self.length

    def start(self, number: int) -> int:
        """When a round begins."""
        return self.genesis + number * self.length

    def age(self, now: int) -> int:
        """Seconds since the round of a moment began."""
        return (now - self.genesis) % self.length

    def is_first_half(self, now: int) -> bool:
        """Whether watchers commit and settle, and do not reveal and join."""
        return self.age(now) < self.length // 2

    def probes_due(self, now: int) -> int:
        """Probes that should be made by now in this round."""
        return min(PROBES, self.age(now) * PROBE_EVERY // self.length + 1)

    def is_commit_time(self, now: int) -> bool:
        """Whether what was seen is committed to now."""
        return self.is_first_half(now) and self.age(now) * COMMIT_AT >= 3 * self.length

    def can_commit(self, now: int) -> bool:
        """Whether a commit that is sent now comes in time; the last tenth of the half is for it."""
        return 20 * self.age(now) < 9 * self.length

    def turn(self, place: int, count: int) -> int:
        """Seconds into a half that the one in ``place`` of ``count`` waits for those before it."""
        return self.length * place // (4 * max(count, 1))


def draw(*parts: bytes | int | Address) -> int:
    """A number that everybody draws alike from the same parts."""
    return int.from_bytes(keccak(b"".join(_raw(part) for part in parts))[:8], "big")


def _raw(part: bytes | int | Address) -> bytes:
    if isinstance(part, bytes):
        return part
    return part.to_bytes(8, "big") if isinstance(part, int) else raw_address(part)

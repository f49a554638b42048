"""What watchers agree on of nodes and devices: rounds, members, values and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract, convert_list
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Parameters:
    """Base units of own stake that a member needs; seats of a committee; the score below which a
    member has no weight; ten-thousandths of a median's size that others may differ by."""

    least_stake: int
    seats: int
    floor: int
    tolerance_bps: int


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a value may differ by: ``bps`` of the median's size, and ``least`` at any rate."""

    bps: int
    least: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """A value and the block time of its settlement, 0 where there was none; the share of the
    committee's weight that told, and how far apart the middle half of it was."""

    value: int
    at: int
    round: int
    told_bps: int
    spread: int


@dataclass(frozen=True, slots=True)
class Member:
    """A watcher on the list: its first round, score of 10^4, when it left (0 while it stays), and
    weight in the present round where everybody sits."""

    place: int
    since: int
    score: int
    left_at: int
    weight: int


@dataclass(frozen=True, slots=True)
class Seat:
    """A watcher of a committee; ``weight`` is base units, or seats where they were drawn."""

    watcher: Address
    weight: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a watcher told; ``value`` counts where it is ``known``."""

    known: bool
    value: int


class Status(Contract):
    """Rounds have two halves: commit and settle, then reveal, join, leave and refresh."""

    name = "status"

    def join(self) -> Receipt:
        """Become a member from the next round on, by a watcher's own key. Where the receipt has an
        event Displaced and none Joined, a place was made: join again in a later round."""
        return self._send("join")

    def leave(self) -> Receipt:
        """Stop being a member after this round."""
        return self._send("leave")

    def refresh(self, watcher: Address) -> Receipt:
        """Record a member's stake anew; anyone."""
        return self._send("refresh", watcher)

    def commit(self, digest: bytes) -> Receipt:
        """Bind oneself to what one saw; ``freehold.control.consensus.digest`` makes it."""
        return self._send("commit", digest)

    def reveal(
        self,
        salt: bytes,
        subjects: Sequence[Address],
        aspects: Sequence[bytes],
        values: Sequence[int],
    ) -> Receipt:
        """Tell all that was committed to; three sequences of one length."""
        return self._send("reveal", salt, list(subjects), list(aspects), list(values))

    def settle(self, round_number: int, subject: Address, aspect: bytes) -> Receipt:
        """Agree on a value of the round before; anyone."""
        return self._send("settle", round_number, subject, aspect)

    def settle_many(
        self, round_number: int, subjects: Sequence[Address], aspects: Sequence[bytes]
    ) -> Receipt:
        """Settle up to 32 values, all or none; passes over what was settled meanwhile."""
        return self._send("settle_many", round_number, list(subjects), list(aspects))

    def value_of(self, subject: Address, aspect: bytes) -> tuple[int, int]:
        """The value last agreed on and its block time, 0 where there is none."""
        value, at = self._views(int, "value_of", subject, aspect)
        return value, at

    def status_of(self, subject: Address, aspect: bytes) -> Agreed:
        """The value last agreed on and how far the watchers agreed."""
        return self._view(Agreed, "status_of", subject, aspect)

    def committee(self, round_number: int, subject: Address) -> list[Seat]:
        """Who watches a subject, in the present round or the one before."""
        return convert_list(Seat, self._door.call(self.name, "committee", (round_number, subject)))

    def told_of(
        self, round_number: int, watcher: Address, subject: Address, aspect: bytes
    ) -> int | None:
        """What a watcher told in a round; None where nothing, or something newer since."""
        found = self._view(Told, "told_of", round_number, watcher, subject, aspect)
        return found.value if found.known else None

    def member(self, watcher: Address) -> Member:
        """A member; RefusedError where it is none."""
        return self._view(Member, "member", watcher)

    def score_of(self, watcher: Address) -> int:
        """A watcher's score of 10^4; half where it was never a member."""
        return self._view(int, "score_of", watcher)

    def round_now(self) -> int:
        """The present round."""
        return self._view(int, "round_now")

    def is_first_half(self) -> bool:
        """Whether watchers commit now."""
        return self._view(bool, "is_first_half")

    def genesis(self) -> int:
        """When round 0 began."""
        return self._view(int, "genesis")

    def round_length(self) -> int:
        """Seconds of a round."""
        return self._view(int, "round_length")

    def parameters(self) -> Parameters:
        """The terms in force."""
        return self._view(Parameters, "parameters")

    def tolerance_of(self, aspect: bytes) -> Tolerance:
        """An aspect's tolerance."""
        return self._view(Tolerance, "tolerance_of", aspect)

"""Proofs of data possession: sets, pieces, rounds."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import IntegrityError
from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract, convert
from freehold.ledger.values import Receipt, Value


@dataclass(frozen=True, slots=True)
class ProofSet:
    """All that one prover proves for one listener; ``span`` is the frozen range that challenges
    are drawn from and ``leaves`` what the set holds now, both in leaves."""

    listener: Address
    prover: Address
    next_round: int
    span: int
    leaves: int
    pieces: int
    misses: int
    created_period: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """One Merkle tree in a set; ``removed`` is 0 no, 1 requested, 2 applied."""

    root: bytes
    height: int
    leaves: int
    added_period: int
    removed: int


@dataclass(frozen=True, slots=True)
class Spot:
    """A leaf of a set: the piece and the leaf's position in it."""

    piece_id: int
    offset: int


class Pdp(Contract):
    """The verifier and its schedule; it knows no money."""

    name = "pdp"

    def prove(self, set_id: int, round_index: int, proof: bytes) -> Receipt:
        """Answer a round: for every challenge the leaf and its siblings, packed."""
        return self._send("prove", set_id, round_index, proof)

    def roll(self, set_id: int, most: int) -> Receipt:
        """Apply up to ``most`` queued removals that are due."""
        return self._send("roll", set_id, most)

    def set(self, set_id: int) -> ProofSet:
        """A set."""
        return self._view(ProofSet, "set", set_id)

    def piece(self, set_id: int, piece_id: int) -> Piece:
        """A piece of a set."""
        return self._view(Piece, "piece", set_id, piece_id)

    def find(self, set_id: int, leaf: int) -> Spot:
        """The piece that holds a leaf of the set's range."""
        return _spot(self._door.call(self.name, "find", (set_id, leaf)))

    def challenged(self, set_id: int, round_index: int) -> list[Spot]:
        """The leaves that a round asks for."""
        value = self._door.call(self.name, "challenged", (set_id, round_index))
        if not isinstance(value, list):
            raise _misfit()
        return [_spot(item) for item in value]

    def next_round(self, set_id: int) -> int:
        """The first round that is not resolved."""
        return self._view(int, "next_round", set_id)

    def owed(self, set_id: int) -> int:
        """Rounds past their deadline and not answered."""
        return self._view(int, "owed", set_id)

    def missed(self, set_id: int) -> int:
        """Recorded misses and owed rounds."""
        return self._view(int, "missed", set_id)

    def good_rounds(self, set_id: int, first: int, last: int) -> int:
        """Rounds in ``first <= r < last`` that were proven in time."""
        return self._view(int, "good_rounds", set_id, first, last)

    def decided_until(self, set_id: int) -> int:
        """The moment up to which it is decided what was proven."""
        return self._view(int, "decided_until", set_id)

    def challenges(self) -> int:
        """How many leaves a round asks for."""
        return self._view(int, "challenges")

    def window(self) -> int:
        """Seconds from the storing of a round's seed to its deadline."""
        return self._view(int, "window")

    def sink(self) -> Address:
        """Who counts the work of proofs; the zero address for nobody."""
        return self._view(Address, "sink")

    def prover(self, set_id: int) -> Address:
        """Whose data a set proves."""
        return self._view(Address, "prover", set_id)

    def listener(self, set_id: int) -> Address:
        """Who opened a set."""
        return self._view(Address, "listener", set_id)

    def waiting(self, set_id: int) -> tuple[int, int]:
        """Queued removals of a set: how many, and how many are due now."""
        queued, due = self._views(int, "waiting", set_id)
        return queued, due

    def miss(self, set_id: int, index: int) -> int:
        """The round of a recorded miss."""
        return self._view(int, "miss", set_id, index)

    def set_count(self) -> int:
        """How many sets there are; ids run from 1."""
        return self._view(int, "set_count")

    def verify_leaf(self, set_id: int, piece_id: int, leaf_index: int, proof: bytes) -> bool:
        """Whether a leaf with its siblings belongs to a piece."""
        return self._view(bool, "verify_leaf", set_id, piece_id, leaf_index, proof)


def _spot(value: Value) -> Spot:
    if isinstance(value, dict) and len(value) == 2:
        value = list(value.values())
    if not isinstance(value, list) or len(value) != 2:
        raise _misfit()
    return Spot(convert(int, value[0]), convert(int, value[1]))


def _misfit() -> IntegrityError:
    return IntegrityError(
        "pdp answered something else than a piece and an offset",
        remedy="Install the release of freehold that fits the network's contracts.",
    )

"""The storage market's nodes: joining, leaving, faults, slashing, spot challenges."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Parameters:
    """The rules for nodes: seconds, basis points, base units, gas."""

    notice: int
    faults_max: int
    stake_per_tib: int
    fault_fee_bps: int
    slash_bps: int
    compensation_bps: int
    bounty_bps: int
    spot_window: int
    spot_gas: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the market knows of a node; ``bytes`` and ``locked`` are what it is committed to."""

    set_id: int
    bytes: int
    columns: int
    notice_at: int
    failed_at_round: int
    failed: bool
    misses_charged: int
    locked: int


@dataclass(frozen=True, slots=True)
class SpotChallenge:
    """One leaf of one piece that a node must show; ``prepaid`` in wei.

    It can be expired once the deadline is past and the period of a round from ``round`` on is over.
    """

    node: Address
    piece_id: int
    leaf: int
    deadline: int
    round: int
    challenger: Address
    prepaid: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Compensation that waits for a failed node's clients, and the bytes that share it."""

    amount: int
    size: int


class Faults(Contract):
    """The ledger of nodes: listener of their proofs, locker and slasher of their stake."""

    name = "faults"

    def parameters(self) -> Parameters:
        """The rules for nodes."""
        return self._view(Parameters, "parameters")

    def join(self, node: Address) -> Receipt:
        """Let a node take part: makes its proof set; its owner."""
        return self._send("join", node)

    def give_notice(self, node: Address) -> Receipt:
        """Announce that a node leaves; its owner or its key."""
        return self._send("give_notice", node)

    def evaluate(self, node: Address) -> Receipt:
        """Charge a node's new misses, fail it at too many owed rounds; anyone."""
        return self._send("evaluate", node)

    def spot_challenge(self, deal: int, slot: int, leaf_index: int, *, value: int) -> Receipt:
        """Ask for one leaf now, prepaying ``value`` wei for the answer's gas; the challenge's id
        is in the event SpotChallenged."""
        return self._send("spot_challenge", deal, slot, leaf_index, value=value)

    def answer_spot(self, challenge: int, proof: bytes) -> Receipt:
        """Answer a spot challenge with the leaf and its siblings; until it is expired."""
        return self._send("answer_spot", challenge, proof)

    def expire_spot(self, challenge: int) -> Receipt:
        """Turn an unanswered spot challenge into a fault; anyone."""
        return self._send("expire_spot", challenge)

    def set_of(self, node: Address) -> int:
        """A node's proof set, 0 while it has none."""
        return self._view(int, "set_of", node)

    def node_state(self, node: Address) -> NodeState:
        """What the market knows of a node."""
        return self._view(NodeState, "node_state", node)

    def may_leave(self, node: Address) -> bool:
        """Whether a node may drop its columns without penalty."""
        return self._view(bool, "may_leave", node)

    def pool(self, node: Address) -> Pool:
        """The compensation of a failed node's clients."""
        amount, size = self._views(int, "pool", node)
        return Pool(amount, size)

    def spot(self, challenge: int) -> SpotChallenge:
        """A spot challenge."""
        return self._view(SpotChallenge, "spot", challenge)

    def spot_count(self) -> int:
        """How many spot challenges there were; ids run from 1."""
        return self._view(int, "spot_count")

    def paused(self) -> bool:
        """Whether joining is paused."""
        return self._view(bool, "paused")

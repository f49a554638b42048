"""Storage deals: opening, replacing, closing, faults, spot challenges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt

ACTIVE, ENDED, FINISHED = 1, 2, 3
"""States of a column."""
CLOSED, TERM, EXIT, FAILED, REPLACED, ABANDONED = 1, 2, 3, 4, 5, 6
"""Reasons in ColumnEnded."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The market's parameters: seconds, basis points, base units, wei."""

    lockup_period: int
    notice: int
    faults_max: int
    repair_owed: int
    stake_per_tib: int
    fault_fee_bps: int
    slash_bps: int
    compensation_bps: int
    bounty_bps: int
    cleanup_window: int
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
class Acceptance:
    """A node's signed word that it holds a column; ``price`` in base units per TiB-month."""

    node: Address
    price: int
    term_end: int
    deadline: int
    nonce: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a repairer may do without asking the client."""

    max_price: int
    min_stake: int
    per_owner: int
    expiry: int
    repair_fee: int
    repairs: int


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A deal to open: k of ``len(roots)`` columns of ``size`` raw bytes each."""

    object_id: bytes
    token: Address
    k: int
    size: int
    height: int
    roots: tuple[bytes, ...]
    mandate: Mandate
    locator: bytes


@dataclass(frozen=True, slots=True)
class Deal:
    """A repair group of n columns."""

    client: Address
    token: Address
    object_id: bytes
    k: int
    n: int
    size: int
    height: int
    opened_at: int
    term_end: int
    closed_at: int
    mandate: Mandate
    repairs_done: int
    reserve: int
    locator: bytes


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a deal; ``state`` is ACTIVE, ENDED or FINISHED."""

    node: Address
    root: bytes
    piece_id: int
    rail: int
    price: int
    first_round: int
    opened_period: int
    state: int
    replacer: Address
    repair_claimed: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Which column a rail pays for."""

    deal: int
    slot: int


class Storage(Contract):
    """The storage market."""

    name = "storage"

    def parameters(self) -> Parameters:
        """The market's parameters."""
        return self._view(Parameters, "parameters")

    def join(self, node: Address) -> Receipt:
        """Let a node take part: makes its proof set; its owner."""
        return self._send("join", node)

    def give_notice(self, node: Address) -> Receipt:
        """Announce that a node leaves; its owner or its key."""
        return self._send("give_notice", node)

    def set_of(self, node: Address) -> int:
        """A node's proof set, 0 while it has none."""
        return self._view(int, "set_of", node)

    def node_state(self, node: Address) -> NodeState:
        """What the market knows of a node."""
        return self._view(NodeState, "node_state", node)

    def open(
        self, request: OpenRequest, acceptances: Sequence[Acceptance], *, tag: str | None = None
    ) -> Receipt:
        """Open a deal; its id is in the event DealOpened. ``tag`` makes a retry idempotent."""
        return self._send("open", request, tuple(acceptances), tag=tag)

    def replace(
        self, deal: int, slot: int, acceptance: Acceptance, *, tag: str | None = None
    ) -> Receipt:
        """Put a column on another node within the mandate; anyone."""
        return self._send("replace", deal, slot, acceptance, tag=tag)

    def claim_repair(self, deal: int, slot: int) -> Receipt:
        """Pay the repairer after the new node's first good round."""
        return self._send("claim_repair", deal, slot)

    def close(self, deal: int) -> Receipt:
        """End a deal; its client."""
        return self._send("close", deal)

    def exit(self, deal: int, slot: int) -> Receipt:
        """Leave a column without penalty; the node or its owner."""
        return self._send("exit", deal, slot)

    def renew(self, deal: int, term_end: int, acceptances: Sequence[Acceptance]) -> Receipt:
        """Extend a deal; its client."""
        return self._send("renew", deal, term_end, tuple(acceptances))

    def finish(self, deal: int, slot: int) -> Receipt:
        """Settle and clear an ended column; anyone."""
        return self._send("finish", deal, slot)

    def abandon(self, deal: int, slot: int) -> Receipt:
        """Clear a column that nobody finished within the clean-up window; anyone."""
        return self._send("abandon", deal, slot)

    def evaluate(self, node: Address) -> Receipt:
        """Charge a node's new misses, fail it at too many owed rounds; anyone."""
        return self._send("evaluate", node)

    def spot_challenge(self, deal: int, slot: int, leaf_index: int, *, value: int) -> Receipt:
        """Ask for one leaf now, prepaying ``value`` wei for the answer's gas."""
        return self._send("spot_challenge", deal, slot, leaf_index, value=value)

    def answer_spot(self, challenge: int, proof: bytes) -> Receipt:
        """Answer a spot challenge."""
        return self._send("answer_spot", challenge, proof)

    def expire_spot(self, challenge: int) -> Receipt:
        """Turn an unanswered spot challenge into a fault."""
        return self._send("expire_spot", challenge)

    def deal(self, deal: int) -> Deal:
        """A deal."""
        return self._view(Deal, "deal", deal)

    def column(self, deal: int, slot: int) -> Column:
        """A column of a deal."""
        return self._view(Column, "column", deal, slot)

    def deal_count(self) -> int:
        """How many deals were ever opened; ids run from 1."""
        return self._view(int, "deal_count")

    def rail_column(self, rail: int) -> Place:
        """The column that a rail pays for."""
        deal, slot = self._views(int, "rail_column", rail)
        return Place(deal, slot)

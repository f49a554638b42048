"""Storage deals: opening, replacing, closing, finishing. Nodes and faults are in ``faults``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import SETTLE_GAS, Contract
from freehold.ledger.values import Receipt

ACTIVE, ENDED, FINISHED = 1, 2, 3
"""States of a column."""
CLOSED, TERM, EXIT, FAILED, REPLACED, ABANDONED = 1, 2, 3, 4, 5, 6
"""Reasons in ColumnEnded."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The market's parameters in seconds and rounds; those of nodes are in ``faults``."""

    lockup_period: int
    repair_owed: int
    cleanup_window: int


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
    """One column of a deal; ``state`` is ACTIVE, ENDED or FINISHED, ``locked`` its stake."""

    node: Address
    root: bytes
    piece_id: int
    rail: int
    price: int
    first_round: int
    opened_period: int
    ended_at: int
    state: int
    locked: int
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
        return self._send("finish", deal, slot, least_gas=SETTLE_GAS)

    def abandon(self, rail: int) -> Receipt:
        """Clear a column that nobody finished within the clean-up window; anyone."""
        return self._send("abandon", rail, least_gas=SETTLE_GAS)

    def finish_rail(self, rail: int) -> Receipt:
        """Settle and clear a column that was replaced, by its old rail; anyone."""
        return self._send("finish_rail", rail, least_gas=SETTLE_GAS)

    def deal(self, deal: int) -> Deal:
        """A deal."""
        return self._view(Deal, "deal", deal)

    def column(self, deal: int, slot: int) -> Column:
        """A column of a deal."""
        return self._view(Column, "column", deal, slot)

    def deal_count(self) -> int:
        """How many deals were ever opened; ids run from 1."""
        return self._view(int, "deal_count")

    def column_of(self, rail: int) -> Column:
        """The column as it is or was under a rail."""
        return self._view(Column, "column_of", rail)

    def accepted(self, rail: int, until: int) -> tuple[int, int]:
        """Seconds accepted since the rail's opening, and the moment up to which that is final."""
        seconds, decided = self._views(int, "accepted", rail, until)
        return seconds, decided

    def nonce_used(self, node: Address, nonce: int) -> bool:
        """Whether an acceptance's nonce was used up."""
        return self._view(bool, "nonce_used", node, nonce)

    def paused(self) -> bool:
        """Whether opening is paused."""
        return self._view(bool, "paused")

    def rail_column(self, rail: int) -> Place:
        """The column that a rail pays for."""
        deal, slot = self._views(int, "rail_column", rail)
        return Place(deal, slot)

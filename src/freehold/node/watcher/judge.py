"""Brings what the chain can already see to its consequence: faults charged, nodes failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.node.logs import fields

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patient:
    """A node that may need repair: why, and its proof set."""

    node: Address
    set_id: int
    reason: str


def joined(ledger: Ledger) -> Iterator[Address]:
    """Every node that ever joined the storage market, in order."""
    return (event.address("node") for event in every(ledger.index, "faults", "NodeJoined"))


class Judge:
    """Evaluates nodes that have uncharged misses or owe too much."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def step(self) -> None:
        """Look at every node once and evaluate those that earned it."""
        for node in joined(self._ledger):
            self._look(node)

    def patients(self) -> Iterator[Patient]:
        """Nodes whose columns the market lets others replace."""
        repair_owed = self._ledger.storage.parameters().repair_owed
        for node in joined(self._ledger):
            state = self._ledger.faults.node_state(node)
            if not state.columns:
                continue
            if state.failed:
                yield Patient(node, state.set_id, "failed")
            elif self._ledger.pdp.owed(state.set_id) >= repair_owed:
                yield Patient(node, state.set_id, "owes proofs")
            elif state.notice_at:
                yield Patient(node, state.set_id, "gave notice")

    def _look(self, node: Address) -> None:
        faults = self._ledger.faults
        state = faults.node_state(node)
        if not state.set_id or state.failed:
            return
        owed = self._ledger.pdp.owed(state.set_id)
        uncharged = self._ledger.pdp.missed(state.set_id) - state.misses_charged
        if uncharged <= 0 and owed < faults.parameters().faults_max:
            return
        try:
            receipt = faults.evaluate(node)
        except RefusedError as error:
            # The node answered, or another watcher was faster, between the look and the call.
            _log.debug("evaluate", extra=fields(node=node, refused=error.message))
            return
        failed = bool(receipt.named("NodeFailed"))
        _log.info(
            "evaluated", extra=fields(node=node, owed=owed, new_misses=uncharged, failed=failed)
        )

"""Puts lost columns on other owners' nodes, and is paid from the deal's reserve for it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from freehold.client.repair import Repairer
from freehold.domain.errors import CapacityError, FreeholdError, RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ACTIVE, ENDED, Deal
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from freehold.node.logs import fields
from freehold.node.watcher.columns import Columns, Placed
from freehold.node.watcher.judge import Judge, Patient
from freehold.node.watcher.metrics import Metrics

REPAIRS_A_STEP = 32
PAGE = 200
_log = logging.getLogger(__name__)


def threshold(deal: Deal) -> int:
    """Healthy columns below which a deal is repaired: three quarters of its spare ones are left.

    4 of 6 is repaired at the first loss, 10 of 14 below 13, 20 of 30 below 28: regenerating one
    column reads k, so waiting for a second loss in a wide group saves traffic at no risk.
    """
    spare = deal.n - deal.k
    return deal.k + spare - spare // 4


class Medic:
    """Repairs what the chain says is lost or leaving, deals nearest to loss first."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        columns: Columns,
        judge: Judge,
        repairer: Repairer,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._columns = columns
        self._judge = judge
        self._repairer = repairer
        self._metrics = metrics
        self._failures: Counter[int] = Counter()

    def step(self) -> None:
        """One round of repairs; what fails is tried again when the others had their turn.

        Otherwise deals that nobody can repair, which cost little to open, would keep all others
        waiting.
        """
        patients = {patient.node: patient for patient in self._judge.patients()}
        self._metrics.patients.set(len(patients))
        lost = [c for node in patients for c in self._columns.on(node) if self._open(c)]
        missing = Counter(column.number for column in lost)
        due = [c for c in lost if self._due(c, missing[c.number], patients[c.column.node])]
        self._failures = Counter({c.column.rail: self._failures[c.column.rail] for c in due})
        due.sort(key=lambda c: self._urgency(c, missing[c.number]))
        for column in due[:REPAIRS_A_STEP]:
            self._repair(column, patients[column.column.node])

    def _urgency(self, column: Placed, missing: int) -> tuple[int, int, int, int]:
        spare = column.deal.n - missing - column.deal.k
        return self._failures[column.column.rail], spare, column.number, column.slot

    def claim(self) -> None:
        """Collect the fee of repairs whose new node has proven its first round."""
        key = self._ledger.key
        if key is None:
            return
        for event in self._own_repairs(key.address):
            placed = self._columns.at(event.number("deal"), event.number("slot"))
            column = placed.column
            if column.rail != event.number("rail") or column.repair_claimed:
                continue
            if self._proven_once(placed):
                self._claim(placed)

    def _claim(self, placed: Placed) -> None:
        try:
            self._ledger.storage.claim_repair(placed.number, placed.slot)
        except RefusedError as error:
            # Its period is not over, or its node left in it: other fees do not wait for it.
            _log.debug(
                "claim",
                extra=fields(deal=placed.number, slot=placed.slot, refused=error.message),
            )

    def _own_repairs(self, account: Address) -> Iterator[Event]:
        last = None
        while True:
            page = self._ledger.index.events(
                "storage", "ColumnReplaced", where={"replacer": account}, after=last, limit=PAGE
            )
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1]

    def _proven_once(self, placed: Placed) -> bool:
        state = self._ledger.faults.node_state(placed.column.node)
        rounds = self._ledger.beacon.round_count()
        first = placed.column.first_round
        return self._ledger.pdp.good_rounds(state.set_id, first, rounds) > 0

    def _open(self, placed: Placed) -> bool:
        """Whether a column may still be replaced: it is not finished and its term goes on."""
        deal = placed.deal
        return (
            placed.column.state in (ACTIVE, ENDED)
            and not deal.closed_at
            and self._ledger.now() < min(deal.term_end, deal.mandate.expiry)
            and deal.repairs_done < deal.mandate.repairs
        )

    def _due(self, placed: Placed, missing: int, patient: Patient) -> bool:
        leaving = patient.reason == "gave notice"
        return leaving or placed.deal.n - missing < threshold(placed.deal)

    def _repair(self, placed: Placed, patient: Patient) -> None:
        try:
            done = self._repairer.repair(placed.number, placed.slot)
        except FreeholdError as error:
            outcome = "no room" if isinstance(error, CapacityError) else "failed"
            self._metrics.repairs.labels(outcome).inc()
            self._failures[placed.column.rail] += 1
            _log.warning(
                "a repair failed",
                extra=fields(
                    deal=placed.number,
                    slot=placed.slot,
                    reason=error.message,
                    remedy=error.remedy,
                ),
            )
            return
        self._metrics.repairs.labels("done").inc()
        _log.info(
            "repaired",
            extra=fields(
                deal=placed.number,
                slot=placed.slot,
                from_node=patient.node,
                because=patient.reason,
                to_node=done.node,
                transaction=done.transaction,
            ),
        )

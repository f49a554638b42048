"""Collects what the node is owed, and says in time when money runs low on either side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from freehold.domain import money
from freehold.domain.clock import Clock
from freehold.domain.errors import RefusedError
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import FINISHED, Column
from freehold.ledger.values import Receipt
from freehold.node.deals import Deals, HeldColumn, is_cleared
from freehold.node.logs import fields
from freehold.node.metrics import Metrics
from freehold.node.ports import Chain
from freehold.node.settings import Settings
from freehold.node.vouchers import Till

ENDINGS_A_STEP = 20
SETTLEMENTS_A_STEP = 192
BATCH = 16
"""Rails in one transaction, well inside its gas."""
CLIENTS_A_STEP = 200
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Rounds:
    """Where the next bounded pass over a long list goes on, and when it may."""

    settled_at: int = 0
    settle_from: int = 0
    endings_from: int = 0
    clients_from: int = 0


class Treasury:
    """Settles rails, finishes columns that ended, redeems vouchers, watches balances."""

    def __init__(
        self,
        chain: Chain,
        node: Address,
        *,
        deals: Deals,
        till: Till,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._chain = chain
        self._node = node
        self._deals = deals
        self._till = till
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._rounds = _Rounds()
        self.low_gas = False
        self.dry_clients: dict[Address, int] = {}
        """Clients whose deposit ends soon, and when."""

    def step(self) -> None:
        """One bounded pass over endings, vouchers and, when it is time, live rails."""
        self.finish_ended()
        self.redeem(everything=False)
        if self._clock.now() - self._rounds.settled_at >= self._settings.settle_every:
            self.settle()
        self._watch_gas()
        self._watch_clients()

    # --- rails -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Settle live rails, a bounded number at once; the pass goes on at the next step."""
        active = [c.rail for c in self._deals.active() if c.rail > self._rounds.settle_from]
        for start in range(0, min(len(active), SETTLEMENTS_A_STEP), BATCH):
            batch = active[start : start + BATCH]
            self._settle(batch)
            self._rounds.settle_from = batch[-1]
        if len(active) <= SETTLEMENTS_A_STEP:
            self._rounds.settle_from = 0
            self._rounds.settled_at = self._clock.now()

    def _settle(self, rails: Sequence[int]) -> None:
        """Settle together; one by one where a rail among them refuses."""
        together = partial(self._chain.payments.settle_many, rails)
        receipt = self._attempt("settle", rails[0], together)
        self._count(receipt)
        for rail in rails if receipt is None else ():
            alone = partial(self._chain.payments.settle, rail)
            self._count(self._attempt("settle", rail, alone))

    def _attempt(self, what: str, about: int, act: Callable[[], Receipt]) -> Receipt | None:
        try:
            return act()
        except RefusedError as error:
            # Not yet, or another party was faster: the next pass looks again.
            _log.debug(what, extra=fields(about=about, refused=error.message))
            return None

    def _count(self, receipt: Receipt | None) -> None:
        for event in () if receipt is None else receipt.logs:
            if event.name == "RailSettled":
                self._metrics.earned.labels("rail").inc(event.number("paid") - event.number("fee"))
            elif event.name == "VoucherRedeemed":
                self._metrics.earned.labels("voucher").inc(
                    event.number("paid") - event.number("fee")
                )

    # --- endings ---------------------------------------------------------------------------------

    def finish_ended(self) -> None:
        """Settle and finish columns that are over; forget those that need nothing more."""
        failed = self._chain.faults.node_state(self._node).failed
        over = list(self._deals.all()) if failed else self._deals.over(self._chain.now())
        later = [column for column in over if column.rail > self._rounds.endings_from]
        for column in later[:ENDINGS_A_STEP]:
            self._wind_up(column)
            self._rounds.endings_from = column.rail
        if len(later) <= ENDINGS_A_STEP:
            self._rounds.endings_from = 0

    def _wind_up(self, column: HeldColumn) -> None:
        set_id = self._chain.faults.set_of(self._node)
        found = self._chain.storage.column_of(column.rail)
        if found.state != FINISHED:
            if self._is_decided(column, found, set_id):
                act = partial(self._chain.storage.finish_rail, column.rail)
                self._count(self._attempt("finish", column.rail, act))
        elif is_cleared(self._chain, set_id, column.piece_id) and not self._wanted(column, found):
            self._deals.forget(column.rail)
            _log.info("a column is finished", extra=fields(deal=column.deal, slot=column.slot))

    def _is_decided(self, column: HeldColumn, found: Column, set_id: int) -> bool:
        """Whether all rounds up to that of the period in which the column ended are resolved."""
        end = min(found.ended_at or column.term_end, column.term_end)
        beacon = self._chain.beacon
        border = beacon.period_start(beacon.period_of(end) + 1)
        return self._chain.pdp.decided_until(set_id) >= border

    def _wanted(self, column: HeldColumn, found: Column) -> bool:
        """Whether a column that was moved away may still be needed: its new node has shown nothing.

        Whoever moved it may have moved it to a node that does not have it. Then this one is a
        source that others can fall back on, for a bounded time.
        """
        now, beacon = self._chain.now(), self._chain.beacon
        patience = self._settings.keep_moved * (beacon.period_start(1) - beacon.period_start(0))
        if now >= min(found.ended_at + patience, column.term_end):
            return False
        present = self._chain.storage.column(column.deal, column.slot)
        if present.rail == column.rail or self._chain.storage.deal(column.deal).closed_at:
            return False
        there = self._chain.faults.set_of(present.node)
        rounds = beacon.round_count()
        return not self._chain.pdp.good_rounds(there, present.first_round, rounds)

    # --- vouchers --------------------------------------------------------------------------------

    def redeem(self, *, everything: bool) -> None:
        """Redeem vouchers: of rails that close, or all before leaving; at the usual time those that
        bring more than their gas, for who signs is free to sign a unit more each time."""
        due_time = self._clock.now() - self._rounds.settled_at >= self._settings.settle_every
        for due in self._till.dues():
            voucher = due.voucher
            rail = self._chain.payments.rail(voucher.rail)
            pays = self._till.pays_its_gas(voucher.amount - rail.paid)
            if rail.paid >= voucher.amount or not rail.fixed:
                self._till.redeemed(voucher)
            elif everything or rail.end_at or (due_time and pays):
                receipt = self._chain.payments.redeem(
                    voucher.rail, voucher.amount, voucher.signature
                )
                self._count(receipt)
                self._till.redeemed(voucher)

    # --- warnings --------------------------------------------------------------------------------

    def _watch_gas(self) -> None:
        balance = self._chain.balance(self._node)
        self._metrics.gas.set(balance)
        was, self.low_gas = self.low_gas, balance < self._settings.gas_reserve
        if self.low_gas and not was:
            _log.warning(
                "gas runs low",
                extra=fields(
                    account=self._node,
                    left=money.show(balance),
                    remedy="Send native coins to the node's account, or its proofs will stop.",
                ),
            )

    def _watch_clients(self) -> None:
        clients = sorted({column.client for column in self._deals.active()})
        if not clients:
            self.dry_clients = {}
        soon = self._chain.now() + self._chain.storage.parameters().lockup_period // 2
        start = self._rounds.clients_from % max(len(clients), 1)
        for client in clients[start : start + CLIENTS_A_STEP]:
            self._watch_client(client, soon)
        self._rounds.clients_from = start + CLIENTS_A_STEP
        self._metrics.dry_clients.set(len(self.dry_clients))

    def _watch_client(self, client: Address, soon: int) -> None:
        until = self._chain.payments.status(self._chain.token.address, client).solvent_until
        if until >= soon:
            self.dry_clients.pop(client, None)
            return
        if client not in self.dry_clients:
            _log.warning(
                "a client's deposit runs low",
                extra=fields(
                    client=client,
                    solvent_until=until,
                    remedy="Nothing to do yet: its columns may be left without penalty once dry.",
                ),
            )
        self.dry_clients[client] = until
        if until + self._settings.dry_patience < self._chain.now():
            self._leave_client(client)

    def _leave_client(self, client: Address) -> None:
        """Exit, without penalty, the columns of a client that has not paid for long."""
        for column in self._deals.active():
            if column.client == client:
                leave = partial(self._chain.storage.exit, column.deal, column.slot)
                self._count(self._attempt("exit", column.rail, leave))
